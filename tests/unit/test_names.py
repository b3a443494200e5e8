"""Columns may be called anything: odd names go through every stage, explainer, report and protocol."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from slipstream.bundle.bundle import open_bundle
from slipstream.errors import DataError, SpecError
from slipstream.serving.http.request_limits import RequestLimits
from slipstream.serving.version.capture_policy import Policy
from slipstream.serving.version.load import load_served
from slipstream.serving.version.loaded import LoadedVersion
from slipstream.spec.model import ModelSpec
from slipstream.stages.deploy import deploy
from slipstream.stages.evaluate import evaluate
from slipstream.stages.explain import explain
from slipstream.stages.gate import gate
from slipstream.stages.ingest import ingest
from slipstream.stages.monitor import monitor
from slipstream.stages.package import package
from slipstream.stages.train import train
from slipstream.stages.validate import validate
from slipstream.store import Store
from tests.unit.fixed_model import Few, asking, guards

MakeSpec = Callable[..., ModelSpec]
ROWS = 400
WORDS = ["a", 'it\'s "q"', "<b>&"]
ODD = """self|class|index|rows|model|it's|say "hi"|a.b|a b|emoji 🚲|SELECT|back\\slash|100%|a,b
<script>alert(1)</script>|&amp;|__proto__|None|id|label|prediction|probability|time|version|ids|columns|\u00e9|e\u0301
$y|{z}|answer|target|inputs|run|batch|__name__|0|1e5|true|null|-|latency|v0|row|field|name|failed_expectation
predictions|warnings|line\tend|'; DROP TABLE x; --"""
NAMES = [*ODD.replace("\n", "|").split("|"), "x" * 128]
HIST, LINE = "sklearn.ensemble.HistGradientBoostingClassifier", "sklearn.linear_model.LogisticRegression"


def rows(names: list[str], seed: int = 0) -> pd.DataFrame:
    """Every second column is of words; the target follows from the first number."""
    random = np.random.default_rng(seed)
    columns = {
        name: random.normal(size=ROWS) if at % 2 else random.choice(WORDS, ROWS) for at, name in enumerate(names)
    }
    return pd.DataFrame(columns | {"the goal?": columns[names[1]] > 0.2, "k'ey": range(seed * ROWS, (seed + 1) * ROWS)})


def spec_of(make_spec: MakeSpec, names: list[str], estimator: str, **keys: Any) -> ModelSpec:
    rules = [{"type": "expect_column_values_to_not_be_null", "column": name} for name in names]
    judged = {"metric": "roc_auc", "bootstrap": 20, "min_slice": 20, "slices": names[:1], "sensitive": names[2:3]}
    said: dict[str, Any] = {"inputs": names, "target": "the goal?", "contract": {"expectations": rules}}
    said |= {"evaluate": judged, "train": {"trainer": {"type": "sklearn", "estimator": estimator}}}
    data = {"source": {"type": "files", "path": keys.pop("path", "*.csv")}, "key": ["k'ey"]}
    return make_spec(**said, data=data, deploy={"target": {"type": "local"}}, monitor={"min_rows": 10}, **keys)


@pytest.mark.parametrize(("kind", "estimator", "explainer"), [("csv", HIST, "shap"), ("parquet", LINE, "permutation")])
def test_odd_names_go_through_every_stage(
    kind: str, estimator: str, explainer: str, store: Store, make_spec: MakeSpec, tmp_path: Path
) -> None:
    pytest.importorskip("shap")
    names = [*NAMES, " space before"] if kind == "parquet" else NAMES
    spec = spec_of(make_spec, names, estimator, path=f"*.{kind}", explain={"type": explainer})
    _write(rows(names), spec.folder / f"1.{kind}")
    validated = validate(spec, store, ingest(spec, store).batch)
    trained = train(spec, store, validated.dataset)
    judged, explained = evaluate(spec, store, trained.candidate), explain(spec, store, trained.candidate)
    made = package(
        spec, store, trained.candidate, judged.run, explained.run, keys=tmp_path / "keys", bentos=tmp_path / "bentos"
    )
    assert gate(spec, store, made.version).passed
    deploy(spec, store, made.version, endpoint="", endpoint_key="", how="steps")
    for report in (validated.report, judged.report, explained.report):
        assert b"<script>alert(1)</script>" not in store.objects.get(report)

    served = load_served(open_bundle(store, made.bundle), made.version, 1000, Policy())
    assert served.scorer.engine_name == "compiled"
    _ask_every_way(served)

    _write(rows(names, seed=1), spec.folder / f"2.{kind}")
    validate(spec, store, ingest(spec, store).batch)
    measured = monitor(spec, store)
    assert measured.rows == ROWS
    assert b"<script>alert(1)</script>" not in store.objects.get(measured.report)


