"""How a cell of text is read as a value: one rule, as SQL for the files of a batch and as Python for a request.

The rules stand in docs/data.md. A type that nobody said is recognised narrowly (a leading zero makes a code, ``Yes`` is
a word); a type that the model file says is read as generously as its word allows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any

from slipstream.cell_formats import (
    DATE,
    DATE_FORMATS,
    DECLARED_FALSE,
    DECLARED_TRUE,
    DIRECTIVES,
    FALSE,
    MARKS,
    MISSING_WORDS,
    SPACE,
    SPACES,
    TIMES,
    TIMESTAMP,
    TIMESTAMP_PARTS,
    TRUE,
)
from slipstream.duck import literal, quoted

GUARD = "slipstream guard"
"""What the error of a guarded cell says."""


@dataclass(frozen=True)
class CellReading:
    """How the cells of one column are read.

    Attributes:
        type: What they hold, as DuckDB calls it; ``""`` for a column without a value so far.
        said: Whether the model file says the type.
        missing: Texts that mean "missing" beside the empty one (and beside :data:`MISSING_WORDS`, but in texts).
        decimal: The mark before the decimals.
        thousands: The mark between thousands; "" for none.
        format: How dates and times are written (``%d.%m.%Y``); "" for ISO 8601.
    """

    type: str
    said: bool = False
    missing: tuple[str, ...] = ()
    decimal: str = "."
    thousands: str = ""
    format: str = ""

    def as_type(self, kind: str) -> CellReading:
        """The same reading of another type."""
        return replace(self, type=kind)

    # As SQL -----------------------------------------------------------------------------------------------------

    def plain(self, column: str) -> str:
        """SQL: the cell *column* as DuckDB casts it, from which :meth:`value` starts; NULL for types without one."""
        if self.format or self.thousands or self.type not in {"BIGINT", "DATE", "TIMESTAMP"}:
            return "NULL"
        return f"TRY_CAST({quoted(column)} AS {self.type})"

    def value(self, column: str, plain: str = "") -> str:
        """SQL: the value of the cell *column*; NULL where it is missing, or cannot be read.

        Args:
            column: Its name.
            plain: The column that holds :meth:`plain` of it, if there is one: a cast is worked out where it stands.
        """
        cell = quoted(column)
        if not self.type:
            return "CAST(NULL AS VARCHAR)"
        if self.type == "VARCHAR":
            return f"nullif({cell}, '')" if not self.missing else f"CASE WHEN {self.known(column)} THEN {cell} END"
        sql = getattr(self, f"_{self.type.lower()}_sql")(cell, plain or self.plain(column))
        return f"CASE WHEN {self.known(column)} THEN {sql} END" if self.missing else str(sql)

    def guarded(self, column: str, value: str) -> str:
        """SQL: *value*, the column of the cell's value; a cell that holds something else fails by :data:`GUARD`."""
        if self.type in {"VARCHAR", ""}:
            return value
        missing = f"{value} IS NOT NULL OR {quoted(column)} IS NULL"
        return f"CASE WHEN {missing} THEN {value} WHEN {self.known(column)} THEN error({literal(GUARD)}) END"

    def known(self, column: str) -> str:
        """SQL: whether the cell holds a value, readable or not."""
        cell, words = quoted(column), [literal(word) for word in self.missing if word]
        condition = f"{cell} IS NOT NULL AND {cell} <> ''"
        if words:
            condition += f" AND {cell} NOT IN ({', '.join(words)})"
        if self.type in {"VARCHAR", ""}:
            return f"({condition})"
        return f"({condition} AND NOT {is_missing(cell)})"

    def unreadable(self, column: str) -> str:
        """SQL: whether the cell holds something that is no value of this type."""
        return f"({self.value(column)} IS NULL AND {self.known(column)})"

    # Most cells are written as their value is: those are read quickly, and only the others held against a pattern.

    def _boolean_sql(self, cell: str, _: str) -> str:
        yes, no = (DECLARED_TRUE, DECLARED_FALSE) if self.said else (TRUE, FALSE)
        close = f"CASE WHEN {_among(cell, yes)} THEN true WHEN {_among(cell, no)} THEN false END"
        return f"CASE {cell} WHEN 'true' THEN true WHEN 'false' THEN false ELSE {close} END"

    def _bigint_sql(self, cell: str, plain: str) -> str:
        close = self._matching(cell, f"TRY_CAST({self._plain_sql(cell)} AS BIGINT)")
        return close if self.thousands else _quickly(cell, plain, close)

    def _double_sql(self, cell: str, _: str) -> str:
        close = self._matching(cell, f"TRY_CAST({self._plain_sql(cell)} AS DOUBLE)")
        if self.thousands or self.decimal != ".":
            return close
        # DuckDB takes digits with underscores, leading zeros and nan; the comparisons are of their first characters.
        zeros = " OR ".join(f"({cell} >= '{sign}00' AND {cell} < '{sign}0:')" for sign in ("", "-", "+"))
        words = f"{cell} < '!' OR {cell} > ':' OR ({cell} > '+:' AND {cell} < ',') OR ({cell} > '-:' AND {cell} < '.')"
        return f"CASE WHEN {zeros} OR {words} OR contains({cell}, '_') THEN {close} ELSE TRY_CAST({cell} AS DOUBLE) END"

    def _date_sql(self, cell: str, plain: str) -> str:
        if self.format:
            return self._matching(cell, f"TRY_CAST(try_strptime({cell}, {literal(self.format)}) AS DATE)")
        return _quickly(cell, plain, self._matching(cell, plain))

    def _timestamp_sql(self, cell: str, plain: str) -> str:
        if self.format:
            return self._matching(cell, f"try_strptime({cell}, {literal(self.format)})")
        close = self._matching(cell, f"CAST(TRY_CAST({_trimmed(cell)} AS TIMESTAMPTZ) AS TIMESTAMP)")
        return _quickly(cell, plain, close)

    def _matching(self, cell: str, value: str) -> str:
        return f"CASE WHEN regexp_full_match({cell}, {literal(self.pattern)}) THEN {value} END"

    def _plain_sql(self, cell: str) -> str:
        if self.thousands:
            cell = f"replace({cell}, {literal(self.thousands)}, '')"
        return cell if self.decimal == "." else f"replace({cell}, {literal(self.decimal)}, '.')"

    # As Python --------------------------------------------------------------------------------------------------

    def parse(self, text: str) -> Any:
        """The value of one cell: bool, int, float, str, date or datetime (UTC, without a zone), or None.

        Raises:
            ValueError: it cannot be read; the text is one sentence.
        """
        if text == "" or text in self.missing:
            return None
        if self.type in {"VARCHAR", ""}:
            return text
        bare = text.strip(SPACES)
        if not bare or bare.lower() in MISSING_WORDS:
            return None
        value = getattr(self, f"_{self.type.lower()}")(text, bare)
        if value is None:
            raise ValueError(f"{text[:80]!r} is not {self.said_as}")
        return value

    @property
    def said_as(self) -> str:
        """What a value is, as errors say it: ``a number such as 1.234,5``."""
        example = self._example
        noun = {"BIGINT": "a whole number", "DATE": "a date", "TIMESTAMP": "a time", "BOOLEAN": "true or false"}
        return noun.get(self.type, "a number") + (f" such as {example}" if example else "")

    @property
    def _example(self) -> str:
        if self.type in {"DATE", "TIMESTAMP"}:
            moment = datetime(2024, 12, 31, 23, 59, tzinfo=UTC)
            return moment.strftime(self.format or ("%Y-%m-%d" if self.type == "DATE" else "%Y-%m-%d %H:%M"))
        if self.type in {"BIGINT", "DOUBLE"} and (self.thousands or self.decimal != "."):
            return f"1{self.thousands}234" + (f"{self.decimal}5" if self.type == "DOUBLE" else "")
        return ""

    def _boolean(self, _: str, bare: str) -> bool | None:
        yes, no = (DECLARED_TRUE, DECLARED_FALSE) if self.said else (TRUE, FALSE)
        return True if bare.lower() in yes else False if bare.lower() in no else None

    def _bigint(self, text: str, _: str) -> int | None:
        if not self._compiled.fullmatch(text):
            return None
        number = int(self._plain(text))
        return number if -(1 << 63) <= number < 1 << 63 else None

    def _double(self, text: str, _: str) -> float | None:
        return float(self._plain(text)) if self._compiled.fullmatch(text) else None

    def _date(self, text: str, bare: str) -> date | None:
        if not self._compiled.fullmatch(text):
            return None
        if not self.format:
            day: date | None = _or_none(date.fromisoformat, bare)
            return day
        moment = _in_format(bare, self.format)
        return moment.date() if moment else None

    def _timestamp(self, text: str, bare: str) -> datetime | None:
        if not self._compiled.fullmatch(text):
            return None
        return _in_format(bare, self.format) if self.format else _or_none(_iso_time, bare)

    def _plain(self, text: str) -> str:
        bare = text.replace(self.thousands, "") if self.thousands else text
        return bare.replace(self.decimal, ".").strip(SPACES)

    # What a cell must look like ---------------------------------------------------------------------------------

    @cached_property
    def pattern(self) -> str:
        """The regular expression of the cells, the same for DuckDB and for Python; spaces around are no matter."""
        return rf"{SPACE}*({self._bare_pattern()}){SPACE}*"

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern, re.ASCII)

    def _bare_pattern(self) -> str:
        if self.type in {"DATE", "TIMESTAMP"}:
            iso = DATE if self.type == "DATE" else TIMESTAMP
            return "".join(_pieces(self.format)) if self.format else iso
        whole = "[0-9]+" if self.said else "0|[1-9][0-9]*"
        if self.thousands:
            whole = f"[1-9][0-9]{{0,2}}({re.escape(self.thousands)}[0-9]{{3}})+|{whole}"
        if self.type == "BIGINT":
            return f"[+-]?({whole})"
        mark = re.escape(self.decimal)
        return (
            rf"[+-]?((({whole})({mark}[0-9]*)?|{mark}[0-9]+)([eE][+-]?[0-9]+)?"
            r"|[iI][nN][fF]([iI][nN][iI][tT][yY])?)"
        )


