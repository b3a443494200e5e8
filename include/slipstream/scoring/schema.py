"""What a version takes and gives: name, type, nullability, categories and range of each input, and the classes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from slipstream.errors import RequestError, shown

Kind = Literal["number", "integer", "boolean", "string"]
MAX_CATEGORIES = 1000
MAX_TEXT = 10_000
_INT64 = 1 << 63


@dataclass(frozen=True)
class Field:
    """One input.

    Attributes:
        name: The column.
        type: What JSON type its values have; ``integer`` takes 3 and 3.0, not 3.5.
        nullable: Whether null was seen in training; where it was not, null is refused.
        categories: For strings: the values seen in training, sorted; None if there were more than 1,000.
        low: For numbers: the least value seen in training.
        high: For numbers: the greatest.
    """

    name: str
    type: Kind
    nullable: bool
    categories: tuple[str, ...] | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Schema:
    """The inputs in order, and the answer.

    Attributes:
        task: ``binary``, ``multiclass`` or ``regression``.
        target: The column that is predicted.
        classes: The labels in the order of the probabilities; empty for regression.
        positive: For a binary task the label whose probability is answered.
    """

    task: str
    target: str
    inputs: tuple[Field, ...]
    classes: tuple[bool | int | str, ...] = ()
    positive: bool | int | str | None = None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the inputs, in order."""
        return tuple(field.name for field in self.inputs)

    @cached_property
    def takes(self) -> tuple[tuple[str, str, bool], ...]:
        """What a request must hold: name, type and nullability of each input; not what was seen in training."""
        return tuple((field.name, field.type, field.nullable) for field in self.inputs)


def kind_of(duck: str) -> Kind:
    """The JSON type for a DuckDB type of an input."""
    base = duck.upper().partition("(")[0]
    if base == "BOOLEAN":
        return "boolean"
    if base.endswith("INT") or base == "INTEGER":
        return "integer"
    return "number" if base in {"FLOAT", "DOUBLE", "REAL", "DECIMAL"} else "string"


def check_value(field: Field, value: Any, place: str) -> RequestError | None:
    """What is wrong with one parsed JSON *value* of *field*, or None; *place* is where it stands in the body."""
    if value is None:
        if field.nullable:
            return None
        message = f"{place}: null is not allowed; training saw none in {field.name!r}"
        return RequestError(message, code="null_not_allowed", field=place)
    if field.type == "string":
        return _check_text(value, place)
    if field.type == "boolean":
        return None if isinstance(value, bool) else _wrong_type("boolean", value, place)
    return _check_number(field, value, place)


def _check_text(value: Any, place: str) -> RequestError | None:
    if not isinstance(value, str):
        return _wrong_type("string", value, place)
    if len(value) > MAX_TEXT:
        return RequestError(f"{place}: longer than {MAX_TEXT} characters", code="string_too_long", field=place)
    try:
        value.encode()
    except UnicodeEncodeError:
        return RequestError(f"{place}: holds half a surrogate pair", code="encoding", field=place)
    return None


def _check_number(field: Field, value: Any, place: str) -> RequestError | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _wrong_type(field.type, value, place)
    if isinstance(value, float) and not math.isfinite(value):
        return RequestError(f"{place}: is not a finite number", code="not_finite", field=place)
    if field.type == "integer":
        if isinstance(value, float) and not value.is_integer():
            return _wrong_type("integer", value, place)
        if not -_INT64 <= value < _INT64:
            return RequestError(f"{place}: does not fit in 64 bits", code="number_range", field=place)
    elif isinstance(value, int) and abs(value) > 1 << 1023:
        return RequestError(f"{place}: too large for a number", code="number_range", field=place)
    return None


def _wrong_type(expected: str, value: Any, place: str) -> RequestError:
    names = {bool: "boolean", str: "string", int: "number", float: "number", list: "array", dict: "object"}
    got = names.get(type(value), type(value).__name__)
    echo = "" if isinstance(value, bool | list | dict) else f" {shown(value)}"
    return RequestError(f"{place}: expected {expected}, got {got}{echo}", code="type", field=place)
