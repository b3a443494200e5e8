"""Reads delivered labels: checks each row, and keeps the good ones in order in a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from slipstream.cell_reading import CellReading
from slipstream.duck import duck, literal, quoted
from slipstream.errors import DataError, ValueProblem
from slipstream.ground_truth.label_keys import check_key, key_is_kept
from slipstream.label_types import checked_label, read_label
from slipstream.model_schema import Schema
from slipstream.spec.model import ModelSpec
from slipstream.store.labels import Label
from slipstream.store.predictions import NUMBERS, key_sql

if TYPE_CHECKING:
    import duckdb

By = Literal["key", "prediction"]
BATCH = 50_000
LISTED = 20
"""So many bad rows are named."""
_FLOATS = {"DOUBLE", "FLOAT"}


@dataclass(frozen=True)
class LabelColumns:
    """What is delivered.

    Attributes:
        schema: What the champion answers.
        columns: SQL for the id, the key, the label, the time as it stands, and the time in microseconds.
        reading: How a label is read; None where its type says it.
    """

    spec: ModelSpec
    schema: Schema
    columns: str
    reading: CellReading | None = None


@dataclass(frozen=True)
class LabelsRead:
    """A delivery that was read; iterating gives batches of its good labels in order, again and again.

    Attributes:
        file: Parquet, the good labels in order, equal ones once.
        rows: All rows.
        good: Labels in the file.
        bad: Rows that are left out.
        problems: What is wrong with the first of them.
    """

    file: Path
    rows: int
    good: int
    bad: int
    problems: tuple[str, ...]

    def __iter__(self) -> Iterator[Sequence[Label]]:
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.file) as file:
            for batch in file.iter_batches(BATCH):
                yield [Label(*row) for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)]


def label_columns(
    spec: ModelSpec,
    schema: Schema,
    relation: duckdb.DuckDBPyRelation,
    by: By | None = None,
    reading: CellReading | None = None,
    key_kinds: Mapping[str, str] = MappingProxyType({}),
) -> LabelColumns:
    """What of *relation* says which prediction, which label and since when.

    Args:
        spec: The model.
        schema: What the champion answers.
        relation: The delivered rows.
        by: Whether predictions are told by the model's key or by their ids; None: by what is there.
        reading: How a cell of text is read as a label, as the files of training were.
        key_kinds: Columns of the key that are no inputs -> their types in the data table.

    Raises:
        DataError: ``labels_columns_missing``, ``labels_ambiguous``.
        StageError: ``key_not_kept``.
    """
    kinds = dict(zip(relation.columns, map(str, relation.types), strict=True))
    key = spec.data.key
    there = {"prediction": "id" in kinds, "key": bool(key) and set(key) <= kinds.keys()}
    if by is None and all(there.values()) and "id" in key and key_is_kept(spec):
        message = (
            f"{spec.name}: column 'id' could be the id of the prediction, or the key of the model "
            f"(data.key: {', '.join(key)}); say which: by: key or by: prediction (--by on the command line)."
        )
        raise DataError(message, code="labels_ambiguous")
    chosen = by or ("prediction" if there["prediction"] else "key")
    taken = set(key) if chosen == "key" else {"id"}
    label = next((name for name in ("label", spec.target) if name in kinds and name not in taken), None)
    if label is None or not there[chosen]:
        ways = {"prediction": "the id of the prediction in a column 'id'", "key": f"the key ({', '.join(key)})"}
        wanted = ways[by] if by else " or ".join(ways[way] for way in ways if way == "prediction" or key)
        message = (
            f"{spec.name}: labels need {wanted}, and the label in a column "
            f"'label' or {spec.target!r}; there are: {', '.join(relation.columns[:30])}."
        )
        raise DataError(message, code="labels_columns_missing")
    which = f"{quoted('id')}::VARCHAR, ''"
    if chosen == "key":
        check_key(spec)
        # A value that is no number or no time where the key is one costs its row, as a wrong id does.
        inputs = {one.name: "VARCHAR" if one.type == "string" else "DOUBLE" for one in schema.inputs}
        kinds_of_key = {name: inputs.get(name) or key_kinds.get(name, "DOUBLE") for name in key}
        values = {name: _as_key(name, kind) for name, kind in kinds_of_key.items()}
        whole = " AND ".join(f"{value} IS NOT NULL" for value in values.values())
        texts = [name for name, kind in kinds_of_key.items() if kind not in NUMBERS]
        which = f"'', CASE WHEN {whole} THEN {key_sql(values, texts)} END"
    label_text_sql = f"{quoted(label)}{'::DOUBLE' if kinds[label] in _FLOATS else ''}::VARCHAR"
    time = '"time"::VARCHAR' if "time" in kinds and "time" not in taken else "NULL::VARCHAR"
    columns = f"{which}, {label_text_sql}, {time}, epoch_us(TRY_CAST({time} AS TIMESTAMPTZ))"
    return LabelColumns(spec, schema, columns, reading if kinds[label] == "VARCHAR" else None)


def _as_key(name: str, kind: str) -> str:
    """SQL: the value of a column as one of that type; null where it is none."""
    value = quoted(name)
    if kind in NUMBERS:
        # As it stands: whole numbers beyond 2^53 are told apart.
        return f"CASE WHEN TRY_CAST({value} AS DOUBLE) IS NOT NULL THEN {value} END"
    if kind == "DATE":
        moment = f"TRY_CAST({value} AS TIMESTAMP)"
        return f"CASE WHEN {moment} = CAST({moment} AS DATE) THEN CAST({moment} AS DATE) END"
    return value if kind == "VARCHAR" else f"TRY_CAST({value} AS {kind})"


def label_reading(schema: Schema, readings: Mapping[str, CellReading]) -> CellReading | None:
    """How a label is read, as the target was in the files of training; None where that says nothing of labels."""
    kind = {bool: "BOOLEAN", int: "BIGINT", str: "VARCHAR"}[type(schema.classes[0])] if schema.classes else "DOUBLE"
    reading = readings.get(schema.target)
    return (
        reading.as_type(kind)
        if reading and (reading.type == kind or (reading.type, kind) == ("BIGINT", "DOUBLE"))
        else None
    )


def read(delivered: LabelColumns, relation: duckdb.DuckDBPyRelation, folder: Path) -> LabelsRead:
    """Check the rows of *relation*; *folder* takes the files."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = pa.schema([*((name, pa.string()) for name in Label._fields[:3]), ("time", pa.int64())])
    checked, rows, problems = _Checked(delivered), 0, _Problems()
    source = relation.project(delivered.columns).to_arrow_reader(BATCH)
    with pq.ParquetWriter(folder / "checked.parquet", kinds) as writer:
        for batch in source:
            good = []
            values = zip(*(column.to_pylist() for column in batch.columns), strict=True)
            for number, row in enumerate(values, start=rows + 1):
                try:
                    good.append(checked.label(*row))
                except ValueProblem as error:
                    problems.add(number, error)
            rows += batch.num_rows
            columns = list(zip(*good, strict=True)) or [()] * len(kinds)
            arrays = [pa.array(column, kind) for column, kind in zip(columns, kinds.types, strict=True)]
            writer.write_table(pa.table(arrays, kinds))
    file = folder / "ordered.parquet"
    good_rows = _order(folder / "checked.parquet", file)
    return LabelsRead(file, rows, good_rows, problems.count, tuple(problems.first))


