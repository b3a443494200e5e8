"""Reads CSV files with DuckDB, strictly: what does not fit is an error with its line, never a row left out.

Columns come from the header line, types from the first rows. Where a later value does not fit, a column of integers
becomes one of decimals, and a column of dates one of times; nothing else is bent. DuckDB itself would round 2.5 to 3 in
a column of integers and cut the hour off in a column of dates, so these are read as their wider type and narrowed with
a guard. Dates are ISO 8601 only: 03/04/2020 stays text, because nobody can tell which day it is.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from slipstream.duck import TYPES, columns_of, first_row, quoted, stream_within, typed, write_parquet
from slipstream.errors import DataError, SourceError, SpecError, shown

if TYPE_CHECKING:
    import duckdb

_DELIMITERS = ",;\t|"
_SAMPLE = 20_480
_CHUNK = 1 << 20
_BUFFER = 4 << 20  # bytes of a file that a thread holds: DuckDB's own choice is eight times that, and no quicker
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_LINE = re.compile(r"CSV Error on Line: (\d+)")
_FIELDS = re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)")
_VALUE = re.compile(r'converting column "(.*?)"\. Could not convert string "(.*?)" to \'([A-Z ]+)\'', re.DOTALL)
_FILE = re.compile(r"^\s*file = (.*)$", re.MULTILINE)
_GUARD = re.compile(r"slipstream guard (\w+) (\d+)")
_WHOLE = 2**53  # from here on a double does not hold every integer
_LONG = "LONG"  # integers of 16 digits and more, read as text

# What a column of this kind is read as, and what makes it that kind: {c} is the column, {n} its place.
_READ = {"BIGINT": "DOUBLE", "DATE": "TIMESTAMP", _LONG: "VARCHAR"}
_NARROWED = {
    "BIGINT": "CASE WHEN {c} IS NULL THEN NULL WHEN {c} <> trunc({c}) THEN error('slipstream guard DOUBLE {n}') "
    f"WHEN abs({{c}}) >= {_WHOLE} THEN error('slipstream guard {_LONG} {{n}}') ELSE {{c}}::BIGINT END",
    "DATE": "CASE WHEN {c} <> date_trunc('day', {c}) THEN error('slipstream guard TIMESTAMP {n}') ELSE {c}::DATE END",
    _LONG: "CASE WHEN strpos({c}, '.') > 0 THEN error('slipstream guard DOUBLE {n}') ELSE {c}::BIGINT END",
}
_SAID = {"BIGINT": "number", "DOUBLE": "number", "DATE": "date", "TIMESTAMP": "time", "BOOLEAN": "truth value"}

Kinds = dict[str, str]


@dataclass(frozen=True)
class CsvFormat:
    """How the files are written; the attributes are those of :class:`~slipstream.sources.files.FilesSource`."""

    types: Mapping[str, str]
    nulls: Sequence[str]
    delimiter: str
    max_bytes: int


def read_csv(connection: duckdb.DuckDBPyConnection, files: Mapping[Path, str], form: CsvFormat, target: Path) -> None:
    """Read *files* (path -> the name that errors use) in their order and write their rows, typed, to *target*.

    Raises:
        DataError: ``data_csv_malformed`` with file, line and what is wrong there, or ``data_schema_changed`` if the
            files have different columns.
        SourceError: ``source_too_large``: more bytes than allowed once unpacked.
        SpecError: ``types`` names a column or a type that does not exist.
    """
    import duckdb

    for path, name in files.items():
        _check_size(path, name, form.max_bytes)
    delimiter, columns = _header(files, form.delimiter)
    stream_within(connection, len(columns))
    reader = _Reader(connection, [str(path) for path in files], form, delimiter)
    kinds = reader.kinds(columns) | _asked(form.types, columns)
    for _ in range(1 + 2 * len(columns)):
        try:
            write_parquet(typed(reader.narrowed(kinds)), target)
            return _refuse_nul(connection, files, target)
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            guard = _GUARD.search(str(error))
            column = columns[int(guard[2])] if guard else ""
            if guard is None or column in form.types:
                raise _explained(error, files, column) from error
            kinds[column] = guard[1]
    return None


@dataclass(frozen=True)
class _Reader:
    connection: duckdb.DuckDBPyConnection
    files: list[str]
    form: CsvFormat
    delimiter: str

    def rows(self, kinds: Kinds) -> duckdb.DuckDBPyRelation:
        """All rows, with the types given."""
        # Named values, not SQL text: file names, column names and nulls come from outside.
        return self.connection.sql(
            "SELECT * FROM read_csv($files, columns = $kinds, auto_detect = false, header = true, delim = $delimiter,"
            " quote = '\"', escape = '\"', nullstr = $nulls, strict_mode = true, buffer_size = $buffer)",
            params={"files": self.files, "kinds": kinds, "buffer": _BUFFER, **self._shared()},
        )

    def narrowed(self, kinds: Kinds) -> duckdb.DuckDBPyRelation:
        """All rows in the *kinds* asked for; reading them fails by a guard where a value is of a wider kind."""
        rows = self.rows({name: _READ.get(kind, kind) for name, kind in kinds.items()})
        parts = []
        for number, (name, kind) in enumerate(kinds.items()):
            column = quoted(name)
            parts.append(f"{_NARROWED.get(kind, '{c}').format(c=column, n=number)} AS {column}")
        return rows.project(", ".join(parts))

    def kinds(self, columns: Sequence[str]) -> Kinds:
        """The type that the first rows suggest for each column; text for all where they are malformed."""
        import duckdb

        text = dict.fromkeys(columns, "VARCHAR")
        try:
            found = self._sniffed(columns, _SAMPLE)
            silent = [name for name, kind in found.items() if kind == "VARCHAR"]
            counts = ", ".join(f"count({quoted(name)})" for name in silent) or "1"
            if 0 in first_row(self.rows(text).limit(_SAMPLE).aggregate(counts)):
                # A column without a value in the first rows: all rows must say what it is.
                found = self._sniffed(columns, -1)
        except duckdb.Error:
            return text  # reading says on which line it is malformed
        return found

    def _sniffed(self, columns: Sequence[str], sample: int) -> Kinds:
        row = first_row(
            self.connection.sql(
                "SELECT Columns, DateFormat, TimestampFormat FROM sniff_csv($file, header = true, delim = $delimiter,"
                " quote = '\"', escape = '\"', nullstr = $nulls, strict_mode = true, sample_size = $sample)",
                params={"file": self.files[0], "sample": sample, **self._shared()},
            )
        )
        kinds = [str(column["type"]) for column in row[0]]
        if len(kinds) != len(columns):
            return dict.fromkeys(columns, "VARCHAR")
        guessed = {"DATE": row[1], "TIMESTAMP": row[2]}
        return {
            name: kind if kind in TYPES and str(guessed.get(kind) or "%Y").startswith("%Y") else _plain(kind)
            for name, kind in zip(columns, kinds, strict=True)
        }

    def _shared(self) -> dict[str, Any]:
        return {"delimiter": self.delimiter, "nulls": ["", *self.form.nulls]}


def _plain(kind: str) -> str:
    """What is neither of our types nor easily one: times with a zone are times in UTC, anything else stays text."""
    return "TIMESTAMP WITH TIME ZONE" if kind == "TIMESTAMP WITH TIME ZONE" else "VARCHAR"


def _asked(types: Mapping[str, str], columns: Sequence[str]) -> Kinds:
    for name, kind in types.items():
        if name not in columns:
            message = f"source: types names column {shown(name)}; the files have: {', '.join(columns)}."
            raise SpecError(message, code="source_types_invalid")
        if kind not in TYPES:
            message = f"source: types.{name}: {shown(kind)} is not a type; write one of {', '.join(TYPES)}."
            raise SpecError(message, code="source_types_invalid")
    return dict(types)


def _header(files: Mapping[Path, str], delimiter: str) -> tuple[str, list[str]]:
    """The delimiter, and the columns that all files share; raises DataError if they differ."""
    first: tuple[str, str, list[str]] | None = None
    for path, name in files.items():
        line = _first_line(path, name)
        found = first[1] if first else delimiter or max(_DELIMITERS, key=line.count)
        columns = [column.strip() for column in next(csv.reader([line], delimiter=found), [])]
        if first is None:
            _check_names(columns, name)
            first = (name, found, columns)
        elif columns != first[2]:
            message = f"{name}: its columns ({', '.join(columns)}) are not those of {first[0]} ({', '.join(first[2])})."
            raise DataError(message, code="data_schema_changed")
    assert first is not None  # noqa: S101 - the caller has at least one file
    return first[1], first[2]


def _check_names(columns: Sequence[str], name: str) -> None:
    seen: set[str] = set()
    for column in columns:
        if not column:
            raise _malformed(name, 1, "a column has no name")
        if column.lower() in seen:
            raise _malformed(name, 1, f"column '{column}' stands twice in the header")
        seen.add(column.lower())


def _first_line(path: Path, name: str) -> str:
    with _open(path) as file:
        line = file.readline(_CHUNK)
    if line.startswith(_UTF16):
        raise _malformed(name, 1, "the file is UTF-16; save it as UTF-8")
    try:
        text = line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise _malformed(name, 1, "the header is not UTF-8") from error
    if not text:
        raise _malformed(name, 1, "expected a header line with the names of the columns, found nothing")
    return text


def _check_size(path: Path, name: str, limit: int) -> None:
    """A packed file must not unpack to more than *limit*."""
    if path.suffix != ".gz":
        return
    size = 0
    with _open(path) as file:
        try:
            while size <= limit and (chunk := file.read(_CHUNK)):
                size += len(chunk)
        except (EOFError, gzip.BadGzipFile) as error:
            raise SourceError(f"{name}: not a whole gzip file: {error}.") from error
    if size > limit:
        raise SourceError(f"{name}: more than {limit} bytes; raise the source's max_bytes.", code="source_too_large")


def _refuse_nul(connection: duckdb.DuckDBPyConnection, files: Mapping[Path, str], target: Path) -> None:
    """No text holds a NUL byte, which cuts it short elsewhere; the line is looked for only if there is one."""
    rows = connection.read_parquet(str(target))
    texts = [name for name, kind in columns_of(rows) if kind == "VARCHAR"]
    found = [f"bool_or(contains({quoted(name)}, chr(0)))" for name in texts]
    if not found or True not in first_row(rows.aggregate(", ".join(found))):
        return
    for path, name in files.items():
        with _open(path) as file:
            for number, line in enumerate(file, start=1):
                if b"\0" in line:
                    raise _malformed(name, number, "NUL byte")


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _explained(error: Exception, files: Mapping[Path, str], column: str) -> DataError:
    """DuckDB's error as one sentence with file and line."""
    text = str(error)
    file, line, fields, value = (pattern.search(text) for pattern in (_FILE, _LINE, _FIELDS, _VALUE))
    name = files.get(Path(file[1].strip()), "") if file else ""
    name = name or next(iter(files.values()))
    at = f"line {line[1]}" if line else "somewhere"
    if fields:
        said = f"{at} has {fields[2]} fields, expected {fields[1]}"
    elif value:
        said = (
            f"{at}: {shown(value[2])} in column '{value[1]}' is not a {_SAID.get(value[3], value[3])}; mend it, "
            f"name it in the source's nulls, or write types: {{{value[1]}: VARCHAR}}"
        )
    elif column:
        said = f"column '{column}' does not hold what the source's types say; write a wider type"
    elif "not utf-8" in text:
        said = f"{at} is not UTF-8"
    elif "unterminated quote" in text:
        said = f"{at}: a quote is opened and never closed"
    elif "invalid state" in text:
        said = "some lines end in CR LF and some in LF, or a quote stands inside a field; write it as RFC 4180 says"
    else:
        said = f"{at}: {text.splitlines()[0].partition(': ')[2] or text[:200]}"
    return DataError(f"{name}: {said}.", code="data_csv_malformed")


def _malformed(name: str, line: int, said: str) -> DataError:
    return DataError(f"{name}: line {line}: {said}.", code="data_csv_malformed")
