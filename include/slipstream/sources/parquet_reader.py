"""Reads Parquet files with DuckDB, once they are known to be whole, alike and not too much."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from slipstream.duck import columns_of, refuse_bulk, stream_within, typed, write_parquet
from slipstream.errors import DataError

if TYPE_CHECKING:
    import duckdb


def read_parquet(connection: duckdb.DuckDBPyConnection, files: Mapping[Path, str], max_rows: int, target: Path) -> None:
    """Read *files* (path -> the name that errors use) in their order and write their rows, typed, to *target*.

    Raises:
        DataError: ``data_parquet_malformed``, ``data_too_many_rows``, ``data_decoded_too_large``, or
            ``data_schema_changed`` if the files have different columns.
    """
    import duckdb

    first: tuple[str, tuple[tuple[str, str], ...]] | None = None
    for path, name in files.items():
        try:
            columns = columns_of(connection.read_parquet(str(path)))
        except duckdb.Error as error:
            raise _malformed(name, error) from error
        first = first or (name, columns)
        if columns != first[1]:
            differing = sorted({column for column, _ in set(columns) ^ set(first[1])})
            message = f"{name}: columns {', '.join(differing)} are not as in {first[0]}."
            raise DataError(message, code="data_schema_changed")
    rows = connection.read_parquet([str(path) for path in files])
    stream_within(connection, len(rows.columns))
    try:
        refuse_bulk(rows, max_rows)
        write_parquet(typed(rows), target)
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise _malformed(", ".join(list(files.values())[:3]), error) from error


def _malformed(name: str, error: Exception) -> DataError:
    return DataError(f"{name}: not a whole Parquet file: {str(error).splitlines()[0]}", code="data_parquet_malformed")
