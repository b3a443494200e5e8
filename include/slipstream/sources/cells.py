"""Python's values as columns of Arrow: exactly, or with an error that names the column.

What a column holds is told by its values: drivers give a Python type for each type of their database, and so does JSON.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from slipstream.errors import DataError, shown
from slipstream.spec.model import ModelSpec

if TYPE_CHECKING:
    import pyarrow as pa

_LARGEST = 2**63
_EXACT = 2**53
_NUMBERS = {int, float, Decimal}


class Cells:
    """Brings the columns of one table to Arrow, chunk by chunk.

    Args:
        spec: What it says of a column decides: one that is to be text, or is dropped, arrives as text.
        declared: Column -> its type as an SQLite table declares it, which has no dates and truth values of its own.
        plain: The column that is taken as it is, whatever the model file says of it.
    """

    def __init__(self, spec: ModelSpec, declared: Mapping[str, str], plain: str) -> None:
        self._columns = {name: column for name, column in spec.data.columns.items() if name != plain}
        self._declared = {name: _meant(kind) for name, kind in declared.items()}
        self._examples: dict[str, dict[str, Any]] = {}
        self._largest: dict[str, int] = {}

    def arrow(self, name: str, values: Sequence[Any]) -> pa.Array:
        """A chunk of a column.

        Raises:
            DataError: ``data_values_mixed``, ``data_number_inexact`` or ``data_number_too_large``.
        """
        values = self._as_declared(name, values)
        kinds = {type(value) for value in values} - {type(None)}
        if self._type(name) == "text" or (self._type(name) and len(kinds) > 1 and not kinds <= _NUMBERS):
            array = _texts(values)
        else:
            array = self._of_kinds(name, values, kinds)
        if kinds:
            example = next(value for value in values if value is not None)
            self._examples.setdefault(name, {}).setdefault(str(array.type), example)
        return array

    def settled(self, name: str, kinds: set[str]) -> str:
        """The type, as DuckDB calls it, of a column whose chunks have these types, as Arrow calls them.

        Raises:
            DataError: ``data_values_mixed``, or ``data_number_inexact`` for whole numbers that decimals do not hold.
        """
        kinds = kinds - {"null"}
        if len(kinds) > 1 and kinds == {"int64", "double"}:
            if self._largest.get(name, 0) > _EXACT and self._type(name) != "number":
                raise _inexact(name, self._largest[name])
            return "DOUBLE"
        if len(kinds) > 1:
            if self._type(name):
                return "VARCHAR"
            raise _mixed(name, list(self._examples[name].values()))
        return _DUCK.get(next(iter(kinds), "string"), "")

    def _type(self, name: str) -> str:
        column = self._columns.get(name)
        if column is None:
            return ""
        return "text" if column.drop else column.type or ""

    def _as_declared(self, name: str, values: Sequence[Any]) -> Sequence[Any]:
        """Texts and numbers of SQLite as the dates and truth values that the table declares."""
        meant = self._declared.get(name, "")
        if not meant or self._type(name):
            return values
        return [_converted(meant, value) for value in values]

    def _of_kinds(self, name: str, values: Sequence[Any], kinds: set[type]) -> pa.Array:
        import pyarrow as pa

        if not kinds:
            return pa.nulls(len(values))
        if kinds <= _NUMBERS:
            return self._numbers(name, values, kinds)
        if len(kinds) > 1:
            raise _mixed(name, [next(value for value in values if type(value) is kind) for kind in kinds])
        arrow = {bool: pa.bool_(), date: pa.date32(), datetime: pa.timestamp("us"), list: pa.list_(pa.string())}
        arrow |= dict.fromkeys((bytes, bytearray, memoryview), pa.binary())
        kind = next(iter(kinds))
        plain: Callable[[Any], Any] = _PLAIN.get(kind, as_text)
        return pa.array([None if value is None else plain(value) for value in values], arrow.get(kind, pa.string()))

    def _numbers(self, name: str, values: Sequence[Any], kinds: set[type]) -> pa.Array:
        import pyarrow as pa

        if kinds == {float}:
            return pa.array(values, pa.float64())
        if kinds == {int} or all(_is_whole(value) for value in values):
            whole = [None if value is None else int(value) for value in values]
            values = [value for value in whole if value is not None]
            low, high = min(values), max(values)
            if low < -_LARGEST or high >= _LARGEST:
                raise _too_large(name, low if low < -_LARGEST else high)
            self._largest[name] = max(-low, high, self._largest.get(name, 0))
            return pa.array(whole, pa.int64())
        exact = self._type(name) != "number"
        return pa.array([_double(name, value, exact) for value in values], pa.float64())


_PLAIN: dict[type, Callable[[Any], Any]] = {
    bool: bool,
    date: lambda day: day,
    datetime: lambda moment: _utc(moment),
    list: lambda listed: [None if one is None else str(one) for one in listed],
    bytes: bytes,
    bytearray: bytes,
    memoryview: bytes,
}
"""Python's type -> the value as Arrow takes it; of others the text."""
_DUCK = {
    "bool": "BOOLEAN",
    "int64": "BIGINT",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "date32[day]": "DATE",
    "timestamp[us]": "TIMESTAMP",
    "binary": "BLOB",
    "list<item: string>": "VARCHAR[]",
    "list<element: string>": "VARCHAR[]",
}


