"""What the columns of a batch hold, by all of their rows: no sample decides, it only says what to look for first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import TYPE_CHECKING

from slipstream.data import notes
from slipstream.data.notes import Note
from slipstream.duck import first_row, literal, quoted
from slipstream.reading import CODE, MISSING_WORDS, Reading, is_missing, recognised

if TYPE_CHECKING:
    import duckdb

NEARLY = 0.9
"""A text of which so large a share is numbers or dates is doubtful."""
DISTINCT, FEW = 0.5, 50
"""A text is free text or an identifier if more than this share of its values differ, in at least so many rows."""
SAMPLE = 200
_WHOLE = 2**53
_EXAMPLES = 5
_ALL = tuple(recognised())
_TEXT = Reading("VARCHAR")
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

    readings: Mapping[str, Reading]
    notes: tuple[Note, ...]


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
    readings, found = dict(guess), []
    for name, count in counts.items():
        if not _open(guess[name], count):
            readings[name], said = _settled(rows, name, guess[name], count)
        else:
            readings[name], said = _decided(rows, name, guess[name], delimiter)
            if readings[name].type == "VARCHAR" and not any(note.doubtful for note in said):
                text = readings[name]
                said = [*said, *_of_text(rows, name, text, _counted(rows, {name: text})[name])]
        found += said
    found += _in_a_land_of_commas(rows, readings)
    return Inferred(readings, tuple(sorted(found, key=lambda note: list(columns).index(note.column))))


def confirmed(rows: duckdb.DuckDBPyRelation, guess: Mapping[str, Reading]) -> Inferred | None:
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
    readings, found = {}, []
    for name, count in counts.items():
        readings[name], said = _settled(rows, name, guess[name], count)
        found += said
    return Inferred(readings, tuple(found))


def _settled(rows: duckdb.DuckDBPyRelation, name: str, guess: Reading, count: _Count) -> tuple[Reading, list[Note]]:
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


def _open(reading: Reading, count: _Count) -> bool:
    """Whether what is likely may not be the whole truth."""
    if reading.type == "VARCHAR":
        return bool(count.known) and count.digits >= NEARLY * count.known
    return bool(count.unreadable) or count.greatest >= _WHOLE or _marked(reading)


def _marked(reading: Reading) -> bool:
    return bool(reading.thousands or reading.format or reading.decimal != ".")


def likely(
    rows: duckdb.DuckDBPyRelation, columns: Sequence[str], missing: Mapping[str, tuple[str, ...]]
) -> dict[str, Reading]:
    """What some cells of each column suggest."""
    listed = ", ".join(map(quoted, columns))
    sample = rows.project(listed).limit(SAMPLE).fetchall()
    cells = {name: [row[at] for row in sample if row[at] is not None] for at, name in enumerate(columns)}
    silent = [name for name in columns if not _known(cells[name], missing.get(name, ()))]
    if silent:
        texts = [Reading("DOUBLE", missing=missing.get(name, ())).known(name) for name in silent]
        asked = [
            f"{end}({quoted(name)}) FILTER (WHERE {known})"
            for name, known in zip(silent, texts, strict=True)
            for end in ("min", "max")
        ]
        ends = first_row(rows.aggregate(", ".join(asked)))
        for at, name in enumerate(silent):
            cells[name] = [end for end in ends[2 * at : 2 * at + 2] if end is not None]
    return {name: _first(_known(cells[name], missing.get(name, ())), missing.get(name, ())) for name in columns}


def _known(cells: Sequence[str], missing: tuple[str, ...]) -> list[str]:
    """The cells that say something."""
    return [cell for cell in cells if cell not in missing and cell.strip(" ").lower() not in {"", *MISSING_WORDS}]


def _first(cells: Sequence[str], missing: tuple[str, ...]) -> Reading:
    if not cells:
        return Reading("", missing=missing)
    for reading in _ALL:
        if all(_reads(reading, cell) for cell in cells):
            return replace(reading, missing=missing)
    return replace(_TEXT, missing=missing)


def _reads(reading: Reading, cell: str) -> bool:
    try:
        return reading.parse(cell) is not None
    except ValueError:
        return False


def _counted(
    rows: duckdb.DuckDBPyRelation, readings: Mapping[str, Reading], *, typed: bool = False
) -> dict[str, _Count]:
    """All rows, once, held against what is likely; *typed* rows were read so already."""
    asked: list[str] = []
    for name, reading in readings.items():
        cell = quoted(name)
        if reading.type == "VARCHAR":
            start, word = _START.format(c=cell), _word(cell)
            asked += [
                f"count_if({reading.known(name)})",
                f"count_if({start})",
                f"approx_count_distinct({cell})",
                f"count_if({word})",
                f"count_if({start} AND {word})",
            ]
        else:
            value = cell if typed else reading.value(name)
            asked.append(f"count({value})")
            asked.append("0" if typed else f"count_if({reading.unreadable(name)})")
            asked.append(f"coalesce(max(abs({value})), 0)" if reading.type == "DOUBLE" else "0")
    found = iter(first_row(rows.aggregate(", ".join(asked))))
    counts = {}
    for name, reading in readings.items():
        if reading.type == "VARCHAR":
            known, begun, distinct, words, both = (next(found) for _ in range(5))
            counts[name] = _Count(known, digits=begun + words - both, distinct=distinct, words=words)
        else:
            counts[name] = _Count(next(found), next(found), float(next(found)))
    return counts


def _decided(rows: duckdb.DuckDBPyRelation, name: str, likely: Reading, delimiter: str) -> tuple[Reading, list[Note]]:
    """What the column is, by how many of its cells each reading takes."""
    missing = likely.missing
    tried = [replace(reading, missing=missing) for reading in _ALL]
    cell = quoted(name)
    asked = [f"count({reading.value(name)})" for reading in tried]
    asked += [
        f"count_if({tried[1].known(name)})",
        f"min({cell}) FILTER (WHERE regexp_full_match(trim({cell}), {literal(CODE)}))",
        f"count_if(regexp_full_match({cell}, {literal(tried[1].pattern)}))",
    ]
    *taken, known, code, whole = first_row(rows.aggregate(", ".join(asked)))
    text = replace(_TEXT, missing=missing)
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


def _mixed(rows: duckdb.DuckDBPyRelation, name: str, taken: Sequence[tuple[int, Reading]], known: int) -> list[Note]:
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
    rows: duckdb.DuckDBPyRelation, name: str, full: Sequence[Reading], facts: tuple[bool, str]
) -> tuple[Reading, list[Note]]:
    """Of the readings that take every cell, the one that is meant; a text, where nobody can tell."""
    first, (whole, delimiter) = full[0], facts
    text = replace(_TEXT, missing=first.missing)

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


def _meant(first: Reading, full: Sequence[Reading], delimiter: str) -> list[Reading]:
    """The readings that somebody could mean where cells are marked or formatted as *first* has them."""
    if first.format:
        return [reading for reading in full if reading.type == first.type]
    grouped = [reading for reading in full if reading.thousands == ","]
    if first.decimal != "," or not grouped:
        return [first]
    # 1,234 in every cell: a thousand to one, a little more than one to another; but not between commas.
    return [grouped[0]] if delimiter == "," else [first, grouped[0]]


def _inexact(rows: duckdb.DuckDBPyRelation, name: str, reading: Reading) -> str:
    """A whole number among decimals that a double rounds; "" if there is none."""
    value = reading.value(name)
    whole = Reading("BIGINT").value(name)
    rounded = f"({whole} IS NOT NULL AND TRY_CAST({value} AS BIGINT) IS DISTINCT FROM {whole})"
    found = _examples(rows, name, rounded)
    return found[0][0] if found else ""


def _of_text(rows: duckdb.DuckDBPyRelation, name: str, reading: Reading, count: _Count) -> list[Note]:
    """What is to be said of a column of words."""
    found = []
    if count.words and not reading.said:
        condition = f"({is_missing(quoted(name))} AND {quoted(name)} <> '')"
        if reading.missing:
            condition += f" AND {reading.known(name)}"
        if words := _examples(rows, name, condition):
            found.append(notes.missing_words(name, words))
    if count.known >= FEW and count.distinct > DISTINCT * count.known:
        several = first_row(rows.aggregate(f"count_if(contains({quoted(name)}, ' '))"))[0]
        found.append(notes.mostly_distinct(name, count.distinct, count.known, several > DISTINCT * count.known))
    return found


def _in_a_land_of_commas(rows: duckdb.DuckDBPyRelation, readings: dict[str, Reading]) -> list[Note]:
    """Where other columns have decimal commas, 1.234 is a thousand to some: such columns are text until told."""
    lands = [reading for reading in readings.values() if reading.type == "DOUBLE" and reading.decimal == ","]
    plain = [name for name, reading in readings.items() if reading == Reading("DOUBLE", missing=reading.missing)]
    if not lands or not plain:
        return []
    grouped = r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}"
    asked = []
    for name in plain:
        dotted = f"contains({quoted(name)}, '.')"
        other = f"NOT regexp_full_match(trim({quoted(name)}), {literal(grouped)})"
        asked += [f"count_if({dotted} AND {other})", f"min({quoted(name)}) FILTER (WHERE {dotted})"]
    told = first_row(rows.aggregate(", ".join(asked)))
    found = []
    for at, name in enumerate(plain):
        if told[2 * at] == 0 and told[2 * at + 1] is not None:
            ways = [readings[name], Reading("BIGINT", thousands=".", decimal=",")]
            found.append(notes.two_readings(name, ways, told[2 * at + 1]))
            readings[name] = replace(_TEXT, missing=readings[name].missing)
    return found


def _word(cell: str) -> str:
    """SQL: whether a cell is one of the words for "missing", few of which begin as other words do."""
    begins = " OR ".join(f"({cell} >= '{first}' AND {cell} < '{after}')" for first, after in _BEGINNINGS)
    return f"CASE WHEN {begins} OR {cell} < '!' THEN {is_missing(cell)} ELSE false END"


def _examples(rows: duckdb.DuckDBPyRelation, name: str, condition: str) -> list[tuple[str, int]]:
    """The commonest cells for which the *condition* holds, and how often each stands there."""
    cell = quoted(name)
    counted = rows.filter(condition).aggregate(f"{cell} AS cell, count(*) AS n", cell).order("n DESC, cell")
    return [(str(text), int(count)) for text, count in counted.limit(_EXAMPLES).fetchall()]
