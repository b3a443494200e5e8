"""The rows of one file in the types of a version's inputs, as a stream: read as ingest reads, nothing is guessed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from slipstream.cell_reading import CellReading
from slipstream.data.casts import cast, native
from slipstream.data.read import in_nanoseconds
from slipstream.data.table_types import read_as
from slipstream.duck import TYPES, columns_of, duck, quoted, stream_within
from slipstream.errors import DataError, shown
from slipstream.hints import did_you_mean
from slipstream.model_schema import Field, Schema
from slipstream.scoring.files import ScoreFile
from slipstream.sources import csv_reader, parquet_reader
from slipstream.sources.readable import csv_read_at_once
from slipstream.store.predictions import NUMBERS, key_sql

if TYPE_CHECKING:
    import duckdb

CHUNK = 20_480
"""Rows that are answered at once."""
KEY, VALUE, UNREAD, KEY_TEXT = "key", "value", "unread", "key_text"
"""Columns of the stream: ``key0 key1 .. value0 value1 ..``, ``unread0 ..`` for a cell that is no value, as text, and
``key_text``, by which labels find the row."""
_NOTHING = "CAST(NULL AS VARCHAR)"


@dataclass(frozen=True)
class KeyColumn:
    """A column that tells rows: its name, and how the data table reads and holds it."""

    name: str
    reading: CellReading


@dataclass(frozen=True)
class TypedFile:
    """An open file.

    Attributes:
        batches: Arrow record batches of the columns that the constants above name, inputs in the order of the schema
            and after them the keys: numbers, whole numbers and truths as DOUBLE, dates as training saw them.
        keys: The key columns that are in the file: all or none.
        checked: These, and the columns that inputs were joined by: a cell of theirs that is no value is a row's error.
        text: For each input and each of those, whether its cells are text in the file.
    """

    batches: Any
    keys: tuple[KeyColumn, ...]
    checked: tuple[KeyColumn, ...]
    text: tuple[bool, ...]


class Bringing(Protocol):
    """What may bring inputs that rows lack."""

    def brought(
        self, rows: duckdb.DuckDBPyRelation, inputs: Sequence[str], kinds: Mapping[str, str], file: str
    ) -> tuple[duckdb.DuckDBPyRelation, tuple[KeyColumn, ...]]:
        """The rows with what they lacked of *inputs*, and the columns that it was found by."""
        ...


@contextmanager
def typed(
    schema: Schema,
    keys: tuple[KeyColumn, ...],
    file: ScoreFile,
    folder: Path,
    joins: Bringing | None = None,
    *,
    key_text: bool = False,
) -> Iterator[TypedFile]:
    """Open *file*, in a stream of bounded memory that keeps the order of its rows.

    Args:
        schema: What the version takes.
        keys: Columns that are handed through, if all are there.
        file: The file.
        folder: Takes a copy of text that is not UTF-8.
        joins: What brings inputs that the file lacks.
        key_text: Whether the keys are wanted as one text too.

    Raises:
        DataError: ``rows_columns_missing``, ``data_csv_malformed``, ``data_parquet_malformed`` or
            ``data_type_unsupported``.
    """
    import duckdb

    with duck() as connection:
        files = {file.path: file.name}
        try:
            if file.form["type"] == "csv":
                files = csv_read_at_once(files, file.form, file.max_bytes, folder)
                rows = csv_reader.read_csv(connection, files, file.form.get("delimiter", ""), file.max_bytes).rows
            else:
                rows = in_nanoseconds(
                    parquet_reader.read_parquet(connection, files), parquet_reader.durations(file.path)
                )
            found_by: tuple[KeyColumn, ...] = ()
            if joins is not None:
                rows, found_by = joins.brought(rows, schema.names, dict(columns_of(rows)), file.name)
            if not found_by:
                # A join sorts, which takes more than a stream.
                stream_within(connection, len(rows.columns))
            yield _opened(schema, (keys, found_by), rows, file.name, key_text)
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            if file.form["type"] == "csv":
                raise csv_reader.explained(error, files) from error
            raise parquet_reader.malformed(file.name, error) from error


def _opened(
    schema: Schema,
    beside: tuple[tuple[KeyColumn, ...], tuple[KeyColumn, ...]],
    rows: duckdb.DuckDBPyRelation,
    name: str,
    key_text: bool,
) -> TypedFile:
    """The rows as they are streamed; *beside* the inputs are the key and what inputs were joined by."""
    missing = next((one for one in schema.names if one not in rows.columns), None)
    if missing is not None:
        hint = did_you_mean(missing, rows.columns, "it has")
        raise DataError(f"{name}: input {shown(missing)} is not among its columns; {hint}", code="rows_columns_missing")
    keys, found_by = beside
    keys = keys if all(key.name in rows.columns for key in keys) else ()
    checked = (*keys, *(one for one in found_by if one.name not in {key.name for key in keys}))
    rows = _in_our_types(rows, dict.fromkeys((*schema.names, *(key.name for key in checked))))
    kinds = dict(columns_of(rows))
    parts = []
    for place, field in enumerate(schema.inputs):
        value, unread = _input(field, kinds[field.name])
        parts += [f"{value} AS {VALUE}{place}", f"{unread} AS {UNREAD}{place}"]
    for place, key in enumerate(checked):
        value, unread = cell(key.name, kinds[key.name], key.reading)
        parts += [f"{value} AS {KEY}{place}", f"{unread} AS {UNREAD}{place + len(schema.inputs)}"]
    text = tuple(kinds[one] == "VARCHAR" for one in (*schema.names, *(key.name for key in checked)))
    typed_rows = rows.project(", ".join(parts))
    if keys and key_text:
        names = [f"{KEY}{place}" for place in range(len(keys))]
        texts = [name for name, kind in columns_of(typed_rows) if name in names and kind not in NUMBERS]
        typed_rows = typed_rows.project(f"*, {key_sql({name: name for name in names}, texts)} AS {KEY_TEXT}")
    return TypedFile(typed_rows.to_arrow_reader(CHUNK), keys, checked, text)


def _in_our_types(rows: duckdb.DuckDBPyRelation, names: Iterable[str]) -> duckdb.DuckDBPyRelation:
    """Those columns in our six types; whole numbers that may be beyond 64 bits stay as they are."""
    kinds = dict(columns_of(rows))
    parts = []
    for name in names:
        one = native(name, kinds[name])
        if one is None:
            message = f"column {name!r} is of type {kinds[name]}, which no input can be; write it as text or a number."
            raise DataError(message, code="data_type_unsupported")
        parts.append(quoted(name) if one.unreadable else one.projected)
    return rows.project(", ".join(parts))


def _input(field: Field, kind: str) -> tuple[str, str]:
    """SQL of an input's value as the scorer takes it, and of the cell where it is none."""
    if field.type in {"number", "integer"} and kind in {"BIGINT", "DOUBLE"}:
        # As in a request: any number; whether it is whole, finite or stands for "missing" is seen by its value.
        return f"CAST({quoted(field.name)} AS DOUBLE)", _NOTHING
    if field.type == "boolean" and kind in {"BIGINT", "DOUBLE"}:
        # As databases without a type for it hold truth values.
        name = quoted(field.name)
        value = f"CASE WHEN {name} IN (0, 1) THEN CAST({name} AS DOUBLE) END"
        return value, f"CASE WHEN {name} NOT IN (0, 1) THEN CAST({name} AS VARCHAR) END"
    reading = field.cell_reading
    if field.type != "string" and reading.type in {"", "VARCHAR"}:
        reading = replace(field, reading=None).cell_reading
    value, unread = cell(field.name, kind, reading)
    return f"CAST({value} AS {'VARCHAR' if field.type == 'string' else 'DOUBLE'})", unread


