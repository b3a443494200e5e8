"""The rows of a file, answered: read as the files of training were, asked in parts, written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from slipstream.errors import DataError, ValueProblem, shown
from slipstream.ground_truth.joined import schema_of
from slipstream.model_schema import Field, Schema, date_text, read_cell
from slipstream.newest import champion_of
from slipstream.sources.csv_reader import DELIMITERS, separator
from slipstream.spec.model import ModelSpec
from slipstream.store import Store

PART = 500
Row = Mapping[str, Any]
Ask = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class FileAnswers:
    """The answers to the rows of a file.

    Attributes:
        rows: How many.
        version: The version that answered the last of them.
        columns: Name -> values: the key of each row, or its number; the prediction; probabilities.
        notes: What is to be said beside.
    """

    rows: int
    version: Any
    columns: dict[str, list[Any]]
    notes: tuple[str, ...]

    def lines(self, as_json: bool) -> str:
        """The answers as CSV, or as JSON lines."""
        rows = list(zip(*self.columns.values(), strict=True))
        if as_json:
            return "".join(
                json.dumps(dict(zip(self.columns, row, strict=True)), ensure_ascii=False, default=str) + "\n"
                for row in rows
            )
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([str(cell).lower() if isinstance(cell, bool) else cell for cell in row] for row in rows)
        return text.getvalue()


def predict_file(spec: ModelSpec, store: Store, file: str, into: Path | None, ask: Ask) -> FileAnswers:
    """Answer the rows of *file*, and write the answers to *into* if it is given.

    Raises:
        DataError: ``rows_unreadable``, or ``rows_columns_missing``: an input is not there.
        ValueProblem: a row is wrong, with its line and value.
    """
    version, _ = champion_of(store, spec)
    schema = schema_of(spec, store, version)
    columns, rows = _read(file, schema, str(spec.data.source.get("encoding") or "utf-8"))
    missing = [name for name in schema.names if name not in columns]
    if missing:
        message = f"{file}: input {shown(missing[0])} is not among its columns: {', '.join(columns[:30])}."
        raise DataError(message, code="rows_columns_missing")
    extra = [name for name in columns if name and name not in schema.names and name not in spec.data.key]
    notes = (f"not asked about, because they are no inputs: {', '.join(extra)}",) if extra else ()
    key = spec.data.key if spec.data.key and set(spec.data.key) <= set(columns) else ()
    identities: dict[str, list[Any]] = {name: [] for name in (key or ("row",))}
    answers, part, count = _Answers(schema), [], 0
    for cells, row in rows:
        count += 1
        for name in identities:
            identities[name].append(cells.get(name) if key else count)
        part.append(row)
        if len(part) == PART:
            answers.take(_reply(ask, part, count - len(part)))
            part = []
    if part:
        answers.take(_reply(ask, part, count - len(part)))
    if not count:
        raise DataError(f"{file}: holds no rows.", code="rows_unreadable")
    done = FileAnswers(count, answers.version, identities | answers.columns, notes)
    if into is not None:
        _write(done, into)
    return done


def _reply(ask: Ask, part: list[dict[str, Any]], before: int) -> dict[str, Any]:
    """The reply to *part*; an error names the row as the file counts, from 1, of which *before* come first."""
    try:
        return ask({"rows": part})
    except ValueProblem as error:
        message = re.sub(r"\brows\[(\d+)\]", lambda match: f"row {before + int(match[1]) + 1}", str(error))
        error.args = (message,)
        raise


class _Answers:
    """The replies, put together."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.version: Any = None
        self.columns: dict[str, list[Any]] = {"prediction": []}
        if schema.task == "binary":
            self.columns["probability"] = []
        if schema.task == "multiclass":
            self.columns |= {f"probability {label}": [] for label in schema.classes}

    def take(self, reply: dict[str, Any]) -> None:
        self.version = reply["version"]
        self.columns["prediction"] += reply["predictions"]
        if self.schema.task == "binary":
            self.columns["probability"] += reply["probabilities"]
        if self.schema.task == "multiclass":
            for place, label in enumerate(reply["classes"]):
                self.columns.setdefault(f"probability {label}", []).extend(row[place] for row in reply["probabilities"])


