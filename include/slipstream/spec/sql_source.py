"""Whether a database as a source is said whole, and without a password, before anything is connected."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from slipstream.errors import shown
from slipstream.spec.joins import joined_tables
from slipstream.spec.plain import FileValues
from slipstream.spec.values import Place, SpecProblem, duration

_SOURCES: tuple[Place, ...] = (("data", "source"), ("score", "source"), ("monitor", "labels"))
_CONNECTION = re.compile(r"^[A-Za-z0-9_.-]{1,200}$")
_VARIABLE = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_SECRET = re.compile(r"pass|pwd|token|secret|key", re.IGNORECASE)
_COMMENT = re.compile(r"\A(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/)+", re.DOTALL)
_TEXTS = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/", re.DOTALL)


def source_places(values: FileValues) -> list[tuple[Place, bool]]:
    """Where a model file may name a source, and whether rows that come again are known there."""
    keyed = bool(values.value("data", "key"))
    # A row of a joined table that comes again is known by its key, time and values.
    return [(place, keyed) for place in _SOURCES] + [((*place, "source"), True) for place, _ in joined_tables(values)]


def sql_problems(values: FileValues) -> Iterator[SpecProblem]:
    """What is wrong with databases that rows are read from or written to, beyond the kinds of their arguments."""
    name = values.text("name")
    for place, known in source_places(values):
        config = values.value(*place)
        if isinstance(config, Mapping) and config.get("type") == "sql":
            for problem in _source(config, name, known):
                yield SpecProblem(str(problem), *place, *problem.place, code=problem.code)
    config = values.value("score", "source")
    if isinstance(config, Mapping) and config.get("overlap"):
        message = "rows of the overlap would be answered twice; leave it out, and let the watermark grow with each row"
        yield SpecProblem(message, "score", "source", "overlap", code="spec_source_overlap")
    config = values.value("score", "table")
    if isinstance(config, Mapping):
        for problem in _address(config, name, "a table"):
            yield SpecProblem(str(problem), "score", "table", *problem.place, code=problem.code)


def _source(config: Mapping[str, Any], name: str, keyed: bool) -> Iterator[SpecProblem]:
    """What is wrong with a source; places start at it."""
    query = config.get("query")
    yield from _address(config, name, "source 'sql'")
    yield from _one_of(config, "source 'sql'", "table", "query", "table: NAME or query: SELECT ...")
    if isinstance(query, str) and query:
        yield from _query(query)
    if config.get("overlap"):
        yield from _overlap(config, keyed)


def _address(config: Mapping[str, Any], name: str, what: str) -> Iterator[SpecProblem]:
    connection, url = config.get("connection"), config.get("url")
    yield from _one_of(config, what, "connection", "url", "connection: ID, an Airflow connection, or url: {env: NAME}")
    if isinstance(connection, str) and connection and not _CONNECTION.match(connection):
        message = "is no id of an Airflow connection; write letters, digits, '_', '.' and '-'"
        message = message if "://" in connection else f"{shown(connection)} {message}"
        yield SpecProblem(message, "connection", code="spec_source_connection")
    if url:
        yield from _url(url, name)


def _one_of(config: Mapping[str, Any], what: str, one: str, other: str, remedy: str) -> Iterator[SpecProblem]:
    if bool(config.get(one)) == bool(config.get(other)):
        both = f"has both '{one}' and '{other}'" if config.get(one) else f"has neither '{one}' nor '{other}'"
        yield SpecProblem(f"{what} {both}; write {remedy}", code="spec_source_incomplete")


def variable_of(model: str) -> str:
    """The environment variable that is proposed for the URL of a model's database."""
    return f"{re.sub(r'[^A-Za-z0-9]', '_', model or 'model').upper()}_DATABASE"


def _url(url: Any, name: str) -> Iterator[SpecProblem]:
    remedy = f"write url: {{env: {variable_of(name)}}} and set the environment variable to the URL"
    if isinstance(url, Mapping):
        named = url.get("env")
        if set(url) != {"env"} or not isinstance(named, str) or not _VARIABLE.match(named):
            message = "expected {env: NAME}, the environment variable that holds the URL"
            yield SpecProblem(message, "url", code="spec_source_url")
    elif isinstance(url, str) and "://" not in url:
        hint = f"; write url: {{env: {url}}}" if _VARIABLE.match(url) else f"; {remedy}"
        # It is not shown: whatever it is, it may hold a password.
        yield SpecProblem(f"is no URL of a database{hint}", "url", code="spec_source_url")
    elif isinstance(url, str) and has_secret(url):
        message = f"a password does not stand in a model file; {remedy}, or connection: ID"
        yield SpecProblem(message, "url", code="spec_source_secret")


def has_secret(url: str) -> bool:
    """Whether a URL holds a password; one that cannot be taken apart may."""
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        return True
    keys = [key for key, value in parse_qsl(parts.query) if value]
    return bool(password) or any(_SECRET.search(key) for key in keys)


def _query(query: str) -> Iterator[SpecProblem]:
    words = _COMMENT.sub("", query)
    begin = re.match(r"[A-Za-z]*", words)
    word = begin[0] if begin else ""
    if word.lower() not in {"select", "with"}:
        message = f"is no SELECT: it begins with {shown(word or words[:20])}; a source only reads"
        yield SpecProblem(message, "query", code="spec_source_query")
    elif ";" in _TEXTS.sub("", query).strip().rstrip(";"):
        message = "holds more than one statement; write one SELECT"
        yield SpecProblem(message, "query", code="spec_source_query")


def _overlap(config: Mapping[str, Any], keyed: bool) -> Iterator[SpecProblem]:
    overlap = config["overlap"]
    if isinstance(overlap, str):
        try:
            duration(overlap)
        except ValueError as error:
            yield SpecProblem(str(error), "overlap", code="spec_source_overlap")
    if not config.get("watermark"):
        message = "goes with 'watermark'; name its column"
        yield SpecProblem(message, "overlap", code="spec_source_overlap")
    elif not keyed:
        message = "rows within the overlap come again; name data.key, so that none is added twice"
        yield SpecProblem(message, "overlap", code="spec_source_overlap")
