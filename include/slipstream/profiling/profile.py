"""Profiles: what a dataset looks like, column by column, in some kilobytes that can be added up and compared.

Numbers are counted in at most 252 bins whose edges are quantiles of the reference, finer in the tails, so that its
distribution function is known exactly at each edge and within 1/240 between two. Words are counted exactly, the 10,000
most frequent by name. A window is counted in the bins of its reference, in one scan for the numbers and one for the
words, so that comparing never reads the reference rows again; profiles in the same bins add up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from slipstream.duck import duck, quoted
from slipstream.profiling.bin_edges import bin_edges
from slipstream.profiling.binning import Binned

if TYPE_CHECKING:
    import duckdb

Role = Literal["input", "target", "answer"]
Kind = Literal["number", "word"]
Counts = tuple[tuple[str, int], ...]

ANSWER = "slipstream_prediction"
"""Name of the column of the model's answers."""
MOST_WORDS = 10_000
BATCH_ROWS = 65_536
"""So many rows are counted at a time."""
_DIGITS = 10
"""Threads add in any order, which moves the last digits of a mean; so many are kept."""


@dataclass(frozen=True)
class ColumnProfile:
    """One column.

    Attributes:
        rows: All rows.
        missing: Rows without a value, or with an infinite one.
        edges: For numbers: upper ends of the bins, ascending; the first lies just below the reference's least value.
        counts: For numbers: rows in each bin ``(edges[i-1], edges[i]]`` and, last, above the last edge.
        low: For numbers: the least value; None without values. So are ``high``, ``mean`` and ``sd`` (population).
        words: For words: ``(word, rows)``, most frequent first.
        other: For words: rows with words beyond the 10,000 most frequent.
    """

    name: str
    role: Role
    kind: Kind
    rows: int = 0
    missing: int = 0
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    sd: float | None = None
    words: Counts = ()
    other: int = 0

    @property
    def known(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing

    def quantile(self, share: float) -> float | None:
        """The value below which that share of the rows with a value lies, interpolated inside its bin."""
        if self.low is None or self.high is None:
            return None
        wanted, passed, start = share * self.known, 0, self.low
        for count, end in zip(self.counts, (*self.edges, self.high), strict=True):
            end = min(max(end, self.low), self.high)
            if count and passed + count >= wanted:
                return start + (end - start) * max(wanted - passed, 0) / count
            passed, start = passed + count, end
        return self.high

    def merge(self, more: ColumnProfile) -> ColumnProfile:
        """The profile of the rows of both; raises ValueError for other bins.

        All counts are those of one scan over the rows of both, except those of words where a part has more than the
        10,000 that it keeps: a word's count is then short by at most the least count that each such part keeps, and the
        missing rows are in ``other``.
        """
        if (self.name, self.kind, self.edges) != (more.name, more.kind, more.edges):
            raise ValueError(f"profiles of {self.name!r} and {more.name!r} have other bins; they do not add up")
        words = dict(self.words)
        for word, count in more.words:
            words[word] = words.get(word, 0) + count
        most_frequent, rest = _most_frequent(words.items())
        mean, sd = _merged_moments(self, more)
        return replace(
            self,
            rows=self.rows + more.rows,
            missing=self.missing + more.missing,
            counts=tuple(a + b for a, b in zip(self.counts, more.counts, strict=True)),
            low=min((low for low in (self.low, more.low) if low is not None), default=None),
            high=max((high for high in (self.high, more.high) if high is not None), default=None),
            mean=mean,
            sd=sd,
            words=most_frequent,
            other=self.other + more.other + rest,
        )


@dataclass(frozen=True)
class Profile:
    """The columns of a dataset, by name: inputs, target and answers."""

    columns: Mapping[str, ColumnProfile]

    @property
    def rows(self) -> int:
        """Rows of the inputs."""
        return max((column.rows for column in self.columns.values() if column.role == "input"), default=0)

    def on(self, rows: duckdb.DuckDBPyRelation, answers: Sequence[Any] | None = None) -> Profile:
        """The profile of other *rows* in the same bins; columns that *rows* lacks are left out.

        Args:
            rows: Relation that has the columns by name.
            answers: The model's answers on them, one plain value for each row.
        """
        columns = {name: c for name, c in self.columns.items() if c.role != "answer" and name in rows.columns}
        profiles = _counted(rows, columns)
        if answers is not None and ANSWER in self.columns:
            profiles |= _answered({ANSWER: self.columns[ANSWER]}, answers, fit=False)
        return Profile({name: profiles[name] for name in self.columns if name in profiles})

    def merge(self, more: Profile) -> Profile:
        """The profile of the rows of both, which must have the same columns and bins."""
        return Profile({name: column.merge(more.columns[name]) for name, column in self.columns.items()})


def profile(
    rows: duckdb.DuckDBPyRelation,
    numbers: Mapping[str, bool],
    answers: Sequence[Any],
    target: tuple[str, bool] | None = None,
) -> Profile:
    """The reference profile of *rows*.

    Args:
        rows: Relation that has the columns by name.
        numbers: Input -> whether it is a number (else a word).
        answers: The model's answers, on these rows or others: all numbers, or all labels.
        target: Name of the target and whether it is a number; None leaves it out.
    """
    columns = {name: ColumnProfile(name, "input", _kind(number)) for name, number in numbers.items()}
    if target is not None:
        columns[target[0]] = ColumnProfile(target[0], "target", _kind(target[1]))
    numeric = all(isinstance(answer, float) for answer in answers)
    answered = _answered({ANSWER: ColumnProfile(ANSWER, "answer", _kind(numeric))}, answers, fit=True)
    return Profile(_counted(rows, _with_edges(rows, columns)) | answered)


def _with_edges(rows: duckdb.DuckDBPyRelation, columns: Mapping[str, ColumnProfile]) -> dict[str, ColumnProfile]:
    """The same columns, with bins that suit *rows*."""
    numbers = [name for name, column in columns.items() if column.kind == "number"]
    if not numbers:
        return dict(columns)
    edges = zip(numbers, bin_edges(rows, [_finite(name) for name in numbers]), strict=True)
    return dict(columns) | {name: replace(columns[name], edges=ends) for name, ends in edges}


def _counted(rows: duckdb.DuckDBPyRelation, columns: Mapping[str, ColumnProfile]) -> dict[str, ColumnProfile]:
    """The profile of *rows* in the bins of *columns*."""
    numbers = [column for column in columns.values() if column.kind == "number"]
    words = [column for column in columns.values() if column.kind == "word"]
    profiles = [*(_count_numbers(rows, numbers) if numbers else ()), *(_count_words(rows, words) if words else ())]
    by_name = {column.name: column for column in profiles}
    return {name: by_name[name] for name in columns}


def _count_numbers(rows: duckdb.DuckDBPyRelation, columns: Sequence[ColumnProfile]) -> Iterator[ColumnProfile]:
    values = rows.project(", ".join(f"{_number(column.name)} AS {_place(at)}" for at, column in enumerate(columns)))
    counted = [Binned(column.edges) for column in columns]
    for batch in values.to_arrow_reader(BATCH_ROWS):
        for binned, cells in zip(counted, batch.columns, strict=True):
            binned.add(cells.to_numpy(zero_copy_only=False))
    for column, binned in zip(columns, counted, strict=True):
        yield replace(
            column,
            rows=binned.rows,
            missing=binned.rows - binned.known,
            counts=tuple(binned.counts.tolist()),
            low=binned.low if binned.known else None,
            high=binned.high if binned.known else None,
            mean=_rounded(binned.mean),
            sd=_rounded(binned.sd),
        )


def _count_words(rows: duckdb.DuckDBPyRelation, columns: Sequence[ColumnProfile]) -> Iterator[ColumnProfile]:
    types = dict(zip(rows.columns, map(str, rows.types), strict=True))
    places = [_place(at) for at in range(len(columns))]
    cells = zip(columns, places, strict=True)
    words = rows.project(", ".join(f"{_word(column.name, types[column.name])} AS {place}" for column, place in cells))
    which = " ".join(f"WHEN grouping({place}) = 0 THEN {at}" for at, place in enumerate(places))
    # Every column in one scan; a column of millions of words is cut before it leaves DuckDB.
    counted = words.aggregate(
        f"CASE {which} END AS col, coalesce({', '.join(places)}) AS word, count(*) AS n",
        f"GROUPING SETS ({', '.join(f'({place})' for place in places)})",
    )
    nth = "row_number() OVER (PARTITION BY col ORDER BY n DESC, word) AS nth"
    ranked = counted.project(f"col, word, n, sum(n) OVER (PARTITION BY col) AS total, {nth}")
    ranked_words = ranked.filter(f"word IS NULL OR nth <= {MOST_WORDS + 1}").project("col, word, n, total").fetchall()
    for at, column in enumerate(columns):
        held = {word: n for col, word, n, _ in ranked_words if col == at}
        total = next((int(total) for col, _, _, total in ranked_words if col == at), 0)
        missing = held.pop(None, 0)
        most_frequent, _ = _most_frequent(held.items())
        other = total - missing - sum(n for _, n in most_frequent)
        yield replace(column, rows=total, missing=missing, words=most_frequent, other=other)


def _answered(columns: Mapping[str, ColumnProfile], answers: Sequence[Any], *, fit: bool) -> dict[str, ColumnProfile]:
    """The profile of *answers* in the bins of the one column of *columns*, which are made to *fit* if asked."""
    import pyarrow as pa

    ((name, column),) = columns.items()
    number = column.kind == "number"
    cells = pa.array(answers, pa.float64()) if number else pa.array([str(answer) for answer in answers], pa.string())
    with duck() as connection:
        rows = connection.from_arrow(pa.table({name: cells}))
        return _counted(rows, _with_edges(rows, columns) if fit else columns)


def _most_frequent(counts: Iterable[tuple[str, int]]) -> tuple[Counts, int]:
    """The most frequent words, equally frequent ones by name, and the rows of the rest."""
    ordered = sorted(counts, key=lambda item: (-item[1], item[0]))
    return tuple(ordered[:MOST_WORDS]), sum(count for _, count in ordered[MOST_WORDS:])


def _merged_moments(a: ColumnProfile, b: ColumnProfile) -> tuple[float | None, float | None]:
    """Mean and standard deviation of both: Chan, Golub and LeVeque, The American Statistician 37 (1983), 242-247."""
    if a.mean is None or a.sd is None:
        return b.mean, b.sd
    if b.mean is None or b.sd is None:
        return a.mean, a.sd
    total, apart = a.known + b.known, b.mean - a.mean
    squares = a.sd**2 * a.known + b.sd**2 * b.known + apart**2 * a.known * b.known / total
    return _rounded(a.mean + apart * b.known / total), _rounded(math.sqrt(squares / total))


def _number(name: str) -> str:
    return f"TRY_CAST({quoted(name)} AS DOUBLE)"


def _finite(name: str) -> str:
    return f"CASE WHEN isfinite({_number(name)}) THEN {_number(name)} END"


def _word(name: str, kind: str) -> str:
    """The value as text; a whole number that came as DOUBLE reads as the number it is."""
    column = quoted(name)
    text = f"CAST({column} AS VARCHAR)"
    if kind not in {"DOUBLE", "FLOAT"}:
        return text
    whole = f"CASE WHEN {column} = floor({column}) THEN TRY_CAST({column} AS BIGINT) END"
    return f"coalesce(CAST({whole} AS VARCHAR), {text})"


def _place(at: int) -> str:
    """What the column at that place is called in our own queries, whatever its name is."""
    return f"v{at}"


def _kind(number: bool) -> Kind:
    return "number" if number else "word"


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.{_DIGITS}g}")
