"""JSON lines: each line an object, whose keys are columns; strictly, as Parquet in the types that their values have.

A column is told by all of its values. A key that some lines lack is missing there; objects and lists within a line are
no cells, and are left out unless something names them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import IO, Any

from slipstream.duck import duck, quoted, write_parquet
from slipstream.errors import DataError, shown
from slipstream.sources.cells import Cells
from slipstream.sources.chunks import Chunks
from slipstream.sources.packed import check_size, opened
from slipstream.sources.parquet_reader import check_names
from slipstream.spec.model import ModelSpec

_MOST_LINES = 10_000
_LONGEST = 16 << 20
"""Bytes of a line."""
_BOM = b"\xef\xbb\xbf"


def as_parquet(spec: ModelSpec, files: Mapping[Path, str], max_bytes: int, folder: Path) -> Path:
    """The objects of *files* (path -> the name that errors use), in their order, as one Parquet file in *folder*.

    Raises:
        DataError: ``data_json_malformed`` with file, line and what is wrong there, or a value that no column holds.
        SourceError: ``source_too_large``, or ``source_unreadable`` for a packed file that is not whole.
    """
    cells, chunks = Cells(spec, {}, ""), Chunks(folder)
    with chunks.open():
        for path, name in files.items():
            check_size(path, name, max_bytes)
            with opened(path) as file:
                lines = _objects(file, name)
                while some := list(islice(lines, _MOST_LINES)):
                    columns = list(dict.fromkeys(key for one in some for key in one))
                    check_names(columns, name)
                    arrays = [cells.arrow(column, [one.get(column) for one in some]) for column in columns]
                    chunks.write(columns, arrays)
    if not chunks.listed:
        message = f"{next(iter(files.values()))}: expected a JSON object on each line, found nothing."
        raise DataError(message, code="data_json_malformed")
    target = folder / "json-lines.parquet"
    with duck() as connection:
        write_parquet(connection.sql(_joined(chunks, cells)), target)
    return target


def _joined(chunks: Chunks, cells: Cells) -> str:
    """SQL of all chunks, one after the other: a column that a chunk has not is missing there."""
    names = dict.fromkeys(name for chunk in chunks.listed for name in chunk.types)
    types = {name: cells.settled(name, {chunk.types.get(name, "null") for chunk in chunks.listed}) for name in names}
    parts = []
    for chunk in chunks.listed:
        columns = [
            f"CAST({quoted(name) if name in chunk.types else 'NULL'} AS {kind}) AS {quoted(name)}"
            for name, kind in types.items()
        ]
        file = str(chunk.file).replace("'", "''")
        parts.append(f"SELECT {', '.join(columns)} FROM read_parquet('{file}')")  # noqa: S608 - our own files
    return " UNION ALL ".join(parts)


def _objects(file: IO[bytes], name: str) -> Iterator[dict[str, Any]]:
    number = 0
    while line := file.readline(_LONGEST + 1):
        number += 1
        if len(line) > _LONGEST:
            raise _malformed(name, number, f"is longer than {_LONGEST >> 20} MiB")
        text = line.removeprefix(_BOM).strip() if number == 1 else line.strip()
        if text:
            yield _object(text, name, number)


def _object(text: bytes, name: str, number: int) -> dict[str, Any]:
    twice: list[str] = []

    def paired(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) < len(pairs):
            keys = [key for key, _ in pairs]
            twice.append(next(key for key in keys if keys.count(key) > 1))
        return members

    try:
        value = json.loads(text.decode(), parse_float=Decimal, parse_constant=_constant, object_pairs_hook=paired)
    except UnicodeDecodeError as error:
        raise _malformed(name, number, "is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise _malformed(name, number, f"is no JSON: {error}") from error
    if not isinstance(value, dict):
        hint = "; a file that is one list is not read: write each object on a line of its own" if number == 1 else ""
        raise _malformed(name, number, f"holds {shown(text.decode()[:40])}, expected an object{hint}")
    if twice:
        raise _malformed(name, number, f"has the key {shown(twice[0])} twice")
    return {key: list(map(str, one)) if isinstance(one, dict | list) else one for key, one in value.items()}


def _constant(word: str) -> float | None:
    """``NaN``, ``Infinity`` and ``-Infinity``, which Python writes and JSON does not know."""
    return None if word == "NaN" else float(word)


def _malformed(name: str, number: int, problem: str) -> DataError:
    return DataError(f"{name}: line {number} {problem}.", code="data_json_malformed")
