"""What must hold between the columns that a model file names, and where it needs event time."""

from __future__ import annotations

import re
from collections.abc import Iterator

from slipstream.errors import shown
from slipstream.spec_said import Said
from slipstream.spec_values import PAIRS, Place, SpecProblem, nearest, unknown

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


def column_problems(said: Said) -> Iterator[SpecProblem]:
    """Everything that is wrong with the columns."""
    yield from _inputs(said)
    yield from _twice(said)
    yield from _reserved(said)
    yield from _dropped(said)
    yield from _among_inputs(said)
    yield from _timed(said)
    yield from _positive(said)


def _inputs(said: Said) -> Iterator[SpecProblem]:
    target = said.text("target")
    before: list[str] = []
    for place, column in said.texts("inputs"):
        same = [one for one in (*before, target) if one.lower() == column.lower()]
        if column == target:
            yield SpecProblem(f"the target {column!r} cannot be an input; take it out here", *place)
        elif column in before:
            yield SpecProblem(f"column {column!r} is named twice; take one out", *place)
        elif same:
            yield SpecProblem(f"{column!r} and {same[0]!r} differ by case only; rename one", *place)
        before.append(column)


def _twice(said: Said) -> Iterator[SpecProblem]:
    target = said.text("target")
    for at in (("data", "key"), ("evaluate", "slices"), ("evaluate", "sensitive"), ("monitor", "drift", "columns")):
        names = said.texts(*at)
        for number, (place, column) in enumerate(names):
            if column in [name for _, name in names[:number]]:
                yield SpecProblem(f"column {column!r} is named twice; take one out", *place)
    if target and target == said.text("data", "time"):
        yield SpecProblem(f"the target {target!r} cannot be the event time too", "data", "time")


def _named(said: Said) -> Iterator[tuple[Place, str]]:
    for place in _NAMED:
        yield from said.texts(*place)
    for place, rule in said.parts("contract", "expectations"):
        for key in ("column", "column_A", "column_B", "column_list"):
            if key in rule:
                yield from said.texts(*place, key)


def _reserved(said: Said) -> Iterator[SpecProblem]:
    schema = said.value("data", "schema")
    named = (
        [(("data", "schema", name), name) for name in schema if isinstance(name, str)]
        if isinstance(schema, dict)
        else []
    )
    for place, name in (*_named(said), *named):
        if RESERVED.match(name):
            message = f"column {name!r} has a name that Slipstream uses itself; rename it in the data or in features.py"
            yield SpecProblem(message, *place, code="spec_column_reserved")


def _dropped(said: Said) -> Iterator[SpecProblem]:
    schema = said.value("data", "schema")
    for name, column in schema.items() if isinstance(schema, dict) else ():
        dropped = column == "drop" or (isinstance(column, dict) and column.get("drop") is True)
        used = [".".join(map(str, place)) for place, one in _named(said) if one == name]
        if dropped and used:
            message = f"column {name!r} is dropped, but {used[0]} uses it; take one of the two out"
            yield SpecProblem(message, "data", "schema", name, code="spec_schema_invalid")


def _among_inputs(said: Said) -> Iterator[SpecProblem]:
    if not said.inputs:
        return
    for at in (("monitor", "drift", "columns"), ("deploy", "capture", "redact")):
        for place, column in said.texts(*at):
            if column not in said.inputs:
                yield unknown("input", column, said.inputs, "spec_column_unknown", *place)
    sticky = said.text("deploy", "sticky")
    if sticky and sticky not in said.inputs and not _HEADER.match(sticky):
        message = f"{shown(sticky)} is neither an input nor header:<name>; {nearest(sticky, said.inputs)}"
        yield SpecProblem(message, "deploy", "sticky", code="spec_column_unknown")


def _timed(said: Said) -> Iterator[SpecProblem]:
    if said.value("data", "time") is not None:
        return
    if said.text("train", "holdout"):
        message = "a duration needs event time; name its column as data.time, or give a share such as 0.2"
        yield SpecProblem(message, "train", "holdout")
    for place, why in _TIMED:
        of_predictions = place[0] == "monitor" and said.text("monitor", "source") == "predictions"
        if said.text(*place) and not of_predictions:
            yield SpecProblem(f"to {why} the rows need event time; name its column as data.time", *place)


def _positive(said: Said) -> Iterator[SpecProblem]:
    """The positive label, held against the labels that the contract allows, where it says which."""
    positive = said.value("positive")
    if positive is not None and said.task in {"multiclass", "regression"}:
        yield SpecProblem(f"only a binary task has a positive label; this one is {said.task}", "positive")
    if said.task != "binary":
        return
    for place, rule in said.parts("contract", "expectations"):
        labels = rule.get("value_set")
        of_target = rule.get("type") == "expect_column_values_to_be_in_set" and rule.get("column") == said.text(
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
