"""Airflow in this process: a home of its own with a migrated database, made before the first import of Airflow."""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import skops.io  # noqa: F401 - before Airflow: it looks for every ufunc of scipy in all modules that are there already

REPO = Path(__file__).parents[2]
_HOME = tempfile.TemporaryDirectory(prefix="slipstream-airflow-")

os.environ.update(
    {
        "AIRFLOW_HOME": _HOME.name,
        "AIRFLOW__CORE__DAGS_FOLDER": str(REPO / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPO / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,vera:viewer",
        "AIRFLOW__API_AUTH__JWT_SECRET": "x" * 64,
        "AIRFLOW__API__SECRET_KEY": "y" * 64,
        "SLIPSTREAM_STORE": (Path(_HOME.name) / "store").as_uri(),
        "SLIPSTREAM_KEYS": str(Path(_HOME.name) / "keys"),
        "BENTOML_HOME": str(Path(_HOME.name) / "bentoml"),
        "GX_ANALYTICS_ENABLED": "False",
        "BENTOML_DO_NOT_TRACK": "True",
        "DO_NOT_TRACK": "1",
    }
)

Project = Callable[..., Path]

_TINY: dict[str, Any] = {
    "name": "tiny",
    "description": "Is the sum large?",
    "task": "binary",
    "target": "large",
    "inputs": ["a", "b", "kind"],
    "data": {"source": {"type": "files", "path": "data/*.csv"}, "time": "day", "key": ["id"]},
    "contract": {"on_failure": "quarantine", "expectations": []},
    "train": {
        "trainer": {"type": "sklearn", "estimator": "sklearn.linear_model.LogisticRegression"},
        "holdout": 0.3,
        "min_rows": 50,
    },
    "evaluate": {"metric": "roc_auc", "bootstrap": 20},
    "gates": [{"type": "metric", "bound": 0.7}],
    "deploy": {"target": {"type": "local"}},
    "monitor": {"min_rows": 50, "evidently": False, "drift": {"threshold": 0.2, "share": 0.3}},
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.airflow)
            # Airflow's own libraries warn of each other; ours must not.
            item.add_marker(pytest.mark.filterwarnings("ignore"))


@pytest.fixture(scope="session")
def database() -> None:
    """Airflow's database, migrated, with the bundle of the repository's DAGs."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """``project(gates=[...])``: a model project called tiny with 400 rows of CSV, in a models folder of its own."""
    models = tmp_path / "models"
    monkeypatch.setenv("SLIPSTREAM_MODELS", str(models))
    monkeypatch.setenv("SLIPSTREAM_STORE", (tmp_path / "store").as_uri())

    def make(**overrides: Any) -> Path:
        model = _TINY | overrides
        folder = models / model["name"]
        folder.mkdir(parents=True)
        (folder / "model.yaml").write_text(json.dumps(model))
        write_rows(folder, "first", shift=0.0)
        return folder

    return make


def write_rows(folder: Path, name: str, *, shift: float, rows: int = 400) -> None:
    """A CSV of *rows* rows for the project in *folder*; *shift* moves the inputs, for drift."""
    draw = random.Random(name)
    lines = ["id,day,a,b,kind,large"]
    start = 0 if name == "first" else 10_000
    for number in range(rows):
        a, b = draw.gauss(shift, 1), draw.gauss(shift, 1)
        large = "true" if a + b + draw.gauss(0, 0.5) > 2 * shift else "false"
        day = f"2026-{1 + (start > 0):02d}-{1 + number * 28 // rows:02d}"
        lines.append(f"{start + number},{day},{a:.4f},{b:.4f},{draw.choice('xyz')},{large}")
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / f"{name}.csv").write_text("\n".join(lines) + "\n")
