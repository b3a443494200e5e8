"""Ingest: batches with a watermark, typed and bounded, the same ids for the same rows."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from slipstream.data.batch import load_batch
from slipstream.duck import MAX_DECODED
from slipstream.errors import SlipstreamError
from slipstream.spec.loader import load_spec
from slipstream.spec.model import ModelSpec
from slipstream.stages.ingest import ingest
from slipstream.stages.validate import validate
from slipstream.store import Store
from tests.forked import FORKED
from tests.sweeps import one_of

MakeSpec = Callable[..., ModelSpec]
MakeRows = Callable[..., pa.Table]


def deliver(spec: ModelSpec, table: pa.Table, name: str) -> None:
    pa_csv.write_csv(table, spec.folder / name)


def rows_of(store: Store, spec: ModelSpec, batch: str) -> list[tuple[Any, ...]]:
    return duckdb.read_parquet(str(store.objects.path(load_batch(store, spec.name, batch).file))).fetchall()


def test_a_second_run_brings_only_what_is_new(store: Store, make_spec: MakeSpec, make_rows: MakeRows) -> None:
    spec = make_spec()
    deliver(spec, make_rows(50), "1.csv")
    first = ingest(spec, store, actor="ann")
    validate(spec, store, first.batch)
    assert (first.rows, first.columns, first.reused) == (50, 7, False)
    assert store.ledger.read(kind="run.finished")[0].actor == "ann"

    events = len(store.ledger.read())
    nothing = ingest(spec, store)
    assert (nothing.empty, nothing.batch, len(store.ledger.read())) == (True, "", events)

    deliver(spec, make_rows(30, first=50), "2.csv")
    second = ingest(spec, store)
    assert (second.rows, second.empty, second.origin) == (30, False, (str(spec.folder / "2.csv"),))


def test_a_batch_that_was_not_committed_comes_again_as_the_same(
    store: Store, make_spec: MakeSpec, make_rows: MakeRows
) -> None:
    spec = make_spec()
    deliver(spec, make_rows(50), "1.csv")
    first, again = ingest(spec, store), ingest(spec, store)
    assert again.reused
    assert again.batch == first.batch
    assert again.run == first.run


def test_equal_rows_have_equal_ids_in_another_store(tmp_path: Path, make_spec: MakeSpec, make_rows: MakeRows) -> None:
    spec = make_spec()
    deliver(spec, make_rows(500), "1.csv")
    made = [ingest(spec, Store.open((tmp_path / name).as_uri())) for name in ("a", "b")]
    assert made[0].batch == made[1].batch
    assert made[0].run == made[1].run


def test_features_add_columns_and_put_rows_in_a_lasting_order(store: Store, make_spec: MakeSpec) -> None:
    data = {"source": {"type": "files", "path": "*.csv"}, "features": "add", "time": "day", "key": ["id"]}
    spec = make_spec(data=data)
    (spec.folder / "1.csv").write_text("id,day\n2,2024-01-02\n1,2024-01-02\n3,2024-01-01\n")
    (spec.folder / "features.py").write_text(
        "def add(rows):\n    return rows.project('id, day::TIMESTAMP AS day, id * 1.5 AS more')\n"
    )
    batch = ingest(spec, store).batch
    assert load_batch(store, spec.name, batch).columns == (("id", "BIGINT"), ("day", "TIMESTAMP"), ("more", "DOUBLE"))
    assert [row[0] for row in rows_of(store, spec, batch)] == [3, 1, 2]


def test_editing_features_makes_another_batch(store: Store, make_spec: MakeSpec) -> None:
    spec = make_spec(data={"source": {"type": "files", "path": "*.csv"}, "features": "add"})
    (spec.folder / "1.csv").write_text("id\n2\n")
    (spec.folder / "features.py").write_text("def add(rows):\n    return rows.project('id, 1 AS x')\n")
    first = ingest(spec, store)
    (spec.folder / "features.py").write_text("def add(rows):\n    return rows.project('id, 2 AS x')\n")
    second = ingest(spec, store)
    assert not second.reused
    assert second.batch != first.batch


@pytest.mark.parametrize(
    ("body", "code"),
    [("return rows.project('nothing')", "features_failed"), ("return [1]", "features_function_signature")],
)
def test_a_features_function_that_fails_is_named(body: str, code: str, store: Store, make_spec: MakeSpec) -> None:
    spec = make_spec(data={"source": {"type": "files", "path": "*.csv"}, "features": "add"})
    (spec.folder / "1.csv").write_text("id\n2\n")
    (spec.folder / "features.py").write_text(f"def add(rows):\n    {body}\n")
    with pytest.raises(SlipstreamError, match=r"small/features\.py: add") as refused:
        ingest(spec, store)
    assert refused.value.code == code


def test_more_rows_than_allowed_are_refused(store: Store, make_spec: MakeSpec, make_rows: MakeRows) -> None:
    spec = make_spec(data={"source": {"type": "files", "path": "*.csv"}, "max_rows": 40})
    deliver(spec, make_rows(41), "1.csv")
    with pytest.raises(SlipstreamError, match="41 rows") as refused:
        ingest(spec, store)
    assert refused.value.code == "data_too_many_rows"
    assert store.ledger.read() == []


def test_a_small_file_that_decodes_to_very_much_is_refused(store: Store, make_spec: MakeSpec) -> None:
    rows, length = 200_000, 100_000
    spec = make_spec(data={"source": {"type": "files", "path": "*.parquet"}})
    text = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * length]))
    pq.write_table(pa.table({"text": text}), spec.folder / "bomb.parquet", compression="zstd")
    assert (spec.folder / "bomb.parquet").stat().st_size < 1_000_000
    assert rows * length > MAX_DECODED
    with pytest.raises(SlipstreamError) as refused:
        ingest(spec, store)
    assert refused.value.code == "data_decoded_too_large"


def test_a_long_watermark_is_kept_beside_the_ledger(store: Store, make_spec: MakeSpec, make_rows: MakeRows) -> None:
    spec = make_spec()
    for number in range(12):
        deliver(spec, make_rows(3, first=3 * number), f"{number}.csv")
    landed = ingest(spec, store)
    assert landed.watermark.startswith("object:")
    validate(spec, store, landed.batch)
    assert ingest(spec, store).empty


def test_the_source_function_is_asked_with_the_watermark_of_the_last_commit(store: Store, make_spec: MakeSpec) -> None:
    spec = make_spec(
        inputs=["x"], target="y", data={"source": {"type": "python", "function": "next_day"}, "key": ["id"]}
    )
    (spec.folder / "features.py").write_text(
        dedent("""
            def next_day(watermark, duck):
                day = int(watermark or 0) + 1
                if day > 3:
                    return None
                return duck.sql(f"SELECT {day} AS id, {day} * 2.5 AS x, {day} % 2 = 0 AS y"), str(day)
        """)
    )
    seen = []
    while not (landed := ingest(spec, store)).empty:
        validate(spec, store, landed.batch)
        seen.append(landed.watermark)
    assert seen == ["1", "2", "3"]


PLAIN = [
    "ingest.begin", "files.rename:1", "files.rename:2", "ingest.worked", "ingest.committed", "validate.begin",
    "validate.worked", "validate.committed", "tables.before_commit", "tables.after_commit", "ledger.before_commit:2",
    "ledger.after_commit:2", "ledger.before_commit:3", "ledger.after_commit:3",
]  # fmt: skip
QUARANTINING = ["tables.before_commit:1", "tables.after_commit:1", "tables.before_commit:2"]
RULE = {"type": "expect_column_values_to_be_between", "column": "hour", "max_value": 21}


@pytest.mark.parametrize(
    ("point", "rules"), one_of(4, [*((p, []) for p in PLAIN), *((p, [RULE]) for p in QUARANTINING)])
)
def test_killed_anywhere_a_rerun_ends_as_if_nothing_had_happened(
    point: str, rules: list[Any], tmp_path: Path, make_spec: MakeSpec, make_rows: MakeRows
) -> None:
    spec = make_spec(contract={"on_failure": "quarantine", "max_quarantine": 0.5, "expectations": rules})
    deliver(spec, make_rows(60), "1.csv")
    whole = Store.open((tmp_path / "whole").as_uri())
    expected = validate(spec, whole, ingest(spec, whole).batch)
    assert (expected.quarantined > 0) == bool(rules)

    url = (tmp_path / "torn").as_uri()
    died = FORKED.Process(target=_ingest_and_die, args=(spec.folder, url, point))
    died.start()
    died.join(120)
    assert died.exitcode == -signal.SIGKILL
    torn = Store.open(url)
    found = validate(spec, torn, ingest(spec, torn).batch) if not _done(torn) else expected
    assert (found.dataset, found.run, found.quarantined) == (expected.dataset, expected.run, expected.quarantined)
    assert _rows(torn, spec) == _rows(whole, spec)
    assert len(torn.ledger.read(kind="dataset.committed")) == 1
    assert len(torn.ledger.read(kind="validation.finished")) == 1


def _ingest_and_die(folder: Path, url: str, point: str) -> None:
    os.environ["SLIPSTREAM_FAULTPOINT"] = point
    spec, store = load_spec(folder), Store.open(url)
    validate(spec, store, ingest(spec, store).batch)


def _done(store: Store) -> bool:
    """Whether the batch was committed before the kill: then there is nothing left to ingest."""
    return bool(store.ledger.read(kind="dataset.committed"))


def _rows(store: Store, spec: ModelSpec) -> list[int]:
    return [sum(file.rows for file in store.tables.sound(spec.name, table).files) for table in ("data", "quarantine")]
