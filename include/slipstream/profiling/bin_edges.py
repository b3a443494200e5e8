"""The bins that numbers are counted in: their edges are quantiles of the reference, finer in the tails."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from slipstream.spacing import stride

if TYPE_CHECKING:
    import duckdb

EDGE_ROWS = 200_000
"""Edges come from so many evenly spaced rows at most; counts from all."""
_TAIL = (0.0001, 0.0005, 0.001, 0.002, 0.003)
QUANTILES = (*_TAIL, *(step / 240 for step in range(1, 240)), *(1 - share for share in reversed(_TAIL)))
_SHARES = tuple(Fraction(repr(share)) for share in QUANTILES)
"""The same as they are written, so that a rank does not depend on how a product is rounded."""
_COLUMNS = 32
"""So many columns are held in memory at a time."""


def bin_edges(rows: duckdb.DuckDBPyRelation, numbers: Sequence[str]) -> list[tuple[float, ...]]:
    """The edges of each column, ascending, the first just below its least value; none of a column without values.

    Args:
        rows: Relation.
        numbers: SQL of each column's numbers, NULL where there is none.
    """
    values = rows.project(", ".join(f"{number} AS v{at}" for at, number in enumerate(numbers)))
    bounds = ", ".join(f"min(v{at}), max(v{at})" for at in range(len(numbers)))
    total, *extremes = values.aggregate(f"count(*), {bounds}").fetchall()[0]
    step = stride(total, EDGE_ROWS)
    some = values if step == 1 else values.project("*, row_number() OVER () AS nth").filter(f"nth % {step} = 0")
    edges: list[tuple[float, ...]] = []
    for first in range(0, len(numbers), _COLUMNS):
        names = [f"v{at}" for at in range(first, min(first + _COLUMNS, len(numbers)))]
        for column in some.project(", ".join(names)).to_arrow_table().columns:
            low, high = extremes[2 * len(edges) : 2 * len(edges) + 2]
            ends = {math.nextafter(low, -math.inf), low, high} if low is not None else set()
            edges.append(tuple(sorted(ends.union(_quantiles(column.drop_null().to_numpy())))))
    return edges


def _quantiles(values: Any) -> list[float]:
    """The least of *values* that so many of them do not exceed, for each of :data:`QUANTILES`."""
    import numpy as np

    # DuckDB's quantile_disc gives the same, and takes ten times as long for so many at once.
    ranks = [max(1, math.ceil(share * len(values))) - 1 for share in _SHARES]
    ordered: list[float] = np.sort(values)[ranks].tolist() if len(values) else []
    return ordered
