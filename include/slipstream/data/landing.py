"""From the files that a source delivered to a batch: kept as they came, read, given features, brought to types."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from slipstream.data import delivered
from slipstream.data.batch import PROBLEM, save_batch
from slipstream.data.casts import Cast
from slipstream.data.features import derivation, with_features
from slipstream.data.joins.as_of import matches, with_joined
from slipstream.data.joins.table import load_joined
from slipstream.data.notes import ColumnNote
from slipstream.data.read import BatchRead, native_columns, read_rows
from slipstream.data.schema_check import SchemaChange, check_reserved
from slipstream.data.table_types import Base, settle
from slipstream.duck import MEMORY, columns_of, duck, first_row, quoted, refuse_bulk, write_parquet
from slipstream.errors import DataError
from slipstream.slots import Delivery
from slipstream.sources import csv_reader, parquet_reader
from slipstream.sources.readable import readable
from slipstream.spec.model import ModelSpec
from slipstream.store import Store

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Landed:
    """A batch that was made.

    Attributes:
        batch: Its id.
        rows: Its rows, those that cannot be read among them.
        columns: How many columns it has.
        bytes: Size of its Parquet file.
        notes: What is to be said of its columns.
    """

    batch: str
    rows: int
    columns: int
    bytes: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class SettledRows:
    """Rows that were read whole, in the types of the table that they are to join.

    Attributes:
        file: A Parquet file of them.
        read: How they were read.
        changes: The types of the table that change, or should.
    """

    file: Path
    read: BatchRead
    changes: tuple[SchemaChange, ...]


@dataclass
class _Aside:
    """Rows that are no part of the table, with what is wrong with each, as text."""

    folder: Path
    files: list[Path] = dataclasses.field(default_factory=list)
    rows: int = 0

    def take(self, rows: duckdb.DuckDBPyRelation, casts: Sequence[Cast]) -> None:
        """Keep the rows of which some cast says that they are unreadable."""
        problems = [cast.problem for cast in casts if cast.unreadable]
        cells = [f"CAST({quoted(name)} AS VARCHAR) AS {quoted(name)}" for name in rows.columns]
        unreadable = rows.filter(_any(casts)).project(
            f"{', '.join(cells)}, concat_ws('; ', {', '.join(problems)}) AS {PROBLEM}"
        )
        file = self.folder / f"aside-{len(self.files)}.parquet"
        write_parquet(unreadable, file)
        self.files.append(file)

    def keep(self, store: Store, connection: duckdb.DuckDBPyConnection) -> tuple[str, int]:
        """The digest of all of them as one Parquet object, and their number; ("", 0) for none."""
        if not self.files:
            return "", 0
        rows = connection.read_parquet([str(file) for file in self.files], union_by_name=True)
        file = self.folder / "aside.parquet"
        write_parquet(rows, file)
        return store.objects.put_file(file), int(first_row(rows.aggregate("count(*)"))[0])


def land(
    spec: ModelSpec, store: Store, delivery: Delivery, base: Base, ledger_fields: Mapping[str, Any], folder: Path
) -> Landed:
    """Make a batch of what was delivered.

    Args:
        spec: The model.
        store: Where it is kept.
        delivery: The files.
        base: The data table that it is to join.
        ledger_fields: ``after`` and ``watermark``, as events carry them, ``table``: the dataset version of *base*, and,
            where the model joins tables, ``joined``: the version of each.
        folder: For files on the way.

    Raises:
        DataError: the files are malformed, larger than allowed, or hold a type that no table of inputs can.
        SpecError: the model file names a column or a function that is not there.
    """
    aside = _Aside(folder)
    # Keeping what came waits for the disk while reading it takes the cores.
    with ThreadPoolExecutor(1) as pool, duck() as connection:
        raw = pool.submit(delivered.keep, store, delivery)
        file, read = _typed(spec, connection, delivery, base, aside)
        if spec.data.join:
            file, remarks = _joined(spec, store, connection, file, ledger_fields["joined"])
            read = dataclasses.replace(read, notes=(*read.notes, *remarks))
        if spec.data.features is not None:
            file, left_out = _featured(spec, connection, file)
            read = dataclasses.replace(read, notes=(*read.notes, *left_out))
        file, changes = _settled(connection, file, base, aside)
        relation = connection.read_parquet(str(file))
        good, columns = refuse_bulk(relation, spec.data.max_rows), columns_of(relation)
        aside_file, bad = aside.keep(store, connection)
        stored_files, size = raw.result(), file.stat().st_size
        delivery.still()
    fields = {
        "model": spec.name,
        "columns": [list(column) for column in columns],
        "file": store.objects.take_file(file),
        "rows": good,
        "aside": aside_file,
        "aside_rows": bad,
        "readings": {name: msgspec.to_builtins(reading) for name, reading in read.readings.items()},
        "notes": [msgspec.to_builtins(note) for note in read.notes],
        "changes": [msgspec.to_builtins(change) for change in changes],
        "delivered": stored_files,
        "derived": derivation(spec, base.types),
        **ledger_fields,
    }
    sentences = tuple(note.sentence for note in read.notes)
    return Landed(save_batch(store, fields), good + bad, len(columns), size, sentences)


def _typed(
    spec: ModelSpec, connection: duckdb.DuckDBPyConnection, delivery: Delivery, base: Base, aside: _Aside
) -> tuple[Path, BatchRead]:
    """The delivered rows in types, as a file."""
    file = aside.folder / "typed.parquet"
    delivery = readable(spec, delivery, aside.folder)
    with _errors_of(delivery):
        read = read_rows(spec, connection, delivery, base, file)
        if not read.written:
            write_parquet(_parted(read.rows, read.casts, aside), file)
        if delivery.form["type"] == "csv":
            csv_reader.refuse_nul(connection.read_parquet(str(file)), delivery.files)
    return file, read


def typed_rows(
    spec: ModelSpec, connection: duckdb.DuckDBPyConnection, delivery: Delivery, base: Base, folder: Path
) -> tuple[duckdb.DuckDBPyRelation, BatchRead]:
    """The delivered rows in types, and how they were read; errors as for :func:`land`. *folder* takes the file."""
    file, read = _typed(spec, connection, delivery, base, _Aside(folder))
    return connection.read_parquet(str(file)), read


def settled_rows(
    spec: ModelSpec, connection: duckdb.DuckDBPyConnection, delivery: Delivery, base: Base, folder: Path
) -> SettledRows:
    """The delivered rows in the types of the table *base*; errors as for :func:`land`. *folder* takes the files.

    Raises:
        DataError: ``data_value_unreadable``: some row cannot be read.
    """
    aside = _Aside(folder)
    file, read = _typed(spec, connection, delivery, base, aside)
    file, changes = _settled(connection, file, base, aside)
    if aside.files:
        rows = connection.read_parquet([str(one) for one in aside.files], union_by_name=True)
        count = first_row(rows.aggregate("count(*)"))[0]
        hold = (
            "row holds a value that its column cannot" if count == 1 else "rows hold values that their columns cannot"
        )
        problem = first_row(rows.project(PROBLEM))[0]
        message = f"{count:,} {hold}: {problem}. Mend them, or say in data.schema what they mean."
        raise DataError(message, code="data_value_unreadable")
    delivery.still()
    return SettledRows(file, read, changes)


def _featured(spec: ModelSpec, connection: duckdb.DuckDBPyConnection, typed: Path) -> tuple[Path, list[ColumnNote]]:
    """What features.py makes of the rows, as a file; it may need all memory, and read the rows many times."""
    connection.execute(f"SET memory_limit = '{MEMORY}'")
    rows, left_out = native_columns(spec, with_features(spec, connection.read_parquet(str(typed))))
    file = typed.with_name("features.parquet")
    write_parquet(rows, file)
    return file, left_out


def _joined(
    spec: ModelSpec,
    store: Store,
    connection: duckdb.DuckDBPyConnection,
    typed: Path,
    versions: Mapping[str, str],
) -> tuple[Path, list[ColumnNote]]:
    """The rows with what the joined tables bring, as a file."""
    connection.execute(f"SET memory_limit = '{MEMORY}'")
    delivered_rows = connection.read_parquet(str(typed))
    check_reserved(columns_of(delivered_rows))
    tables = [load_joined(spec, store, name, version) for name, version in versions.items()]
    rows = with_joined(delivered_rows, str(spec.data.time), tables, store)
    file = typed.with_name("joined.parquet")
    write_parquet(rows, file)
    return file, [matches(connection.read_parquet(str(file)), table) for table in tables]


def _settled(
    connection: duckdb.DuckDBPyConnection, file: Path, base: Base, aside: _Aside
) -> tuple[Path, tuple[SchemaChange, ...]]:
    """The rows in the types that the table has, or gets; the *file* itself where nothing is to do."""
    rows = connection.read_parquet(str(file))
    settled = settle(rows, base)
    if all(cast.value == quoted(cast.name) for cast in settled.casts):
        return file, settled.changes
    target = file.with_name("batch.parquet")
    write_parquet(_parted(rows, settled.casts, aside), target)
    return target, settled.changes


def _parted(rows: duckdb.DuckDBPyRelation, casts: Sequence[Cast], aside: _Aside) -> duckdb.DuckDBPyRelation:
    """The rows as *casts* read them; those that they cannot read are set *aside*."""
    projected = ", ".join(cast.projected for cast in casts)
    if not any(cast.unreadable for cast in casts) or not first_row(rows.filter(_any(casts)).aggregate("count(*)"))[0]:
        return rows.project(projected)
    aside.take(rows, casts)
    return rows.filter(f"NOT ({_any(casts)})").project(projected)


def _any(casts: Sequence[Cast]) -> str:
    return " OR ".join(cast.unreadable for cast in casts if cast.unreadable)


@contextmanager
def _errors_of(delivery: Delivery) -> Iterator[None]:
    """What DuckDB says of malformed files, in the words of their reader."""
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        if delivery.form["type"] == "csv":
            raise csv_reader.explained(error, delivery.files) from error
        raise parquet_reader.malformed(", ".join(list(delivery.files.values())[:3]), error) from error
