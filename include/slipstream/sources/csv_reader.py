"""CSV files as rows of text, strictly: what does not fit is an error with its line, never a row left out.

Nothing is typed here: what the cells mean is decided by all of them together (:mod:`slipstream.data.infer`), or by the
model file.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from slipstream.duck import columns_of, first_row, quoted, stream_within
from slipstream.errors import DataError
from slipstream.sources.packed import check_size, opened

if TYPE_CHECKING:
    import duckdb

DELIMITERS = ",;\t|"
"""What may stand between fields, the usual first."""
_CHUNK = 1 << 20
_BUFFER = 2 << 20  # bytes of a file that a thread holds: DuckDB's own choice is 16 times that, and no quicker
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_NOT_UTF8 = "is not UTF-8; save the file as UTF-8, or write data.source: {encoding: cp1252}, or whichever it has"
_SEPARATOR = re.compile(r"\ufeff?sep=([,;\t|])\r?\n", re.IGNORECASE)
_LINE_END = re.compile(r"\r\n|\r|\n")
_LINE = re.compile(r"CSV Error on Line: (\d+)")
_FIELDS = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")
_FILE = re.compile(r"^\s*file = (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class TextRows:
    """The rows of CSV files.

    Attributes:
        rows: All columns VARCHAR, an empty cell NULL, in the order of the files and their lines.
        delimiter: What stands between fields.
        left_out: ``(column, why)`` of what is in the files and not in *rows*.
        reordered: Names of files whose columns stand in another order than in the first.
    """

    rows: duckdb.DuckDBPyRelation
    delimiter: str
    left_out: tuple[tuple[str, str], ...] = ()
    reordered: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Header:
    delimiter: str
    columns: tuple[str, ...]
    skip: int = 0
    """Lines before the header."""


def read_csv(
    connection: duckdb.DuckDBPyConnection, files: Mapping[Path, str], delimiter: str, max_bytes: int
) -> TextRows:
    """The rows of *files* (path -> the name that errors use), in their order.

    Args:
        connection: Where they are read.
        files: The files.
        delimiter: What stands between fields; "" for what the header suggests.
        max_bytes: How many bytes a packed file may unpack to.

    Raises:
        DataError: ``data_csv_malformed`` with file, line and what is wrong there, or ``data_schema_changed`` if the
            files have different columns.
        SourceError: ``source_too_large``.
    """
    headers: dict[Path, _Header] = {}
    for path, name in files.items():
        check_size(path, name, max_bytes)
        known = delimiter or (next(iter(headers.values())).delimiter if headers else "")
        headers[path] = _header(path, name, known)
    first_path, first = next(iter(headers.items()))
    for path, header in headers.items():
        if sorted(header.columns) != sorted(first.columns):
            message = (
                f"{files[path]}: its columns ({', '.join(header.columns)}) are not those of {files[first_path]} "
                f"({', '.join(first.columns)}); files read at once have the same columns: move it away until "
                "those before it are in the table."
            )
            raise DataError(message, code="data_schema_changed")
    stream_within(connection, len(first.columns))
    rows = _united(connection, headers)
    rows, left_out = _named(rows, first.columns, files[first_path])
    reordered = tuple(files[path] for path, header in headers.items() if header.columns != first.columns)
    return TextRows(rows, first.delimiter, left_out, reordered)


def _united(connection: duckdb.DuckDBPyConnection, headers: Mapping[Path, _Header]) -> duckdb.DuckDBPyRelation:
    """The rows of all files, the columns as in the first; files that follow each other alike are read together."""
    runs: list[tuple[_Header, list[Path]]] = []
    for path, header in headers.items():
        if not runs or runs[-1][0] != header:
            runs.append((header, []))
        runs[-1][1].append(path)
    parts = [_rows(connection, paths, header, at) for at, (header, paths) in enumerate(runs)]
    united = parts[0]
    for part in parts[1:]:
        united = united.union(part.project(", ".join(map(quoted, united.columns))))
    return united


def _rows(
    connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], header: _Header, run: int
) -> duckdb.DuckDBPyRelation:
    # Named values, not SQL text: file names and column names come from outside. A union wants each name once.
    kinds = {name or f"column {place} without a name": "VARCHAR" for place, name in enumerate(header.columns, start=1)}
    return connection.sql(
        f"SELECT * FROM read_csv($files{run:d}, columns = $kinds{run:d}, auto_detect = false, header = true,"  # noqa: S608
        f" delim = $delimiter{run:d}, quote = '\"', escape = '\"', nullstr = [''], strict_mode = true,"
        f" skip = {header.skip:d}, buffer_size = {_BUFFER:d})",
        params={
            f"files{run}": [str(path) for path in paths],
            f"kinds{run}": kinds,
            f"delimiter{run}": header.delimiter,
        },
    )


def _named(
    rows: duckdb.DuckDBPyRelation, columns: Sequence[str], file: str
) -> tuple[duckdb.DuckDBPyRelation, tuple[tuple[str, str], ...]]:
    """The rows without the columns that have no name: pandas' index in front, an empty one behind."""
    left_out = []
    keep = list(rows.columns)
    for place, name in enumerate(columns):
        if name:
            continue
        if place == 0 and len(columns) > 1:
            left_out.append(("", "the first column has no name, as the index that pandas and R write"))
        elif place == len(columns) - 1 and _empty(rows, keep[-1]):
            left_out.append(("", "the last column has neither a name nor a value"))
        else:
            raise _malformed(file, 1, f"column {place + 1} has no name, but values; name it")
        keep.remove(rows.columns[place])
    return (rows.project(", ".join(map(quoted, keep))) if left_out else rows), tuple(left_out)


