"""Whether two columns hold the same kind of values: the only thing that tells a renamed column from another one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slipstream.duck import first_row, quoted
from slipstream.number_formats import percent

if TYPE_CHECKING:
    import duckdb

FAR = 0.1
"""Distance from which on values differ, if chance does not explain it."""
_CHANCE = 1.63  # of the Kolmogorov-Smirnov statistic, at one in a hundred
_UNSURE = 0.3
_POINTS = 50


@dataclass(frozen=True)
class Likeness:
    """How like the values of two columns are.

    Attributes:
        alike: Whether nothing speaks against their being the same quantity in the same unit.
        distance: From 0, the same distribution, to 1.
        sentence: Both in words.
    """

    alike: bool
    distance: float
    sentence: str


Side = tuple["duckdb.DuckDBPyRelation", str]


def likeness(before: Side, after: Side, kind: str) -> Likeness:
    """Compare two columns, each given as ``(rows, name)``, which are both read as *kind*.

    Numbers by the greatest difference of their cumulative shares (Kolmogorov-Smirnov), texts by the share of rows whose
    value was not seen before, truth values by the share of true. Of dates nothing can be told.
    """
    counts = [int(first_row(rows.aggregate(f"count({quoted(name)})"))[0]) for rows, name in (before, after)]
    if not all(counts):
        return Likeness(False, 1.0, "one of the two has no value, so nothing can be compared")
    if kind in {"DATE", "TIMESTAMP"}:
        return Likeness(True, 0.0, "dates and times cannot be compared: look at the time zone")
    chance = _CHANCE * math.sqrt(sum(counts) / math.prod(counts))
    if kind == "VARCHAR":
        distance, sentence = _texts(before, after)
    elif kind == "BOOLEAN":
        shares = [float(first_row(rows.aggregate(f"avg({quoted(name)}::INT)"))[0]) for rows, name in (before, after)]
        distance, sentence = abs(shares[0] - shares[1]), f"true in {percent(shares[0])}, now {percent(shares[1])}"
    else:
        distance, sentence = _numbers(before, after)
    if chance > _UNSURE:
        return Likeness(False, distance, f"{sentence}: too few rows to tell ({min(counts)})")
    return Likeness(distance < max(FAR, chance), distance, sentence)


def _numbers(before: Side, after: Side) -> tuple[float, str]:
    shares = [(number + 1) / (_POINTS + 1) for number in range(_POINTS)]
    (rows, name), (new_rows, new_name) = before, after
    points = list(first_row(rows.aggregate(f"quantile_disc({quoted(name)}, {shares})"))[0])
    cumulative = [_below(side, points) for side in (before, after)]
    distance = max(abs(one - other) for one, other in zip(*cumulative, strict=True))
    now = first_row(new_rows.aggregate(f"quantile_disc({quoted(new_name)}, 0.5)"))[0]
    was = first_row(rows.aggregate(f"quantile_disc({quoted(name)}, 0.5)"))[0]
    return distance, f"median {was:.6g}, now {now:.6g}"


def _below(side: Side, points: list[float]) -> list[float]:
    """The share of values at most as large as each point, then of those smaller."""
    rows, name = side
    column = quoted(name)
    counts = [f"count_if({column} {sign} {point!r})" for sign in ("<=", "<") for point in points]
    known, *below = first_row(rows.aggregate(", ".join([f"count({column})", *counts])))
    return [count / known for count in below]


def _texts(before: Side, after: Side) -> tuple[float, str]:
    (rows, name), (new_rows, new_name) = before, after
    old = rows.project(f"{quoted(name)} AS value").filter("value IS NOT NULL").distinct()
    now = new_rows.project(f"{quoted(new_name)} AS value").filter("value IS NOT NULL")
    whole = int(first_row(now.aggregate("count(*)"))[0])
    unseen = int(first_row(now.join(old, "value", how="anti").aggregate("count(*)"))[0])
    return unseen / whole, f"{percent(unseen / whole)} of its rows hold values that were not seen before"
