"""Estimated performance: right where probabilities are, through shifts of the inputs, and blind to concept drift."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from slipstream.monitoring.performance_estimate import KNOTS, Calibration, calibration, estimate
from slipstream.spec.estimators import METRICS
from slipstream.statistics.metrics import measure

ROWS = 40_000


def simulated(shift: float = 0.0, seed: int = 0, turned: bool = False) -> tuple[Any, Any]:
    """Calibrated probabilities of class 1 and the truth; *turned*: the inputs mean the opposite now."""
    random = np.random.default_rng(seed)
    chance = 1 / (1 + np.exp(-(random.normal(shift, 1.5, ROWS) - 0.5)))
    return chance, (random.random(ROWS) < (1 - chance if turned else chance)).astype(int)


def of_classes(seed: int = 0) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    chance = random.dirichlet([1.0, 0.6, 0.3], ROWS)
    return chance, (random.random((ROWS, 1)) > np.cumsum(chance, axis=1)).sum(axis=1).clip(0, 2)


@pytest.mark.parametrize("metric", METRICS["binary"])
@pytest.mark.parametrize("shift", [0.0, 1.0, -2.0])
def test_the_estimate_follows_the_truth_through_shifts_of_the_inputs(metric: str, shift: float) -> None:
    chance, truth = simulated(shift)
    parts = [measure(metric, truth[at::20], chance[at::20]) for at in range(20)]
    deviation = np.std(parts, ddof=1) / np.sqrt(20)
    assert abs(estimate(metric, chance) - measure(metric, truth, chance)) < 4 * deviation + 1e-4


@pytest.mark.parametrize("metric", METRICS["multiclass"])
def test_several_classes(metric: str) -> None:
    chance, truth = of_classes()
    assert estimate(metric, chance) == pytest.approx(measure(metric, truth, chance), abs=0.01)


def test_concept_drift_is_not_seen() -> None:
    chance, truth = simulated(turned=True)
    assert estimate("roc_auc", chance) > 0.8
    assert measure("roc_auc", truth, chance) < 0.2


def test_an_overconfident_model_is_estimated_by_its_calibration() -> None:
    chance, truth = simulated()
    said = chance**3 / (chance**3 + (1 - chance) ** 3)
    found = calibration(said, truth)
    later, now = simulated(0.7, seed=1)
    answers = later**3 / (later**3 + (1 - later) ** 3)
    for metric in METRICS["binary"]:
        true = measure(metric, now, answers)
        assert estimate(metric, found.apply(answers), answers) == pytest.approx(true, rel=0.04), metric
    # What it says of itself is far off.
    assert abs(estimate("log_loss", answers) - measure("log_loss", now, answers)) > 0.2


def test_a_calibration_is_plain_numbers_and_small() -> None:
    chance, truth = simulated()
    found = calibration(chance, truth)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Calibration) == found
    assert len(found.curves[0].stated) <= KNOTS
    assert np.abs(found.apply(chance) - chance).mean() < 0.02
    assert np.all(np.diff(found.apply(np.sort(chance))) >= 0)


def test_calibrated_classes_add_up_to_one() -> None:
    chance, truth = of_classes()
    calibrated = calibration(chance, truth).apply(chance)
    assert calibrated.sum(axis=1) == pytest.approx(np.ones(ROWS))
    assert np.abs(calibrated - chance).mean() < 0.02


def test_no_estimate() -> None:
    assert estimate("rmse", np.array([0.1])) is None
    assert estimate("f1_macro", np.array([0.1])) is None
    assert estimate("accuracy", np.array([])) is None
    # One class alone has no ROC curve.
    assert estimate("roc_auc", np.array([1.0, 1.0])) is None


def test_one_class_and_one_value() -> None:
    assert calibration([0.3, 0.3], [1, 1]).apply([0.0, 0.9]).tolist() == [1.0, 1.0]
