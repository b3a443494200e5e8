"""Alarms that people can trust: quiet windows stay within the budget, and large shifts are found."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import duckdb
import pytest
from scipy.stats import binom

from slipstream.statistics.multiple_testing import benjamini_hochberg, judged_at

sys.path.insert(0, str(Path(__file__).parents[3] / "bench" / "scripts"))

import alarms
import drift_data

WINDOWS = 20
LARGE = ("mean + 0.5 sd", "new word 20%", "missing + 10%")
SMALL = "mean + 0.05 sd"


@cache
def drawn(rows: int) -> list[alarms.Drawn]:
    with duckdb.connect() as connection:
        drift_data.seeded(connection, 0.3)
        planting = list(alarms.draw(connection, rows, 2, [*LARGE, SMALL]))
        return planting + list(alarms.draw(connection, rows, WINDOWS - 2, []))


@pytest.mark.parametrize("pair", alarms.METHODS)
def test_quiet_windows_stay_within_the_budget(pair: tuple[str, str]) -> None:
    windows = drawn(500) + drawn(5000)
    significant, drifted, whole = alarms.quiet_alarms(windows, pair)
    assert significant * len(windows) <= binom.ppf(0.999, len(windows), alarms.BUDGET)
    assert (drifted, whole) == (0, 0)


@pytest.mark.parametrize("pair", alarms.METHODS)
@pytest.mark.parametrize("name", LARGE)
def test_large_shifts_are_found(name: str, pair: tuple[str, str]) -> None:
    assert alarms.detected([one for one in drawn(5000) if one.planted], name, pair)[0] == 1


@pytest.mark.parametrize("pair", alarms.METHODS)
def test_shifts_of_no_importance_do_not_count(pair: tuple[str, str]) -> None:
    assert alarms.detected([one for one in drawn(5000) if one.planted], SMALL, pair)[1] == 0


def test_benjamini_and_hochberg() -> None:
    # The example of their article of 1995, section 3.2: four of fifteen at 0.05, where Bonferroni finds three.
    p_values = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528,
                0.7590, 1.0]  # fmt: skip
    assert benjamini_hochberg(p_values, 0.05) == [True] * 4 + [False] * 11
    assert judged_at(p_values, 0.05) == pytest.approx([0.05 * 4 / 15] * 4 + [0.05 * 5 / 15] * 11)


def test_the_order_does_not_matter_and_ties_share_a_verdict() -> None:
    assert benjamini_hochberg([0.9, 0.02, 0.02], 0.05) == [False, True, True]
    assert benjamini_hochberg([0.05], 0.05) == [True]
    assert benjamini_hochberg([], 0.05) == judged_at([], 0.05) == []
