"""The model of one's own that the quick start shows, run as shown: a CSV file, the model file, the command line."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from slipstream.cli.main import app
from slipstream.store import Store

DOCS = Path(__file__).parents[3] / "docs"
ENVELOPE = {"stage", "run", "seconds", "spec", "result"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The folder of the quick start, with a CSV file of 400 customers; returns the environment that leads to it."""
    root = tmp_path_factory.mktemp("quickstart")
    text = (DOCS / "quickstart.md").read_text()
    shown = re.search(r"```yaml\n# include/models/(\w+)/model.yaml\n(.*?)```", text, re.DOTALL)
    assert shown is not None
    folder = root / "models" / shown[1]
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(shown[2])
    with (folder / "customers.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["customer", "plan", "months", "calls", "churned"])
        for number in range(400):
            plan, months, calls = ["basic", "pro"][number % 2], number % 37, number % 11
            rows.writerow([f"c{number}", plan, months, calls, int(calls > 4 + months / 10)])
    return {"SLIPSTREAM_MODELS": str(root / "models"), "SLIPSTREAM_STORE": (root / "store").as_uri()}


def slipstream(project: dict[str, str], *words: str) -> Any:
    """The JSON that a command prints."""
    done = CliRunner().invoke(app, [*words, "--json"], env=project, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_model_of_ones_own_is_planned(project: dict[str, str]) -> None:
    (plan,) = slipstream(project, "plan", "churn")
    assert [dag["id"] for dag in plan["dags"]] == [
        f"churn__{verb}" for verb in ("ingest", "train", "monitor", "rollback")
    ]


def test_a_model_of_ones_own_is_trained_and_judged(project: dict[str, str]) -> None:
    assert slipstream(project, "ingest", "churn")["rows"] == 400
    assert slipstream(project, "validate", "churn")["good"] == 400
    candidate = slipstream(project, "train", "churn")["candidate"]
    judged = slipstream(project, "evaluate", "churn")
    assert judged["candidate"] == candidate
    assert judged["scores"]["roc_auc"] > 0.9


def test_events_have_the_payload_that_the_page_says(project: dict[str, str]) -> None:
    slipstream(project, "models")
    store = Store.open(project["SLIPSTREAM_STORE"])
    page = (DOCS / "store.md").read_text()
    events = store.ledger.read()
    assert {event.kind for event in events} >= {"run.finished", "validation.finished", "dataset.committed"}
    for event in events:
        row = re.search(rf"^\| `{event.kind}` \|[^|]*\| (.*) \|$", page, re.MULTILINE)
        assert row is not None
        due = set(re.findall(r"`(\w+)`", row[1]))
        assert due - {"batches", "derived", "joined"} <= set(event.data), event.kind
        assert set(event.data) <= due | ENVELOPE, event.kind


def test_the_tables_are_read_as_the_page_shows(project: dict[str, str]) -> None:
    import duckdb
    from deltalake import DeltaTable

    root = Path(project["SLIPSTREAM_STORE"].removeprefix("file://"))
    data = DeltaTable(str(root / "tables/churn/data")).to_pyarrow_dataset()
    with duckdb.connect() as connection:
        connection.register("data", data)
        assert connection.sql("SELECT count(*) FROM data").fetchall() == [(400,)]