def recognised() -> Iterator[CellReading]:
    """The readings that are tried for a column of which nothing is said, in the order in which they are preferred."""
    yield from (CellReading(kind) for kind in ("BOOLEAN", "BIGINT", "DOUBLE", "DATE", "TIMESTAMP"))
    yield CellReading("DOUBLE", decimal=",")
    for mark in MARKS:
        decimals = (".", ",") if mark not in {".", ","} else (",",) if mark == "." else (".",)
        yield CellReading("BIGINT", thousands=mark, decimal=decimals[0])
        yield from (CellReading("DOUBLE", thousands=mark, decimal=decimal) for decimal in decimals)
    yield from (CellReading("DATE", format=form) for form in DATE_FORMATS)
    yield from (CellReading("TIMESTAMP", format=f"{form} {clock}") for form in DATE_FORMATS for clock in TIMES)


def _quickly(cell: str, value: str, close: str) -> str:
    """SQL: the *value* of a cell that reads exactly as its value is written, else what a *close* look gives."""
    return f"CASE WHEN CAST({value} AS VARCHAR) = {cell} THEN {value} ELSE {close} END"


def _pieces(form: str) -> Iterator[str]:
    """The regular expressions of the parts of a format."""
    for directive, plain in re.findall(r"%(.)|([^%]+)", form, re.DOTALL):
        yield DIRECTIVES[directive] if directive else re.escape(plain)


