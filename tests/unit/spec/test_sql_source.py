"""What a model file may say of a database: whole, one SELECT, and no password."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from slipstream.errors import SpecError
from slipstream.spec.model import ModelSpec

HERE = {"url": "sqlite:///shop.db", "table": "flights"}
QUERY = {"url": "sqlite:///shop.db"}


@pytest.mark.parametrize(
    ("source", "code", "part"),
    [
        ({"table": "t"}, "spec_source_incomplete", "neither 'connection' nor 'url'"),
        ({**HERE, "connection": "shop"}, "spec_source_incomplete", "both 'connection' and 'url'"),
        ({"connection": "shop"}, "spec_source_incomplete", "neither 'table' nor 'query'"),
        ({**HERE, "query": "SELECT 1"}, "spec_source_incomplete", "both 'table' and 'query'"),
        ({"connection": "postgresql://me:hush-word@h/d", "table": "t"}, "spec_source_connection", "no id"),
        ({"url": "postgresql://me:hush-word@h/d", "table": "t"}, "spec_source_secret", "url: {env: SMALL_DATABASE}"),
        ({"url": "postgresql://h/d?password=hush-word", "table": "t"}, "spec_source_secret", "connection: ID"),
        ({"url": "SHOP_URL", "table": "t"}, "spec_source_url", "write url: {env: SHOP_URL}"),
        ({"url": {"env": "a-b"}, "table": "t"}, "spec_source_url", "expected {env: NAME}"),
        ({"url": {"name": "AB"}, "table": "t"}, "spec_source_url", "expected {env: NAME}"),
        ({**QUERY, "query": "DELETE FROM flights"}, "spec_source_query", "it begins with 'DELETE'"),
        ({**QUERY, "query": "-- all\n/* of it */ drop table x"}, "spec_source_query", "it begins with 'drop'"),
        ({**QUERY, "query": "SELECT 1; DROP TABLE x"}, "spec_source_query", "more than one statement"),
        ({**HERE, "overlap": "1h"}, "spec_source_overlap", "name its column"),
        ({**HERE, "watermark": "at", "overlap": "1 hour"}, "spec_source_overlap", "expected a duration"),
        ({**HERE, "watermrk": "at"}, "backend_argument", "did you mean 'watermark'"),
        ({**HERE, "timeout": 0}, "backend_argument", "whole number"),
    ],
)
def test_what_is_wrong_is_said_at_once(
    source: dict[str, Any], code: str, part: str, make_spec: Callable[..., ModelSpec]
) -> None:
    with pytest.raises(SpecError) as caught:
        make_spec(data={"source": {"type": "sql", **source}, "key": ["id"]})
    assert caught.value.code == code
    assert part in str(caught.value)
    assert "hush-word" not in str(caught.value)


def test_an_overlap_needs_a_key(make_spec: Callable[..., ModelSpec]) -> None:
    with pytest.raises(SpecError, match=r"name data\.key"):
        make_spec(data={"source": {"type": "sql", **HERE, "watermark": "at", "overlap": "1h"}})


@pytest.mark.parametrize(
    "source",
    [
        HERE,
        {"connection": "warehouse_1", "table": "sales.orders", "watermark": "id", "overlap": 100},
        {"url": {"env": "SHOP"}, "query": "  -- all of it\n SELECT ';' AS a -- ; \n FROM t;"},
        {"url": "postgresql://reader@127.0.0.1/shop", "query": "WITH a AS (SELECT 1) SELECT * FROM a"},
    ],
)
def test_what_is_right_is_taken(source: dict[str, Any], make_spec: Callable[..., ModelSpec]) -> None:
    assert make_spec(data={"source": {"type": "sql", **source}, "key": ["id"]}).data.source["type"] == "sql"


@pytest.mark.parametrize("word", ["postgres", "mysql", "sqlite", "database"])
def test_words_that_people_look_for(word: str, make_spec: Callable[..., ModelSpec]) -> None:
    with pytest.raises(SpecError, match=r"write \{type: sql, connection"):
        make_spec(data={"source": {"type": word}})
