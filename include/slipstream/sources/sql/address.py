"""Which database a model file means: an Airflow connection or a URL, its password from outside the file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipstream.errors import SourceError, shown
from slipstream.sources.connections import connection_parts, connection_text

if TYPE_CHECKING:
    from sqlalchemy import URL

_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
_SECRET = re.compile(r"pass|pwd|token|secret|key", re.IGNORECASE)
_OPTIONS = {
    "postgresql": {"sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "application_name", "options", "keepalives",
                   "target_session_attrs", "gssencmode", "channel_binding"},
    "mysql": {"charset", "unix_socket", "ssl_ca", "ssl_cert", "ssl_key", "ssl_verify_cert", "ssl_verify_identity"},
}  # fmt: skip
"""What is taken of the extras of an Airflow connection: others are meant for Airflow's own hooks."""


@dataclass(frozen=True)
class Address:
    """A database.

    Attributes:
        url: SQLAlchemy's URL, with the password.
        name: What errors call it.
    """

    url: URL = field(repr=False)
    name: str

    @property
    def kind(self) -> str:
        """The word for the kind of database: ``postgresql``, ``mysql``, ``mariadb``, ``sqlite`` ..."""
        return self.url.get_backend_name()

    def file(self, folder: Path) -> Path:
        """The file of an SQLite database; a relative path starts at *folder*.

        Raises:
            SourceError: ``source_database_unknown``: there is no such file.
        """
        database = self.url.database or ""
        file = folder / database
        if database in {"", ":memory:"} or not file.is_file():
            message = f"{self.name}: there is no SQLite database {shown(str(file))}; mend the path."
            raise SourceError(message, code="source_database_unknown")
        return file

    def hidden(self, text: str) -> str:
        """The text without the password."""
        parts = {"password": str(self.url.password or ""), **self.url.query}
        for secret in (str(value) for key, value in parts.items() if _SECRET.search(key) and value):
            text = text.replace(secret, "***")
        return text


def address_of(connection: str, url: str | Mapping[str, Any]) -> Address:
    """The database of an Airflow *connection*, or else of a *url*: a text, or ``{"env": NAME}``.

    Raises:
        SourceError: ``source_connection_unknown`` or ``source_url_malformed``.
    """
    if connection:
        text, name = connection_text(connection), f"connection {connection!r}"
        return Address(_of_airflow(text, name), name)
    if isinstance(url, str):
        return Address(_parsed(url, "url"), shown(url))
    variable = str(url["env"])
    text = os.environ.get(variable, "")
    if not text:
        message = f"url: the environment variable {variable} is not set; set it to the URL of the database."
        raise SourceError(message, code="source_connection_unknown")
    return Address(_parsed(text, f"${variable}"), f"${variable}")


def _parsed(text: str, name: str) -> URL:
    """SQLAlchemy's URL, with the driver that is used here where none is named; the text is not shown."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        message = f"{name}: is no URL of a database; write it as postgresql://user:password@host:5432/database."
        raise SourceError(message, code="source_url_malformed") from None
    return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))


def _of_airflow(text: str, name: str) -> URL:
    """The URL of an Airflow connection, which is written as a URI or as JSON."""
    from sqlalchemy import URL

    parts = connection_parts(text, name)
    extra, port = parts["extra"], parts["port"]
    kind = str(parts["conn_type"]).replace("-", "_")
    host, schema = parts["host"] or None, parts["schema"] or None
    if kind == "sqlite":
        return URL.create("sqlite", database=host or schema)
    driver = _DRIVERS.get(kind, kind)
    taken = _OPTIONS.get("mysql" if kind in {"mysql", "mariadb"} else driver.partition("+")[0])
    query = {key: value for key, value in extra.items() if isinstance(value, str) and (not taken or key in taken)}
    login, password = parts["login"] or None, parts["password"] or None
    return URL.create(driver, login, password, host, port, schema, query)
