"""New rows of a joined table: read from its source, kept once, and recorded as a version by one event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import msgspec

from slipstream.data.batch import in_full, recorded
from slipstream.data.joins.as_of import check_table
from slipstream.data.joins.table import (
    DELIVERY,
    JoinedTable,
    delta_table,
    load_joined,
    naming,
    newest_event,
    reading_digest,
    save_joined,
    table_spec,
)
from slipstream.data.landing import SettledRows, settled_rows
from slipstream.data.schema_check import SchemaChange, check_doubtful, check_reserved, conformed, widened
from slipstream.data.table_types import Base
from slipstream.duck import columns_of, duck, first_row, quoted, refuse_bulk, selected, write_parquet
from slipstream.errors import Conflict, DataError, SourceError
from slipstream.number_formats import counted
from slipstream.runs import Result, Stage, once, run_key
from slipstream.slots import SOURCE, Delivery
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.objects import sha256_file
from slipstream.store.payloads import JoinedCommitted
from slipstream.store.state import State
from slipstream.store.tables import TableFile

if TYPE_CHECKING:
    import duckdb

STAGE = Stage("joined", 1, event="joined.committed")
_FILES = 64
"""With so many files a table is written anew as one; older versions keep theirs."""


@dataclass(frozen=True)
class JoinedRows(Result):
    """What one read of a joined table brought.

    Attributes:
        table: Its name in the model file.
        joined: Id of the version.
        manifest: Digest of what describes it.
        watermark: Where the next read starts, as events carry it.
        rows: Its rows.
        added: Those of them that are new.
        notes: What is to be said of them.
    """

    table: str
    joined: str
    manifest: str
    watermark: str
    rows: int
    added: int
    notes: tuple[str, ...] = ()


def take_in_all(spec: ModelSpec, store: Store, actor: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """Take in what is new in every joined table; returns name -> version of each, and what is to be said of it.

    Raises:
        SourceError, DataError, SpecError: as an ingest's, and they name the table.
        Conflict: another ingest took rows in meanwhile.
    """
    versions, remarks = {}, []
    for name in spec.data.join:
        with naming(name), TemporaryDirectory(prefix="slipstream-joined-") as folder:
            versions[name], notes = _take_in(spec, store, name, Path(folder), actor)
            remarks += [f"data.join.{name}: {note}" for note in notes]
    return versions, tuple(remarks)


def _take_in(spec: ModelSpec, store: Store, name: str, folder: Path, actor: str) -> tuple[str, tuple[str, ...]]:
    """What is new in one table, if anything is; its version and remarks."""
    event = newest_event(spec, store, name)
    before = event.content_as(JoinedCommitted) if event else None
    table = load_joined(spec, store, name, before.joined) if before else None
    again = table is not None and table.derived != reading_digest(spec.data.join[name])
    known = None if again else table
    start = before.watermark if before and known else ""
    as_model, after = table_spec(spec, name), in_full(store, start)
    source = SOURCE.build(as_model.data.source, allow_code=spec.allow_code)
    fingerprint = source.fingerprint(as_model, after)
    delivery = None
    if fingerprint == "":
        delivery = source.deliver(as_model, after, folder)
        fingerprint = " ".join([*map(sha256_file, delivery.files), delivery.watermark]) if delivery.files else None
    if fingerprint is None:
        if known is None:
            raise DataError("its source has no rows; there is nothing to join.", code="join_empty")
        check_table(known)
        return known.id, ()
    inputs = {"table": name, "after": start, "fingerprint": fingerprint, "before": before.joined if before else ""}
    if event and again:
        # What is read anew may be what was read before an edit that was undone since.
        inputs["before"] = event.id
    key = run_key(STAGE, {"digest": reading_digest(spec.data.join[name])}, inputs)

    def work(run: str) -> JoinedRows:
        rows = _Rows(spec, store, name, folder, run, known, replace=again)
        return rows.taken(delivery or source.deliver(as_model, after, folder))

    def check(_: State) -> None:
        now = newest_event(spec, store, name)
        if (now.id if now else "") != (event.id if event else ""):
            raise Conflict("another ingest took rows in meanwhile; run again.", code="joined_moved")

    result = once(
        STAGE, spec, store, key, work, result=JoinedRows, actor=actor, check=check, record=lambda rows, _: _record(rows)
    )
    check_table(load_joined(spec, store, name, result.joined))
    return result.joined, result.notes


def _record(rows: JoinedRows) -> dict[str, object]:
    """What the event says of the version."""
    return {field: getattr(rows, field) for field in ("table", "joined", "manifest", "watermark", "rows", "added")}


@dataclass(frozen=True)
class _Rows:
    """A delivery on its way into a joined table."""

    spec: ModelSpec
    store: Store
    name: str
    folder: Path
    run: str
    known: JoinedTable | None
    replace: bool

    def taken(self, delivery: Delivery) -> JoinedRows:
        """Keep what is new of the delivery; returns the version that it makes."""
        if not delivery.files:
            raise SourceError("the source changed while it was read; run again.", code="source_changed")
        as_model = table_spec(self.spec, self.name)
        with duck() as connection:
            base = self.known.base(self.store) if self.known else Base()
            settled = settled_rows(as_model, connection, delivery, base, self.folder)
            rows = connection.read_parquet(str(settled.file), file_row_number=True)
            delivered = refuse_bulk(rows, as_model.data.max_rows)
            columns = tuple(column for column in columns_of(rows) if column[0] != "file_row_number")
            check_reserved(columns)
            check_doubtful(as_model, settled.read.notes)
            _check_types(settled.changes)
            check_table(self._version(columns))
            columns = widened(self.known.columns if self.known else (), columns)
            file, remarks = self._new_rows(connection, rows, columns, delivered)
            files = self._stored(connection, file, columns)
        return self._result(delivery, settled, columns, files, remarks)

    def _version(self, columns: tuple[tuple[str, str], ...]) -> JoinedTable:
        """The table with these columns, before it has an id."""
        join, number = self.spec.data.join[self.name], self.known.deliveries if self.known else 0
        return JoinedTable("", self.name, join, columns, (), {}, reading_digest(join), number, self.spec.name)

    def _new_rows(
        self,
        connection: duckdb.DuckDBPyConnection,
        rows: duckdb.DuckDBPyRelation,
        columns: tuple[tuple[str, str], ...],
        delivered: int,
    ) -> tuple[Path, list[str]]:
        """A file of the rows that say something new: of each key and time the last, if it is not as it was known."""
        table = self._version(columns)
        identity = [quoted(name) for name in (*table.join.key.values(), table.join.time)]
        dated = rows.filter(" AND ".join(f"{name} IS NOT NULL" for name in identity))
        usable = first_row(dated.aggregate("count(*)"))[0]
        last = _last(dated, identity, "file_row_number")
        single = first_row(last.aggregate("count(*)"))[0]
        if self.known:
            last = self._unknown(connection, last, identity)
        names = {name for name, _ in columns} & set(rows.columns)
        parts = [
            f"CAST({quoted(name) if name in names else 'NULL'} AS {kind}) AS {quoted(name)}" for name, kind in columns
        ]
        file = self.folder / "new.parquet"
        number = f"CAST({table.deliveries} AS BIGINT) AS {DELIVERY}"
        write_parquet(last.order("file_row_number").project(", ".join([*parts, number])), file)
        remarks = []
        if usable < delivered:
            lost = delivered - usable
            are = "is" if lost == 1 else "are"
            remarks.append(f"{counted(lost, 'row')} without a time or a part of the key {are} left out.")
        if single < usable:
            twice = usable - single
            have = "has" if twice == 1 else "have"
            later = "the key and the time of a later one of the same delivery, which counts"
            remarks.append(f"{counted(twice, 'row')} {have} {later}.")
        return file, remarks

    def _unknown(
        self, connection: duckdb.DuckDBPyConnection, rows: duckdb.DuckDBPyRelation, identity: list[str]
    ) -> duckdb.DuckDBPyRelation:
        """Those of *rows* that differ from the newest known row of their key and time, or have none."""
        known = self.known
        assert known is not None  # noqa: S101 - asked by the caller
        newest = _last(known.read(self.store, connection), identity, DELIVERY)
        before = {name for name, _ in known.columns}
        differs = [
            f"r.{quoted(name)} IS DISTINCT FROM k.{quoted(name)}" if name in before else f"r.{quoted(name)} IS NOT NULL"
            for name in rows.columns
            if name != "file_row_number" and quoted(name) not in identity
        ]
        condition = " OR ".join([f"k.{DELIVERY} IS NULL", *differs])
        equal = " AND ".join(f"r.{name} = k.{name}" for name in identity)
        sql = f"FROM came r LEFT JOIN ({newest.sql_query()}) k ON {equal} SELECT r.* WHERE {condition}"
        return selected(rows, "came", sql)

    def _stored(
        self, connection: duckdb.DuckDBPyConnection, file: Path, columns: tuple[tuple[str, str], ...]
    ) -> tuple[TableFile, ...]:
        """The files of the new version: the table's, and *file* if it has rows."""
        tables, model, table = self.store.tables, self.spec.name, delta_table(self.name)
        files = self.known.files if self.known else ()
        added = first_row(connection.read_parquet(str(file)).aggregate("count(*)"))[0]
        if not added and not self.replace:
            return files
        whole = self.known is not None and (columns != self.known.columns or len(files) >= _FILES)
        if self.known and whole:
            types = (*columns, (DELIVERY, "BIGINT"))
            rows = self.known.read(self.store, connection)
            rows = rows.project(conformed(types, columns_of(rows)) or "*")
            target = self.folder / "whole.parquet"
            write_parquet(rows.union(connection.read_parquet(str(file))), target)
            file = target
        key = f"{self.run}-{sha256_file(file)[:16]}"
        if whole or self.replace:
            return tables.replace(model, table, [file], key)
        return (*files, *tables.append(model, table, file, key))

    def _result(
        self,
        delivery: Delivery,
        settled: SettledRows,
        columns: tuple[tuple[str, str], ...],
        files: tuple[TableFile, ...],
        remarks: list[str],
    ) -> JoinedRows:
        before = self.known.rows if self.known else 0
        if not files:
            raise DataError("no row of its source has a time and a key; there is nothing to join.", code="join_empty")
        rows = sum(file.rows for file in files)
        table = self._version(columns)
        readings = {**(self.known.readings if self.known else {}), **settled.read.readings}
        facts = {
            "kind": "joined",
            "readings": {name: msgspec.to_builtins(reading) for name, reading in readings.items()},
            "derived": table.derived,
            "deliveries": table.deliveries + 1,
        }
        identity, manifest = save_joined(self.store, columns, files, facts)
        watermark = recorded(self.store, delivery.watermark)
        return JoinedRows(self.name, identity, manifest, watermark, rows, rows - before, tuple(remarks))


def _check_types(changes: Sequence[SchemaChange]) -> None:
    harmful = [change.sentence for change in changes if not change.harmless]
    if harmful:
        message = f"{'; '.join(harmful)}. Deliver the columns as before, or say their types in data.schema."
        raise DataError(message, code="data_schema_changed")


def _last(rows: duckdb.DuckDBPyRelation, identity: Sequence[str], order: str) -> duckdb.DuckDBPyRelation:
    """Of the *rows* that are equal in *identity* the last by *order*."""
    number = f"row_number() OVER (PARTITION BY {', '.join(identity)} ORDER BY {order} DESC)"
    return selected(rows, "came", f"FROM came QUALIFY {number} = 1")
