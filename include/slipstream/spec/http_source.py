"""Whether a file on the web is said whole, and without a password or a token, before anything is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from slipstream.errors import shown
from slipstream.spec.plain import FileValues
from slipstream.spec.sql_source import has_secret, source_places
from slipstream.spec.values import SpecProblem

_CONNECTION = re.compile(r"^[A-Za-z0-9_.-]{1,200}$")
_VARIABLE = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_SIGNATURE = re.compile(r"sig|auth|credential|code|^sv$|^se$", re.IGNORECASE)
_LONGEST = 2000


def http_problems(values: FileValues) -> Iterator[SpecProblem]:
    """What is wrong with the arguments of ``{type: http}`` beyond their kinds."""
    for place, _ in source_places(values):
        config = values.value(*place)
        if isinstance(config, Mapping) and config.get("type") == "http":
            for problem in _source(config, values.text("name")):
                yield SpecProblem(str(problem), *place, *problem.place, code=problem.code)


def _source(config: Mapping[str, Any], name: str) -> Iterator[SpecProblem]:
    """What is wrong with a source; places start at it."""
    url, token, connection = (config.get(key) for key in ("url", "token", "connection"))
    if isinstance(url, Mapping):
        yield from _named(url, "url", "holds the URL")
    elif isinstance(url, str):
        yield from _url(url, url_variable(name))
    if isinstance(token, Mapping):
        yield from _named(token, "token", "holds the token")
    if token and connection:
        message = "source 'http' has both 'token' and 'connection'; write one"
        yield SpecProblem(message, code="spec_source_incomplete")
    if isinstance(connection, str) and connection and not _CONNECTION.match(connection):
        message = f"{shown(connection)} is no id of an Airflow connection; write letters, digits, '_', '.' and '-'"
        yield SpecProblem(message, "connection", code="spec_source_connection")


def url_variable(model: str) -> str:
    """The environment variable that is proposed for the URL of a model's file."""
    return f"{re.sub(r'[^A-Za-z0-9]', '_', model or 'model').upper()}_URL"


def holds_secret(url: str) -> bool:
    """Whether a URL holds a password, a key or a signature; one that cannot be taken apart may."""
    if has_secret(url):
        return True
    return any(_SIGNATURE.search(key) for key, value in parse_qsl(urlsplit(url).query) if value)


def _named(given: Mapping[str, Any], key: str, what: str) -> Iterator[SpecProblem]:
    variable = given.get("env")
    if set(given) != {"env"} or not isinstance(variable, str) or not _VARIABLE.match(variable):
        message = f"expected {{env: NAME}}, the environment variable that {what}"
        yield SpecProblem(message, key, code="spec_source_url")


def _url(url: str, variable: str) -> Iterator[SpecProblem]:
    # It is not shown: whatever it is, it may hold a password.
    if not re.match(r"https?://[^/]", url, re.IGNORECASE) or len(url) > _LONGEST:
        message = "is no URL of a file on the web; write https://host/path/rows.csv, or {env: NAME}"
        yield SpecProblem(message, "url", code="spec_source_url")
    elif holds_secret(url):
        message = (
            f"a password, key or signature does not stand in a model file; write url: {{env: {variable}}} and set the "
            "environment variable to the URL, or token: {env: NAME}, or connection: ID"
        )
        yield SpecProblem(message, "url", code="spec_source_secret")
