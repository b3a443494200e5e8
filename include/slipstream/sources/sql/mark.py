"""Where the next read of a database begins: the watermark, which goes with a batch into the ledger.

Beside the largest value it holds a digest of the rows from which the next read starts, so that rows which come late,
or change, are told from those that were read before.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from slipstream.errors import SourceError, shown
from slipstream.spec.values import duration

_TEXT = re.compile(r"\d{4}-\d\d-\d\d(?:([ T])\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)?")


@dataclass(frozen=True)
class ReadMark:
    """A watermark.

    Attributes:
        column: The column of it; "" where the whole is read each time.
        kind: What its values are: ``integer``, ``decimal``, ``date``, ``timestamp``, ``zoned`` or ``text``.
        value: The largest that was read, as text.
        seen: Digest of the rows that the next read brings again; of all rows where the whole is read.
    """

    column: str = ""
    kind: str = ""
    value: str = ""
    seen: str = ""

    @classmethod
    def parse(cls, watermark: str) -> ReadMark | None:
        """The mark that a watermark holds; None at the beginning. What another source left is a mark of no column."""
        if not watermark:
            return None
        try:
            fields = json.loads(watermark)
        except ValueError:
            return cls("?")
        return cls(**fields) if isinstance(fields, dict) and fields.keys() == cls.__annotations__.keys() else cls("?")

    def __str__(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @property
    def bound(self) -> Any:
        """The value, as a driver takes it."""
        match self.kind:
            case "integer":
                return int(self.value)
            case "decimal":
                return Decimal(self.value)
            case "date":
                return date.fromisoformat(self.value)
            case "timestamp" | "zoned":
                return datetime.fromisoformat(self.value)
        return self.value

    def start(self, overlap: str | int) -> Any:
        """From which value on the next read begins.

        Raises:
            SourceError: ``source_overlap_invalid``: a duration before a number, or a number before a time.
        """
        bound = self.bound
        if not overlap:
            return bound
        try:
            if self.kind in {"integer", "decimal"}:
                return bound - overlap
            span = duration(overlap)
            if self.kind == "text":
                return _text_before(bound, span)
            return bound - (timedelta(days=-(-span // timedelta(days=1))) if self.kind == "date" else span)
        except (TypeError, ValueError) as error:
            message = (
                f"watermark {shown(self.column)} holds {_WORDS[self.kind]}; overlap {shown(overlap)} does not go with "
                "it: write a duration such as 1h for dates and times, a number for numbers."
            )
            raise SourceError(message, code="source_overlap_invalid") from error


def _text_before(bound: str, span: timedelta) -> str:
    earlier = datetime.fromisoformat(bound) - span
    shape = _TEXT.fullmatch(bound)
    return earlier.isoformat(shape[1]) if shape and shape[1] else earlier.date().isoformat()


_WORDS = {
    "integer": "whole numbers",
    "decimal": "numbers",
    "date": "dates",
    "timestamp": "times",
    "zoned": "times",
    "text": "dates as text",
}
_KINDS: dict[type, str] = {int: "integer", Decimal: "decimal", date: "date", datetime: "timestamp", str: "text"}


class Highest:
    """The largest value of the watermark's column, over all chunks.

    Args:
        column: The column.
    """

    def __init__(self, column: str) -> None:
        self.column = column
        self._kind = ""
        self._shape: str | None = None
        self._value: Any = None

    def take(self, values: Sequence[Any]) -> None:
        """Look at a chunk of the column.

        Raises:
            SourceError: ``source_watermark_missing`` for a row without a value, ``source_watermark_invalid`` for
                values that have no order that databases agree on.
        """
        if None in values:
            message = (
                f"{values.count(None)} rows or more have no value in the watermark {shown(self.column)}; such rows "
                f"would never be read again: read a query that leaves them out, or name another column."
            )
            raise SourceError(message, code="source_watermark_missing")
        # The usual kind first, so that the odd one is told of.
        for kind, _ in Counter(map(type, values)).most_common():
            self._check(kind, values)
        highest = max(values)
        if self._value is None or highest > self._value:
            self._value = highest

    def mark(self) -> ReadMark:
        """The mark after all rows, without a digest."""
        value = self._value
        if isinstance(value, datetime) and value.tzinfo is not None:
            value = value.astimezone(UTC)
        text = value.isoformat() if isinstance(value, date) else str(value)
        return ReadMark(self.column, self._kind, text)

    def _check(self, kind: type, values: Sequence[Any]) -> None:
        word = _KINDS.get(kind, "")
        example: Any = next(value for value in values if type(value) is kind)
        if word == "timestamp" and example.tzinfo is not None:
            word = "zoned"
        if not word or (self._kind and self._kind != word):
            raise self._invalid(example)
        self._kind = word
        if word != "text":
            return
        for value in (one for one in values if isinstance(one, str)):
            shape = _TEXT.fullmatch(value)
            if shape is None or (self._shape not in (None, shape[1])):
                raise self._invalid(value)
            self._shape = shape[1]

    def _invalid(self, value: Any) -> SourceError:
        message = (
            f"watermark {shown(self.column)} holds {shown(str(value))}; take a column of whole numbers, dates or "
            "times, or of text in which all are written as 2024-01-31 or all as 2024-01-31 23:59:59."
        )
        return SourceError(message, code="source_watermark_invalid")
