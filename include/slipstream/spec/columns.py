"""What must hold between the columns that a model file names, and where it needs event time."""

from __future__ import annotations

import re
from collections.abc import Iterator

from slipstream.errors import shown
from slipstream.hints import nearest
from slipstream.spec.joins import join_problems, joined_tables, renamed
from slipstream.spec.plain import FileValues
from slipstream.spec.values import PAIRS, Place, SpecProblem, unknown

RESERVED = re.compile("^(file_row_number|slipstream_.*)$", re.IGNORECASE)
"""Names that our own queries use."""
_HEADER = re.compile(r"^header:[A-Za-z0-9-]{1,100}$")
_NAMED: tuple[Place, ...] = (
    ("inputs",),
    ("target",),
    ("data", "time"),
    ("data", "key"),
    ("train", "group"),
    ("evaluate", "slices"),
    ("evaluate", "sensitive"),
)
_TIMED: tuple[tuple[Place, str], ...] = (
    (("train", "window"), "train on a stretch of time"),
    (("train", "gap"), "leave a stretch of time out"),
    (("monitor", "window"), "look at a stretch of time"),
    (("monitor", "drift", "season"), "look back by a stretch of time"),
)


def column_problems(values: FileValues) -> Iterator[SpecProblem]:
    """Everything that is wrong with the columns."""
    yield from _inputs(values)
    yield from _twice(values)
    yield from _reserved(values)
    yield from _dropped(values)
    yield from _among_inputs(values)
    yield from _timed(values)
    yield from _positive(values)
    yield from join_problems(values)


def _inputs(values: FileValues) -> Iterator[SpecProblem]:
    target = values.text("target")
    before: list[str] = []
    for place, column in values.texts("inputs"):
        same = [one for one in (*before, target) if one.lower() == column.lower()]
        if column == target:
            yield SpecProblem(f"the target {column!r} cannot be an input; take it out here", *place)
        elif column in before:
            yield SpecProblem(f"column {column!r} is named twice; take one out", *place)
        elif same:
            yield SpecProblem(f"{column!r} and {same[0]!r} differ by case only; rename one", *place)
        before.append(column)


def _twice(values: FileValues) -> Iterator[SpecProblem]:
    target = values.text("target")
    for at in (("data", "key"), ("evaluate", "slices"), ("evaluate", "sensitive"), ("monitor", "drift", "columns")):
        names = values.texts(*at)
        for number, (place, column) in enumerate(names):
            if column in [name for _, name in names[:number]]:
                yield SpecProblem(f"column {column!r} is named twice; take one out", *place)
    if target and target == values.text("data", "time"):
        yield SpecProblem(f"the target {target!r} cannot be the event time too", "data", "time")


def _named(values: FileValues) -> Iterator[tuple[Place, str]]:
    for place in _NAMED:
        yield from values.texts(*place)
    for place, rule in values.parts("contract", "expectations"):
        for key in ("column", "column_A", "column_B", "column_list"):
            if key in rule:
                yield from values.texts(*place, key)
    for place, _ in joined_tables(values):
        for key in ("key", "columns"):
            yield from ((at, our) for at, our, _ in renamed(values, *place, key))


def _reserved(values: FileValues) -> Iterator[SpecProblem]:
    schema = values.value("data", "schema")
    columns = (
        [(("data", "schema", name), name) for name in schema if isinstance(name, str)]
        if isinstance(schema, dict)
        else []
    )
    for place, name in (*_named(values), *columns):
        if RESERVED.match(name):
            message = f"column {name!r} has a name that Slipstream uses itself; rename it in the data or in features.py"
            yield SpecProblem(message, *place, code="spec_column_reserved")


def _dropped(values: FileValues) -> Iterator[SpecProblem]:
    schema = values.value("data", "schema")
    for name, column in schema.items() if isinstance(schema, dict) else ():
        dropped = column == "drop" or (isinstance(column, dict) and column.get("drop") is True)
        used = [".".join(map(str, place)) for place, one in _named(values) if one == name]
        if dropped and used:
            message = f"column {name!r} is dropped, but {used[0]} uses it; take one of the two out"
            yield SpecProblem(message, "data", "schema", name, code="spec_schema_invalid")


def _among_inputs(values: FileValues) -> Iterator[SpecProblem]:
    if not values.inputs:
        return
    for at in (("monitor", "drift", "columns"), ("deploy", "capture", "redact")):
        for place, column in values.texts(*at):
            if column not in values.inputs:
                yield unknown("input", column, values.inputs, "spec_column_unknown", *place)
    sticky = values.text("deploy", "sticky")
    if sticky and sticky not in values.inputs and not _HEADER.match(sticky):
        message = f"{shown(sticky)} is neither an input nor header:<name>; {nearest(sticky, values.inputs)}"
        yield SpecProblem(message, "deploy", "sticky", code="spec_column_unknown")


def _timed(values: FileValues) -> Iterator[SpecProblem]:
    if values.value("data", "time") is not None:
        return
    if values.text("train", "holdout"):
        message = "a duration needs event time; name its column as data.time, or give a share such as 0.2"
        yield SpecProblem(message, "train", "holdout")
    for place, why in _TIMED:
        of_predictions = place[0] == "monitor" and values.text("monitor", "source") == "predictions"
        if values.text(*place) and not of_predictions:
            yield SpecProblem(f"to {why} the rows need event time; name its column as data.time", *place)


def _positive(values: FileValues) -> Iterator[SpecProblem]:
    """The positive label, held against the labels that the contract allows, where it says which."""
    positive = values.value("positive")
    if positive is not None and values.task in {"multiclass", "regression"}:
        yield SpecProblem(f"only a binary task has a positive label; this one is {values.task}", "positive")
    if values.task != "binary":
        return
    for place, rule in values.parts("contract", "expectations"):
        labels = rule.get("value_set")
        of_target = rule.get("type") == "expect_column_values_to_be_in_set" and rule.get("column") == values.text(
            "target"
        )
        if not of_target or not isinstance(labels, list) or len(labels) != 2:
            continue
        words = {str(label).lower() for label in labels}
        where = f"{'.'.join(map(str, place))} allows {shown(labels[0])} and {shown(labels[1])}"
        if positive is None and words not in [set(pair) for pair in PAIRS]:
            hint = f"write positive: {labels[0]} or {labels[1]}"
            message = f"{where} for the target; nothing says which of them is meant: {hint}"
            yield SpecProblem(message, "target", code="positive_missing")
        if positive is not None and str(positive).lower() not in words:
            yield SpecProblem(
                f"{shown(positive)} is no label of the target; {where}", "positive", code="positive_unknown"
            )
