"""What must hold between the tables that a model file joins and the rest of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from slipstream.spec.plain import FileValues
from slipstream.spec.values import Place, SpecProblem, as_written

_AT: Place = ("data", "join")


def joined_tables(values: FileValues) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """Each joined table that is said as one, with its place."""
    tables = values.value(*_AT)
    for name, table in tables.items() if isinstance(tables, Mapping) else ():
        if isinstance(table, Mapping):
            yield (*_AT, name), table


def renamed(values: FileValues, *place: str | int) -> list[tuple[Place, str, str]]:
    """Place, our name and the joined table's of each column at *place*, which is a list or a mapping."""
    mapping = values.value(*place)
    if isinstance(mapping, Mapping):
        pairs = [(our, their) for our, their in mapping.items() if isinstance(our, str) and isinstance(their, str)]
        return [((*place, our), our, their) for our, their in pairs]
    return [(at, column, column) for at, column in values.texts(*place)] if isinstance(mapping, list | str) else []


def join_problems(values: FileValues) -> Iterator[SpecProblem]:
    """Everything that is wrong with the joined tables beyond the kinds of their keys."""
    tables = list(joined_tables(values))
    if tables and values.value("data", "time") is None:
        message = "a join takes what was known at the event time of a row; name its column as data.time"
        yield SpecProblem(message, *_AT, code="spec_join_time")
    brought: dict[str, Place] = {}
    taken = {name.lower(): where for where, name in _own(values)}
    for place, _ in tables:
        for at, our, _their in renamed(values, *place, "columns"):
            before = taken.get(our.lower()) or brought.get(our.lower())
            if before:
                other = ".".join(map(str, before))
                hint = f"call it otherwise, such as {{{place[-1]}_{our}: {_their}}}"
                yield SpecProblem(f"{other} is column {our!r} too; {hint}", *at, code="spec_join_column")
            brought.setdefault(our.lower(), at)
    for place, _ in tables:
        yield from _keys(values, place, brought)
        yield from _schema(values, place)


def _own(values: FileValues) -> Iterator[tuple[Place, str]]:
    """The columns that the rows themselves must have, as they are joined before features.py."""
    yield from values.texts("data", "time")
    schema = values.value("data", "schema")
    for name in schema if isinstance(schema, Mapping) else ():
        if isinstance(name, str):
            yield ("data", "schema", name), name
    for place, _ in joined_tables(values):
        yield from ((at, our) for at, our, _ in renamed(values, *place, "key"))


def _keys(values: FileValues, place: Place, brought: Mapping[str, Place]) -> Iterator[SpecProblem]:
    time = values.text(*place, "time")
    for at, our, their in renamed(values, *place, "key"):
        if their == time:
            message = (
                f"column {their!r} is the time of this table; rows are joined at or before it, not where it is equal"
            )
            yield SpecProblem(message, *at, code="spec_join_column")
        elif our.lower() in brought and brought[our.lower()][:-2] != place:
            other = ".".join(map(str, brought[our.lower()][:-2]))
            message = f"column {our!r} comes from {other}; a key is a column of the rows themselves"
            yield SpecProblem(message, *at, code="spec_join_column")


def _schema(values: FileValues, place: Place) -> Iterator[SpecProblem]:
    schema = values.value(*place, "schema")
    used = {their: "columns" for _, _, their in renamed(values, *place, "columns")}
    used |= {their: "key" for _, _, their in renamed(values, *place, "key")}
    used |= {values.text(*place, "time"): "time"}
    for name, column in schema.items() if isinstance(schema, Mapping) else ():
        if name in used and (column == "drop" or (isinstance(column, Mapping) and column.get("drop") is True)):
            message = f"column {as_written(name)} is dropped, but {used[name]} uses it; take one of the two out"
            yield SpecProblem(message, *place, "schema", name, code="spec_schema_invalid")
