"""What a version takes and gives: name, type, nullability, categories and range of each input, and the classes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from functools import cached_property
from typing import Any, Literal

from slipstream.cell_reading import CellReading
from slipstream.errors import ValueProblem, shown

Kind = Literal["number", "integer", "boolean", "string"]
MAX_CATEGORIES = 1000
MAX_TEXT = 10_000
_INT64 = 1 << 63
_CELLS = {"number": "DOUBLE", "integer": "BIGINT", "boolean": "BOOLEAN", "string": "VARCHAR"}


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
        reading: How a cell of text is read, as it was in the files of training; None in bundles of an earlier time.
        unit: What a number counts, for people.
    """

    name: str
    type: Kind
    nullable: bool
    categories: tuple[str, ...] | None = None
    low: float | None = None
    high: float | None = None
    reading: CellReading | None = None
    unit: str = ""

    @property
    def date(self) -> bool:
        """Whether it is a date or time, which JSON writes as a string."""
        return self.type == "string" and self.reading is not None and self.reading.type in {"DATE", "TIMESTAMP"}

    @property
    def cell_reading(self) -> CellReading:
        """How a cell of text is read; by the type alone in bundles of an earlier time."""
        return self.reading or CellReading(_CELLS[self.type])

    @cached_property
    def absent(self) -> frozenset[Any]:
        """The values that meant "missing" in the files of training: texts, and for a number what they say."""
        words = self.reading.missing if self.reading else ()
        if self.type == "string":
            return frozenset(words)
        return frozenset(number for number in map(_as_number, words) if number is not None)


@dataclass(frozen=True)
class Schema:
    """The inputs in order, and the answer.

    Attributes:
        task: ``binary``, ``multiclass`` or ``regression``.
        target: The column that is predicted.
        classes: The labels in the order of the probabilities; empty for regression.
        positive: For a binary task the label whose probability is answered.
        beside: The other columns of the files of training, sorted: a row that is posted as it stood there has them too.
    """

    task: str
    target: str
    inputs: tuple[Field, ...]
    classes: tuple[bool | int | str, ...] = ()
    positive: bool | int | str | None = None
    beside: tuple[str, ...] = ()

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


def read_cell(field: Field, cell: str, place: str) -> Any:
    """The value that a *cell* of text means, as JSON has it; read as the files of training were.

    Raises:
        ValueProblem: it cannot be read, or is missing where it may not.
    """
    try:
        value = _parsed(field.cell_reading, cell)
    except ValueError as error:
        raise ValueProblem(f"{place}: {error}", code="type", field=place) from error
    if field.date and value is not None:
        return date_text(value)
    problem = check_value(field, value, place)
    if problem is not None:
        raise problem
    return value


def read_value(field: Field, value: Any, place: str) -> Any:
    """A checked JSON value as the model takes it: what meant "missing" is None, a date is written in one way.

    Raises:
        ValueProblem: no date, or missing where it may not be.
    """
    if value in field.absent:
        value = None
        problem = check_value(field, None, place)
        if problem is not None:
            raise problem
    if value is None or not field.date:
        return value
    assert field.reading is not None  # noqa: S101 - a date has one
    for reading in (field.reading, CellReading(field.reading.type)):
        try:
            parsed = _parsed(reading, value)
        except ValueError:
            continue
        return read_value(replace(field, reading=None), None, place) if parsed is None else date_text(parsed)
    message = f"{place}: {shown(value)} is not {field.reading.said_as}, nor ISO 8601"
    raise ValueProblem(message, code="type", field=place)


def date_text(value: date) -> str:
    """A date or time (UTC) as training saw it."""
    if not isinstance(value, datetime):
        return value.isoformat()
    text = value.isoformat(" ")
    return text.rstrip("0") if "." in text else text


def _parsed(reading: CellReading, cell: str) -> Any:
    try:
        return reading.parse(cell)
    except ValueError as error:
        wider = {"BIGINT": "DOUBLE", "DATE": "TIMESTAMP"}.get(reading.type, "")
        if not wider or (wider == "TIMESTAMP" and reading.format):
            raise
        try:
            value = reading.as_type(wider).parse(cell)
        except ValueError:
            raise error from None
        if isinstance(value, datetime):
            # A time at midnight is a date, as it is to ingest.
            if value.time() != time.min:
                raise
            return value.date()
        # 5.0 is a whole number too; one that is too large is told so by the check that JSON gets.
        if math.isfinite(value) and not value.is_integer():
            raise
        return int(value) if math.isfinite(value) else 1 << 2000


def _as_number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def check_value(field: Field, value: Any, place: str) -> ValueProblem | None:
    """What is wrong with one parsed JSON *value* of *field*, or None; *place* is where it stands in the body."""
    if value is None:
        if field.nullable:
            return None
        message = f"{place}: null is not allowed; training saw none in {field.name!r}"
        return ValueProblem(message, code="null_not_allowed", field=place)
    if field.type == "string":
        return _check_text(value, place)
    if field.type == "boolean":
        return None if isinstance(value, bool) else _wrong_type("boolean", value, place)
    return _check_number(field, value, place)


def _check_text(value: Any, place: str) -> ValueProblem | None:
    if not isinstance(value, str):
        return _wrong_type("string", value, place)
    if len(value) > MAX_TEXT:
        return ValueProblem(f"{place}: longer than {MAX_TEXT} characters", code="string_too_long", field=place)
    try:
        value.encode()
    except UnicodeEncodeError:
        return ValueProblem(f"{place}: holds half a surrogate pair", code="encoding", field=place)
    return None


def _check_number(field: Field, value: Any, place: str) -> ValueProblem | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _wrong_type(field.type, value, place)
    if isinstance(value, float) and not math.isfinite(value):
        return ValueProblem(f"{place}: is not a finite number", code="not_finite", field=place)
    if field.type == "integer":
        if isinstance(value, float) and not value.is_integer():
            return _wrong_type("integer", value, place)
        if not -_INT64 <= value < _INT64:
            return ValueProblem(f"{place}: does not fit in 64 bits", code="number_range", field=place)
    elif isinstance(value, int) and abs(value) > 1 << 1023:
        return ValueProblem(f"{place}: too large for a number", code="number_range", field=place)
    return None


def _wrong_type(expected: str, value: Any, place: str) -> ValueProblem:
    names = {bool: "boolean", str: "string", int: "number", float: "number", list: "array", dict: "object"}
    got = names.get(type(value), type(value).__name__)
    echo = "" if isinstance(value, bool | list | dict) else f" {shown(value)}"
    return ValueProblem(f"{place}: expected {expected}, got {got}{echo}", code="type", field=place)
