"""Airflow connections, by which a model file names what its password is not written for.

They come from Airflow in its processes (:func:`connections_from`), elsewhere from the environment variable
``AIRFLOW_CONN_<ID>``, as a URI or as JSON, as Airflow reads it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from slipstream.errors import SourceError, shown

Connections = Callable[[str], str]
"""Id of an Airflow connection -> the connection as a URI or as JSON; "" if there is none."""


def _environment(connection: str) -> str:
    return os.environ.get(f"AIRFLOW_CONN_{connection.upper()}", "")


_connections: ContextVar[Connections] = ContextVar("connections", default=_environment)


@contextmanager
def connections_from(connections: Connections) -> Iterator[None]:
    """Within the block, ids of connections are looked up by *connections*."""
    token = _connections.set(connections)
    try:
        yield
    finally:
        _connections.reset(token)


def connection_text(connection: str) -> str:
    """The Airflow connection of that id, as a URI or as JSON; raises SourceError ``source_connection_unknown``."""
    text = _connections.get()(connection)
    if not text:
        message = (
            f"connection {shown(connection)}: there is none; add it to Airflow (airflow connections add), or set "
            f"the environment variable AIRFLOW_CONN_{connection.upper()}."
        )
        raise SourceError(message, code="source_connection_unknown")
    return text


def connection_parts(text: str, name: str) -> dict[str, Any]:
    """What a connection consists of: ``conn_type``, ``login``, ``password``, ``host``, ``port``, ``schema``, ``extra``.

    Raises:
        SourceError: ``source_url_malformed``: it is neither a URI nor JSON; the text is not shown.
    """
    try:
        parts = _of_json(text) if text.lstrip().startswith("{") else _of_uri(text)
        extra = parts["extra"] or {}
        extra = json.loads(extra) if isinstance(extra, str) else extra
        port = int(parts["port"]) if parts["port"] else None
    except (ValueError, AttributeError):
        message = f"{name}: is neither a URI nor JSON as Airflow writes connections."
        raise SourceError(message, code="source_url_malformed") from None
    return {**parts, "extra": extra, "port": port}


def _of_json(text: str) -> dict[str, Any]:
    parts = json.loads(text)
    return {key: parts.get(key) for key in ("conn_type", "login", "password", "host", "port", "schema", "extra")}


def _of_uri(text: str) -> dict[str, Any]:
    parts = urlsplit(text)
    extra = dict(parse_qsl(parts.query, keep_blank_values=True))
    if "__extra__" in extra:
        extra = json.loads(extra["__extra__"])
    return {
        "conn_type": parts.scheme,
        "login": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "host": unquote(parts.hostname or ""),
        "port": parts.port,
        "schema": unquote(parts.path[1:]),
        "extra": extra,
    }
