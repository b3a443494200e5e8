"""Odd names in every part that a column can play, on the whole way: kept, explained, joined by key, watched."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings

from slipstream.spec.loader import load_spec
from slipstream.spec.model import ModelSpec
from slipstream.stages.deploy import deploy
from slipstream.stages.evaluate import evaluate
from slipstream.stages.explain import explain
from slipstream.stages.gate import gate
from slipstream.stages.ingest import ingest
from slipstream.stages.join import join
from slipstream.stages.labels import labels
from slipstream.stages.monitor import monitor
from slipstream.stages.package import package
from slipstream.stages.train import train
from slipstream.stages.validate import validate
from slipstream.store import Store
from tests.contract.running_endpoint import Running, run_endpoint, wait_until
from tests.unit.odd_names import EVIL, several, yaml

ROWS, ASKED = 400, 60
PARTS = ("key", "second", "time", "target", "word", "group", "secret", "number", "unused")
CALLED_AS_OURS = ["n", "id", "label", "prediction", "version", "role", "probability", "inputs", "batch"]
CALLED_AS_CODE = [*EVIL, "it's", 'say "hi"', "a.b", "\\", "%s", "line\nend"]


def test_names_that_are_code_can_play_any_part() -> None:
    play(CALLED_AS_CODE)


@pytest.mark.slow
@settings(
    max_examples=3,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@example(CALLED_AS_OURS)
@given(several(len(PARTS)))
def test_any_name_can_play_any_part(names: list[str]) -> None:
    play(names)


def play(names: list[str]) -> None:
    """The whole way of a model whose columns have these *names*."""
    part = dict(zip(PARTS, names, strict=True))
    with TemporaryDirectory() as folder:
        root = Path(folder)
        store = Store.open((root / "store").as_uri())
        spec = model(root, part)
        version, reports = released(spec, store, root, part)
        endpoint = run_endpoint(Store.open(store.url))
        try:
            deploy(spec, store, version, endpoint=endpoint.url, how="steps")
            reports.append(told_and_joined(spec, store, endpoint, part))
        finally:
            endpoint.stop()
        rows(part, 1).to_parquet(spec.folder / "1.parquet", index=False)
        validate(spec, store, ingest(spec, store).batch)
        for source in ("data", "predictions"):
            found = monitor(model(root, part, source), store)
            assert found.rows > 10
            reports.append(found.report)
        for report in filter(None, reports):
            page = store.objects.get(report).decode()
            assert "<img src=x" not in page
            assert "<script>alert" not in page


def model(root: Path, part: dict[str, str], source: str = "data") -> ModelSpec:
    rules: list[dict[str, Any]] = [
        {"type": "expect_column_values_to_not_be_null", "column": part["number"]},
        {"type": "expect_column_values_to_be_between", "column": part["secret"], "min_value": -9},
        {"type": "expect_compound_columns_to_be_unique", "column_list": [part["key"], part["second"]]},
    ]
    gates: list[dict[str, Any]] = [
        {"type": "slice", "bound": 0.1},
        {"type": "fairness", "column": part["group"], "bound": 0.99, "measure": "demographic_parity"},
    ]
    said: dict[str, Any] = {
        "name": "odd",
        "task": "binary",
        "target": part["target"],
        "inputs": [part[one] for one in PARTS if one not in {"time", "target", "unused"}],
        "data": {
            "source": {"type": "files", "path": "*.parquet"},
            "time": part["time"],
            "key": [part["key"], part["second"]],
        },
        "contract": {"on_failure": "quarantine", "doubtful": "warn", "expectations": rules},
        "train": {"trainer": {"type": "sklearn", "estimator": "sklearn.linear_model.LogisticRegression"}},
        "evaluate": {
            "metric": "roc_auc",
            "bootstrap": 20,
            "min_slice": 20,
            "slices": [part["word"]],
            "sensitive": [part["group"]],
        },
        "gates": gates,
        "deploy": {"timeout": "1m", "sticky": part["word"], "capture": {"redact": [part["secret"]]}},
        "monitor": {"min_rows": 10, "source": source},
    }
    folder = root / "models" / "odd"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.yaml").write_text(yaml(said), encoding="utf-8")
    return load_spec(folder)


def rows(part: dict[str, str], batch: int) -> pd.DataFrame:
    """One number is missing, which the contract does not allow."""
    random, places = np.random.default_rng(batch), np.arange(batch * ROWS, (batch + 1) * ROWS)
    number = random.normal(size=ROWS)
    columns = {
        "key": places,
        "second": [f"k{place % 7}" for place in places],
        "time": pd.Timestamp("2024-01-01") + pd.to_timedelta(places, "h"),
        "target": number + random.normal(size=ROWS) > 0,
        "word": random.choice(["a", "b", "<b>"], ROWS),
        "group": random.choice(["f", "m"], ROWS),
        "secret": random.normal(size=ROWS),
        "number": np.where(np.arange(ROWS) == 5, np.nan, number),
        "unused": random.integers(0, 5, ROWS),
    }
    return pd.DataFrame({part[one]: values for one, values in columns.items()})


def released(spec: ModelSpec, store: Store, root: Path, part: dict[str, str]) -> tuple[int, list[str]]:
    """A version that passed its gates, and the reports on the way."""
    rows(part, 0).to_parquet(spec.folder / "0.parquet", index=False)
    validated = validate(spec, store, ingest(spec, store).batch)
    assert (validated.good, validated.quarantined) == (ROWS - 1, 1)
    trained = train(spec, store, validated.dataset)
    judged, explained = evaluate(spec, store, trained.candidate), explain(spec, store, trained.candidate)
    made = package(
        spec, store, trained.candidate, judged.run, explained.run, keys=root / "keys", bentos=root / "bentos"
    )
    assert gate(spec, store, made.version).passed
    return made.version, [validated.report, judged.report, explained.report]


def told_and_joined(spec: ModelSpec, store: Store, endpoint: Running, part: dict[str, str]) -> str:
    """Ask, explain, and tell the labels by key; gives the report of the join."""
    asked: list[dict[str, Any]] = json.loads(
        rows(part, 1)[list(spec.inputs)][10 : 10 + ASKED].to_json(orient="records")
    )
    said = post(endpoint, "predict", {"rows": asked})
    columns = {name: [row[name] for row in asked] for name in spec.inputs}
    assert post(endpoint, "predict", {"columns": columns})["probabilities"] == said["probabilities"]
    assert len(post(endpoint, "explain", {"rows": asked[:2]})["explanations"]) == 2
    assert httpx.get(f"{endpoint.url}/metrics").status_code == 200
    wait_until(lambda: sum(file.rows for file in store.tables.sound("odd", "predictions").files) >= 2 * ASKED)
    label = "label" if "label" not in spec.data.key else spec.target
    told = {name: [row[name] for row in asked] for name in spec.data.key} | {
        label: [at % 3 == 0 for at in range(ASKED)]
    }
    file = spec.folder / "labels"
    pd.DataFrame(told).to_parquet(file.with_suffix(".pq"), index=False)
    assert labels(spec, store, str(file.with_suffix(".pq")), by="key").new == ASKED
    joined = join(spec, store)
    assert joined.labelled == 2 * ASKED
    return joined.report


def post(endpoint: Running, verb: str, body: dict[str, Any]) -> dict[str, Any]:
    reply = httpx.post(f"{endpoint.url}/models/odd/{verb}", json=body, timeout=60)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found