def _order(checked: Path, target: Path) -> int:
    """Write the rows of *checked* in the order of :func:`slipstream.store.labels.in_order`; how many differ."""
    import pyarrow.parquet as pq

    order = "prediction_id, key, label, time NULLS FIRST"
    with duck() as connection:
        source = f"SELECT DISTINCT * FROM read_parquet({literal(str(checked))}) ORDER BY {order}"  # noqa: S608
        connection.sql(source).write_parquet(str(target))
    rows: int = pq.read_metadata(target).num_rows
    return rows


class _Checked:
    """Checks rows.

    Args:
        delivered: What is delivered.
    """

    def __init__(self, delivered: LabelColumns) -> None:
        self._delivered = delivered
        # A few labels, or numbers that seldom come again.
        self._text = lru_cache(maxsize=10_000)(self._read)

    def _read(self, text: str) -> str:
        schema, reading = self._delivered.schema, self._delivered.reading
        if reading is None:
            return read_label(schema, text, "label")
        try:
            value = reading.parse(text)
        except ValueError as error:
            # A class may be written as it is over HTTP; a number with other marks would be another number.
            if schema.classes:
                return read_label(schema, text, "label")
            raise ValueProblem(f"label: {error}", code="type") from error
        if value is None:
            raise ValueProblem("label is missing", code="field_missing")
        return checked_label(schema, value, "label")

    def label(self, which: str | None, key: str | None, label: str | None, time: str | None, at: Any) -> Label:
        """The label of one row.

        Raises:
            ValueProblem: it has none that is usable.
        """
        if which is None or key is None:
            raise ValueProblem("id or key is missing or unreadable", code="field_missing")
        name = which.strip().replace("-", "").lower()
        if not key and (len(name) != 32 or not set(name) <= set("0123456789abcdef")):
            raise ValueProblem(f"id: {which[:40]!r} is no id, which has 32 hexadecimal digits", code="type")
        if label is None or not label.strip():
            raise ValueProblem("label is missing", code="field_missing")
        if time and at is None:
            raise ValueProblem(f"time: {time[:40]!r} is no time such as 2026-11-24T21:45:00Z", code="time_invalid")
        return Label(name, key, self._text(label.strip()), at)


class _Problems:
    """Counts bad rows, and keeps the first."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[str] = []

    def add(self, row: int, error: ValueProblem) -> None:
        """Take one."""
        self.count += 1
        if len(self.first) < LISTED:
            self.first.append(f"row {row}: {error}")