def _is_whole(value: Any) -> bool:
    """Whether a value is a whole number in its type: ``3`` and not ``3.0``."""
    if value is None or isinstance(value, int):
        return True
    exponent = value.as_tuple().exponent if isinstance(value, Decimal) else None
    return isinstance(exponent, int) and exponent >= 0


def _double(name: str, value: Any, exact: bool) -> float | None:
    if value is None:
        return None
    number = float(value)
    if exact and not isinstance(value, float) and not math.isnan(number):
        # The shortest decimals of the double must be the same number.
        back = Decimal(repr(number)) if isinstance(value, Decimal) else int(number)
        if back != value:
            raise _inexact(name, value)
    return number


def _texts(values: Sequence[Any]) -> pa.Array:
    import pyarrow as pa

    return pa.array([None if value is None else as_text(value) for value in values], pa.string())


def as_text(value: Any) -> str:
    """A value as text, as databases print it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return _utc(value).isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    return str(value)


def _utc(value: datetime) -> datetime:
    return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)


def _meant(kind: str) -> str:
    """What an SQLite table means by the declared type of a column that SQLite has no type for."""
    if kind.startswith("BOOL"):
        return "boolean"
    if kind.startswith(("TIMESTAMP", "DATETIME")):
        return "timestamp"
    return "date" if kind == "DATE" else ""


def _converted(meant: str, value: Any) -> Any:
    if meant == "boolean":
        return bool(value) if isinstance(value, int) and value in (0, 1) else value
    if not isinstance(value, str):
        return value
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return value
    whole_day = moment.time() == time() and moment.tzinfo is None
    return moment.date() if meant == "date" and whole_day else moment


def _mixed(name: str, examples: Sequence[Any]) -> DataError:
    listed = " and ".join(sorted(f"{_WORDS.get(type(one), 'values')} ({shown(as_text(one))})" for one in examples)[:3])
    message = (
        f"column {name!r} holds {listed}; write data.schema: {{{name}: text}}, or the type that is meant with the "
        "texts that mean missing, or cast it in a query."
    )
    return DataError(message, code="data_values_mixed")


def _inexact(name: str, value: Any) -> DataError:
    message = (
        f"column {name!r} holds {as_text(value)}, which has more digits than a number of 64 bits; write data.schema: "
        f"{{{name}: text}} to keep all of them, or {{{name}: number}} to round."
    )
    return DataError(message, code="data_number_inexact")


def _too_large(name: str, value: int) -> DataError:
    message = (
        f"column {name!r} holds {value}, more than a 64-bit whole number; write data.schema: {{{name}: text}}, or "
        f"{{{name}: drop}}."
    )
    return DataError(message, code="data_number_too_large")


_WORDS = {
    bool: "truth values",
    int: "whole numbers",
    float: "numbers",
    Decimal: "numbers",
    str: "texts",
    bytes: "bytes",
    date: "dates",
    datetime: "times",
    timedelta: "durations",
}
