"""Intervals of the metrics: against published examples, against what they promise, and where nothing is defined."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from slipstream.spec.estimators import METRICS
from slipstream.statistics.intervals import FEW, figure, figures
from slipstream.statistics.metrics import measure

ALL = [(task, metric) for task, metrics in METRICS.items() for metric in metrics]


def rows(task: str, random: np.random.Generator, n: int) -> tuple[Any, Any]:
    """Answers as they should be: probabilities that mean what they say, normal errors of 2."""
    if task == "binary":
        answer = random.beta(1, 2, n)
        return (random.random(n) < answer).astype(int), answer
    if task == "multiclass":
        answer = random.dirichlet([1, 1, 1], n)
        return (answer.cumsum(axis=1) < random.random(n)[:, None]).sum(axis=1).clip(max=2), answer
    answer = random.normal(1000, 5, n)
    return answer + random.normal(0, 2, n), answer


@pytest.mark.parametrize(("task", "metric"), ALL)
def test_it_holds_the_true_figure_as_often_as_it_says(task: str, metric: str) -> None:
    true = measure(metric, *rows(task, np.random.default_rng(10_000), 400_000))
    found = [figure(metric, *rows(task, np.random.default_rng(seed), 150)) for seed in range(400)]
    held = np.mean([one.low <= true <= one.high for one in found])
    # Of 400 windows chance alone leaves 92.2 to 97.3 % in 99 of 100 tries.
    assert 0.92 <= held <= 0.985
    assert all(one.low <= one.value <= one.high for one in found)


@pytest.mark.parametrize(("task", "metric"), ALL)
def test_the_same_rows_give_the_same_bytes_in_any_order(task: str, metric: str) -> None:
    truth, answer = rows(task, np.random.default_rng(1), 300)
    one = figure(metric, truth, answer)
    assert one == figure(metric, truth, answer)
    order = np.random.default_rng(2).permutation(300)
    other = figure(metric, truth[order], answer[order])
    assert (other.low, other.high) == pytest.approx((one.low, one.high), rel=1e-9)


def test_a_share_has_the_interval_of_wilson() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), 857-872, table I: 81 of 263, 15 of 148, 0 of 20 and 1 of 29.
    for hits, among, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611),
                                   (1, 29, 0.0061, 0.1718)):  # fmt: skip
        truth, answer = np.ones(among, dtype=int), np.arange(among) < hits
        found = figure("recall", truth, answer.astype(float))
        assert (found.low, found.high) == pytest.approx((low, high), abs=6e-5)


def test_an_area_has_the_variance_of_delong() -> None:
    from scipy.stats import t

    random = np.random.default_rng(0)
    truth = np.repeat([0, 1], [60, 40])
    answer = np.round(random.normal(size=100) + truth, 1)
    pairs = (answer[truth == 1][:, None] > answer[truth == 0]) + 0.5 * (
        answer[truth == 1][:, None] == answer[truth == 0]
    )
    area = pairs.mean()
    ups, downs = pairs.mean(axis=1).var(ddof=1) / 40, pairs.mean(axis=0).var(ddof=1) / 60
    free = (ups + downs) ** 2 / (ups**2 / 39 + downs**2 / 59)
    half = t.ppf(0.975, free) * np.sqrt(ups + downs) / (area * (1 - area))
    found = figure("roc_auc", truth, answer)
    logits = [np.log(end / (1 - end)) for end in (found.low, found.high)]
    assert found.value == area
    assert logits == pytest.approx([np.log(area / (1 - area)) - half, np.log(area / (1 - area)) + half])


def test_six_positives_in_perfect_order_prove_little() -> None:
    truth = np.repeat([0, 1], [94, 6])
    found = figure("roc_auc", truth, np.linspace(0, 1, 100))
    assert (found.value, found.high) == (1.0, 1.0)
    assert 0.6 < found.low < 0.9
    found = figure("average_precision", truth, np.linspace(0, 1, 100))
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(6 / (6 + 1.96**2), abs=1e-3)


def test_what_a_few_rows_decide_is_said() -> None:
    random = np.random.default_rng(0)
    truth = np.zeros(200)
    even, heavy = random.normal(size=200), np.where(np.arange(200) < 2, 1000.0, random.normal(size=200))
    for metric in ("rmse", "mae"):
        assert figure(metric, truth, even).note == ""
        assert figure(metric, truth, heavy).note == FEW
    assert figure("median_absolute_error", truth, heavy).note == ""
    assert figure("median_absolute_error", truth[:5], heavy[:5]).note == FEW


def test_what_is_not_defined_has_no_interval() -> None:
    ones, answer = np.ones(50, dtype=int), np.linspace(0, 1, 50)
    found = figures(["roc_auc", "accuracy"], ones, answer)
    assert (found["roc_auc"].value, found["roc_auc"].low) == (None, None)
    assert found["accuracy"].value == 0.5
    assert figure("rmse", np.array([1.0]), np.array([2.0])).low is None, "of one row nothing is known"
    assert figure("r2", np.array([2.0, 2.0]), np.array([1.0, 2.0])).value is None


@pytest.mark.parametrize(("task", "metric"), ALL)
@pytest.mark.parametrize("n", [2, 3, 7])
def test_few_rows_and_equal_ones_have_finite_ends(task: str, metric: str, n: int) -> None:
    for seed in range(20):
        truth, answer = rows(task, np.random.default_rng(seed), n)
        for found in (
            figure(metric, truth, answer),
            figure(metric, np.repeat(truth[:1], n), np.repeat(answer[:1], n, 0)),
        ):
            if found.low is not None:
                assert np.isfinite([found.low, found.high]).all()
                assert found.low <= found.value <= found.high


def test_a_hundred_thousand_rows_take_no_time() -> None:
    truth, answer = rows("binary", np.random.default_rng(0), 100_000)
    started = time.process_time()
    figures(METRICS["binary"], truth, answer)
    assert time.process_time() - started < 2, "two hundred resamples took more than ten"