def _write(frame: pd.DataFrame, file: Path) -> None:
    if file.suffix == ".csv":
        frame.to_csv(file, index=False)
    else:
        frame.to_parquet(file, index=False)


def _ask_every_way(served: LoadedVersion) -> None:
    """The same row by every protocol: the same answer."""
    row = served.scorer.golden[0]["row"]
    expected = served.scorer.golden[0]["probability"]
    kinds = {"number": "FP64", "integer": "INT64", "boolean": "BOOL", "string": "BYTES"}
    tensors = [
        {"name": field.name, "datatype": kinds[field.type], "shape": [1], "data": [row[field.name]]}
        for field in served.scorer.schema.inputs
    ]
    text = io.StringIO()
    csv.writer(text).writerows([row.keys(), row.values()])
    table = pa.table({name: [value] for name, value in row.items()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    model = served.model
    split = {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}}
    bodies: list[tuple[str, Any, str]] = [
        (f"/models/{model}/predict", {"rows": [row]}, ""),
        (f"/models/{model}/predict", {"columns": {name: [value] for name, value in row.items()}}, ""),
        (f"/v1/models/{model}:predict", {"instances": [row]}, ""),
        (f"/v1/models/{model}:predict", {"instances": [list(row.values())]}, ""),
        (f"/v2/models/{model}/infer", {"inputs": tensors}, ""),
        (f"/models/{model}/invocations", split, ""),
        (f"/models/{model}/invocations", {"dataframe_records": [row]}, ""),
        (f"/models/{model}/invocations", text.getvalue(), "text/csv"),
        (f"/models/{model}/predict", sink.getvalue().to_pybytes(), "application/vnd.apache.arrow.stream"),
    ]
    with asking(Few(served), guards(RequestLimits(body=1 << 20, rows=10))) as ask:
        for path, body, kind in bodies:
            content = body if kind else json.dumps(body)
            reply = ask("POST", path, content=content, headers={"content-type": kind or "application/json"})
            assert reply.status_code == 200, (path, kind, reply.text[:300])
            if "arrow" in reply.headers["content-type"]:
                found = pa.ipc.open_stream(reply.content).read_all()["probabilities"].to_pylist()
            else:
                told = reply.json()
                outputs = {one["name"]: one["data"] for one in told.get("outputs", ())}
                found = told.get("probabilities") or outputs.get("probabilities") or told["predictions"]
            assert found[0] == pytest.approx(expected, abs=1e-9) or isinstance(found[0], bool)
        assert ask("GET", "/openapi.json").status_code in {200, 404}


def test_five_hundred_columns(store: Store, make_spec: MakeSpec, tmp_path: Path) -> None:
    names = [f"column {number}" for number in range(500)]
    spec = spec_of(make_spec, names, LINE)
    spec = spec.model_copy(update={"contract": type(spec.contract)()})
    rows(names).to_csv(spec.folder / "1.csv", index=False)
    validated = validate(spec, store, ingest(spec, store).batch)
    trained = train(spec, store, validated.dataset)
    assert evaluate(spec, store, trained.candidate).rows > 50


def test_names_that_differ_by_case_only_are_refused_at_the_door(store: Store, make_spec: MakeSpec) -> None:
    with pytest.raises(SpecError, match="'City' and 'city' differ by case only"):
        make_spec(inputs=["city", "City"])
    spec = make_spec(inputs=["x"], data={"source": {"type": "files", "path": "*.parquet"}})
    pd.DataFrame({"x": [1], "City": [1], "city": [2], "late": [True]}).to_parquet(spec.folder / "1.parquet")
    with pytest.raises(DataError, match="columns 'City' and 'city' differ by case only") as refused:
        ingest(spec, store)
    assert refused.value.code == "data_column_twice"
