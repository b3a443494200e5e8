"""The data table derived anew: what features.py and data.schema say now holds for the rows that are there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from slipstream.cli.main import app
from slipstream.commands.plan import plan
from slipstream.data.batch import load_batch
from slipstream.data.validated import Validated
from slipstream.errors import DataError, StageError
from slipstream.spec.model import ModelSpec
from slipstream.stages.ingest import ingest
from slipstream.stages.rebuild import rebuild
from slipstream.stages.train import train
from slipstream.stages.validate import validate
from slipstream.store import Store
from slipstream.store.datasets import load_dataset, read_dataset

MakeSpec = Callable[..., ModelSpec]
ADD = "def add(rows):\n    return rows.project('id, zip, x, x * {} AS more, y')\n"


def spec_of(make_spec: MakeSpec, factor: int = 2, **data: Any) -> ModelSpec:
    source = {"type": "files", "path": "*.csv"}
    contract = data.pop("contract", {})
    said = {"source": source, "features": "add", "key": ["id"], **data}
    spec = make_spec(target="y", inputs=["x", "more"], data=said, contract=contract)
    (spec.folder / "features.py").write_text(ADD.format(factor))
    return spec


def deliver(spec: ModelSpec, store: Store, name: str, *rows: str) -> Validated:
    (spec.folder / name).write_text("id,zip,x,y\n" + "\n".join(rows) + "\n")
    return validate(spec, store, ingest(spec, store).batch)


def rows_of(store: Store, spec: ModelSpec, dataset: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        version = load_dataset(store.objects, store.ledger.state(), spec.name, dataset)
        return read_dataset(store.tables, version, connection).order("id").fetchall()


def test_another_encoding_is_kept_and_read_again_as_it_was(store: Store, make_spec: MakeSpec) -> None:
    source = {"type": "files", "path": "*.csv", "encoding": "cp1252"}
    spec = make_spec(target="y", inputs=["x"], data={"source": source})
    content = "x,y\nä,1\nö,0\n".encode("cp1252")
    (spec.folder / "1.csv").write_bytes(content)
    batch = ingest(spec, store).batch
    validate(spec, store, batch)
    delivered = load_batch(store, spec.name, batch).delivered
    assert delivered is not None
    assert store.objects.get(delivered["files"][0][1]) == content
    said = make_spec(target="y", inputs=["x"], data={"source": source, "missing": ["ö"]})
    with duckdb.connect() as connection:
        dataset = load_dataset(store.objects, store.ledger.state(), spec.name, rebuild(said, store).dataset)
        assert sorted(read_dataset(store.tables, dataset, connection).fetchall(), key=str) == [("ä", 1), (None, 0)]


def test_what_was_delivered_is_kept_byte_for_byte(store: Store, make_spec: MakeSpec) -> None:
    spec = spec_of(make_spec)
    file = spec.folder / "1.csv"
    file.write_text("id,zip,x,y\n1,501,1,true\n2,502,2,false\n")
    kept = load_batch(store, spec.name, ingest(spec, store).batch).delivered
    assert kept is not None
    ((name, digest),) = kept["files"]
    assert (name, store.objects.get(digest)) == ("1.csv", file.read_bytes())


def test_an_edited_feature_reaches_the_rows_that_are_there(store: Store, make_spec: MakeSpec) -> None:
    spec = spec_of(make_spec)
    deliver(spec, store, "1.csv", "1,501,1,true", "2,502,2,false")
    before = deliver(spec, store, "2.csv", "2,502,9,true", "3,503,3.5,true")
    old = [(1, 501, 1, 2, True), (2, 502, 2, 4, False), (3, 503, 3.5, 7, True)]
    assert rows_of(store, spec, before.dataset) == old
    assert plan(spec, store).rebuild == ""

    spec = spec_of(make_spec, 10)
    assert "2 batches, 3 rows" in plan(spec, store).rebuild
    assert "slipstream rebuild small" in plan(spec, store).rebuild
    made = rebuild(spec, store, actor="ann")
    assert (made.batches, made.rows, made.before, made.reused) == (2, 3, before.dataset, False)
    assert rows_of(store, spec, made.dataset) == [
        (1, 501, 1, 10, True),
        (2, 502, 2, 20, False),
        (3, 503, 3.5, 35, True),
    ]
    assert rows_of(store, spec, before.dataset) == old
    assert store.ledger.state().model(spec.name).dataset == made.dataset
    assert plan(spec, store).rebuild == ""
    again = rebuild(spec, store)
    assert (again.dataset, again.reused) == (made.dataset, True)
    assert len(store.ledger.read(kind="dataset.committed")) == 3

    assert ingest(spec, store).empty
    later = deliver(spec, store, "3.csv", "4,504,4,true", "1,501,7,true")
    assert (later.added, later.known) == (1, 1)
    assert rows_of(store, spec, later.dataset)[-1] == (4, 504, 4, 40, True)
    assert duckdb.read_parquet(store.tables.paths(spec.name, "data")).aggregate("count(*)").fetchall() == [(4,)]


def test_leading_zeros_come_back_once_the_schema_says_text(store: Store, make_spec: MakeSpec) -> None:
    spec = spec_of(make_spec, contract={"on_schema_change": "warn"})
    deliver(spec, store, "1.csv", "1,501,1,true")
    spec = spec_of(make_spec, schema={"zip": "text"})
    assert [(change.key, change.anew) for change in plan(spec, store).changes if change.key.startswith("data.")] == [
        ("data.schema.zip", ("rebuild",))
    ]
    (spec.folder / "2.csv").write_text("id,zip,x,y\n2,00502,2,false\n")
    batch = ingest(spec, store).batch
    with pytest.raises(DataError, match="slipstream rebuild small"):
        validate(spec, store, batch)
    made = rebuild(spec, store)
    assert [row[1] for row in rows_of(store, spec, made.dataset)] == ["501"]
    found = validate(spec, store, ingest(spec, store).batch)
    assert [row[1] for row in rows_of(store, spec, found.dataset)] == ["501", "00502"]


def test_a_batch_that_todays_contract_refuses_changes_nothing(store: Store, make_spec: MakeSpec) -> None:
    spec = spec_of(make_spec)
    before = deliver(spec, store, "1.csv", "1,501,1,true", "2,502,2,false")
    rule = {"type": "expect_column_values_to_be_between", "column": "more", "max_value": 15}
    strict = spec_of(make_spec, 10, contract={"expectations": [rule]})
    events = len(store.ledger.read())
    with pytest.raises(DataError, match=r"derived anew: .*1 of 2 rows, e\.g\. 20"):
        rebuild(strict, store)
    assert store.ledger.state().model(spec.name).dataset == before.dataset
    assert len(store.ledger.read()) == events

    lenient = spec_of(
        make_spec, 10, contract={"on_failure": "quarantine", "max_quarantine": 0.6, "expectations": [rule]}
    )
    made = rebuild(lenient, store)
    assert (made.rows, made.quarantined) == (1, 1)
    assert len(duckdb.read_parquet(store.tables.paths(spec.name, "quarantine")).fetchall()) == 1


def test_without_data_there_is_nothing_to_derive(store: Store, make_spec: MakeSpec) -> None:
    with pytest.raises(StageError, match="has no data yet"):
        rebuild(spec_of(make_spec), store)


def test_rows_derived_anew_are_no_new_rows_to_monitoring(store: Store, make_spec: MakeSpec) -> None:
    from slipstream.monitoring.window_origin import CommittedRows, origin_of

    spec = spec_of(make_spec)
    trained_on = deliver(spec, store, "1.csv", "1,501,1,true", "2,502,2,false").dataset
    deliver(spec, store, "2.csv", "3,503,3,true")
    spec = spec_of(make_spec, 10)
    rebuild(spec, store)
    found = origin_of(spec, store, 1, trained_on)
    assert isinstance(found, CommittedRows)
    assert sum(file.rows for file in found._new) == 1


KILLED = """
import sys
from pathlib import Path
from slipstream.spec.loader import load_spec
from slipstream.stages.rebuild import rebuild
from slipstream.store import Store
rebuild(load_spec(Path(sys.argv[1])), Store.open(sys.argv[2]))
"""


@pytest.mark.parametrize(
    "point",
    ["files.rename:1", "tables.before_commit", "tables.after_commit", "ledger.before_commit", "ledger.after_commit"],
)
def test_killed_anywhere_a_rerun_ends_as_if_nothing_had_happened(
    point: str, store: Store, make_spec: MakeSpec, tmp_path: Path
) -> None:
    spec = spec_of(make_spec)
    deliver(spec, store, "1.csv", "1,501,1,true")
    spec = spec_of(make_spec, 10)
    command = [sys.executable, "-c", KILLED, str(spec.folder), store.url]
    died = subprocess.run(command, env={**os.environ, "SLIPSTREAM_FAULTPOINT": point}, check=False)
    assert died.returncode == -signal.SIGKILL
    again = Store.open(store.url)
    made = rebuild(spec, again)
    assert rows_of(again, spec, made.dataset) == [(1, 501, 1, 10, True)]
    assert len(again.ledger.read(kind="dataset.committed")) == 2
    assert again.ledger.verify() > 0


def noted(spec: ModelSpec, store: Store, name: str, *rows: str) -> tuple[str, ...]:
    """What ingest and validate note of a new batch."""
    (spec.folder / name).write_text("id,zip,x,y\n" + "\n".join(rows) + "\n")
    landed = ingest(spec, store)
    return (*landed.notes, *validate(spec, store, landed.batch).notes)


def test_nothing_trains_on_rows_that_todays_features_would_derive_otherwise(store: Store, make_spec: MakeSpec) -> None:
    spec = spec_of(make_spec)
    rows = [f"{number},501,{number % 7},{'true' if number % 7 > 3 else 'false'}" for number in range(300)]
    old = deliver(spec, store, "1.csv", *rows).dataset
    assert train(spec, store, old).rows_train == 244

    spec = spec_of(make_spec, 10)
    with pytest.raises(StageError, match=r"the rows in the table .*slipstream rebuild small") as refused:
        train(spec, store, old)
    assert refused.value.code == "rebuild_needed"
    told = (
        "The rows that are in the table were derived by another features.py, data.schema or data.join than this batch"
    )
    notes = noted(spec, store, "2.csv", "900,501,3,true")
    assert [note.split(";")[0] for note in notes] == [told, told]
    with pytest.raises(StageError, match="of 1 of them in the table"):
        train(spec, store, store.ledger.state().model(spec.name).dataset or "")
    made = rebuild(spec, store)
    assert not train(spec, store, made.dataset).reused
    assert noted(spec, store, "3.csv", "901,501,3,true") == ()
    with pytest.raises(StageError, match="train on the newest dataset version"):
        train(spec, store, old)


def test_code_that_only_brings_rows_changes_none_that_are_there(store: Store, make_spec: MakeSpec) -> None:
    spec = make_spec(target="y", inputs=["x"], data={"source": {"type": "files", "path": "*.csv"}, "key": ["id"]})
    rows = [f"{number},501,{number % 7},{'true' if number % 7 > 3 else 'false'}" for number in range(300)]
    dataset = deliver(spec, store, "1.csv", *rows).dataset
    (spec.folder / "features.py").write_text("# edited\n")
    assert plan(spec, store).rebuild == ""
    assert train(spec, store, dataset).rows_train == 244


def test_run_derives_anew_when_asked_and_else_stops(store: Store, make_spec: MakeSpec) -> None:
    spec = spec_of(make_spec)
    rows = [f"{number},501,{number % 7},{'true' if number % 7 > 3 else 'false'}" for number in range(300)]
    (spec.folder / "1.csv").write_text("id,zip,x,y\n" + "\n".join(rows) + "\n")
    place = {
        "SLIPSTREAM_MODELS": str(spec.folder.parent),
        "SLIPSTREAM_STORE": store.url,
        "SLIPSTREAM_KEYS": str(spec.folder.parent.parent / "keys"),
        "SLIPSTREAM_ENDPOINT": "http://127.0.0.1:9",
    }
    assert CliRunner().invoke(app, ["run", "small"], env=place).exit_code == 0
    spec_of(make_spec, 10)
    stopped = CliRunner().invoke(app, ["run", "small"], env=place)
    assert isinstance(stopped.exception, StageError)
    assert "slipstream run small --rebuild" in str(stopped.exception)
    done = CliRunner().invoke(app, ["run", "small", "--rebuild"], env=place)
    assert done.exit_code == 0, done.output
    assert "300 rows of 1 batches" in done.stderr
    assert "small/2" in done.stderr
    assert "Nothing has changed" in CliRunner().invoke(app, ["run", "small", "--rebuild"], env=place).stderr
