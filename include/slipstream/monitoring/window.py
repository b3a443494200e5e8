"""The rows that monitoring looks at, and the files that they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from slipstream.duck import evenly_spaced, instant_before, literal, quoted
from slipstream.spec.model import ModelSpec

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

CLOCK, FILE, PROBABILITIES = "slipstream_time", "slipstream_file", "slipstream_probabilities"
"""Columns of ours beside a window's own: event time, data file, and what a captured answer to many classes said."""


@dataclass(frozen=True)
class FilePart:
    """The rows of one data file that lie in a window.

    Attributes:
        place: Where the file lies, as the column :data:`FILE` has it.
        sha256: Its content.
        rows: How many of its rows lie in the window.
        whole: Whether no row was cut off by the window's edge.
    """

    place: str
    sha256: str
    rows: int
    whole: bool


@dataclass(frozen=True)
class Window:
    """An open window.

    Attributes:
        rows: How many rows it has.
        first: Event time of the oldest row, ISO 8601; empty without event time.
        last: Event time of the newest row.
        relation: The rows: the inputs, the target where it is known, for captured rows the answer, and our columns.
        history: All rows that there are, older ones too.
        files: The data files that its rows come from.
        scheme: Digest of what beside a file's content decides how its rows read.
        left_out: Inputs that cannot be judged, because `deploy.capture` does not keep their values.
        damaged: Data files that are not what was written, and so have no rows in the window.
    """

    rows: int
    first: str
    last: str
    relation: duckdb.DuckDBPyRelation
    history: duckdb.DuckDBPyRelation
    files: tuple[FilePart, ...]
    scheme: str = ""
    left_out: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """The columns that say something of a row."""
        return [name for name in self.relation.columns if name != FILE]

    def sample(self, at_most: int) -> pd.DataFrame:
        """At most so many evenly spaced rows."""
        rows = self.relation.project(", ".join(map(quoted, self.columns)))
        return evenly_spaced(rows, self.rows, at_most).df()

    def earlier(self, span: timedelta, length: timedelta | None) -> duckdb.DuckDBPyRelation | None:
        """The rows of a time as long as the window's that ended *span* before it; None without event time.

        Args:
            length: How long the window is; None: from its first row to its last.
        """
        if not self.first:
            return None
        last, first = (f"TIMESTAMP {literal(end)}" for end in (self.last, self.first))
        ended = f"{last} - {_interval(span)}"
        begun = f"> {ended} - {_interval(length)}" if length else f">= {first} - {_interval(span)}"
        return self.history.filter(f"{CLOCK} <= {ended} AND {CLOCK} {begun}")


def last_window(
    rows: duckdb.DuckDBPyRelation, files: Mapping[str, str], spec: ModelSpec, history: duckdb.DuckDBPyRelation
) -> Window:
    """The last ``monitor.window`` of *rows*, which come from *files*: place -> sha256."""
    span, timed = spec.monitor.window, CLOCK in rows.columns
    by_file = _by_file(rows, timed)
    newest = max((last for *_, last in by_file.values() if last is not None), default=None)
    cut: dict[str, tuple[int, Any, Any]] = {}
    if timed and span is not None and newest is not None:
        edge = instant_before(newest, span)
        edges = rows.filter(f"{CLOCK} > {edge}")
        inside = _by_file(edges, timed)
        # A file is whole if no row fell off; rows without event time fall off too.
        cut = {place: inside_part for place, inside_part in inside.items() if inside_part[0] < by_file[place][0]}
        rows, by_file = edges, inside
    parts = tuple(
        FilePart(place, files[place], by_file[place][0], place not in cut) for place in files if place in by_file
    )
    ends = [[end for end in ends if end is not None] for ends in zip(*(t[1:] for t in by_file.values()), strict=True)]
    first, last = (pick(end).isoformat() if end else "" for pick, end in zip((min, max), ends or ([], []), strict=True))
    return Window(sum(part.rows for part in parts), first, last, rows, history, parts)


def _by_file(rows: duckdb.DuckDBPyRelation, timed: bool) -> dict[str, tuple[int, Any, Any]]:
    """Place of each file -> its rows, and event time of its oldest and newest."""
    ends = f"min({CLOCK}), max({CLOCK})" if timed else "NULL, NULL"
    rows_by_file = rows.aggregate(f"{FILE}, count(*), {ends}", FILE).fetchall()
    return {place: (count, first, last) for place, count, first, last in rows_by_file}


def _interval(span: timedelta) -> str:
    return f"to_microseconds({span // timedelta(microseconds=1)})"
