"""Excel workbooks: the table on one sheet as Parquet, in the types that its cells have, or a refusal with the cell."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from slipstream.errors import DataError, SourceError, shown
from slipstream.sources.cells import Cells, as_text
from slipstream.sources.chunks import Chunks
from slipstream.sources.parquet_reader import check_names
from slipstream.sources.sheet_parts import SheetParts, check_unpacked, column_letters, column_number, sheet_parts
from slipstream.spec.model import ModelSpec

MOST_CELLS, MOST_BYTES = 10_000_000, 512 << 20
"""A workbook is held in memory: cells of all that come at once, and bytes that one unpacks to."""
_EXACT = 2**53
_OLE = b"\xd0\xcf\x11\xe0"
"""How files of Excel before 2007 begin, and encrypted ones."""


@dataclass(frozen=True)
class _SheetTable:
    """The table of one sheet: column -> its letters, and its values in the order of the rows."""

    letters: dict[str, str]
    columns: dict[str, list[Any]]


def as_parquet(spec: ModelSpec, files: Mapping[Path, str], sheet: str, max_bytes: int, folder: Path) -> Path:
    """The tables of *files* (path -> the name that errors use), one below the other, as one Parquet file in *folder*.

    Args:
        spec: What it says of a column decides what becomes of odd cells in it.
        files: The workbooks.
        sheet: The name of the sheet; "" where each has only one.
        max_bytes: How many bytes a workbook may unpack to.
        folder: Takes the file.

    Raises:
        DataError: ``data_sheet_malformed`` with the cell or the row; ``data_schema_changed`` if the tables have
            different columns; a value that no column holds.
        SourceError: ``source_sheet_unknown``, ``source_too_large``, or ``source_unreadable`` for what is no workbook.
    """
    columns: dict[str, list[Any]] = {}
    first, cells = "", 0
    for path, name in files.items():
        table = _table(spec, path, name, sheet, max_bytes)
        cells += sum(map(len, table.columns.values()))
        if cells > MOST_CELLS:
            raise _too_many(name)
        if first and table.columns.keys() != columns.keys():
            message = (
                f"{name}: its columns ({', '.join(table.columns)}) are not those of {first} ({', '.join(columns)}); "
                "files read at once have the same columns: move it away until those before it are in the table."
            )
            raise DataError(message, code="data_schema_changed")
        first = first or name
        for column, values in table.columns.items():
            columns.setdefault(column, []).extend(values)
    typed, chunks = Cells(spec, {}, ""), Chunks(folder)
    with chunks.open():
        chunks.write(list(columns), [typed.arrow(name, _alike(spec, name, values)) for name, values in columns.items()])
    return chunks.listed[0].file


def _table(spec: ModelSpec, path: Path, name: str, sheet: str, max_bytes: int) -> _SheetTable:
    from python_calamine import CalamineWorkbook

    with _errors_of(path, name):
        with ZipFile(path) as archive:
            check_unpacked(archive, name, min(max_bytes, MOST_BYTES))
            with CalamineWorkbook.from_path(path) as book:
                chosen = _chosen(book, sheet, name)
                parts = sheet_parts(archive, chosen, name)
                if parts.rows * parts.columns > MOST_CELLS:
                    raise _too_many(name)
                page = book.get_sheet_by_name(chosen)
                rows, merged = page.to_python(skip_empty_area=False), page.merged_cell_ranges or []
        place = f"{name}: sheet {shown(chosen)}"
        table, (top, bottom) = _cut_out(rows, place)
        _refuse_hidden_gaps(merged, (top, bottom), place)
        _refuse_unknown(spec, parts, table, place)
        return table


def _chosen(book: Any, sheet: str, name: str) -> str:
    """The sheet that is read."""
    from python_calamine import SheetTypeEnum, SheetVisibleEnum

    known = [one for one in book.sheets_metadata if one.typ == SheetTypeEnum.WorkSheet]
    seen = [one.name for one in known if one.visible == SheetVisibleEnum.Visible]
    if sheet and sheet not in {one.name for one in known}:
        message = f"{name}: has no sheet {shown(sheet)}; it has {', '.join(map(shown, seen))}."
        raise SourceError(message, code="source_sheet_unknown")
    if not sheet and len(seen) != 1:
        message = (
            f"{name}: has {len(seen)} sheets ({', '.join(map(shown, seen[:20]))}); name one: "
            f"data.source: {{sheet: {seen[0] if seen else 'NAME'}}}."
        )
        raise SourceError(message, code="source_sheet_unknown")
    return sheet or seen[0]


def _cut_out(rows: Sequence[Sequence[Any]], place: str) -> tuple[_SheetTable, tuple[int, int]]:
    """The table: from the first row with values, which names the columns, to the last; with the numbers of these."""
    full = [number for number, row in enumerate(rows, start=1) if any(value != "" for value in row)]
    if not full:
        raise _malformed(place, "is empty, expected a row with the names of the columns")
    top, bottom = full[0], full[-1]
    if bottom - top + 1 != len(full):
        gap = next(number for number, following in pairwise(full) if following != number + 1) + 1
        raise _malformed(place, f"row {gap} is empty, and rows with values follow; delete it, or what is below it")
    letters, columns = {}, {}
    names = []
    for number, head in enumerate(rows[top - 1], start=1):
        values = [None if row[number - 1] == "" else _plain(row[number - 1]) for row in rows[top:bottom]]
        name = "" if head == "" else as_text(_plain(head)).strip()
        if not name and any(value is not None for value in values):
            problem = (
                f"column {column_letters(number)} has values and no name in row {top}, the first that is not empty: it "
                "must hold the names of all columns; delete what stands above or beside the table"
            )
            raise _malformed(place, problem)
        if name:
            names.append(name)
            letters[name], columns[name] = column_letters(number), values
    check_names(names, place)
    return _SheetTable(letters, columns), (top, bottom)


def _refuse_hidden_gaps(
    merged: Sequence[tuple[tuple[int, int], tuple[int, int]]], rows: tuple[int, int], place: str
) -> None:
    """Of merged cells only the first has a value: the others would be missing without a word."""
    top, bottom = rows
    for (first_row, first_column), (last_row, last_column) in merged:
        if first_row + 1 <= bottom and last_row + 1 >= top:
            cells = f"{column_letters(first_column + 1)}{first_row + 1}:{column_letters(last_column + 1)}{last_row + 1}"
            raise _malformed(place, f"the cells {cells} are merged; split them, and give each its value")


def _refuse_unknown(spec: ModelSpec, parts: SheetParts, table: _SheetTable, place: str) -> None:
    """A formula without a value is refused, and so is an error, unless the model file says that it means missing."""
    if parts.uncalculated:
        problem = (
            f"{parts.uncalculated} holds a formula that no program has calculated; open the file in Excel and save it"
        )
        raise _malformed(place, problem)
    missing = set(spec.data.missing)
    for name, letters in table.letters.items():
        column = spec.data.columns.get(name)
        if column is not None and column.drop:
            continue
        known = missing | set(column.missing if column else ())
        for (in_column, word), cell in parts.errors.items():
            if column_number(in_column) == column_number(letters) and word not in known:
                problem = (
                    f"{cell} holds the error {word}; mend it, or write data.missing: ['{word}'] if it means that the "
                    "value is missing"
                )
                raise _malformed(place, problem)


def _plain(value: Any) -> Any:
    """Excel has one kind of number: 2013 is a whole one. Spans of time are texts, as Excel shows them."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
        return int(value)
    if isinstance(value, timedelta):
        minutes, seconds = divmod(round(value.total_seconds()), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    return value.isoformat() if isinstance(value, time) else value


def _alike(spec: ModelSpec, name: str, values: list[Any]) -> list[Any]:
    """Days among times are times at midnight, as Excel has it; long whole numbers are known to be rounded."""
    kinds = {type(value) for value in values}
    if {date, datetime} <= kinds:
        return [_midnight(value) if type(value) is date else value for value in values]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    column = spec.data.columns.get(name)
    rounded = column is not None and (column.drop or column.type == "number")
    if float in kinds and not rounded and all(isinstance(one, int) or one.is_integer() for one in numbers):
        large = next(value for value in numbers if isinstance(value, float))
        message = (
            f"column {name!r} holds {large:.0f}, a whole number of which Excel keeps 15 digits; write it as text "
            f"there, or data.schema: {{{name}: number}} if the digits behind do not count."
        )
        raise DataError(message, code="data_number_inexact")
    return values


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)  # noqa: DTZ001 - Excel's times have no zone


def _too_many(name: str) -> SourceError:
    message = f"{name}: more than {MOST_CELLS} cells; deliver less at once, or save it as CSV."
    return SourceError(message, code="source_too_large")


def _malformed(place: str, problem: str) -> DataError:
    return DataError(f"{place}: {problem}.", code="data_sheet_malformed")


@contextmanager
def _errors_of(path: Path, name: str) -> Iterator[None]:
    """What the readers of workbooks say, as one sentence."""
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from python_calamine import CalamineError

    try:
        yield
    except (CalamineError, BadZipFile, KeyError, ParseError, DefusedXmlException, EOFError, zlib.error) as error:
        with path.open("rb") as file:
            old = file.read(len(_OLE)) == _OLE
        why = "it is encrypted, or of Excel before 2007; save it as .xlsx without a password" if old else str(error)
        raise SourceError(f"{name}: not a whole Excel file: {why}.") from error
