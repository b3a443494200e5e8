"""Parsing a DAG file again gives the same DAGs, byte for byte: any other byte is a new version to Airflow."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Any

from .conftest import REPO, Project

_SERIALIZED = f"""
import json, sys
from pathlib import Path
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
folder = Path({str(REPO / "dags")!r})
bag = DagBag(folder, bundle_path=folder, bundle_name="dags-folder")
assert not bag.import_errors, bag.import_errors
written = {{name: json.dumps(DagSerialization.to_dict(dag), sort_keys=True) for name, dag in bag.dags.items()}}
json.dump(written, sys.stdout)
"""

# Between them every key of a model file that reaches a DAG, with several entries wherever there may be several.
_MODELS: dict[str, dict[str, Any]] = {
    "plain": {},
    "timed": {
        "owner": "ada",
        "schedule": {"ingest": ["@daily"], "monitor": ["0 6 * * 1", "data", "predictions"]},
        "retrain": {"cron": "0 0 1 * *", "drift": True, "quality": True},
    },
    "asked": {
        "approval": {"mode": "manual", "timeout": "2h"},
        "gates": [{"type": "metric", "bound": 0.7}, {"type": "replay", "bound": 0.1}, {"type": "size", "bound": 20}],
        "alerts": [{"type": "webhook", "connection": "chat"}, {"type": "smtp", "to": "ada@example.org"}],
    },
    "guarded": {
        "contract": {
            "on_failure": "quarantine",
            "expectations": [
                {"type": "expect_column_values_to_be_in_set", "column": "kind", "value_set": ["x", "y", "z"]},
                {"type": "expect_column_values_to_be_between", "column": "a", "min_value": -9, "max_value": 9},
            ],
        },
        "evaluate": {"metric": "roc_auc", "metrics": ["log_loss", "brier"], "slices": ["kind"], "sensitive": ["kind"]},
        "deploy": {"target": {"type": "local"}, "rollout": {"steps": [0.2, 0.5], "bake": "5s"}},
    },
}


def test_parsing_again_gives_the_same_bytes(project: Project) -> None:
    """apache/airflow#70779: a DAG whose bytes change gets a new version at each parse, until the database is full."""
    for name, keys in _MODELS.items():
        models = project(name=name, **keys).parent
    for name in ("flights", "bikes"):
        shutil.copytree(REPO / "include" / "models" / name, models / name)
    first, second = _parsed("1"), _parsed("2")
    verbs = ("ingest", "train", "monitor", "rollback")
    generated = {f"{model}__{verb}" for model in (*_MODELS, "flights", "bikes") for verb in verbs}
    assert set(first) == generated | {"example_flow"}
    assert set(second) == set(first)
    assert [name for name in first if first[name] != second[name]] == []


def _parsed(seed: str) -> dict[str, str]:
    """What Airflow writes for each DAG (with its keys sorted), of a process in which sets have the order of *seed*."""
    env = os.environ | {"PYTHONHASHSEED": seed}
    done = subprocess.run([sys.executable, "-c", _SERIALIZED], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    written: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return written
