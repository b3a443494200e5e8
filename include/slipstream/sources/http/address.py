"""Which file on the web a model file means, and what is shown to its server: secrets come from outside the file."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

import httpx

from slipstream.errors import SourceError, shown
from slipstream.sources.connections import connection_parts, connection_text

_LONGEST = 100


@dataclass(frozen=True)
class WebAddress:
    """A file on the web.

    Attributes:
        url: Where it is, without user and password.
        name: What errors and records call it: without its query, or the variable that holds it.
        authorization: The header that is shown to its server; "" for none.
    """

    url: httpx.URL = field(repr=False)
    name: str
    authorization: str = field(default="", repr=False)

    @property
    def leaf(self) -> str:
        """The last part of the path, in plain characters: its ending tells the format."""
        last = unquote(self.url.path.rstrip("/").rpartition("/")[2])
        return re.sub(r"[^A-Za-z0-9._-]", "_", last)[-_LONGEST:].lstrip(".") or "file"

    @property
    def digest(self) -> str:
        """What tells it from other URLs in a watermark, where nobody can read it."""
        return hashlib.sha256(str(self.url).encode()).hexdigest()


def web_address(url: str | Mapping[str, Any], token: Mapping[str, Any], connection: str) -> WebAddress:
    """The file at *url*: a text, or ``{"env": NAME}``, which may hold user and password.

    Args:
        url: The URL.
        token: ``{"env": NAME}``: the variable that holds a bearer token; empty for none.
        connection: Id of an Airflow connection whose login and password are shown to its host; "" for none.

    Raises:
        SourceError: ``source_url_malformed`` or ``source_connection_unknown``.
    """
    variable = "" if isinstance(url, str) else str(url.get("env", ""))
    text = url if isinstance(url, str) else _variable(variable, "url", "URL of the file")
    parsed = _parsed(text, f"${variable}" if variable else "url")
    plain = parsed.copy_with(username=None, password=None)
    authorization = ""
    if parsed.userinfo:
        authorization = _basic(parsed.username, parsed.password)
    if token:
        authorization = f"Bearer {_variable(str(token.get('env', '')), 'token', 'token')}"
    if connection:
        authorization = _of_connection(connection, plain)
    if not (authorization.isascii() and authorization.isprintable()):
        raise SourceError("the token holds characters that no header takes; mend it.", code="source_url_malformed")
    address = WebAddress(plain, str(plain.copy_with(query=None)), authorization)
    # The path of a URL that a variable holds may be secret too; and names of files have an end.
    if not variable and address.name.endswith("/"):
        return address
    place = f"${variable}" if variable else address.name.rpartition("/")[0]
    return replace(address, name=f"{place}/{address.leaf}")


def _variable(name: str, argument: str, what: str) -> str:
    text = os.environ.get(name, "").strip()
    if not text:
        message = f"{argument}: the environment variable {name} is not set; set it to the {what}."
        raise SourceError(message, code="source_connection_unknown")
    return text


def _parsed(text: str, name: str) -> httpx.URL:
    """The URL; the text is not shown."""
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, TypeError, ValueError):
        url = httpx.URL("")
    if url.scheme not in {"http", "https"} or not url.host:
        message = f"{name}: is no URL of a file on the web; write it as https://host/path/rows.csv."
        raise SourceError(message, code="source_url_malformed")
    return url.copy_with(fragment=None)


def _of_connection(connection: str, url: httpx.URL) -> str:
    name = f"connection {connection!r}"
    parts = connection_parts(connection_text(connection), name)
    host = str(parts["host"] or "")
    host = httpx.URL(host).host if "://" in host else host
    if host.lower() != url.host.lower():
        message = f"{name}: is of host {shown(host)}; its password is not shown to {shown(url.host)}. Mend one of them."
        raise SourceError(message, code="source_url_malformed")
    login, password = str(parts["login"] or ""), str(parts["password"] or "")
    if login:
        return _basic(login, password)
    return f"Bearer {password}" if password else ""


def _basic(login: str, password: str) -> str:
    header = httpx.BasicAuth(login, password)
    request = httpx.Request("GET", "https://host")
    return str(next(header.sync_auth_flow(request)).headers["Authorization"])
