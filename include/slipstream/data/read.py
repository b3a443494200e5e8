"""What was delivered, read: each column as the model file says, else as it was before, else as all its rows say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from slipstream.cell_reading import CellReading
from slipstream.data import notes
from slipstream.data.attempt import attempt
from slipstream.data.casts import WIDER, Cast, cast, native
from slipstream.data.infer import infer
from slipstream.data.likely import likely
from slipstream.data.notes import ColumnNote
from slipstream.data.schema_check import named
from slipstream.data.schema_decisions import renamed_in
from slipstream.data.table_types import Base, called_anew
from slipstream.duck import TYPES, columns_of, first_row, quoted, refuse_bulk, stream_within
from slipstream.errors import DataError, SpecError, shown
from slipstream.hints import did_you_mean
from slipstream.slots import Delivery
from slipstream.sources.csv_reader import read_csv
from slipstream.sources.parquet_reader import durations, read_parquet
from slipstream.spec.model import ModelSpec

if TYPE_CHECKING:
    import duckdb

_WIDER = dict(WIDER)
_PANDAS_INDEX = "__index_level_"
_NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_OF_TEXTS = {"nearly_typed", "mixed", "two_readings", "missing_words", "mostly_distinct"}
"""What is worth saying of a text whose maker gave it that type."""


@dataclass(frozen=True)
class BatchRead:
    """A delivery, read.

    Attributes:
        rows: The rows as they came.
        casts: How each column is read from them.
        readings: The same, to be kept for later batches and for requests.
        notes: What is to be said of the columns.
        written: Whether they stand in the file that was named for it.
    """

    rows: duckdb.DuckDBPyRelation
    casts: tuple[Cast, ...]
    readings: Mapping[str, CellReading]
    notes: tuple[ColumnNote, ...]
    written: bool = False


def read_rows(
    spec: ModelSpec, connection: duckdb.DuckDBPyConnection, delivery: Delivery, base: Base, typed: Path
) -> BatchRead:
    """The rows of *delivery* and how their columns are read; what is quickly read is written to *typed* at once.

    Raises:
        DataError: the files are malformed, differ, or hold a type that no table of inputs can.
        SpecError: ``data_schema_unknown``: ``data.schema`` names a column that is not there.
    """
    if delivery.form["type"] == "csv":
        form = delivery.form.get("delimiter", "")
        text = read_csv(connection, delivery.files, form, delivery.max_bytes)
        remarks = [notes.left_out(column, why) for column, why in text.left_out]
        remarks += [
            ColumnNote("", "reordered", f"{name}: its columns stand in another order.") for name in text.reordered
        ]
        rows = _without_dropped_columns(spec, called_anew(text.rows, renamed_in(text.rows.columns, base.renames)))
        read = _quickly(spec, connection, rows, base, typed) or _of_text(spec, rows, base, text.delimiter)
        return replace(read, notes=(*remarks, *_worth_saying(spec, read.notes)))
    rows = read_parquet(connection, delivery.files)
    renames = renamed_in(rows.columns, base.renames)
    rows = _without_dropped_columns(spec, called_anew(rows, renames))
    stream_within(connection, len(rows.columns))
    refuse_bulk(rows, spec.data.max_rows)
    counted = {renames.get(name, name): unit for name, unit in durations(next(iter(delivery.files))).items()}
    remarks = [notes.duration(name) for name in counted if name in rows.columns]
    usable, left_out = native_columns(spec, in_nanoseconds(rows, counted), whole=spec.data.features is not None)
    read = _of_types(spec, usable, base)
    return replace(read, notes=(*remarks, *left_out, *_worth_saying(spec, read.notes)))


def in_nanoseconds(rows: duckdb.DuckDBPyRelation, units: Mapping[str, str]) -> duckdb.DuckDBPyRelation:
    """The rows with each duration as a whole number of nanoseconds, whatever *units* its makers counted in."""
    many = {name: _NANOSECONDS[unit] for name, unit in units.items()}
    parts = [
        f"{quoted(name)} * {many[name]} AS {quoted(name)}" if name in many else quoted(name) for name in rows.columns
    ]
    return rows.project(", ".join(parts)) if many else rows


def _worth_saying(spec: ModelSpec, remarks: Sequence[ColumnNote]) -> list[ColumnNote]:
    """That a key has a value of its own in every row is as it should be."""
    return [note for note in remarks if note.kind != "mostly_distinct" or note.column not in spec.data.key]


def native_columns(
    spec: ModelSpec, rows: duckdb.DuckDBPyRelation, *, whole: bool = False
) -> tuple[duckdb.DuckDBPyRelation, list[ColumnNote]]:
    """The rows in our six types, without the columns that are of none; with *whole* those stay as they are.

    Raises:
        DataError: ``data_type_unsupported`` for a column that the model file names.
    """
    used = {name for _, name in named(spec)}
    casts = {name: native(name, kind) for name, kind in columns_of(rows)}
    large = {name: one for name, one in casts.items() if one and one.unreadable}
    too_large = {name for name, count in _counts(rows, list(large.values())).items() if count}
    parts, left_out = [], []
    for name, kind in columns_of(rows):
        one = casts[name]
        if name.startswith(_PANDAS_INDEX) and name not in used:
            left_out.append(notes.left_out(name, "it is the index that pandas writes"))
        elif one and name not in too_large:
            parts.append(one.projected)
        elif name in too_large and _declared_type(spec, name) == "VARCHAR":
            parts.append(f"{quoted(name)}::VARCHAR AS {quoted(name)}")
        elif whole:
            parts.append(quoted(name))
        elif name in used:
            raise _unsupported(name, kind, name in too_large)
        else:
            left_out.append(notes.left_out(name, f"it is of type {kind}" + (", beyond 64 bits" if one else "")))
    if not parts:
        raise DataError("no column is of a type that a table of inputs can hold.", code="data_type_unsupported")
    return rows.project(", ".join(parts)), left_out


def _unsupported(name: str, kind: str, large: bool) -> DataError:
    if large:
        message = (
            f"column {name!r} is {kind} and holds more than a 64-bit whole number; write data.schema: {{{name}: text}}."
        )
    else:
        message = (
            f"column {name!r} is of type {kind}, which a table of inputs cannot hold; take it apart in features.py."
        )
    return DataError(message, code="data_type_unsupported")


def _declared_type(spec: ModelSpec, name: str) -> str:
    column = spec.data.columns.get(name)
    return column.reading.type if column and column.reading else ""


def _without_dropped_columns(spec: ModelSpec, rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """The rows without the columns that data.schema drops."""
    for name in spec.data.columns:
        if name not in rows.columns:
            hint = did_you_mean(name, rows.columns, "they have")
            message = f"{spec.name}: data.schema names column {shown(name)}, which the rows have not; {hint}"
            raise SpecError(message, code="data_schema_unknown")
    dropped = {name for name, column in spec.data.columns.items() if column.drop}
    keep = [quoted(name) for name in rows.columns if name not in dropped]
    return rows.project(", ".join(keep)) if dropped else rows


def _missing(spec: ModelSpec, name: str) -> tuple[str, ...]:
    """The texts that the model file says mean "missing" in that column."""
    column = spec.data.columns.get(name)
    return tuple(dict.fromkeys((*(column.missing if column else ()), *spec.data.missing)))


def _declared_reading(spec: ModelSpec, base: Base, name: str) -> CellReading | None:
    """What the model file says of the column, or else a person has accepted."""
    column = spec.data.columns.get(name)
    reading = column.reading if column else None
    if reading is None and name in base.types:
        reading = CellReading(base.types[name], said=True)
    return replace(reading, missing=_missing(spec, name)) if reading else None


def _before(spec: ModelSpec, base: Base, name: str) -> CellReading | None:
    """How the column was read before; None if no value of it was ever seen."""
    reading = (base.readings or {}).get(name)
    if reading is None and base.readings is None and not spec.data.features and name in base.columns:
        reading = CellReading(base.columns[name])
    return replace(reading, said=False, missing=_missing(spec, name)) if reading and reading.type else None


def _quickly(
    spec: ModelSpec,
    connection: duckdb.DuckDBPyConnection,
    rows: duckdb.DuckDBPyRelation,
    base: Base,
    typed: Path,
) -> BatchRead | None:
    """Text rows that are what a look at some of them suggests: written already. None if they are not."""
    known = {name: _declared_reading(spec, base, name) or _before(spec, base, name) for name in rows.columns}
    new = [name for name, reading in known.items() if reading is None]
    guess = likely(rows, new, {name: _missing(spec, name) for name in new}) if new else {}
    readings = {name: reading or guess[name] for name, reading in known.items()}
    inferred = attempt(connection, rows, readings, new, typed)
    if inferred is None:
        return None
    written = connection.read_parquet(str(typed))
    casts = [Cast(name, kind, quoted(name)) for name, kind in columns_of(written)]
    return BatchRead(written, tuple(casts), {**readings, **inferred.readings}, inferred.notes, written=True)


def _of_text(spec: ModelSpec, rows: duckdb.DuckDBPyRelation, base: Base, delimiter: str) -> BatchRead:
    """Rows of which every cell is text."""
    readings = {name: _declared_reading(spec, base, name) or _before(spec, base, name) for name in rows.columns}
    new = [name for name, reading in readings.items() if reading is None]
    inferred = infer(rows, new, {name: _missing(spec, name) for name in new}, delimiter)
    known = {name: reading for name, reading in readings.items() if reading is not None}
    counts = _counts(rows, [_text_cast(name, reading) for name, reading in known.items()])
    wider = {
        name: reading.as_type(_WIDER[reading.type])
        for name, reading in known.items()
        if counts.get(name) and not reading.said and reading.type in _WIDER and not reading.format
    }
    counts |= _counts(rows, [_text_cast(name, reading) for name, reading in wider.items()])
    known |= wider
    casts = [
        _text_cast(name, known[name] if name in known else inferred.readings[name], bool(counts.get(name)))
        for name in rows.columns
    ]
    known_readings = {name: known.get(name) or inferred.readings[name] for name in rows.columns}
    return BatchRead(rows, tuple(casts), known_readings, inferred.notes)


def _text_cast(name: str, reading: CellReading, broken: bool = True) -> Cast:
    unreadable = reading.unreadable(name) if broken and reading.type not in {"VARCHAR", ""} else ""
    return Cast(name, reading.type or "VARCHAR", reading.value(name), unreadable, reading.said_as)


def _of_types(spec: ModelSpec, rows: duckdb.DuckDBPyRelation, base: Base) -> BatchRead:
    """Rows in our six types (and, for features.py to see, others)."""
    kinds = dict(columns_of(rows))
    casts, readings = [], {}
    texts = [name for name, kind in kinds.items() if kind == "VARCHAR" and _declared_reading(spec, base, name) is None]
    new = [name for name in texts if _before(spec, base, name) is None]
    inferred = infer(rows, new, {name: _missing(spec, name) for name in new})
    for name, kind in kinds.items():
        reading = _declared_reading(spec, base, name) or CellReading(kind, missing=_missing(spec, name))
        if name in inferred.readings and not inferred.readings[name].type:
            readings[name] = replace(reading, type="")
        elif kind in TYPES:
            readings[name] = reading
        casts.append(cast(name, kind, reading) if kind in TYPES else Cast(name, kind, quoted(name)))
    remarks = [note for note in inferred.notes if note.kind in _OF_TEXTS]
    remarks += [
        notes.typed_as_text(name, reading)
        for name, reading in inferred.readings.items()
        if reading.type not in {"VARCHAR", ""}
    ]
    return BatchRead(rows, tuple(casts), readings, tuple(remarks))


def _counts(rows: duckdb.DuckDBPyRelation, casts: Sequence[Cast]) -> dict[str, int]:
    """Column -> how many rows are unreadable in it."""
    conditions = {one.name: one.unreadable for one in casts if one.unreadable}
    if not conditions:
        return {}
    counts = first_row(rows.aggregate(", ".join(f"count_if({sql})" for sql in conditions.values())))
    return dict(zip(conditions, map(int, counts), strict=True))