def _empty(rows: duckdb.DuckDBPyRelation, column: str) -> bool:
    return bool(first_row(rows.aggregate(f"count({quoted(column)})"))[0] == 0)


def _header(path: Path, name: str, delimiter: str) -> _Header:
    """The delimiter and the columns of one file."""
    with opened(path) as file:
        begin = file.read(_CHUNK)
    if begin.startswith(_UTF16):
        raise _malformed(name, 1, "the file is UTF-16; save it as UTF-8, or write data.source: {encoding: utf-16}")
    text = begin.decode("utf-8-sig", errors="surrogateescape")
    stated, text = separator(text)
    line = text.partition("\n")[0].rstrip("\r")
    if any("\udc80" <= character <= "\udcff" for character in line):
        raise _malformed(name, 1, f"the header {_NOT_UTF8}")
    if not line.strip():
        raise _malformed(name, 1, "expected a header line with the names of the columns, found nothing")
    chosen = delimiter or stated or max(DELIMITERS, key=line.count)
    # A quoted name may hold line ends.
    lines = io.StringIO(text, newline="")
    columns = tuple(column.strip() for column in next(csv.reader(lines, delimiter=chosen), []))
    _check_names(columns, name)
    # DuckDB takes the first line end of a file for that of all its lines, and finds no rows if it is not.
    ends = _LINE_END.findall(text[: lines.tell()])
    if ends and ends[0] != ends[-1]:
        problem = "a column's name holds another line end than the lines have; write the name on one line"
        raise _malformed(name, 1, problem)
    return _Header(chosen, columns, int(bool(stated)))


def separator(text: str) -> tuple[str, str]:
    """What the line ``sep=;`` says that Excel takes above a header, and the text below it; "" where there is none."""
    line = _SEPARATOR.match(text)
    return (line[1], text[line.end() :]) if line else ("", text)


def in_utf8(files: Mapping[Path, str], encoding: str, max_bytes: int, folder: Path) -> dict[Path, str]:
    """Copies of *files* in *folder*, unpacked and as UTF-8, which alone is read quickly; the names stay.

    Raises:
        DataError: ``data_csv_malformed``: a file is not in that *encoding*.
        SourceError: ``source_too_large``.
    """
    copies = {}
    for number, (path, name) in enumerate(files.items()):
        check_size(path, name, max_bytes)
        copy = folder / f"utf8-{number}.csv"
        try:
            with opened(path) as file, copy.open("wb") as target:
                for text in codecs.iterdecode(iter(partial(file.read, _CHUNK), b""), encoding):
                    target.write(text.encode())
        except UnicodeError as error:
            message = f"{name}: is not all in {encoding}, as data.source says: {error}."
            raise DataError(message, code="data_csv_malformed") from error
        copies[copy] = name
    return copies


def _check_names(columns: Sequence[str], name: str) -> None:
    """The names in a header, of which some may be empty, are different ones."""
    seen: set[str] = set()
    for column in filter(None, columns):
        if "\0" in column:
            raise _malformed(name, 1, "NUL byte")
        if column.lower() in seen:
            raise _malformed(name, 1, f"column '{column}' stands twice in the header")
        seen.add(column.lower())


def refuse_nul(rows: duckdb.DuckDBPyRelation, files: Mapping[Path, str]) -> None:
    """No text of *rows* holds a NUL byte, which cuts it short elsewhere; the line is looked for only if one does.

    Raises:
        DataError: ``data_csv_malformed``.
    """
    texts = [name for name, kind in columns_of(rows) if kind == "VARCHAR"]
    checks = [f"bool_or(contains({quoted(name)}, chr(0)))" for name in texts]
    if not checks or True not in first_row(rows.aggregate(", ".join(checks))):
        return
    for path, name in files.items():
        with opened(path) as file:
            for number, line in enumerate(file, start=1):
                if b"\0" in line:
                    raise _malformed(name, number, "NUL byte")


def explained(error: Exception, files: Mapping[Path, str]) -> DataError:
    """DuckDB's error on reading *files*, as one sentence with file and line."""
    text = str(error)
    file, line, fields = (pattern.search(text) for pattern in (_FILE, _LINE, _FIELDS))
    name = files.get(Path(file[1].strip()), "") if file else ""
    name = name or next(iter(files.values()))
    at = f"line {line[1]}" if line else "somewhere"
    if fields:
        problem = f"{at} has {fields[2]} fields, expected {fields[1]}"
    elif "not utf-8" in text:
        problem = f"{at} {_NOT_UTF8}"
    elif "unterminated quote" in text:
        problem = f"{at}: a quote is opened and never closed"
    elif "invalid state" in text:
        problem = "some lines end in CR LF and some in LF, or a quote stands inside a field; write it as RFC 4180 says"
    else:
        problem = f"{at}: {text.splitlines()[0].partition(': ')[2] or text[:200]}"
    return DataError(f"{name}: {problem}.", code="data_csv_malformed")


def _malformed(name: str, line: int, problem: str) -> DataError:
    return DataError(f"{name}: line {line}: {problem}.", code="data_csv_malformed")
