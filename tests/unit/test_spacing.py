"""Evenly spaced samples: never more than wanted, in order, with the first row, from lists, frames and DuckDB alike."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream.duck import duck, evenly_spaced
from slipstream.spacing import spread, thinned


@given(count=st.integers(1, 500), at_most=st.integers(1, 60))
def test_a_sample_is_as_large_as_it_may_be_and_begins_with_the_first(count: int, at_most: int) -> None:
    rows = list(range(count))
    some = thinned(rows, at_most)
    assert 0 < len(some) <= at_most
    assert some == thinned(pd.DataFrame({"n": rows}), at_most)["n"].tolist()
    assert some[0] == 0
    assert len({after - before for before, after in pairwise(some)}) <= 1


@given(count=st.integers(2, 500), at_most=st.integers(2, 60))
def test_places_have_both_ends(count: int, at_most: int) -> None:
    places = spread(count, at_most)
    assert (places[0], places[-1], len(places)) == (0, count - 1, min(count, at_most))


@pytest.mark.parametrize("count", [1, 7, 3000])
def test_duckdb_takes_the_same_rows(count: int) -> None:
    with duck() as connection:
        rows = connection.sql(f'SELECT range AS n, \'x\' AS "a ""b" FROM range({count})')
        sample = evenly_spaced(rows, count, 100).df()
    assert sample["n"].tolist() == thinned(list(range(count)), 100)
    assert list(sample.columns) == ["n", 'a "b']
