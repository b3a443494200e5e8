"""A database that is written to: one transaction, and one writer of ours at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipstream.errors import SourceError
from slipstream.sources.sql.address import Address

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

KINDS = ("postgresql", "mysql", "mariadb", "sqlite")
"""Databases whose transactions and locks are known here."""


def writable_engine(address: Address, folder: Path, timeout: int) -> Engine:
    """The database, to be written.

    Args:
        address: The database.
        folder: Where a relative path of an SQLite database starts.
        timeout: Seconds that it may take for one answer.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    arguments: dict[str, Any] = {}
    if address.kind == "sqlite":
        # Its own driver would begin a transaction at the first change alone, after what was looked at.
        arguments = {"timeout": timeout, "isolation_level": None}
        url = address.url.set(database=str(address.file(folder).resolve()))
        return create_engine(url, connect_args=arguments, poolclass=NullPool, hide_parameters=True)
    arguments["connect_timeout"] = min(10, timeout)
    if address.kind != "postgresql":
        # A TIMESTAMP is taken as of the session's zone; what is written is in UTC.
        arguments |= {"read_timeout": timeout, "write_timeout": timeout, "init_command": "SET time_zone = '+00:00'"}
    return create_engine(
        address.url, connect_args=arguments, poolclass=NullPool, hide_parameters=True, isolation_level="READ COMMITTED"
    )


@contextmanager
def locked(connection: Connection, name: str, timeout: int) -> Iterator[None]:
    """One transaction, which another of the same *name* waits for; committed at the end, taken back by an error.

    Raises:
        SourceError: ``source_timeout``: another writer held the lock for *timeout* seconds.
    """
    digest, kind = hashlib.sha256(name.encode()).hexdigest(), connection.dialect.name
    if kind == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    elif kind == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {timeout * 1000:d}")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({int(digest[:15], 16):d})")
    else:
        _wait(connection, digest, timeout)
    try:
        yield
        connection.commit()
    except BaseException:
        if not connection.invalidated:
            connection.rollback()
        raise


def _wait(connection: Connection, digest: str, timeout: int) -> None:
    """Take a lock of MySQL or MariaDB, which is held until the connection is closed."""
    got = connection.exec_driver_sql(f"SELECT GET_LOCK('{digest}', {max(1, timeout - 1):d})").scalar()
    connection.commit()
    if not got:
        message = f"another run has been writing to the table for {timeout} s; run again later."
        raise SourceError(message, code="source_timeout")