def cell(name: str, kind: str, reading: CellReading) -> tuple[str, str]:
    """SQL of a column's value by that *reading*, and of the cell, as text, where that is none."""
    column = quoted(name)
    reading = reading if reading.type else reading.as_type("VARCHAR")
    if kind not in TYPES:
        value = f"TRY_CAST({column} AS {reading.type})"
        return value, f"CASE WHEN {value} IS NULL THEN CAST({column} AS VARCHAR) END"
    one = cast(name, kind, reading)
    if kind == "VARCHAR" and reading.type != "VARCHAR":
        # The same as unreadable, but a cell that has a value is looked at no further.
        known = f"CASE WHEN {reading.known(name)} THEN {column} END"
        return one.value, f"CASE WHEN {one.value} IS NULL AND {column} IS NOT NULL THEN {known} END"
    condition = one.unreadable if kind != "VARCHAR" else ""
    return one.value, f"CASE WHEN {condition} THEN CAST({column} AS VARCHAR) END" if condition else _NOTHING


def key_columns(names: Mapping[str, str], readings: Mapping[str, CellReading]) -> tuple[KeyColumn, ...]:
    """The key's columns, of which *names* says the types in the data table, read as its deliveries were."""
    return tuple(KeyColumn(name, read_as(readings, name, kind)) for name, kind in names.items())