def _trimmed(cell: str) -> str:
    return f"trim({cell}, chr(32) || chr(9) || chr(13) || chr(10) || chr(11) || chr(12))"


def is_missing(cell: str) -> str:
    """SQL: whether a cell is blank, or one of :data:`MISSING_WORDS`."""
    return _among(cell, ("", *MISSING_WORDS))


def _among(cell: str, words: tuple[str, ...]) -> str:
    """SQL: whether a cell is one of the *words*, in any case; DuckDB works out a list of constants for every row."""
    pattern = f"{SPACE}*({'|'.join(map(re.escape, words))}){SPACE}*"
    return f"regexp_full_match({cell}, {literal(pattern)}, 'i')"


def _or_none(read: Any, text: str) -> Any:
    try:
        return read(text)
    except (ValueError, OverflowError):
        return None


def _in_format(text: str, form: str) -> datetime | None:
    moment: datetime | None = _or_none(lambda cell: datetime.strptime(cell, form), text)  # noqa: DTZ007 - UTC, unzoned
    return moment


def _iso_time(text: str) -> datetime:
    """A time in UTC; digits beyond microseconds are cut, as DuckDB does."""
    match = TIMESTAMP_PARTS.fullmatch(text)
    if match is None:
        raise ValueError(text)
    day, clock, seconds, fraction, zulu, ahead, minutes = match.groups()
    zone = "+00:00" if zulu or ahead is None else f"{ahead}:{minutes or '00'}"
    micro = (fraction or "0")[:6].ljust(6, "0")
    local = datetime.fromisoformat(f"{day}T{clock or '00:00'}:{seconds or '00'}.{micro}{zone}")
    return local.astimezone(UTC).replace(tzinfo=None)
