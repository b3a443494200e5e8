"""Validate: what a contract does with a batch, and what no contract can allow."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipstream.data.batch import load_batch
from slipstream.data.validated import Validated
from slipstream.errors import ContractFailed, DataError, SlipstreamError, SpecError
from slipstream.spec.model import ModelSpec
from slipstream.stages.ingest import ingest
from slipstream.stages.validate import validate
from slipstream.store import Store
from slipstream.store.datasets import load_dataset, read_dataset

MakeSpec = Callable[..., ModelSpec]
MakeRows = Callable[..., pa.Table]
DATA = {"source": {"type": "files", "path": "*.parquet"}, "time": "day", "key": ["id"]}
BETWEEN = {"type": "expect_column_values_to_be_between", "column": "hour", "min_value": 0, "max_value": 20}


@pytest.fixture
def deliver(store: Store) -> Callable[[ModelSpec, pa.Table], Validated]:
    """``deliver(spec, table)``: the table as a file of its own, ingested and validated."""

    def delivering(spec: ModelSpec, table: pa.Table) -> Validated:
        number = len(list(spec.folder.glob("*.parquet")))
        pq.write_table(table, spec.folder / f"{number:03d}.parquet")
        return validate(spec, store, ingest(spec, store).batch)

    return delivering


Deliver = Callable[[ModelSpec, pa.Table], Validated]


def data_of(store: Store, spec: ModelSpec, dataset: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        version = load_dataset(store.objects, store.ledger.state(), spec.name, dataset)
        return read_dataset(store.tables, version, connection).fetchall()


def quarantine_of(store: Store, spec: ModelSpec) -> duckdb.DuckDBPyRelation:
    files = store.tables.sound(spec.name, "quarantine").files
    return duckdb.read_parquet(store.tables.local_files(spec.name, "quarantine", files), union_by_name=True)


def test_good_rows_become_a_dataset_version(
    store: Store, make_spec: MakeSpec, make_rows: MakeRows, deliver: Deliver
) -> None:
    spec = make_spec(data=DATA, contract={"expectations": [BETWEEN | {"max_value": 23}]})
    first = deliver(spec, make_rows(50))
    second = deliver(spec, make_rows(30, first=50))
    assert (first.rows, first.good, first.added, first.success, first.failed) == (50, 50, 50, True, ())
    assert len(data_of(store, spec, second.dataset)) == 80
    assert store.ledger.state().model(spec.name).dataset == second.dataset
    assert [event.kind for event in store.ledger.read()].count("validation.finished") == 2


def test_validating_again_commits_nothing(
    store: Store, make_spec: MakeSpec, make_rows: MakeRows, deliver: Deliver
) -> None:
    spec = make_spec(data=DATA)
    first = deliver(spec, make_rows(50))
    events = len(store.ledger.read())
    again = validate(spec, store, first.batch)
    assert again.reused
    assert (again.dataset, again.run) == (first.dataset, first.run)
    assert len(store.ledger.read()) == events


def test_rows_whose_key_is_known_are_left_out(
    store: Store, make_spec: MakeSpec, make_rows: MakeRows, deliver: Deliver
) -> None:
    spec = make_spec(data=DATA)
    deliver(spec, make_rows(50))
    overlap = deliver(spec, make_rows(60))
    assert (overlap.rows, overlap.added, overlap.known) == (60, 10, 50)
    nothing = deliver(spec, make_rows(20, seed=3))
    assert (nothing.added, nothing.known, nothing.dataset) == (0, 20, overlap.dataset)
    ids = [row[0] for row in data_of(store, spec, nothing.dataset)]
    assert ids == list(range(60))
    assert ingest(spec, store).empty


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hours=st.lists(st.one_of(st.none(), st.integers(0, 40)), min_size=5, max_size=40), data=st.data())
def test_good_and_quarantined_rows_are_the_input_exactly(
    hours: list[int | None], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, make_rows: MakeRows
) -> None:
    """Whatever breaks, every row ends in exactly one of the two tables, unchanged."""
    hours[data.draw(st.integers(0, len(hours) - 1))] = 5
    root = tmp_path_factory.mktemp("case")
    store = Store.open((root / "store").as_uri())
    rules = [BETWEEN, {"type": "expect_column_values_to_not_be_null", "column": "hour"}]
    spec = _spec_at(root, {"on_failure": "quarantine", "max_quarantine": 1.0, "expectations": rules})
    table = make_rows(
        len(hours), hour=pa.array(hours, pa.int64()), distance=[1.5] * len(hours), carrier=["A"] * len(hours)
    )
    pq.write_table(table, spec.folder / "0.parquet")
    found = validate(spec, store, ingest(spec, store).batch)
    bad = [hour is None or hour > 20 for hour in hours]
    assert (found.good, found.quarantined) == (bad.count(False), bad.count(True))
    broken = {"between": sum(hour is not None and hour > 20 for hour in hours), "not_be_null": hours.count(None)}
    told = sorted((count for count in broken.values() if count), reverse=True)
    assert [int(why.rsplit("(", 1)[1].split()[0]) for why in found.aside] == told
    good = data_of(store, spec, found.dataset)
    kinds = dict(load_batch(store, spec.name, found.batch).columns)
    typed = ", ".join(f"CAST({name} AS {kinds[name]})" for name in table.column_names)
    aside = quarantine_of(store, spec).project(typed).fetchall() if any(bad) else []
    assert sorted(good + aside) == sorted(tuple(row.values()) for row in table.to_pylist())
    assert [row[0] for row in good] == [number for number, broken in enumerate(bad) if not broken]


def _spec_at(root: Path, contract: dict[str, Any]) -> ModelSpec:
    import json

    from slipstream.spec.loader import load_spec

    folder = root / "small"
    folder.mkdir()
    model = {
        "name": "small", "task": "binary", "target": "late", "inputs": ["hour", "carrier"], "data": DATA,
        "contract": contract, "evaluate": {"metric": "roc_auc"},
        "train": {"trainer": {"type": "sklearn", "estimator": "sklearn.linear_model.LogisticRegression"}},
    }  # fmt: skip
    (folder / "model.yaml").write_text(json.dumps(model))
    return load_spec(folder)


def test_quarantined_rows_say_what_they_broke(
    store: Store, make_spec: MakeSpec, make_rows: MakeRows, deliver: Deliver
) -> None:
    rules = [BETWEEN, {"type": "expect_column_values_to_be_in_set", "column": "carrier", "value_set": ["A", "B"]}]
    spec = make_spec(data=DATA, contract={"on_failure": "quarantine", "max_quarantine": 0.9, "expectations": rules})
    found = deliver(spec, make_rows(6, hour=[1, 22, 3, 23, 5, 6], carrier=["A", "A", "C", "C", "B", None]))
    assert (found.good, found.quarantined, found.success) == (3, 3, True)
    assert found.failed == ("expect_column_values_to_be_between(hour)", "expect_column_values_to_be_in_set(carrier)")
    rows = quarantine_of(store, spec).project("id, failed_expectation, batch, run").order("id").fetchall()
    hour, carrier = found.failed
    assert [row[:2] for row in rows] == [("1", hour), ("2", carrier), ("3", f"{hour}; {carrier}")]
    assert {row[2:] for row in rows} == {(found.batch, found.run)}


@pytest.mark.parametrize("mode", ["fail", "quarantine", "warn"])
def test_what_a_broken_contract_does(
    mode: str, store: Store, make_spec: MakeSpec, make_rows: MakeRows, deliver: Deliver
) -> None:
    spec = make_spec(data=DATA, contract={"on_failure": mode, "max_quarantine": 0.1, "expectations": [BETWEEN]})
    table = make_rows(20, hour=[22] * 5 + [3] * 15)
    if mode == "warn":
        found = deliver(spec, table)
        assert (found.added, found.success, len(found.failed)) == (20, True, 1)
        return
    with pytest.raises(ContractFailed) as failed:
        deliver(spec, table)
    assert failed.value.code == "contract_failed"
    assert "5 of 20 rows, e.g. 22" in str(failed.value)
    assert failed.value.failed == ("expect_column_values_to_be_between(hour)",)
    event = store.ledger.read(kind="validation.finished")[0].data["result"]
    assert event["success"] is False
    assert b"not met" in store.objects.get(event["report"])
    assert store.objects.get_json(event["details"])["expectations"][0]["unexpected"] == 5
    assert store.tables.sound(spec.name, "quarantine").files == ()
    assert store.ledger.state().model(spec.name).watermark == ""
    with pytest.raises(ContractFailed, match="5 of 20 rows"):
        validate(spec, store, event["batch"])


def test_a_batch_that_breaks_as_a_whole_cannot_be_set_aside(
    make_spec: MakeSpec, make_rows: MakeRows, deliver: Deliver
) -> None:
    rule = {"type": "expect_table_row_count_to_be_between", "min_value": 100}
    spec = make_spec(data=DATA, contract={"on_failure": "quarantine", "expectations": [rule]})
    with pytest.raises(ContractFailed, match=r"no single rows did.*observed 20"):
        deliver(spec, make_rows(20))


ROWS = 20
BROKEN: dict[str, tuple[dict[str, Any], str, str]] = {
    "column all null": ({"hour": pa.nulls(ROWS, pa.int64())}, "data_column_degenerate", "column 'hour' all null (20"),
    "infinite": ({"distance": [math.inf] + [1.0] * (ROWS - 1)}, "data_not_finite", "'distance' holds 1 infinite"),
    "key twice": ({"id": [7, 7, *range(10, 10 + ROWS - 2)]}, "data_duplicate_keys", "1 duplicated keys in 2 rows"),
    "key missing": ({"id": pa.array([None, *range(ROWS - 1)], pa.int64())}, "data_key_missing", "'id' is null in 1"),
    "year 1": (
        {"day": pa.array([-62135596800000000] + [0] * (ROWS - 1), pa.timestamp("us"))},
        "data_time_invalid",
        "0001",
    ),
    "year 9999": (
        {"day": pa.array([253370764800000000] + [0] * (ROWS - 1), pa.timestamp("us"))},
        "data_time_invalid",
        "9999",
    ),
    "time missing": ({"day": pa.array([None] + [0] * (ROWS - 1), pa.timestamp("us"))}, "data_time_invalid", "missing"),
    "time is text": ({"day": ["Monday"] * ROWS}, "data_time_invalid", "column 'day' is VARCHAR"),
    "reserved name": ({"file_row_number": [1] * ROWS}, "data_column_reserved", "'file_row_number'"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_no_contract_can_allow_is_a_named_error(
    case: str, store: Store, make_spec: MakeSpec, make_rows: MakeRows, deliver: Deliver
) -> None:
    columns, code, said = BROKEN[case]
    spec = make_spec(data=DATA)
    with pytest.raises(DataError) as refused:
        deliver(spec, make_rows(ROWS, **columns))
    assert refused.value.code == code
    assert said in str(refused.value)
    recorded = store.ledger.read(kind="validation.finished")[0].data["result"]
    assert (recorded["code"], recorded["success"]) == (code, False)
    assert b"Refused" in store.objects.get(recorded["report"])
    assert store.ledger.state().model(spec.name).dataset is None


def test_an_empty_batch_changes_nothing(
    store: Store, make_spec: MakeSpec, make_rows: MakeRows, deliver: Deliver
) -> None:
    spec = make_spec(data=DATA)
    first = deliver(spec, make_rows(20))
    with pytest.raises(DataError, match="0 rows") as refused:
        deliver(spec, make_rows(0))
    assert refused.value.code == "data_batch_empty"
    assert store.ledger.state().model(spec.name).dataset == first.dataset


CHANGED: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "added": (lambda table: table.append_column("more", pa.array([1] * len(table))), "+'more' (BIGINT)"),
    "removed": (lambda table: table.drop_columns("delay"), "-'delay'"),
    "renamed": (lambda table: table.rename_columns({"delay": "delays"}), "+'delays' (did you mean 'delay'?)"),
    "retyped": (
        lambda table: table.set_column(6, "delay", table["delay"].cast(pa.string())),
        "'delay': DOUBLE → VARCHAR",
    ),
}


@pytest.mark.parametrize("case", CHANGED)
def test_changed_columns_fail_unless_the_contract_warns(
    case: str, store: Store, make_spec: MakeSpec, make_rows: MakeRows, deliver: Deliver
) -> None:
    change, said = CHANGED[case]
    spec = make_spec(data=DATA)
    deliver(spec, make_rows(20))
    with pytest.raises(DataError) as refused:
        deliver(spec, change(make_rows(20, first=20)))
    assert refused.value.code == "data_schema_changed"
    assert said in str(refused.value)

    lenient = make_spec(data=DATA, contract={"on_schema_change": "warn"})
    found = validate(lenient, store, ingest(lenient, store).batch)
    assert (found.success, found.added) == (True, 20)
    assert len(data_of(store, lenient, found.dataset)) == 40
    assert said in store.objects.get_json(found.details)["changes"][0]["sentence"]


def test_whole_numbers_in_a_column_of_decimals_are_no_change(
    store: Store, make_spec: MakeSpec, make_rows: MakeRows, deliver: Deliver
) -> None:
    spec = make_spec(data=DATA)
    deliver(spec, make_rows(20))
    found = deliver(spec, make_rows(20, first=20, delay=list(range(20))))
    version = load_dataset(store.objects, store.ledger.state(), spec.name, found.dataset)
    assert dict(version.columns)["delay"] == "DOUBLE"
    assert data_of(store, spec, found.dataset)[-1][-1] == 19.0


def test_a_column_that_model_yaml_names_must_be_there(
    make_spec: MakeSpec, make_rows: MakeRows, deliver: Deliver
) -> None:
    spec = make_spec(data=DATA, inputs=["distanse", "hour"])
    with pytest.raises(DataError, match=r"inputs names column 'distanse'.*did you mean 'distance'") as refused:
        deliver(spec, make_rows(20))
    assert refused.value.code == "data_column_missing"


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (BETWEEN | {"minimum": 1}, "takes no 'minimum'"),
        (BETWEEN | {"row_condition": "hour > 3"}, "takes no 'row_condition'"),
        (BETWEEN | {"min_value": [1]}, "min_value"),
        (BETWEEN | {"mostly": 3}, "mostly"),
        ({"type": BETWEEN["type"], "column": "carrier", "min_value": 1}, "cannot be judged on this data"),
        ({"type": "expect_column_values_to_match_regex", "column": "carrier", "regex": "(("}, "unterminated"),
        ({"type": "expect_column_values_to_be_between", "min_value": 1}, "needs 'column'"),
    ],
)
def test_wrong_arguments_of_an_expectation_are_a_spec_error(
    rule: dict[str, Any], said: str, store: Store, make_spec: MakeSpec, make_rows: MakeRows, deliver: Deliver
) -> None:
    with pytest.raises(SpecError) as refused:
        deliver(make_spec(data=DATA, contract={"expectations": [rule]}), make_rows(20))
    assert refused.value.code == "spec_expectation_invalid"
    assert str(refused.value).startswith("small/model.yaml:")
    assert " contract.expectations.0" in str(refused.value)
    assert said in str(refused.value)
    assert store.ledger.read(kind="validation.finished") == []


def test_times_bound_a_column_of_times(make_spec: MakeSpec, make_rows: MakeRows, deliver: Deliver) -> None:
    rule = {"type": BETWEEN["type"], "column": "day", "min_value": "2024-01-01", "max_value": "2024-01-01 05:00:00"}
    contract = {"on_failure": "quarantine", "max_quarantine": 0.5}
    spec = make_spec(data=DATA, contract={**contract, "expectations": [rule]})
    assert deliver(spec, make_rows(10)).quarantined == 4
    zoned = {**rule, "max_value": "2024-01-01T16:00:00+01:00"}
    spec = make_spec(data=DATA, contract={**contract, "expectations": [zoned]})
    assert deliver(spec, make_rows(10, first=10)).quarantined == 4


def test_values_are_shown_escaped(store: Store, make_spec: MakeSpec, make_rows: MakeRows, deliver: Deliver) -> None:
    evil = "<script>alert(1)</script>"
    rule = {"type": "expect_column_values_to_be_in_set", "column": "carrier", "value_set": ["A"]}
    spec = make_spec(data=DATA, contract={"on_failure": "warn", "expectations": [rule]})
    found = deliver(spec, make_rows(4, carrier=["A", evil, "A", "A"]))
    page = store.objects.get(found.report).decode()
    assert "&lt;script&gt;" in page
    assert evil not in page


def test_a_batch_read_before_another_was_committed_is_stale(
    store: Store, make_spec: MakeSpec, make_rows: MakeRows
) -> None:
    spec = make_spec(data=DATA)
    pq.write_table(make_rows(20), spec.folder / "0.parquet")
    early = ingest(spec, store).batch
    pq.write_table(make_rows(20, first=20), spec.folder / "1.parquet")
    both = ingest(spec, store).batch
    assert validate(spec, store, early).added == 20
    with pytest.raises(SlipstreamError) as refused:
        validate(spec, store, both)
    assert refused.value.code == "batch_stale"
    stricter = make_spec(data=DATA, contract={"expectations": [BETWEEN | {"max_value": 23}]})
    with pytest.raises(SlipstreamError) as refused:
        validate(stricter, store, early)
    assert refused.value.code == "batch_committed"


@pytest.mark.parametrize("batch", ["0" * 64, "../../etc/passwd", "x"])
def test_an_unknown_batch_is_named(batch: str, store: Store, make_spec: MakeSpec) -> None:
    with pytest.raises(SlipstreamError) as refused:
        load_batch(store, make_spec().name, batch)
    assert refused.value.code == "batch_not_found"


RACE = """
import sys
from pathlib import Path
from slipstream.spec.loader import load_spec
from slipstream.stages.validate import validate
from slipstream.store import Store
spec, store = load_spec(Path(sys.argv[1])), Store.open(sys.argv[2])
print(validate(spec, store, sys.argv[3]).dataset)
"""


def test_two_equal_calls_at_once_make_one_commit(store: Store, make_spec: MakeSpec, make_rows: MakeRows) -> None:
    spec = make_spec(data=DATA)
    pq.write_table(make_rows(200), spec.folder / "0.parquet")
    batch = ingest(spec, store).batch
    command = [sys.executable, "-c", RACE, str(spec.folder), store.url, batch]
    racing = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = {process.communicate(timeout=120)[0] for process in racing}
    assert [process.returncode for process in racing] == [0, 0]
    assert len(said) == 1
    assert len(store.ledger.read(kind="dataset.committed")) == 1
    assert len(store.ledger.read(kind="validation.finished")) == 1
    assert sum(file.rows for file in store.tables.sound(spec.name, "data").files) == 200
