"""What a label may be: typed and checked against what a version answers, and the text that tables hold of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from slipstream.errors import ValueProblem, shown
from slipstream.model_schema import Field, Kind, Schema, check_value

_KINDS: dict[type, Kind] = {bool: "boolean", int: "integer", str: "string"}
_YES_NO = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
_TIME = re.compile(r"^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))$", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def label_text(label: bool | int | str) -> str:
    """A label as tables have it."""
    return str(label).lower() if isinstance(label, bool) else str(label)


def label_values(target: Any) -> Any:
    """The target column as an array of bool, int64, float64 or str, shape ``(n,)``.

    Whole numbers that came as float are made int, because 1.0 and 1 are the same class.
    """
    import numpy as np

    values = target.to_numpy()
    if values.dtype == object:
        return values.astype(bool if all(isinstance(value, bool) for value in values) else str)
    if values.dtype.kind == "f" and np.all(np.mod(values, 1) == 0):
        return values.astype(np.int64)
    return values if values.dtype.kind in "bf" else values.astype(np.int64)


def class_texts(schema: Schema) -> tuple[str, ...]:
    """The classes as tables have them, in the order of their numbers: of two the positive one has number 1."""
    classes = schema.classes if schema.positive is None else sorted(schema.classes, key=lambda c: c == schema.positive)
    return tuple(map(label_text, classes))


def class_numbers(labels: Sequence[Any], classes: Sequence[Any]) -> tuple[Any, tuple[Any, ...]]:
    """The number of each label: its place among *classes*. Labels that are none of them follow, in the order of texts.

    Returns:
        Array of shape ``(n,)`` of int64, and all the labels that its numbers stand for.
    """
    import numpy as np

    new = sorted(set(labels) - set(classes), key=str)
    numbers = {label: number for number, label in enumerate((*classes, *new))}
    return np.array([numbers[label] for label in labels], dtype=np.int64), (*classes, *new)


def checked_label(schema: Schema, value: Any, place: str) -> str:
    """The text of a label; *place* is where it stands.

    A third class cannot come up in a binary task. With more classes a new one can: it is taken if it is of the type of
    the known ones.

    Raises:
        ValueProblem: the value cannot be a label of this model.
    """
    kind = type(schema.classes[0]) if schema.classes else None
    expected: Kind = _KINDS[kind] if kind is not None else "number"
    error = check_value(Field(schema.target, expected, nullable=False), value, place)
    if error is not None:
        raise error
    if kind is None:
        return repr(float(value) + 0.0)  # of the two zeros the plain one
    label = kind(value)
    if schema.task == "binary" and label not in schema.classes:
        known = " or ".join(map(repr, schema.classes))
        raise ValueProblem(f"{place}: {shown(value)} is no label; expected {known}", code="label_unknown", field=place)
    return label_text(label)


def read_label(schema: Schema, text: str, place: str) -> str:
    """The same for a label that was read as *text*, such as a cell of a CSV file.

    Raises:
        ValueProblem: the text cannot be a label of this model.
    """
    return checked_label(schema, _value(schema, text), place)


def moment(text: str, place: str) -> int:
    """Microseconds since 1970 of a time with its zone (RFC 3339), such as ``2026-11-24T21:45:00Z``.

    Raises:
        ValueProblem: ``time_invalid``.
    """
    match = _TIME.match(text)
    try:
        if match is None:
            raise ValueError(text)
        day, clock, part, sign, hours, minutes = match.groups()
        local = datetime.fromisoformat(f"{day}T{clock}+00:00") - _EPOCH
        if int(minutes or 0) > 59 or int(hours or 0) > 23:
            raise ValueError(text)
    except ValueError as error:
        message = f"{place}: {shown(text)} is no time such as 2026-11-24T21:45:00Z"
        raise ValueProblem(message, code="time_invalid", field=place) from error
    ahead = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
    return (local - ahead) // timedelta(microseconds=1) + int((part or "0")[:6].ljust(6, "0"))


def _value(schema: Schema, text: str) -> Any:
    """What *text* means; itself if it cannot be what is expected."""
    kind = type(schema.classes[0]) if schema.classes else float
    if kind is bool:
        return _YES_NO.get(text.lower(), text)
    if kind is str:
        return text
    try:
        return int(text) if kind is int and text.lstrip("+-").isdecimal() else float(text)
    except ValueError:
        return text
