"""Delta tables as a source: what is appended comes once, what else happens to the table is never passed over."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from slipstream.errors import SlipstreamError
from slipstream.slots import Delivery
from slipstream.sources.delta import DeltaSource
from slipstream.spec.model import ModelSpec
from slipstream.stages.ingest import ingest
from slipstream.stages.validate import validate
from slipstream.store import Store

Rows = list[tuple[Any, ...]]


class Shop:
    """A Delta table that others write, and a source that reads it."""

    def __init__(self, folder: Path, spec: ModelSpec, into: Path) -> None:
        self.folder, self.spec, self.into, self.watermark = folder, spec, into, ""

    def append(self, *ids: int, **more: Any) -> None:
        write_deltalake(self.folder, pa.table({"id": pa.array(ids, pa.int64())}), mode="append", **more)

    def news(self, **arguments: Any) -> Rows:
        """The rows that come now; the watermark moves as if they were committed."""
        source = DeltaSource(str(self.folder), **arguments)
        fingerprint = source.fingerprint(self.spec, self.watermark)
        delivery = source.deliver(self.spec, self.watermark, self.into)
        assert bool(fingerprint) == bool(delivery.files)
        self.watermark = delivery.watermark
        return rows_of(delivery)


def rows_of(delivery: Delivery) -> Rows:
    return [row for file in delivery.files for row in duckdb.read_parquet(str(file)).fetchall()]


@pytest.fixture
def shop(tmp_path: Path, make_spec: Callable[..., ModelSpec]) -> Shop:
    into = tmp_path / "into"
    into.mkdir()
    return Shop(tmp_path / "shop", make_spec(data={"source": {"type": "files", "path": "*"}, "key": ["id"]}), into)


def test_what_is_appended_comes_once(shop: Shop) -> None:
    shop.append(1, 2)
    shop.append(3)
    assert shop.news() == [(1,), (2,), (3,)]
    assert shop.news() == []
    shop.append(4)
    shop.append(5, 6)
    assert shop.news() == [(4,), (5,), (6,)]


def test_files_that_were_merged_bring_only_what_was_added(shop: Shop) -> None:
    shop.append(1)
    shop.news()
    shop.append(2)
    shop.append(3)
    DeltaTable(shop.folder).optimize.compact()
    assert shop.news() == [(2,), (3,)]
    DeltaTable(shop.folder).optimize.compact()
    assert shop.news() == []
    shop.append(4)
    assert shop.news() == [(4,)]


def test_every_type_and_partition_comes_as_it_is(shop: Shop) -> None:
    rows: dict[str, Any] = {
        "id": [1, 2],
        "place": ["a b/c%", "ü"],
        "at": [datetime(2024, 1, 1, 12, tzinfo=UTC), None],
        "price": [Decimal("1.50"), Decimal("2.25")],
        "paid": [True, None],
    }
    write_deltalake(shop.folder, pa.table(rows), partition_by=["place"])
    delivery = DeltaSource(str(shop.folder)).deliver(shop.spec, "", shop.into)
    (file,) = delivery.files
    assert sorted(duckdb.read_parquet(str(file)).to_arrow_table().to_pylist(), key=lambda row: row["id"]) == [
        {name: values[number] for name, values in rows.items()} for number in range(2)
    ]


def test_a_column_that_came_later_is_missing_before(shop: Shop) -> None:
    shop.append(1)
    assert shop.news() == [(1,)]
    write_deltalake(shop.folder, pa.table({"id": [2], "v": ["x"]}), mode="append", schema_mode="merge")
    assert shop.news() == [(2, "x")]
    shop.watermark = ""
    assert shop.news() == [(1, None), (2, "x")]


def deleted(shop: Shop) -> None:
    DeltaTable(shop.folder).delete("id = 1")


def merged(shop: Shop) -> None:
    (
        DeltaTable(shop.folder)
        .merge(pa.table({"id": pa.array([2], pa.int64())}), "s.id = t.id", source_alias="s", target_alias="t")
        .when_matched_update_all()
        .execute()
    )


def overwritten(shop: Shop) -> None:
    write_deltalake(shop.folder, pa.table({"id": pa.array([2, 7], pa.int64())}), mode="overwrite")


def restored(shop: Shop) -> None:
    DeltaTable(shop.folder).restore(0)


def made_anew(shop: Shop) -> None:
    for file in sorted(shop.folder.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    shop.append(2)


CHANGES: dict[str, tuple[Callable[[Shop], None], str, str]] = {
    "delete": (deleted, "source_rows_changed", "version 2 changed or removed rows that were read (DELETE)"),
    "merge": (merged, "source_rows_changed", "(MERGE)"),
    "overwrite": (overwritten, "source_rows_changed", "(WRITE)"),
    "restore": (restored, "source_rows_changed", "(RESTORE)"),
    "made anew": (made_anew, "source_history_lost", "another table is there than the one that was read"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_of_what_was_read_says_what_to_do(case: str, shop: Shop) -> None:
    change, code, problem = CHANGES[case]
    shop.append(1)
    shop.append(2)
    shop.news()
    change(shop)
    with pytest.raises(SlipstreamError) as refused:
        shop.news()
    assert (refused.value.code, refused.value.retryable) == (code, False)
    assert problem in str(refused.value)
    assert "data.source: {on_change: all} and data.key" in str(refused.value)
    expected = DeltaTable(shop.folder).to_pyarrow_table().column("id").to_pylist()
    assert sorted(row[0] for row in shop.news(on_change="all")) == sorted(expected)
    assert shop.news() == []


def test_a_log_that_was_cleaned_is_told_of(shop: Shop) -> None:
    shop.append(1)
    shop.news()
    for number in (2, 3):
        shop.append(number)
    DeltaTable(shop.folder).create_checkpoint()
    for version in (0, 1):
        (shop.folder / "_delta_log" / f"{version:020}.json").unlink()
    with pytest.raises(SlipstreamError, match="its log no longer tells what version 1 did") as refused:
        shop.news()
    assert refused.value.code == "source_history_lost"
    assert shop.news(on_change="all") == [(1,), (2,), (3,)]


def test_rows_that_were_vacuumed_before_they_were_read_are_told_of(shop: Shop) -> None:
    shop.append(1)
    shop.news()
    shop.append(2)
    shop.append(3)
    table = DeltaTable(shop.folder)
    table.optimize.compact()
    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    with pytest.raises(SlipstreamError, match="a file of its rows is gone, removed by VACUUM") as refused:
        shop.news()
    assert refused.value.code == "source_history_lost"
    assert sorted(shop.news(on_change="all")) == [(1,), (2,), (3,)]
    assert shop.news() == []


def test_all_rows_again_need_a_key(shop: Shop, make_spec: Callable[..., ModelSpec]) -> None:
    shop.append(1)
    shop.news()
    overwritten(shop)
    shop.spec = make_spec(data={"source": {"type": "files", "path": "*"}})
    with pytest.raises(SlipstreamError, match=r"name data\.key") as refused:
        shop.news(on_change="all")
    assert refused.value.code == "source_rows_again"


def test_a_watermark_of_another_source_is_a_change(shop: Shop) -> None:
    shop.append(1)
    for watermark in ('["0a"]', "2024-01-01", json.dumps({"table": "x"})):
        shop.watermark = watermark
        with pytest.raises(SlipstreamError, match="the batches so far were read from another source"):
            shop.news()


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("nothing", "source_table_unknown"),
        ("gs://bucket/table", "source_scheme_forbidden"),
        ("model.yaml", "source_unreadable"),
    ],
)
def test_what_is_no_table_is_told_of(path: str, code: str, shop: Shop) -> None:
    with pytest.raises(SlipstreamError) as refused:
        DeltaSource(path).fingerprint(shop.spec, "")
    assert refused.value.code == code


def test_too_much_at_once_is_refused(shop: Shop) -> None:
    shop.append(1)
    with pytest.raises(SlipstreamError, match="more than 10 bytes; raise the source's max_bytes"):
        shop.news(max_bytes=10)


def test_deletion_vectors_are_refused(shop: Shop) -> None:
    """A table whose log asks for more than is read here is not read as if it did not."""
    shop.append(1)
    protocol = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["deletionVectors"]}
    action = {"protocol": {**protocol, "writerFeatures": ["deletionVectors"]}}
    (shop.folder / "_delta_log" / f"{1:020}.json").write_text(json.dumps(action))
    with pytest.raises(SlipstreamError, match=r"uses what is not read here: .*deletionVectors") as refused:
        DeltaSource(str(shop.folder)).deliver(shop.spec, "", shop.into)
    assert refused.value.code == "source_table_unsupported"


def test_batches_of_a_table_are_committed_once(
    make_spec: Callable[..., ModelSpec], store: Store, make_rows: Any, tmp_path: Path
) -> None:
    spec = make_spec(data={"source": {"type": "delta", "path": str(tmp_path / "shop")}, "key": ["id"]})
    write_deltalake(tmp_path / "shop", make_rows(50))
    first = ingest(spec, store)
    assert ingest(spec, store).batch == first.batch
    assert validate(spec, store, first.batch).added == 50
    assert ingest(spec, store).empty
    write_deltalake(tmp_path / "shop", make_rows(30, first=50), mode="append")
    DeltaTable(tmp_path / "shop").optimize.compact()
    second = ingest(spec, store)
    assert second.rows == 30
    assert validate(spec, store, second.batch).added == 30
    assert ingest(spec, store).empty
