"""What some cells of a column suggest that it holds: where :mod:`slipstream.data.infer` begins to look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from slipstream.cell_formats import MISSING_WORDS
from slipstream.cell_reading import CellReading, recognised
from slipstream.duck import first_row, quoted

if TYPE_CHECKING:
    import duckdb

SAMPLE = 200
RECOGNISED = tuple(recognised())
"""The readings that are tried, in this order."""
TEXT = CellReading("VARCHAR")


def likely(
    rows: duckdb.DuckDBPyRelation, columns: Sequence[str], missing: Mapping[str, tuple[str, ...]]
) -> dict[str, CellReading]:
    """What some cells of each column suggest."""
    listed = ", ".join(map(quoted, columns))
    sample = rows.project(listed).limit(SAMPLE).fetchall()
    cells = {name: [row[at] for row in sample if row[at] is not None] for at, name in enumerate(columns)}
    silent = [name for name in columns if not _known(cells[name], missing.get(name, ()))]
    if silent:
        texts = [CellReading("DOUBLE", missing=missing.get(name, ())).known(name) for name in silent]
        aggregates = [
            f"{end}({quoted(name)}) FILTER (WHERE {known})"
            for name, known in zip(silent, texts, strict=True)
            for end in ("min", "max")
        ]
        ends = first_row(rows.aggregate(", ".join(aggregates)))
        for at, name in enumerate(silent):
            cells[name] = [end for end in ends[2 * at : 2 * at + 2] if end is not None]
    return {name: _first(_known(cells[name], missing.get(name, ())), missing.get(name, ())) for name in columns}


def _known(cells: Sequence[str], missing: tuple[str, ...]) -> list[str]:
    """The cells that say something."""
    return [cell for cell in cells if cell not in missing and cell.strip(" ").lower() not in {"", *MISSING_WORDS}]


def _first(cells: Sequence[str], missing: tuple[str, ...]) -> CellReading:
    if not cells:
        return CellReading("", missing=missing)
    for reading in RECOGNISED:
        if all(_reads(reading, cell) for cell in cells):
            return replace(reading, missing=missing)
    return replace(TEXT, missing=missing)


def _reads(reading: CellReading, cell: str) -> bool:
    try:
        return reading.parse(cell) is not None
    except ValueError:
        return False
