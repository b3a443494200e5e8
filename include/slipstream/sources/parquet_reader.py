"""Reads Parquet files with DuckDB: their footers first, so that what is too much is not read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from slipstream.duck import columns_of, stream_within, typed, write_parquet
from slipstream.errors import DataError

if TYPE_CHECKING:
    import duckdb


def read_parquet(connection: duckdb.DuckDBPyConnection, files: Mapping[Path, str], max_rows: int, target: Path) -> None:
    """Read *files* (path -> the name that errors use) in their order and write their rows, typed, to *target*.

    Raises:
        DataError: ``data_parquet_malformed``, ``data_too_many_rows``, or ``data_schema_changed`` if the files have
            different columns.
    """
    import duckdb

    rows = 0
    columns: dict[str, tuple[tuple[str, str], ...]] = {}
    for path, name in files.items():
        try:
            rows += sum(
                count
                for (count,) in connection.execute(
                    "SELECT num_rows FROM parquet_file_metadata($1)", [str(path)]
                ).fetchall()
            )
            columns[name] = columns_of(connection.read_parquet(str(path)))
        except duckdb.Error as error:
            raise _malformed(name, error) from error
        first = next(iter(columns))
        if columns[name] != columns[first]:
            differing = sorted(column for column, _ in set(columns[name]) ^ set(columns[first]))
            message = f"{name}: columns {', '.join(differing)} are not as in {first}."
            raise DataError(message, code="data_schema_changed")
    if rows > max_rows:
        message = f"{rows} rows, more than data.max_rows ({max_rows}); deliver less at once or raise it."
        raise DataError(message, code="data_too_many_rows")
    stream_within(connection, len(columns[first]))
    try:
        write_parquet(typed(connection.read_parquet([str(path) for path in files])), target)
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise _malformed(", ".join(list(files.values())[:3]), error) from error


def _malformed(name: str, error: Exception) -> DataError:
    return DataError(f"{name}: not a whole Parquet file: {str(error).splitlines()[0]}", code="data_parquet_malformed")
