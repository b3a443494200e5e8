"""The operators for labels, each alone: a file comes in, and is joined to what the endpoint captured."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException

from slipstream.settings import Settings
from slipstream.spec.loader import load_spec
from slipstream.stages import deploy, evaluate, explain, gate, ingest, package, train, validate
from slipstream.store import Store
from slipstream_airflow.operators import JoinOperator, LabelsOperator

from .conftest import Project


def context() -> Any:
    return {"dag_run": SimpleNamespace(dag_id="by_hand", run_id="run-1", triggering_user_name="ada")}


def serve(folder: Path) -> Store:
    """The store with a champion."""
    settings = Settings.from_environment()
    spec, store = load_spec(folder), Store.open(settings.store)
    batch = ingest.ingest(spec, store).batch
    candidate = train.train(spec, store, validate.validate(spec, store, batch).dataset).run
    runs = evaluate.evaluate(spec, store, candidate).run, explain.explain(spec, store, candidate).run
    version = package.package(spec, store, candidate, *runs, keys=settings.keys, bentos=settings.bentos).version
    gate.gate(spec, store, version)
    deploy.deploy(spec, store, version, endpoint=settings.endpoint)
    return store


def test_labels_of_a_file_are_joined(project: Project) -> None:
    folder = project()
    store = serve(folder)
    ids = [f"{number:032x}" for number in range(4)]
    columns = {
        "prediction_id": ids,
        "time": pa.array([datetime(2026, 3, 10, tzinfo=UTC)] * 4, pa.timestamp("us", tz="UTC")),
        "version": [1] * 4,
        "role": ["champion"] * 4,
        "probability": [0.9, 0.8, 0.3, 0.1],
    }
    store.tables.append("tiny", "predictions", pa.table(columns), key="captured")
    (folder / "march.csv").write_text(
        "id,large\n" + "\n".join(f"{one},{one[-1] in '02'}" for one in ids) + "\nx,true\n"
    )
    with DAG("by_hand"):
        operator = LabelsOperator(task_id="labels", model="tiny", path="{{ month }}.csv")
    operator.render_template_fields({"month": "march"})  # type: ignore[arg-type]
    brought = operator.execute(context())
    assert (brought["new"], brought["bad"]) == (4, 1)
    found = JoinOperator(task_id="join", model="tiny").execute(context())
    assert (found["value"], found["coverage"], found["unknown"]) == (0.75, 1.0, 0)
    assert JoinOperator(task_id="join", model="tiny").execute(context()) == found | {"reused": True}
    assert store.ledger.read(model="tiny", kind="labels.joined")[0].actor == "ada"


def test_a_file_that_is_not_there_fails_at_once(project: Project) -> None:
    serve(project())
    with pytest.raises(AirflowFailException, match=r"^\[labels_unreadable\]"):
        LabelsOperator(task_id="labels", model="tiny", path="nothing.csv").execute(context())


def test_joining_nothing_is_no_error(project: Project) -> None:
    project()
    found = JoinOperator(task_id="join", model="tiny").execute(context())
    assert (found["run"], found["sentence"]) == ("", "There are no predictions and no labels yet.")
