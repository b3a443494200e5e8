"""Parquet files as the rows that they hold, in the types that they have, once they are known to be whole and alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slipstream.duck import columns_of, quoted
from slipstream.errors import DataError, shown

if TYPE_CHECKING:
    import duckdb


def read_parquet(connection: duckdb.DuckDBPyConnection, files: Mapping[Path, str]) -> duckdb.DuckDBPyRelation:
    """The rows of *files* (path -> the name that errors use), in their order.

    Raises:
        DataError: ``data_parquet_malformed``, or ``data_schema_changed`` if the files have different columns.
    """
    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq

    first: tuple[str, dict[str, str]] | None = None
    for path, name in files.items():
        try:
            # DuckDB takes a duration for a number, whatever it counts.
            columns = dict(columns_of(connection.read_parquet(str(path)))) | durations(path)
            check_names(pq.read_schema(path).names, name)
        except (duckdb.Error, pa.ArrowException) as error:
            raise malformed(name, error) from error
        first = first or (name, columns)
        if columns != first[1]:
            differing = sorted({column for column, _ in columns.items() ^ first[1].items()})
            message = f"{name}: columns {', '.join(differing)} are not as in {first[0]}."
            raise DataError(message, code="data_schema_changed")
    paths = [str(path) for path in files]
    if len(paths) == 1:
        return connection.read_parquet(paths)
    # By name: files of one batch may have their columns in different orders.
    rows = connection.read_parquet(paths, union_by_name=True)
    return rows.project(", ".join(map(quoted, rows.columns)))


def durations(path: Path) -> dict[str, str]:
    """The columns of a Parquet file that hold durations, and the unit of each: ``s``, ``ms``, ``us`` or ``ns``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return {field.name: str(field.type.unit) for field in pq.read_schema(path) if pa.types.is_duration(field.type)}


def check_names(names: Sequence[str], place: str) -> None:
    """Each column has a name, of its own but for case: DuckDB would make up another one without a word.

    Raises:
        DataError: ``data_column_unnamed`` or ``data_column_twice``.
    """
    seen: dict[str, str] = {}
    for number, name in enumerate(names, start=1):
        if not name or "\0" in name:
            wrong = "a NUL byte in its name" if name else "no name"
            raise DataError(f"{place}: column {number} has {wrong}; rename it.", code="data_column_unnamed")
        other = seen.get(name.lower())
        if other is not None:
            alike = "are called the same" if other == name else "differ by case only"
            message = f"{place}: columns {shown(other)} and {shown(name)} {alike}; rename one."
            raise DataError(message, code="data_column_twice")
        seen[name.lower()] = name


def malformed(names: str, error: Exception) -> DataError:
    """DuckDB's error on reading Parquet files, as one sentence."""
    return DataError(f"{names}: not a whole Parquet file: {str(error).splitlines()[0]}", code="data_parquet_malformed")
