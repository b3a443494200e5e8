"""Every metric against scikit-learn, and resamples against the metric on the rows that they drew."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipstream.spec.estimators import LOWER_IS_BETTER, METRICS
from slipstream.statistics.metrics import decide, holds, loss, measure, resample, resampled

N = 400


def _rows(task: str, seed: int = 0, n: int = N) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    if task == "binary":
        # Rounded, so that there are ties and answers of exactly one half.
        answer = np.round(random.random(n), 1)
        return (random.random(n) < 0.2 + 0.5 * answer).astype(int), answer
    if task == "multiclass":
        answer = random.dirichlet([1, 1, 1], n)
        return np.where(random.random(n) < 0.6, answer.argmax(axis=1), random.integers(0, 3, n)), answer
    answer = random.normal(1000, 5, n)
    return answer + random.normal(0, 2, n), answer


def _sklearn(metric: str, truth: np.ndarray, answer: np.ndarray) -> float:
    from sklearn import metrics as sk

    probabilities = {
        "roc_auc": sk.roc_auc_score,
        "average_precision": sk.average_precision_score,
        "log_loss": lambda t, a: sk.log_loss(t, a, labels=[0, 1] if a.ndim == 1 else range(a.shape[1])),
        "brier": sk.brier_score_loss,
    }
    classes = {
        "accuracy": sk.accuracy_score,
        "balanced_accuracy": sk.balanced_accuracy_score,
        "f1": sk.f1_score,
        "f1_macro": lambda t, a: sk.f1_score(t, a, average="macro"),
        "precision": sk.precision_score,
        "recall": sk.recall_score,
    }
    values = {
        "rmse": sk.root_mean_squared_error,
        "mae": sk.mean_absolute_error,
        "median_absolute_error": sk.median_absolute_error,
        "r2": sk.r2_score,
        "mape": sk.mean_absolute_percentage_error,
    }
    if metric in classes:
        return float(classes[metric](truth, decide(answer)))
    return float((probabilities | values)[metric](truth, answer))


ALL = [(task, metric) for task, metrics in METRICS.items() for metric in metrics]


@pytest.mark.parametrize(("task", "metric"), ALL)
@pytest.mark.parametrize("n", [401, 400, 3])
def test_it_is_what_scikit_learn_says(task: str, metric: str, n: int) -> None:
    truth, answer = _rows(task, n=n)
    if task == "binary":
        truth[:2] = [0, 1]
    assert measure(metric, truth, answer) == pytest.approx(_sklearn(metric, truth, answer), rel=1e-10)


@pytest.mark.parametrize(("task", "metric"), ALL)
def test_a_resample_is_the_metric_on_the_drawn_rows(task: str, metric: str) -> None:
    truth, answer = _rows(task)
    drawn = resample([metric], truth, answer, draws=5, seed=3)[metric]
    random = np.random.default_rng(3)
    for value in drawn:
        rows = random.integers(0, N, N)
        assert value == pytest.approx(measure(metric, truth[rows], answer[rows]), rel=1e-10)


def test_exactly_one_half_is_the_first_class() -> None:
    """Not by way of ``decide``: these are the figures that anybody can count."""
    truth, answer = np.array([0, 0, 0, 1]), np.array([0.5, 0.5, 0.5, 0.5])
    assert measure("accuracy", truth, answer) == 0.75
    assert measure("recall", truth, answer) == 0.0
    assert measure("balanced_accuracy", truth, answer) == 0.5


def test_two_models_are_compared_on_the_same_resamples() -> None:
    truth, answer = _rows("binary")
    one, two = (resample(["roc_auc"], truth, a, draws=50, seed=1)["roc_auc"] for a in (answer, answer**2))
    assert np.array_equal(one, two)


def test_what_is_not_defined_is_none() -> None:
    ones, answer = np.ones(50, dtype=int), np.linspace(0, 1, 50)
    assert np.isnan(measure("roc_auc", ones, answer))
    assert measure("accuracy", ones, answer) == 0.5
    assert measure("precision", np.array([0, 1]), np.array([0.1, 0.2])) == 0.0
    assert measure("recall", np.array([0, 0]), np.array([0.1, 0.9])) == 0.0
    assert measure("f1", np.array([0, 0]), np.array([0.1, 0.2])) == 0.0
    assert np.isnan(measure("r2", np.array([2.0, 2.0]), np.array([1.0, 2.0])))
    assert resampled(0.5, np.array([np.nan])).low is None
    assert resampled(float("nan"), np.array([0.5])).value is None


def test_the_middle_95_of_100_resamples_are_the_interval() -> None:
    found = resampled(0.4, np.append(np.arange(1001) / 1000, np.nan))
    assert (found.value, found.low, found.high) == (0.4, pytest.approx(0.025), pytest.approx(0.975))


def test_which_side_is_worse() -> None:
    assert loss("roc_auc", better=0.75, worse=0.7) == pytest.approx(0.05)
    assert loss("rmse", better=2.0, worse=2.5) == 0.5
    assert holds("roc_auc", 0.7, 0.7)
    assert not holds("roc_auc", 0.69, 0.7)
    assert holds("rmse", 2.0, 2.0)
    assert not holds("rmse", 2.1, 2.0)
    assert all(metric in {m for _, m in ALL} for metric in LOWER_IS_BETTER)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 60), st.integers(0, 2**31), st.floats(0.1, 10))
def test_roc_auc_is_about_order_alone(n: int, seed: int, power: float) -> None:
    truth, answer = _rows("binary", seed=seed, n=n)
    truth[:2] = [0, 1]
    value = measure("roc_auc", truth, answer)
    assert value == pytest.approx(measure("roc_auc", truth, np.exp(answer * power)), abs=1e-12)
    assert value == pytest.approx(1 - measure("roc_auc", 1 - truth, answer), abs=1e-12)


def test_two_hundred_resamples_of_twenty_thousand_rows_are_quick() -> None:
    random = np.random.default_rng(0)
    answer = random.random(20_000)
    truth = (random.random(20_000) < answer).astype(int)
    started = time.process_time()
    resample(["roc_auc"], truth, answer, draws=200, seed=0)
    assert time.process_time() - started < 3
