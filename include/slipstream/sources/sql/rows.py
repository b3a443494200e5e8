"""The rows of an answer as one Parquet file: in bounded memory, in an order that follows from the rows alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from slipstream.duck import duck, first_row, literal, quoted, write_parquet
from slipstream.errors import DataError
from slipstream.sources.cells import Cells
from slipstream.sources.chunks import Chunks, FetchedRows
from slipstream.sources.parquet_reader import check_names
from slipstream.sources.sql.snapshot import Answer, Question

if TYPE_CHECKING:
    import duckdb

_FEW = 10_000
_MEMORY = "512MiB"
"""Of DuckDB while it sorts; the driver and Arrow have as much again."""


def fetched(
    answer: Answer, cells: Cells, question: Question, max_rows: int, into: Path, look: Callable[[Sequence[Any]], object]
) -> list[FetchedRows]:
    """The rows of *answer* in Parquet files below *into*, as they come; *look* sees each chunk of the watermark.

    Raises:
        DataError: ``data_too_many_rows``, or a value that no column holds.
    """
    check_names(answer.columns, question.name)
    place = answer.columns.index(question.column) if question.column else -1
    rows, parts = 0, Chunks(into)
    with parts.open():
        for chunk in answer.chunks:
            rows += len(chunk)
            if rows > max_rows:
                message = f"{question.name}: more than data.max_rows ({max_rows}) rows; read less at once, or raise it."
                raise DataError(message, code="data_too_many_rows")
            columns = list(zip(*chunk, strict=True))
            if place >= 0:
                look(columns[place])
            parts.write(answer.columns, [cells.arrow(*one) for one in zip(answer.columns, columns, strict=True)])
    return parts.listed


def sort(parts: Sequence[FetchedRows], cells: Cells, target: Path) -> None:
    """Write the rows of all *parts* to *target*, in the order of their values: databases promise none.

    Raises:
        DataError: a column holds values that do not go together.
    """
    names = list(parts[0].types)
    types = {name: cells.settled(name, {part.types[name] for part in parts}) for name in names}
    # Parts of the same types are read together.
    alike: dict[str, list[FetchedRows]] = {}
    for part in parts:
        alike.setdefault(str(part.types), []).append(part)
    casts = ", ".join(f"CAST({quoted(name)} AS {kind}) AS {quoted(name)}" for name, kind in types.items())
    with duck(_MEMORY) as connection:
        rows: duckdb.DuckDBPyRelation | None = None
        for group in alike.values():
            some = connection.read_parquet([str(part.file) for part in group]).project(casts)
            rows = some if rows is None else rows.union(some)
        assert rows is not None  # noqa: S101 - there is a part
        write_parquet(rows.order(", ".join(map(quoted, names))), target)
    for part in parts:
        part.file.unlink()


def keep_after(file: Path, column: str, value: str) -> None:
    """Leave only the rows whose *column* is larger than *value*."""
    with duck(_MEMORY) as connection:
        rest = file.with_name("after.parquet")
        rows = connection.read_parquet(str(file))
        write_parquet(rows.filter(f"{quoted(column)} > {_typed(rows, column, value)}"), rest)
    rest.replace(file)


def digest(file: Path, column: str, low: str, high: str) -> tuple[str, int]:
    """A digest of the rows from *low* to *high* of *column*, and how many rows lie above *high*.

    It is one of what the rows say, whatever types all rows of the file together gave their columns.
    """
    with duck(_MEMORY) as connection:
        rows = connection.read_parquet(str(file))
        top = _typed(rows, column, high)
        within = rows.filter(f"{quoted(column)} BETWEEN {_typed(rows, column, low)} AND {top}")
        texts = within.project(", ".join(map(_as_text, rows.columns, map(str, rows.types))))
        texts = texts.order(", ".join(map(quoted, texts.columns)))
        # Not of a file: how Parquet writes them depends on what else was there when they were read.
        seen = hashlib.sha256()
        for some in texts.to_arrow_reader(_FEW):
            for row in some.to_pylist():
                seen.update(msgspec.json.encode(row))
        above = int(first_row(rows.filter(f"{quoted(column)} > {top}").aggregate("count(*)"))[0])
    return seen.hexdigest(), above


def _as_text(name: str, kind: str) -> str:
    number = f"CAST({quoted(name)} AS DOUBLE)" if kind in {"BIGINT", "DOUBLE"} else quoted(name)
    return f"CAST({number} AS VARCHAR) AS {quoted(name)}"


def _typed(rows: duckdb.DuckDBPyRelation, column: str, value: str) -> str:
    """A value of the column as SQL."""
    kind = dict(zip(rows.columns, map(str, rows.types), strict=True))[column]
    return f"CAST({literal(value)} AS {kind})"
