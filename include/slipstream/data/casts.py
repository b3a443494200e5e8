"""From the type that a value has to the type that its column has, without loss: else the row is named as unreadable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slipstream.cell_formats import WORDS
from slipstream.cell_reading import CellReading
from slipstream.duck import TYPES, literal, quoted

WIDER = {("BIGINT", "DOUBLE"), ("DATE", "TIMESTAMP")}
"""Where every value keeps its meaning: a column of the first type may become one of the second."""
_SMALL = {"TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER"}
_LARGE = {"UBIGINT", "HUGEINT", "UHUGEINT"}
_TEXTS = ("ENUM", "UUID", "TIME", "JSON", "NULL", '"NULL"')


@dataclass(frozen=True)
class Cast:
    """How one column is brought to its type.

    Attributes:
        name: The column.
        type: The type that it gets.
        value: SQL of its value; NULL where the row has none, or an unreadable one.
        unreadable: SQL of whether the row has a value that the type cannot hold; "" if none can be.
        wanted: What should stand there, as errors say it.
    """

    name: str
    type: str
    value: str
    unreadable: str = ""
    wanted: str = ""

    @property
    def projected(self) -> str:
        """The value under the column's name."""
        return f"{self.value} AS {quoted(self.name)}"

    @property
    def problem(self) -> str:
        """SQL: what is wrong with the row's value, in words; NULL if nothing is."""
        cell = f"CAST({quoted(self.name)} AS VARCHAR)"
        head, tail = literal(f"{self.name}: '"), literal(f"' is not {self.wanted}")
        return f"CASE WHEN {self.unreadable} THEN {head} || left({cell}, 80) || {tail} END"


def native(name: str, kind: str) -> Cast | None:
    """A column of a file with types of its own, in one of our six; None if it fits into none."""
    column = quoted(name)
    if kind in {"DOUBLE", "FLOAT"}:
        return Cast(name, "DOUBLE", f"CASE WHEN isnan({column}) THEN NULL ELSE {column}::DOUBLE END")
    if kind in TYPES:
        return Cast(name, kind, column)
    if kind in _SMALL:
        return Cast(name, "BIGINT", f"{column}::BIGINT")
    if kind in _LARGE or (kind.startswith("DECIMAL") and kind.endswith(",0)")):
        value = f"TRY_CAST({column} AS BIGINT)"
        return Cast(name, "BIGINT", value, f"({value} IS NULL AND {column} IS NOT NULL)", "a 64-bit whole number")
    if kind.startswith("DECIMAL"):
        return Cast(name, "DOUBLE", f"{column}::DOUBLE")
    if kind.startswith("TIMESTAMP"):
        zoned = "WITH TIME ZONE" in kind or "TZ" in kind
        return Cast(name, "TIMESTAMP", f"{column}::TIMESTAMPTZ::TIMESTAMP" if zoned else f"{column}::TIMESTAMP")
    return Cast(name, "VARCHAR", f"{column}::VARCHAR") if kind.startswith(_TEXTS) else None


def cast(name: str, kind: str, reading: CellReading) -> Cast:
    """A column of one of our six types as another; what would lose or change a value makes its row unreadable.

    Args:
        name: The column.
        kind: Its type.
        reading: The type that it gets; how its texts are read, if it is one of texts; whether a person asked for it.
    """
    column, want = quoted(name), reading.type
    if kind == "VARCHAR" and (want != "VARCHAR" or reading.missing):
        return Cast(name, want, reading.value(name), reading.unreadable(name), reading.said_as)
    value = _numeric(column, kind, reading) if kind != want else (column, "")
    if reading.missing and kind != "VARCHAR":
        listed = ", ".join(map(literal, reading.missing))
        gone = f"CAST({column} AS VARCHAR) IN ({listed})"
        value = f"CASE WHEN NOT ({gone}) THEN {value[0]} END", f"({value[1]} AND NOT ({gone}))" if value[1] else ""
    return Cast(name, want, *value, _plainly(want))


def _numeric(column: str, kind: str, reading: CellReading) -> tuple[str, str]:
    """Value and unreadable, as SQL, of a column that holds no text."""
    want, there = reading.type, f"{column} IS NOT NULL"
    match kind, want:
        case "BIGINT", "DOUBLE":
            wide = f"CAST({column} AS DOUBLE)"
            return wide, f"({there} AND TRY_CAST({wide} AS BIGINT) IS DISTINCT FROM {column})"
        case "DOUBLE", "BIGINT":
            whole = f"CASE WHEN {column} = trunc({column}) THEN TRY_CAST({column} AS BIGINT) END"
            return whole, f"({there} AND ({whole}) IS NULL)"
        case "DATE", "TIMESTAMP":
            return f"CAST({column} AS TIMESTAMP)", ""
        case "TIMESTAMP", "DATE":
            day = f"CASE WHEN {column} = date_trunc('day', {column}) THEN CAST({column} AS DATE) END"
            return day, f"({there} AND ({day}) IS NULL)"
        case _, "VARCHAR" if reading.said:
            return f"CAST({column} AS VARCHAR)", ""
        case "BIGINT", "BOOLEAN" if reading.said:
            flag = f"CASE {column} WHEN 1 THEN true WHEN 0 THEN false END"
            return flag, f"({there} AND ({flag}) IS NULL)"
    return f"CAST(NULL AS {want})", f"({there})"


def _plainly(kind: str) -> str:
    word = WORDS[kind]
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def columns_of(casts: Sequence[Cast]) -> tuple[tuple[str, str], ...]:
    """``(name, type)`` of each."""
    return tuple((one.name, one.type) for one in casts)
