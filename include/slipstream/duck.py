"""DuckDB as Slipstream uses it: bounded memory, spilling to a folder that is removed, the same bytes for the same rows.

Data is held in six types, so that a column that was an integer in one batch and a bigger integer in the next has not
changed: BOOLEAN, BIGINT, DOUBLE, VARCHAR, DATE and TIMESTAMP (microseconds, UTC where the origin named a zone).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from slipstream.errors import DataError, StageError
from slipstream.spacing import stride

if TYPE_CHECKING:
    import duckdb

MEMORY = "1GiB"
HALF = "50%"
"""Of the machine's memory: for what is held in it as a whole afterwards."""
STREAM_MIB = 300  # two threads write a Parquet file; from 270 down DuckDB leaves it to one
MAX_DECODED = 16 << 30
ROW_GROUP, MIN_ROW_GROUP, GROUP_CELLS = 20_480, 2_048, 4_000_000
_DATABASE = "slipstream"
_AT_REST = 2
_SETTINGS = {
    "TimeZone": "UTC",
    # Extensions would be fetched from the network; rows keep the order of their files.
    "autoinstall_known_extensions": "false",
    "preserve_insertion_order": "true",
    "enable_progress_bar": "false",
    # The search for them takes the square of the number of columns: minutes for some thousands.
    "disabled_optimizers": "common_subexpressions",
}
TYPES = ("BOOLEAN", "BIGINT", "DOUBLE", "VARCHAR", "DATE", "TIMESTAMP")


@contextmanager
def duck(memory: str = MEMORY) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to an empty database that lives for the ``with`` block; what exceeds its *memory* spills to disk.

    Raises:
        StageError: ``data_out_of_memory``: what was asked for cannot spill, such as a very wide table.
    """
    import duckdb

    with TemporaryDirectory(prefix="slipstream-") as spill, _engines.one(Path(spill)) as engine:
        try:
            with engine.cursor() as connection:
                connection.execute(f"ATTACH ':memory:' AS {_DATABASE}; USE {_DATABASE}")
                for name, value in (_SETTINGS | {"memory_limit": memory, "temp_directory": spill}).items():
                    connection.execute(f"SET {name} = {literal(value)}")
                yield connection
            engine.execute(f"DETACH {_DATABASE}")
        except duckdb.OutOfMemoryException as error:
            message = (
                f"the rows do not fit in memory: {str(error).splitlines()[0]}; deliver fewer columns or rows at once."
            )
            raise StageError(message, code="data_out_of_memory") from error


class _Engines:
    """DuckDB engines that are at rest: to begin one costs as much as ten small queries."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[duckdb.DuckDBPyConnection] = []
        # An engine's threads do not come along into a forked process.
        os.register_at_fork(before=self._before_fork, after_in_parent=self._after_fork, after_in_child=self._after_fork)

    @contextmanager
    def one(self, spill: Path) -> Iterator[duckdb.DuckDBPyConnection]:
        """One at rest, or a new one; it rests again unless the block raises or it has spilled to that folder."""
        engine = self._taken()
        try:
            yield engine
            # One that has spilled cannot be given another folder.
            if not any(spill.iterdir()) and self._rests(engine):
                return
        except BaseException:
            engine.close()
            raise
        engine.close()

    def _taken(self) -> duckdb.DuckDBPyConnection:
        import duckdb

        with self._lock:
            if self._idle:
                return self._idle.pop()
        return duckdb.connect()

    def _rests(self, engine: duckdb.DuckDBPyConnection) -> bool:
        with self._lock:
            if len(self._idle) >= _AT_REST:
                return False
            self._idle.append(engine)
        return True

    def _before_fork(self) -> None:
        self._lock.acquire()
        while self._idle:
            self._idle.pop().close()

    def _after_fork(self) -> None:
        self._lock.release()


_engines = _Engines()


def stream_within(connection: duckdb.DuckDBPyConnection, columns: int) -> None:
    """Hold *connection* to what reading, converting and writing rows of so many columns in a stream takes."""
    connection.execute(f"SET memory_limit = '{STREAM_MIB + columns}MiB'")


def quoted(name: str) -> str:
    """A column name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def instant_before(newest: datetime, span: timedelta) -> str:
    """The instant *span* before *newest* as SQL; a span that reaches before the calendar begins reaches everything."""
    try:
        return f"TIMESTAMP '{(newest - span).isoformat()}'"
    except OverflowError:
        return "'-infinity'::TIMESTAMP"


def columns_of(relation: duckdb.DuckDBPyRelation) -> tuple[tuple[str, str], ...]:
    """``(name, DuckDB type)`` of each column."""
    return tuple((name, str(kind)) for name, kind in zip(relation.columns, relation.types, strict=True))


def first_row(relation: duckdb.DuckDBPyRelation) -> tuple[Any, ...]:
    """The first row, for relations that have one, such as aggregates."""
    row: tuple[Any, ...] = relation.limit(1).fetchall()[0]
    return row


def selected(rows: duckdb.DuckDBPyRelation, view: str, query: str) -> duckdb.DuckDBPyRelation:
    """What a SELECT gives that calls *rows* by the name *view*; not run until it is read."""
    result = rows.query(view, query)
    assert result is not None  # noqa: S101 - None is for statements that give no rows
    return result


def numbered(rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """The rows with their number, from 1, in column ``slipstream_row`` behind all others."""
    return rows.project("*, row_number() OVER () AS slipstream_row")


def evenly_spaced(rows: duckdb.DuckDBPyRelation, count: int, at_most: int) -> duckdb.DuckDBPyRelation:
    """At most so many of the *count* rows, evenly spaced, in their order."""
    chosen = numbered(rows).filter(f"(slipstream_row - 1) % {stride(count, at_most)} = 0").order("slipstream_row")
    return chosen.project(", ".join(map(quoted, rows.columns)))


def refuse_bulk(relation: duckdb.DuckDBPyRelation, max_rows: int) -> int:
    """The number of rows, if they and their size are within bounds.

    A Parquet file of some kilobytes can hold gigabytes of equal texts, so what is there once decoded is counted too.

    Raises:
        DataError: ``data_too_many_rows`` or ``data_decoded_too_large``.
    """
    texts = [f"sum(strlen({quoted(name)}))" for name, kind in columns_of(relation) if kind == "VARCHAR"]
    count, *lengths = first_row(relation.aggregate(", ".join(["count(*)", *texts])))
    if count > max_rows:
        message = f"the batch has {count} rows, more than data.max_rows ({max_rows}); deliver less at once or raise it."
        raise DataError(message, code="data_too_many_rows")
    size = sum(int(length or 0) for length in lengths) + 8 * count * (len(relation.columns) - len(texts))
    if size > MAX_DECODED:
        message = f"the batch: {count} rows of {size // count} bytes exceed the budget of {MAX_DECODED >> 30} GiB"
        raise DataError(f"{message}; deliver less at once.", code="data_decoded_too_large")
    return int(count)


def write_parquet(relation: duckdb.DuckDBPyRelation, path: Path) -> None:
    """Write the rows to a Parquet file; equal rows in equal order give equal bytes, whatever the number of threads.

    A group of rows is held in memory until it is complete, so wide tables get shorter ones.
    """
    group = min(ROW_GROUP, max(MIN_ROW_GROUP, GROUP_CELLS // len(relation.columns)))
    relation.write_parquet(str(path), compression="zstd", row_group_size=group)
