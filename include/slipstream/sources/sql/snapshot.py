"""One look at a database: a transaction that reads only, in which everything is as it was when it began."""

from __future__ import annotations

import os
import re
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from slipstream.errors import SourceError, shown
from slipstream.hints import nearest
from slipstream.sources.sql.address import Address
from slipstream.sources.sql.failures import in_words, silent, unknown_column

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_CHUNK_CELLS = 200_000
_MOST_ROWS = 10_000
_CONNECT = 15
"""Seconds to wait for a server at most until it takes a connection."""
_GRACE = 2
_BEGIN = {
    "postgresql": (
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        "SET LOCAL TIME ZONE 'UTC'",
        "SET LOCAL statement_timeout = {milliseconds}",
    ),
    "mysql": (
        "SET SESSION time_zone = '+00:00'",
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    ),
    "sqlite": ("BEGIN",),
}
"""What begins the transaction; where a dialect is not listed, one statement is one look."""
_BEGIN["mariadb"] = _BEGIN["mysql"]
_AS_TEXT = ("json", "jsonb", "interval", "time", "timetz", "int4range", "int8range", "numrange", "daterange", "tsrange",
            "tstzrange")  # fmt: skip
"""PostgreSQL's types that arrive as the text that it prints."""


@dataclass(frozen=True)
class Question:
    """What is read.

    Attributes:
        table: A table, with or without its schema before a dot; or else
        query: a SELECT.
        column: The column of the watermark; "" for none.
        start: From which value of it on; None: from the first.
    """

    table: str = ""
    query: str = ""
    column: str = ""
    start: Any = None

    @property
    def name(self) -> str:
        """What errors and records call it."""
        return self.table or "query"


@dataclass(frozen=True)
class Answer:
    """What the database answers: the columns, their declared types as far as they are known, and rows in chunks."""

    columns: tuple[str, ...]
    declared: Mapping[str, str]
    chunks: Iterator[Sequence[Sequence[Any]]]


@contextmanager
def answered(address: Address, folder: Path, timeout: int, question: Question) -> Iterator[Answer]:
    """Ask the database; what it answers is of one moment, and is fetched while the block lasts.

    Args:
        address: The database.
        folder: Where a relative path of an SQLite database starts.
        timeout: Seconds that the database may take to answer once.
        question: What to ask.

    Raises:
        SourceError: with the database's own words.
        BackendError: ``missing_extra``.
    """
    with in_words(address):
        engine = _engine(address, folder, timeout)
        try:
            with engine.connect() as connection, ExitStack() as leaving:
                driver = connection.connection.driver_connection
                leaving.callback(_leave, connection, driver)
                _begin(connection, address.kind, timeout)
                yield _ask(connection, address, question, timeout, leaving)
        finally:
            engine.dispose()


def _leave(connection: Connection, driver: Any) -> None:
    """End with what has not come yet left where it is: PyMySQL would read all of it before it closes."""
    if connection.dialect.driver == "pymysql" and driver._result is not None:
        driver._result.unbuffered_active = False
        driver._force_close()
    if not connection.closed and not connection.invalidated:
        connection.invalidate()


def table_names(address: Address, folder: Path, timeout: int) -> list[str]:
    """The tables and views that the user may see; arguments and errors as for :func:`answered`."""
    from sqlalchemy import inspect

    with in_words(address):
        engine = _engine(address, folder, timeout)
        try:
            inspector = inspect(engine)
            return sorted({*inspector.get_table_names(), *inspector.get_view_names()})
        finally:
            engine.dispose()


def _engine(address: Address, folder: Path, timeout: int) -> Engine:
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    if address.kind == "sqlite":
        file = address.file(folder)

        def opened() -> sqlite3.Connection:
            uri = f"file:{quote(str(file.resolve()))}?mode=ro"
            return sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False)

        return create_engine("sqlite://", creator=opened, poolclass=NullPool)
    arguments: dict[str, Any] = {}
    driver = address.url.get_driver_name()
    if driver in {"psycopg", "psycopg2", "pymysql"}:
        arguments["connect_timeout"] = min(_CONNECT, timeout)
    if driver == "pymysql":
        arguments |= {"read_timeout": timeout, "write_timeout": timeout, "conv": _conversions()}
    return create_engine(address.url, connect_args=arguments, poolclass=NullPool, hide_parameters=True)


def _conversions() -> dict[Any, Callable[..., Any]]:
    """PyMySQL's, but for a time, which may be negative or of many hours: it arrives as text."""
    from pymysql.constants import FIELD_TYPE
    from pymysql.converters import conversions

    return {**conversions, FIELD_TYPE.TIME: str}


def _begin(connection: Connection, kind: str, timeout: int) -> None:
    driver = connection.dialect.driver
    if driver == "psycopg":
        from psycopg.types.string import TextLoader

        for name in _AS_TEXT:
            connection.connection.driver_connection.adapters.register_loader(name, TextLoader)  # type: ignore[union-attr]
    for statement in _BEGIN.get(kind, ()):
        connection.exec_driver_sql(statement.format(milliseconds=timeout * 1000))


