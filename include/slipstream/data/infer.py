"""What the columns of a batch hold, by all of their rows: no sample decides, it only says what to look for first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import TYPE_CHECKING

from slipstream.cell_formats import CODE
from slipstream.cell_reading import CellReading, is_missing
from slipstream.data import notes
from slipstream.data.likely import RECOGNISED, TEXT, likely
from slipstream.data.notes import ColumnNote
from slipstream.duck import first_row, literal, quoted

if TYPE_CHECKING:
    import duckdb

NEARLY = 0.9
"""A text of which so large a share is numbers or dates is doubtful."""
DISTINCT, FEW = 0.5, 50
"""A text is free text or an identifier if more than this share of its values differ, in at least so many rows."""
_WHOLE = 2**53
_EXAMPLES = 5
_BEGINNINGS = tuple(zip("Nn#1-<", "Oo$2.=", strict=True))
# Numbers and dates begin with what lies between + and 9 in the order of characters, or with a space.
_START = "({c} >= '+' AND {c} < ':' OR {c} < '!')"


@dataclass(frozen=True)
class Inferred:
    """What was found.

    Attributes:
        readings: Column -> how it is read.
        notes: What is to be said of it.
    """

    readings: Mapping[str, CellReading]
    notes: tuple[ColumnNote, ...]


def infer(
    rows: duckdb.DuckDBPyRelation, columns: Sequence[str], missing: Mapping[str, tuple[str, ...]], delimiter: str = ""
) -> Inferred:
    """How each of the text *columns* of *rows* is read.

    Args:
        rows: The batch; these columns are VARCHAR.
        columns: Those of which nothing is known.
        missing: Column -> texts that mean "missing" in it.
        delimiter: What stands between the fields of the file; between commas 1,234 is a thousand.
    """
    if not columns:
        return Inferred({}, ())
    guess = likely(rows, columns, missing)
    counts = _counted(rows, guess)
    readings, remarks = dict(guess), []
    for name, count in counts.items():
        if not _open(guess[name], count):
            readings[name], column_notes = _settled(rows, name, guess[name], count)
        else:
            readings[name], column_notes = _decided(rows, name, guess[name], delimiter)
            if readings[name].type == "VARCHAR" and not any(note.doubtful for note in column_notes):
                text = readings[name]
                column_notes = [*column_notes, *_of_text(rows, name, text, _counted(rows, {name: text})[name])]
        remarks += column_notes
    remarks += _in_a_land_of_commas(rows, readings)
    return Inferred(readings, tuple(sorted(remarks, key=lambda note: list(columns).index(note.column))))


def confirmed(rows: duckdb.DuckDBPyRelation, guess: Mapping[str, CellReading]) -> Inferred | None:
    """What was *likely*, once *rows* were read so without a cell that could not be; None if a closer look is due.

    Args:
        rows: The rows as they were read, typed.
        guess: How their columns were read.
    """
    if not guess:
        return Inferred({}, ())
    counts = _counted(rows, {name: replace(reading, missing=()) for name, reading in guess.items()}, typed=True)
    if any(_open(guess[name], count) for name, count in counts.items()):
        return None
    readings, remarks = {}, []
    for name, count in counts.items():
        readings[name], column_notes = _settled(rows, name, guess[name], count)
        remarks += column_notes
    return Inferred(readings, tuple(remarks))


def _settled(
    rows: duckdb.DuckDBPyRelation, name: str, guess: CellReading, count: _Count
) -> tuple[CellReading, list[ColumnNote]]:
    """A column that is what it seemed to be."""
    if guess.type == "VARCHAR":
        return guess, _of_text(rows, name, guess, count)
    return (guess if count.known else replace(guess, type="")), []


@dataclass(frozen=True)
class _Count:
    known: int
    unreadable: int = 0
    greatest: float = 0
    digits: int = 0
    distinct: int = 0
    words: int = 0


def _open(reading: CellReading, count: _Count) -> bool:
    """Whether what is likely may not be the whole truth."""
    if reading.type == "VARCHAR":
        return bool(count.known) and count.digits >= NEARLY * count.known
    return bool(count.unreadable) or count.greatest >= _WHOLE or _marked(reading)


def _marked(reading: CellReading) -> bool:
    return bool(reading.thousands or reading.format or reading.decimal != ".")


def _counted(
    rows: duckdb.DuckDBPyRelation, readings: Mapping[str, CellReading], *, typed: bool = False
) -> dict[str, _Count]:
    """All rows, once, held against what is likely; *typed* rows were read so already."""
    aggregates: list[str] = []
    for name, reading in readings.items():
        cell = quoted(name)
        if reading.type == "VARCHAR":
            start, word = _START.format(c=cell), _word(cell)
            aggregates += [
                f"count_if({reading.known(name)})",
                f"count_if({start})",
                f"approx_count_distinct({cell})",
                f"count_if({word})",
                f"count_if({start} AND {word})",
            ]
        else:
            value = cell if typed else reading.value(name)
            aggregates.append(f"count({value})")
            aggregates.append("0" if typed else f"count_if({reading.unreadable(name)})")
            aggregates.append(f"coalesce(max(abs({value})), 0)" if reading.type == "DOUBLE" else "0")
    results = iter(first_row(rows.aggregate(", ".join(aggregates))))
    counts = {}
    for name, reading in readings.items():
        if reading.type == "VARCHAR":
            known, begun, distinct, words, both = (next(results) for _ in range(5))
            counts[name] = _Count(known, digits=begun + words - both, distinct=distinct, words=words)
        else:
            counts[name] = _Count(next(results), next(results), float(next(results)))
    return counts


def _decided(
    rows: duckdb.DuckDBPyRelation, name: str, likely: CellReading, delimiter: str
) -> tuple[CellReading, list[ColumnNote]]:
    """What the column is, by how many of its cells each reading takes."""
    missing = likely.missing
    tried = [replace(reading, missing=missing) for reading in RECOGNISED]
    cell = quoted(name)
    aggregates = [f"count({reading.value(name)})" for reading in tried]
    aggregates += [
        f"count_if({tried[1].known(name)})",
        f"min({cell}) FILTER (WHERE regexp_full_match(trim({cell}), {literal(CODE)}))",
        f"count_if(regexp_full_match({cell}, {literal(tried[1].pattern)}))",
    ]
    *taken, known, code, whole = first_row(rows.aggregate(", ".join(aggregates)))
    text = replace(TEXT, missing=missing)
    if not known:
        return replace(text, type=""), []
    if code is not None:
        return text, [notes.leading_zeros(name, code)]
    full = [reading for reading, count in zip(tried, taken, strict=True) if count == known]
    if full:
        return _preferred(rows, name, full, (whole == known, delimiter))
    best = max(range(len(tried)), key=lambda at: taken[at])
    if taken[best] < NEARLY * known:
        return text, _mixed(rows, name, list(zip(taken, tried, strict=True)), known)
    strange = _examples(rows, name, tried[best].unreadable(name))
    return text, [notes.nearly(name, tried[best], taken[best] / known, strange)]


def _mixed(
    rows: duckdb.DuckDBPyRelation, name: str, taken: Sequence[tuple[int, CellReading]], known: int
) -> list[ColumnNote]:
    """Whether nearly all cells are dates, or numbers, of which no reading takes all."""
    for kind, kinds in (("DATE", {"DATE", "TIMESTAMP"}), ("DOUBLE", {"BIGINT", "DOUBLE"})):
        counts = [(count, f"({reading.value(name)} IS NOT NULL)") for count, reading in taken if reading.type in kinds]
        some = f"({' OR '.join(read for count, read in counts if count) or 'false'})"
        share = first_row(rows.aggregate(f"count_if({some})"))[0] / known
        if share >= NEARLY:
            best = max(counts, key=itemgetter(0))[1]
            one, other = (_examples(rows, name, wanted)[0][0] for wanted in (best, f"{some} AND NOT {best}"))
            return [notes.mixed(name, kind, share, (one, other))]
    return []


def _preferred(
    rows: duckdb.DuckDBPyRelation, name: str, full: Sequence[CellReading], facts: tuple[bool, str]
) -> tuple[CellReading, list[ColumnNote]]:
    """Of the readings that take every cell, the one that is meant; a text, where nobody can tell."""
    first, (whole, delimiter) = full[0], facts
    text = replace(TEXT, missing=first.missing)

    def example(condition: str) -> str:
        return _examples(rows, name, condition)[0][0]

    if not _marked(first) and first.type != "DOUBLE":
        return first, []
    if not _marked(first) and whole:
        return text, [notes.too_long(name, example(f"strlen(trim({quoted(name)})) >= 19"))]
    if not _marked(first):
        broken = _inexact(rows, name, first)
        return (text, [notes.imprecise(name, broken)]) if broken else (first, [])
    first, *others = _meant(first, full, delimiter)
    marked = f"{quoted(name)} IS NOT NULL AND {first.value(name)} IS NOT NULL"
    if not first.format:
        mark = first.thousands or first.decimal
        marked += f" AND contains({quoted(name)}, {literal(mark)})"
    if others:
        return text, [notes.two_readings(name, [first, *others], example(marked))]
    return first, [notes.recognised_as(name, first, example(marked))]


def _meant(first: CellReading, full: Sequence[CellReading], delimiter: str) -> list[CellReading]:
    """The readings that somebody could mean where cells are marked or formatted as *first* has them."""
    if first.format:
        return [reading for reading in full if reading.type == first.type]
    grouped = [reading for reading in full if reading.thousands == ","]
    if first.decimal != "," or not grouped:
        return [first]
    # 1,234 in every cell: a thousand to one, a little more than one to another; but not between commas.
    return [grouped[0]] if delimiter == "," else [first, grouped[0]]


def _inexact(rows: duckdb.DuckDBPyRelation, name: str, reading: CellReading) -> str:
    """A whole number among decimals that a double rounds; "" if there is none."""
    value = reading.value(name)
    whole = CellReading("BIGINT").value(name)
    rounded = f"({whole} IS NOT NULL AND TRY_CAST({value} AS BIGINT) IS DISTINCT FROM {whole})"
    examples = _examples(rows, name, rounded)
    return examples[0][0] if examples else ""


def _of_text(rows: duckdb.DuckDBPyRelation, name: str, reading: CellReading, count: _Count) -> list[ColumnNote]:
    """What is to be said of a column of words."""
    remarks = []
    if count.words and not reading.said:
        condition = f"({is_missing(quoted(name))} AND {quoted(name)} <> '')"
        if reading.missing:
            condition += f" AND {reading.known(name)}"
        if words := _examples(rows, name, condition):
            remarks.append(notes.missing_words(name, words))
    if count.known >= FEW and count.distinct > DISTINCT * count.known:
        several = first_row(rows.aggregate(f"count_if(contains({quoted(name)}, ' '))"))[0]
        remarks.append(notes.mostly_distinct(name, count.distinct, count.known, several > DISTINCT * count.known))
    return remarks


def _in_a_land_of_commas(rows: duckdb.DuckDBPyRelation, readings: dict[str, CellReading]) -> list[ColumnNote]:
    """Where other columns have decimal commas, 1.234 is a thousand to some: such columns are text until told."""
    lands = [reading for reading in readings.values() if reading.type == "DOUBLE" and reading.decimal == ","]
    plain = [name for name, reading in readings.items() if reading == CellReading("DOUBLE", missing=reading.missing)]
    if not lands or not plain:
        return []
    grouped = r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}"
    aggregates = []
    for name in plain:
        dotted = f"contains({quoted(name)}, '.')"
        other = f"NOT regexp_full_match(trim({quoted(name)}), {literal(grouped)})"
        aggregates += [f"count_if({dotted} AND {other})", f"min({quoted(name)}) FILTER (WHERE {dotted})"]
    results = first_row(rows.aggregate(", ".join(aggregates)))
    remarks = []
    for at, name in enumerate(plain):
        if results[2 * at] == 0 and results[2 * at + 1] is not None:
            ways = [readings[name], CellReading("BIGINT", thousands=".", decimal=",")]
            remarks.append(notes.two_readings(name, ways, results[2 * at + 1]))
            readings[name] = replace(TEXT, missing=readings[name].missing)
    return remarks


def _word(cell: str) -> str:
    """SQL: whether a cell is one of the words for "missing", few of which begin as other words do."""
    begins = " OR ".join(f"({cell} >= '{first}' AND {cell} < '{after}')" for first, after in _BEGINNINGS)
    return f"CASE WHEN {begins} OR {cell} < '!' THEN {is_missing(cell)} ELSE false END"


def _examples(rows: duckdb.DuckDBPyRelation, name: str, condition: str) -> list[tuple[str, int]]:
    """The commonest cells for which the *condition* holds, and how often each stands there."""
    cell = quoted(name)
    counted = rows.filter(condition).aggregate(f"{cell} AS cell, count(*) AS n", cell).order("n DESC, cell")
    return [(str(text), int(count)) for text, count in counted.limit(_EXAMPLES).fetchall()]
