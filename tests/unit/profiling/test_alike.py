"""Distances where something changed: beyond the reference they are exact, and equality is proven, not assumed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from slipstream.profiling.column_drift import Methods, alike
from slipstream.stages.deploy import deploy
from slipstream.stages.monitor import monitor
from slipstream.store import Store
from tests.sweeps import one_of
from tests.unit.profiling.test_column_drift import judged, profiles

METHODS = ("psi", "ks", "wasserstein", "jensen_shannon", "chi_square")


def are_alike(then: Any, now: Any, method: Any, threshold: float = 0.2) -> bool:
    before, after = profiles(then, now)
    return alike(before, after, Methods(method, method, threshold))["x"]


@pytest.mark.parametrize("factor", one_of(2, [1.1, 1.2, 1.3, 2.0, 4.0]))
@pytest.mark.parametrize("rows", [500, 20_000])
def test_an_area_beyond_the_reference_is_exact(rows: int, factor: float) -> None:
    """Values beyond the training rows lie in one wide bin; a straight line through it was up to two thirds too much."""
    for seed in range(5):
        random = np.random.default_rng(seed)
        reference, window = random.exponential(size=rows), random.exponential(size=2000) * factor
        exact = stats.wasserstein_distance(reference, window) / reference.std()
        assert judged(reference, window, "wasserstein").statistic == pytest.approx(exact, rel=0.02, abs=0.02)


@pytest.mark.parametrize("method", one_of(2, METHODS))
def test_the_same_is_alike_where_there_are_rows_enough(method: str) -> None:
    random = np.random.default_rng(0)
    found = [are_alike(random.normal(size=2000), random.normal(size=2000), method) for _ in range(20)]
    assert sum(found) >= 18
    few = [are_alike(random.normal(size=25), random.normal(size=25), method) for _ in range(20)]
    assert sum(few) <= 10, "of 25 rows nobody can tell"


@pytest.mark.parametrize("method", ["psi", "ks", "wasserstein"])
@pytest.mark.parametrize("rows", [100, 500, 5000])
def test_what_is_as_far_apart_as_the_threshold_is_seldom_alike(method: str, rows: int) -> None:
    # A shift d of a standard normal: psi d ** 2 (in cells a twentieth less), ks 2 Phi(d / 2) - 1, wasserstein d.
    shift = {"psi": np.sqrt(0.21), "ks": 2 * stats.norm.ppf(0.6), "wasserstein": 0.2}[method]
    random = np.random.default_rng(1)
    found = [are_alike(random.normal(size=rows), random.normal(shift, 1, rows), method) for _ in range(100)]
    assert sum(found) <= 12, "5 of 100, where the distance is as it says"


@pytest.fixture
def served(make_spec: Any, store: Store, release: Any) -> Any:
    """``served(drift, **watch)``: the spec of a model whose first version serves."""

    def make(drift: dict[str, Any], **watch: Any) -> Any:
        settings = {"min_rows": 50, "evidently": False, "drift": {"signals": ["inputs"], **drift}, **watch}
        spec = make_spec(monitor=settings, deploy={"target": {"type": "local"}})
        deploy(spec, store, release(spec).version, endpoint="")
        return spec

    return make


def test_a_real_shift_in_a_small_window_is_not_acquitted(
    served: Any, store: Store, committed: Any, make_rows: Any
) -> None:
    """One season before, the rows were as those of training; of so few a test finds no difference either way."""
    spec = served({"season": "2000h"}, window="100h")
    committed(spec, make_rows(100, seed=11, first=2000))
    shifted = np.random.default_rng(14).normal(0.8, 1, 100)
    committed(spec, make_rows(100, seed=14, first=4000, distance=shifted))
    found = monitor(spec, store)
    assert found.drifted_columns == ("distance",)
    assert "distance" not in found.seasonal


def test_too_few_rows_to_tell_is_said(served: Any, store: Store, committed: Any, make_rows: Any) -> None:
    def far(seed: int, first: int) -> Any:
        return make_rows(60, seed=seed, first=first, distance=np.random.default_rng(seed).normal(3, 1, 60))

    spec = served({"season": "2000h", "threshold": 0.1}, window="60h")
    committed(spec, far(8, 2000))
    committed(spec, far(11, 4000))
    found = monitor(spec, store)
    assert (found.drifted_columns, found.seasonal) == (("distance",), ())
    said = store.objects.get_json(found.details)["not_judged"]
    assert any("too few rows to tell whether distance" in why for why in said)


@pytest.mark.parametrize(("shift", "share", "drifted"), [(0.6, 0.5, False), (2.0, 0.5, True), (2.0, 1.0, False)])
def test_one_shift_that_is_large_counts_alone(
    shift: float, share: float, drifted: bool, served: Any, store: Store, committed: Any, make_rows: Any
) -> None:
    spec = served({"share": share})
    distance = np.random.default_rng(4).normal(shift, 1, 1000)
    committed(spec, make_rows(1000, seed=5, first=10_000, distance=distance))
    found = monitor(spec, store)
    assert (found.drifted_columns, found.drifted) == (("distance",), drifted)
    assert ("distance so far that one is enough" in found.verdict) is drifted