def _declared(connection: Connection, table: str) -> dict[str, str]:
    """The declared types of the columns of an SQLite table, or a view of one."""
    from sqlalchemy import inspect
    from sqlalchemy.exc import NoSuchTableError

    schema, name = _parts(table)
    try:
        columns = inspect(connection).get_columns(name, schema=schema)
    except NoSuchTableError:
        return {}
    return {str(column["name"]): str(column["type"]).upper() for column in columns}


def _unknown_table(connection: Connection, address: Address, table: str) -> SourceError | None:
    """That there is no such table, and which is the nearest; None if there is."""
    from sqlalchemy import inspect

    connection.rollback()
    inspector = inspect(connection)
    schema, name = _parts(table)
    known = sorted({*inspector.get_table_names(schema), *inspector.get_view_names(schema)})
    if name in known:
        return None
    where = f" in schema {shown(schema)}" if schema else ""
    hint = nearest(name, known) if known else "there is none that this user may see"
    message = f"{address.name}: no table is called {shown(name)}{where}; {hint}"
    return SourceError(message, code="source_table_unknown")


def _parts(table: str) -> tuple[str | None, str]:
    schema, _, name = table.rpartition(".")
    return schema or None, name


def _ask(connection: Connection, address: Address, question: Question, timeout: int, leaving: ExitStack) -> Answer:
    from sqlalchemy import text
    from sqlalchemy.exc import OperationalError, ProgrammingError

    bound = {} if question.start is None else {"slipstream_start": question.start}
    declared = _declared(connection, question.table) if question.table and address.kind == "sqlite" else {}
    statement = _statement(connection, question, bool(bound))
    options = {"stream_results": True, "max_row_buffer": _MOST_ROWS}
    try:
        result = connection.execution_options(**options).execute(text(statement), bound)
    except (OperationalError, ProgrammingError) as error:
        absent = re.search(r"no such table|does ?n.t exist|does not exist", str(error.orig)) and question.table
        unknown = _unknown_table(connection, address, question.table) if absent else None
        raise (unknown or error) from None
    leaving.callback(_close, result)
    columns = tuple(map(str, result.keys()))
    if question.column and question.column not in columns:
        raise unknown_column(address, question.column, nearest(question.column, columns))
    size = max(1, min(_MOST_ROWS, _CHUNK_CELLS // max(1, len(columns))))
    return Answer(columns, declared, _worded(address, result.partitions(size), _wire(connection), timeout))


def _close(result: Any) -> None:
    """Close a cursor at the server; that the connection is lost was told of already."""
    if "pymysql" not in type(result.cursor).__module__:
        with suppress(Exception):
            result.close()


def _wire(connection: Connection) -> int | None:
    """The socket of a driver that waits for ever for a server that has fallen silent."""
    driver: Any = connection.connection.driver_connection
    return int(driver.fileno()) if connection.dialect.driver == "psycopg" else None


@contextmanager
def _cut_after(seconds: float, wire: int | None, address: Address) -> Iterator[None]:
    """Within the block the *wire* is cut when nothing has come for so long: the driver then sees that it is lost."""
    if wire is None:
        yield
        return
    late = threading.Event()

    def cut() -> None:
        late.set()
        with socket.socket(fileno=os.dup(wire)) as end, suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except SourceError as error:
        if late.is_set():
            raise silent(address, seconds) from error
        raise
    finally:
        timer.cancel()


def _worded(
    address: Address, chunks: Iterator[Sequence[Sequence[Any]]], wire: int | None, timeout: int
) -> Iterator[Sequence[Sequence[Any]]]:
    """The chunks; the connection may be lost, or a value unreadable, at each of them."""
    while True:
        # The server itself stops what takes so long; it is late where it cannot.
        with _cut_after(timeout + _GRACE, wire, address), in_words(address):
            chunk = next(chunks, None)
        if chunk is None:
            return
        yield chunk


def _statement(connection: Connection, question: Question, bounded: bool) -> str:
    quote_name = connection.dialect.identifier_preparer.quote_identifier
    query = re.sub(r"(?<!:):(?=\w)", r"\\:", question.query.strip().rstrip(";"))
    if question.table:
        schema, table = _parts(question.table)
        rows = ".".join(quote_name(part) for part in (schema, table) if part)
    elif not bounded:
        return query
    else:
        rows = f"({query}) AS slipstream_rows"
    statement = f"SELECT * FROM {rows}"  # noqa: S608 - quoted, or the query itself
    if not bounded:
        return statement
    column = quote_name(question.column)
    # A row without a value would never be read: it is looked for, so that it can be told of.
    return f"{statement} WHERE {column} >= :slipstream_start OR {column} IS NULL"
