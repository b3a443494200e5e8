"""Drift: each statistic against SciPy on the raw values, and verdicts that small samples cannot fool."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from slipstream.profiling.column_drift import ColumnDrift, Methods, drift, drifts
from slipstream.profiling.comparison_bins import cells
from slipstream.profiling.profile import ANSWER, Profile, profile

NUMERIC = ("psi", "ks", "wasserstein")
CATEGORICAL = ("psi", "jensen_shannon", "chi_square")


def profiles(reference: Any, window: Any) -> tuple[Profile, Profile]:
    """The profiles of two columns of raw values, called ``x``."""
    frames = [pd.DataFrame({"x": values}) for values in (reference, window)]
    with duckdb.connect() as connection:
        before = profile(connection.from_df(frames[0]), {"x": frames[0].x.dtype.kind == "f"}, [0.1, 0.9])
        return before, before.on(connection.from_df(frames[1]))


def judged(reference: Any, window: Any, method: Any, threshold: float = 0.2) -> ColumnDrift:
    before, now = profiles(reference, window)
    return drift(before.columns["x"], now.columns["x"], Methods(method, method, threshold))


def pair(name: str) -> tuple[Any, Any]:
    random = np.random.default_rng(3)
    made = {
        "shifted": (random.normal(size=20_000), random.normal(0.3, 1.2, 5000)),
        "the same": (random.normal(size=20_000), random.normal(size=5000)),
        "long tail": (random.lognormal(0, 1.5, 20_000), random.lognormal(0.2, 1.5, 5000)),
        "whole": (random.poisson(3, 20_000).astype(float), random.poisson(4, 5000).astype(float)),
    }
    return made[name]


@pytest.mark.parametrize("name", ["shifted", "the same", "long tail", "whole"])
class TestNumbers:
    def test_ks(self, name: str) -> None:
        reference, window = pair(name)
        exact = stats.ks_2samp(reference, window)
        got = judged(reference, window, "ks")
        # Below the exact value by at most one bin: 1/240 of the reference, and as much of the window's own mass there.
        assert exact.statistic - 0.006 <= got.statistic <= exact.statistic + 1e-12
        assert (got.p_value < 0.001) == (exact.pvalue < 0.001)

    def test_wasserstein(self, name: str) -> None:
        reference, window = pair(name)
        exact = stats.wasserstein_distance(reference, window) / reference.std()
        assert judged(reference, window, "wasserstein").statistic == pytest.approx(exact, rel=0.05, abs=0.005)

    def test_psi(self, name: str) -> None:
        reference, window = pair(name)
        deciles = np.quantile(reference, np.arange(1, 10) / 10, method="inverted_cdf")
        beyond = window > reference.max()
        if beyond.sum() / 5 < 10:
            # Too few to expect ten of them in a window of a fifth of the rows: no cell of their own.
            window = np.where(beyond, reference.max(), window)
        window = np.maximum(window, reference.min())
        ends = np.unique([np.nextafter(reference.min(), -np.inf), *deciles, reference.max()])
        counts = [
            np.bincount(np.searchsorted(ends, side), minlength=len(ends) + 1).astype(float)
            for side in (reference, window)
        ]
        kept = (counts[0] > 0) | (counts[1] > 0)
        p, q = ((c[kept] + 0.5) / (c.sum() + 0.5 * kept.sum()) for c in counts)
        exact = stats.entropy(p, q) + stats.entropy(q, p)
        # A decile is found to within one of 240 bins.
        assert judged(reference, window, "psi").statistic == pytest.approx(exact, rel=0.05, abs=0.002)


class TestWords:
    def setup_method(self) -> None:
        random = np.random.default_rng(4)
        self.reference = random.choice(list("abcde"), 20_000, p=[0.4, 0.3, 0.1, 0.1, 0.1])
        self.window = random.choice(list("abcdx"), 5000, p=[0.3, 0.4, 0.1, 0.1, 0.1])
        words = list("abcdex")
        self.counts = [np.array([(side == word).sum() for word in words]) for side in (self.reference, self.window)]

    def test_jensen_shannon(self) -> None:
        got = judged(self.reference, self.window, "jensen_shannon")
        assert got.statistic == pytest.approx(jensenshannon(*self.counts, base=2), rel=1e-9)

    def test_chi_square(self) -> None:
        got = judged(self.reference, self.window, "chi_square")
        table = np.stack(self.counts)
        assert got.statistic == pytest.approx(stats.contingency.association(table), rel=1e-9)
        assert got.p_value == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue, rel=1e-6)

    def test_psi(self) -> None:
        p, q = ((counts + 0.5) / (counts.sum() + 3) for counts in self.counts)
        exact = stats.entropy(p, q) + stats.entropy(q, p)
        got = judged(self.reference, self.window, "psi")
        assert got.statistic == pytest.approx(exact, rel=1e-9)
        assert got.drifted
        assert got.effect == "never seen: 0.0% -> 9.7%, e: 10.2% -> 0.0%"

    def test_many_rare_words_do_not_add_up_to_drift(self) -> None:
        random = np.random.default_rng(5)
        words = np.array([f"sku{number}" for number in range(5000)])
        for method in CATEGORICAL:
            got = judged(random.choice(words, 100_000), random.choice(words, 2000), method, 0.1)
            assert not got.drifted, got


@pytest.mark.parametrize("method", NUMERIC)
class TestBadNumbers:
    def test_nothing_changed(self, method: str) -> None:
        got = judged(np.arange(1000.0), np.arange(1000.0), method)
        assert got.statistic == pytest.approx(0, abs=1e-9)
        assert not got.drifted

    def test_an_empty_window(self, method: str) -> None:
        got = judged(np.arange(1000.0), np.array([], dtype=float), method)
        assert (got.statistic, got.drifted, got.n_window) == (0.0, False, 0)

    def test_a_constant_that_moved(self, method: str) -> None:
        assert not judged(np.full(1000, 3.0), np.full(1000, 3.0), method).drifted
        assert judged(np.full(1000, 3.0), np.full(1000, 4.0), method).drifted
        assert judged(np.full(1000, 3.0), np.full(1000, 2.0), method).drifted

    def test_all_values_gone_missing(self, method: str) -> None:
        got = judged(np.arange(1000.0), np.full(1000, np.nan), method)
        assert got.drifted
        assert got.effect == "missing 0.0% -> 100.0%"

    def test_values_where_there_were_none(self, method: str) -> None:
        assert judged(np.full(1000, np.nan), np.arange(1000.0), method).drifted
        assert not judged(np.full(1000, np.nan), np.full(500, np.nan), method).drifted

    def test_infinite_values_are_missing_and_huge_ones_stay_finite(self, method: str) -> None:
        got = judged(np.arange(1000.0), np.array([np.inf, -np.inf, 1e300] * 300), method)
        assert got.drifted
        assert np.isfinite(got.statistic)

    @pytest.mark.parametrize("rows", [30, 100, 500])
    def test_chance_is_no_drift(self, method: str, rows: int) -> None:
        random = np.random.default_rng(6)
        reference = random.normal(size=5000)
        before, _ = profiles(reference, reference)
        with duckdb.connect() as connection:
            for _ in range(20):
                window = before.on(connection.from_df(pd.DataFrame({"x": random.normal(size=rows)})))
                got = drift(before.columns["x"], window.columns["x"], Methods(method, "psi", 0.01))  # type: ignore[arg-type]
                assert not got.drifted, got


def test_truth_that_is_still_to_come_is_no_drift() -> None:
    with duckdb.connect() as connection:
        before = profile(connection.from_df(pd.DataFrame({"y": [0, 1] * 500})), {}, [0.1, 0.9], ("y", False))
        late = connection.sql("SELECT CASE WHEN i % 10 < 2 THEN i % 2 END AS y FROM range(1000) t(i)")
        (found,) = drifts(before, before.on(late), Methods("psi", "psi", 0.1))
    assert (found.role, found.drifted, found.n_window) == ("target", False, 200)


def test_cells_hold_every_row_once() -> None:
    before, now = profiles(*pair("long tail"))
    names, first, second = cells(before.columns["x"], now.columns["x"])
    assert len(names) == len(set(names)) <= 13
    assert (first.sum(), second.sum()) == (20_000, 5000)


@settings(max_examples=10, deadline=None)
@given(shift=st.floats(0, 3), more=st.floats(0.5, 3), method=st.sampled_from(NUMERIC))
def test_a_larger_shift_drifts_more(shift: float, more: float, method: str) -> None:
    reference = np.linspace(-3, 3, 1001)
    first = judged(reference, reference + shift, method).statistic
    assert judged(reference, reference + shift + more, method).statistic >= first - 1e-9


def test_shares_of_missing_and_unknown_values() -> None:
    before = pd.Series(["a"] * 900 + [None] * 100)
    now = pd.Series(["a"] * 300 + ["b"] * 100 + [None] * 100)
    got = judged(before, now, "psi")
    assert (got.missing, got.unknown) == ((0.1, 0.2), 0.2)
    assert judged(np.arange(1000.0), np.arange(2000.0), "ks").unknown == 0


@pytest.mark.parametrize("method", NUMERIC)
def test_a_figure_beyond_the_noise_is_one_that_is_significant(method: Any) -> None:
    random = np.random.default_rng(8)
    reference = random.normal(size=5000)
    for shift in np.linspace(0, 0.4, 9):
        got = judged(reference, random.normal(shift, size=500), method, threshold=1e-9)
        assert got.drifted == (got.p_value <= 0.01)
        assert got.statistic > got.noise or not got.drifted


def test_the_more_columns_the_less_each_proves_and_answers_are_a_family_of_their_own() -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(5000, 30)), columns=[f"x{at}" for at in range(30)])
    later = pd.DataFrame(random.normal(size=(500, 30)), columns=frame.columns).assign(x0=lambda f: f.x0 + 0.2)
    methods = Methods("ks", "psi", 0.05)
    with duckdb.connect() as connection:
        reference = profile(connection.from_df(frame), dict.fromkeys(frame.columns, True), list(random.random(5000)))
        window = reference.on(connection.from_df(later), list(random.random(500)))
    found = {one.column: one for one in drifts(reference, window, methods)}
    alone = drift(reference.columns["x0"], window.columns["x0"], methods)
    assert alone.p_value == found["x0"].p_value
    assert alone.noise < found["x0"].noise
    answer = drift(reference.columns[ANSWER], window.columns[ANSWER], methods)
    assert found[ANSWER].noise == answer.noise
    assert [name for name, one in found.items() if one.drifted] in ([], ["x0"])


def test_words_beyond_those_kept_by_name_are_no_drift_and_new_ones_are() -> None:
    random = np.random.default_rng(1)
    names = np.array([f"id{number}" for number in range(40_000)])
    for method in CATEGORICAL:
        got = judged(random.choice(names, 60_000), random.choice(names, 3000), method)
        assert (got.drifted, got.unknown) == (False, 0.0)
    reference = random.choice(names[:3000], 60_000)
    window = np.where(
        random.random(60_000) < 0.4, random.choice(names[3000:], 60_000), random.choice(reference, 60_000)
    )
    for method in CATEGORICAL:
        got = judged(reference, window, method)
        assert got.drifted, got
        assert got.unknown == pytest.approx(0.4, abs=0.02)
