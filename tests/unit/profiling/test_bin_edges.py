"""The edges of bins are the quantiles that DuckDB gives, from at most so many rows."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from slipstream.duck import duck
from slipstream.profiling.bin_edges import QUANTILES, bin_edges


@pytest.mark.parametrize("rows", [1, 2, 100, 239, 240, 480, 9999, 100_000])
def test_they_are_quantile_disc(rows: int) -> None:
    """Ranks are whole at some of these counts, where a product of doubles may fall on either side."""
    with duck() as connection:
        table = connection.from_query(f"SELECT hash(range)::DOUBLE AS x FROM range({rows})")
        wanted = table.aggregate(f"min(x), max(x), quantile_disc(x, {list(QUANTILES)})").fetchall()[0]
        (edges,) = bin_edges(table, ["x"])
    low, high, quantiles = wanted
    assert edges == tuple(sorted({math.nextafter(low, -math.inf), low, high, *quantiles}))


def test_missing_numbers_and_many_columns() -> None:
    random = np.random.default_rng(0)
    columns = {f"c{at}": random.normal(at, 1, 50) for at in range(70)}
    columns["c3"][::2] = np.nan
    columns["c40"][:] = np.nan
    numbers = [f"CASE WHEN isfinite({name}) THEN {name} END" for name in columns]
    with duck() as connection:
        edges = bin_edges(connection.from_arrow(pa.table(columns)), numbers)
    assert len(edges) == 70
    assert edges[40] == ()
    for (name, values), ends in zip(columns.items(), edges, strict=True):
        known = np.sort(values[np.isfinite(values)])
        assert ends[1:] == tuple(known.tolist()), name


def test_of_many_rows_some_are_asked() -> None:
    with duck() as connection:
        (edges,) = bin_edges(connection.from_query("SELECT range::DOUBLE AS x FROM range(1000001)"), ["x"])
    assert (edges[1], edges[-1]) == (0.0, 1_000_000.0)
    assert edges[len(edges) // 2] == pytest.approx(500_000, abs=10)
