"""Columns from arrays of binary bodies, by the rules that JSON has."""

from __future__ import annotations

from typing import Any

from slipstream.errors import RequestError
from slipstream.input_warnings import SMALL
from slipstream.model_schema import MAX_TEXT, Field, check_value

_INT64 = 1 << 63


def column_of(field: Field, array: Any, missing: Any, place: str) -> Any:
    """The values of *field* from a NumPy array of numbers or truths: a list of few, of many a float64 array.

    Args:
        field: The input.
        array: One-dimensional, of integers, floats or bools.
        missing: A mask of what is missing beside NaN; None: nothing.
        place: Where the array stands in the body.
    """
    import numpy as np

    _check_range(field, array, place)
    numbers = array.astype(np.float64)
    if missing is not None:
        numbers[missing] = np.nan
    unknown = np.isnan(numbers)
    if not field.nullable:
        _refuse_first(field, unknown, [None] * len(numbers), place)
    _refuse_first(field, np.isinf(numbers), numbers, place)
    if field.type == "integer" and array.dtype.kind == "f":
        _refuse_first(field, ~unknown & ((numbers != np.floor(numbers)) | (np.abs(numbers) >= _INT64)), numbers, place)
    if len(numbers) > SMALL:
        return numbers
    make = {"integer": int, "boolean": bool, "number": float}[field.type]
    plain = array.tolist()
    return [None if gone else make(value) for value, gone in zip(plain, unknown.tolist(), strict=True)]


def check_texts(field: Field, values: list[Any], place: str) -> list[Any]:
    """The *values*, each a string that came as UTF-8 or, where the input may be missing, None."""
    if all(type(value) is str and len(value) <= MAX_TEXT for value in values):
        return values
    for at, value in enumerate(values):
        problem = check_value(field, value, f"{place}[{at}]")
        if problem is not None:
            raise problem
    return values


def _check_range(field: Field, array: Any, place: str) -> None:
    if field.type == "integer" and array.dtype.kind == "u":
        _refuse_first(field, array > _INT64 - 1, array, place)


def _refuse_first(field: Field, wrong: Any, values: Any, place: str) -> None:
    """Refuse the first value that *wrong* marks, in the words that JSON bodies get."""
    if wrong.any():
        at = int(wrong.argmax())
        value = values[at].item() if hasattr(values[at], "item") else values[at]
        problem = check_value(field, value, f"{place}[{at}]")
        raise problem or RequestError(f"{place}[{at}]: is out of range", code="number_range", field=f"{place}[{at}]")