def _read(file: str, schema: Schema, encoding: str) -> tuple[list[str], Iterator[tuple[Row, dict[str, Any]]]]:
    """The columns of *file*, and its rows: as they stand, and as JSON has their inputs."""
    kind = "csv" if file == "-" else Path(file).suffix.lower().lstrip(".")
    if file != "-" and not Path(file).is_file():
        raise DataError(f"{file}: there is no such file.", code="rows_unreadable")
    if kind in {"csv", "tsv", "txt"}:
        return _of_text(sys.stdin.read().removeprefix("\ufeff") if file == "-" else _text(file, encoding), schema)
    if kind in {"parquet", "pq"}:
        return _of_parquet(file, schema)
    if kind in {"jsonl", "ndjson"}:
        return _of_json(file, schema)
    raise DataError(f"{file}: expected .csv, .tsv, .parquet or .jsonl.", code="rows_unreadable")


def _text(file: str, encoding: str = "utf-8") -> str:
    """The text of *file*, in UTF-8 or, if it is none, as the files of training are encoded."""
    data = Path(file).read_bytes()
    for one in dict.fromkeys(("utf-8", encoding)):
        try:
            return data.decode(one).removeprefix("\ufeff")
        except UnicodeError as error:
            wrong = error
    raise DataError(f"{file}: not {encoding}: {wrong}.", code="rows_unreadable") from wrong


def _of_text(text: str, schema: Schema) -> tuple[list[str], Iterator[tuple[Row, dict[str, Any]]]]:
    declared, text = separator(text)
    delimiter = declared or max(DELIMITERS, key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns = [column.strip() for column in next(reader, [])]

    def rows() -> Iterator[tuple[Row, dict[str, Any]]]:
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(columns):
                message = f"line {reader.line_num} has {len(cells)} fields, expected {len(columns)}."
                raise DataError(message, code="rows_unreadable")
            by_name = dict(zip(columns, cells, strict=True))
            place = f"line {reader.line_num}"
            yield by_name, {one.name: read_cell(one, by_name[one.name], f"{place}.{one.name}") for one in schema.inputs}

    return columns, rows()


def _of_parquet(file: str, schema: Schema) -> tuple[list[str], Iterator[tuple[Row, dict[str, Any]]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        opened = pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file}: not a whole Parquet file: {error}.", code="rows_unreadable") from error

    def rows() -> Iterator[tuple[Row, dict[str, Any]]]:
        for batch in opened.iter_batches(PART):
            for cells in batch.to_pylist():
                yield cells, {one.name: _plain(one, cells[one.name]) for one in schema.inputs}

    return list(opened.schema_arrow.names), rows()


def _of_json(file: str, schema: Schema) -> tuple[list[str], Iterator[tuple[Row, dict[str, Any]]]]:
    lines = [line for line in _text(file).splitlines() if line.strip()]
    try:
        objects = [json.loads(line) for line in lines]
    except ValueError as error:
        raise DataError(f"{file}: not JSON lines: {error}.", code="rows_unreadable") from error
    if not objects or not all(isinstance(row, dict) for row in objects):
        raise DataError(f"{file}: expected an object in each line.", code="rows_unreadable")
    return list(objects[0]), ((row, {one.name: row.get(one.name) for one in schema.inputs}) for row in objects)


def _plain(field: Field, value: Any) -> Any:
    """A value of Arrow as JSON has it."""
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, timedelta):
        # Nanoseconds, as in training; those below the microsecond only pandas' own have.
        return value // timedelta(microseconds=1) * 1000 + getattr(value, "nanoseconds", 0)
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    if isinstance(value, date) and field.type == "string":
        return date_text(value)
    # Decimals are numbers too; what is none is left for the check of the row, which names it.
    return float(value) if field.type == "number" and isinstance(value, Decimal) else value


def _write(done: FileAnswers, into: Path) -> None:
    from slipstream.store.files import atomic_copy, atomic_write

    kind = into.suffix.lower()
    if kind == ".parquet":
        import tempfile

        import pyarrow as pa
        import pyarrow.parquet as pq

        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "answers.parquet"
            pq.write_table(pa.table(done.columns), file)
            atomic_copy(file, into)
        return
    if kind not in {".csv", ".jsonl"}:
        raise DataError(f"{into}: expected a file that ends in .csv, .parquet or .jsonl.", code="rows_unreadable")
    atomic_write(into, done.lines(kind == ".jsonl").encode())
