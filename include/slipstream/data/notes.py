"""What is said of a batch's columns beside their types: what was recognised, what was left out, what is doubtful."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slipstream.cell_reading import CellReading
from slipstream.errors import shown

_PLURAL = {
    "BOOLEAN": "true or false",
    "BIGINT": "whole numbers",
    "DOUBLE": "numbers",
    "DATE": "dates",
    "TIMESTAMP": "times",
}


@dataclass(frozen=True)
class ColumnNote:
    """One remark on one column.

    Attributes:
        column: The column; "" for the batch as a whole.
        kind: What it is about, a stable word.
        text: The remark, one sentence that begins with a small letter and names the column.
        doubtful: Whether a model should not use the column before somebody has said what it is.
    """

    column: str
    kind: str
    text: str
    doubtful: bool = False

    @property
    def sentence(self) -> str:
        """The remark as reports and the command line say it."""
        return f"column {shown(self.column)} {self.text}" if self.column else self.text


def leading_zeros(column: str, example: str) -> ColumnNote:
    """Digits behind a leading zero make the column text."""
    return ColumnNote(
        column, "leading_zeros", f"is text: {shown(example)} has a leading zero, which a number would lose."
    )


def nearly(column: str, reading: CellReading, share: float, strange: Sequence[tuple[str, int]]) -> ColumnNote:
    """A text that is nearly always something else."""
    listed = ", ".join(f"{shown(text)} ({count:,})" for text, count in strange)
    words = ", ".join(f'"{text}"' for text, _ in strange)
    text = (
        f"is text, but {min(share, 0.999):.1%} of its values are {_PLURAL[reading.type]}; in the way: {listed}. "
        f"Write data.schema: {{{column}: {{{schema_of(reading)}, missing: [{words}]}}}} or {{{column}: text}}."
    )
    return ColumnNote(column, "nearly_typed", text, doubtful=True)


def typed_as_text(column: str, reading: CellReading) -> ColumnNote:
    """A text by its maker's word, of which every value is something else."""
    text = (
        f"is text, but all of its values are {_PLURAL[reading.type]}. "
        f"Write data.schema: {{{column}: {{{schema_of(reading)}}}}} or {{{column}: text}}."
    )
    return ColumnNote(column, "typed_as_text", text, doubtful=True)


def mixed(column: str, kind: str, share: float, examples: tuple[str, str]) -> ColumnNote:
    """Dates or numbers that are not all written in one way."""
    one, other = map(shown, examples)
    text = (
        f"is text, but {share:.1%} of its values are {_PLURAL[kind]}, written in more than one way: {one}, {other}. "
        f"Deliver them written in one way, or write data.schema: {{{column}: text}}."
    )
    return ColumnNote(column, "mixed", text, doubtful=True)


def two_readings(column: str, readings: Sequence[CellReading], example: str) -> ColumnNote:
    """Values that two people read differently."""
    ways = " or ".join(f"{{{column}: {{{schema_of(reading)}}}}}" for reading in readings)
    text = (
        f"can be read in {len(readings)} ways, e.g. {shown(example)}. Write data.schema: {ways}, or {{{column}: text}}."
    )
    return ColumnNote(column, "two_readings", text, doubtful=True)


def too_long(column: str, example: str) -> ColumnNote:
    """Whole numbers that do not fit in 64 bits."""
    return ColumnNote(column, "too_long", f"is text: {shown(example)} has more digits than a 64-bit whole number.")


def imprecise(column: str, example: str) -> ColumnNote:
    """Whole numbers among decimals that a double does not hold."""
    text = (
        f"has decimals, and whole numbers such as {shown(example)} that a 64-bit decimal rounds. "
        f"Write data.schema: {{{column}: number}} to round, or {{{column}: text}}."
    )
    return ColumnNote(column, "imprecise", text, doubtful=True)


def recognised_as(column: str, reading: CellReading, example: str) -> ColumnNote:
    """Marks or a format that were recognised."""
    value = reading.parse(example)
    meaning = value.isoformat(" ") if reading.type == "TIMESTAMP" else str(value)
    return ColumnNote(column, "recognised", f"is read as {schema_of(reading)}: {shown(example)} is {meaning}.")


def missing_words(column: str, words: Sequence[tuple[str, int]]) -> ColumnNote:
    """Words in a text that mean "missing" elsewhere."""
    listed = ", ".join(f"{shown(text)} ({count:,})" for text, count in words)
    names = ", ".join(f'"{text}"' for text, _ in words)
    text = (
        f"holds {listed} as words; if they mean that the value is missing, write data.schema: "
        f"{{{column}: {{type: text, missing: [{names}]}}}}."
    )
    return ColumnNote(column, "missing_words", text)


def mostly_distinct(column: str, distinct: int, known: int, several: bool) -> ColumnNote:
    """Free text, or ids."""
    word = "free text" if several else "an identifier"
    text = (
        f"looks like {word}: about {min(distinct, known):,} different values in {known:,} rows, which tell a model "
        f"nothing of new rows. Take it out of inputs, or write data.schema: {{{column}: text}} to use it all the same."
    )
    return ColumnNote(column, "mostly_distinct", text, doubtful=True)


def duration(column: str) -> ColumnNote:
    """A length of time, which becomes a number."""
    return ColumnNote(column, "duration", "is a duration, read as a whole number of nanoseconds.")


def left_out(column: str, why: str) -> ColumnNote:
    """A column that is not read; one without a name is "" here."""
    return ColumnNote(column, "left_out", f"is left out: {why}." if column else f"{why}: it is left out.")


def schema_of(reading: CellReading) -> str:
    """The reading as data.schema writes it, without braces."""
    from slipstream.cell_formats import WORDS

    parts = [f"type: {WORDS[reading.type]}"]
    if reading.format:
        parts.append(f'format: "{reading.format}"')
    if reading.decimal != ".":
        parts.append(f'decimal: "{reading.decimal}"')
    if reading.thousands:
        parts.append(f'thousands: "{reading.thousands}"')
    return ", ".join(parts)
