"""How well a classifier does before the truth is known, from how sure it is.

A calibrated probability says how often the answer is right, so that each row counts as each class as often as that
class is probable, and the metric of those expected rows is the estimate (confidence-based performance estimation:
Kivimäki et al., Performance Estimation in Binary Classification Using Calibrated Confidence, arXiv 2505.05295, 2025).

The limit: it follows shifts of the inputs, to rows that are easier or harder, as long as equal inputs still mean the
same. Where they do not any more (concept drift), the calibration is wrong, and only labels tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipstream.spacing import spread
from slipstream.spec.estimators import METRICS
from slipstream.statistics.metrics import decide, weighed

Floats = NDArray[np.float64]
KNOTS = 200
_TINY = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Curve:
    """Stated probability -> true probability: straight between the knots, constant beyond."""

    stated: tuple[float, ...]
    true: tuple[float, ...]


@dataclass(frozen=True)
class Calibration:
    """What a classifier's probabilities are worth: one curve for a binary one, else one for each class."""

    curves: tuple[Curve, ...]

    def apply(self, probabilities: Any) -> Floats:
        """The calibrated probabilities, in the shape they came in: ``(n,)`` of class 1, or ``(n, classes)``."""
        stated = np.asarray(probabilities, dtype=np.float64)
        if stated.ndim == 1:
            return _on(self.curves[0], stated)
        each = np.stack([_on(curve, stated[:, at]) for at, curve in enumerate(self.curves)], axis=1)
        total = each.sum(axis=1, keepdims=True)
        # Where no class is thought possible, what was stated stays.
        return np.where(total > 0, np.divide(each, total, out=stated.copy(), where=total > 0), stated)


def calibration(probabilities: Any, truth: Any) -> Calibration:
    """What *probabilities* were worth on rows whose truth is known, and which the model was not fitted on.

    Isotonic regression, each class against the others (Zadrozny and Elkan, KDD 2002).

    Args:
        probabilities: Of class 1, shape ``(n,)``; or of each class, shape ``(n, classes)``.
        truth: 0 or 1, or the class number; shape ``(n,)``.
    """
    stated, known = np.asarray(probabilities, dtype=np.float64), np.asarray(truth)
    if stated.ndim == 1:
        return Calibration((_fitted(stated, known == 1),))
    return Calibration(tuple(_fitted(stated[:, at], known == at) for at in range(stated.shape[1])))


def estimate(metric: str, probabilities: Any, answers: Any = None) -> float | None:
    """What *metric* is expected to be; None for a metric of regression, and where it is not defined.

    Args:
        metric: A name of :data:`slipstream.spec.estimators.METRICS`.
        probabilities: Calibrated, of class 1, shape ``(n,)``; or of each class, shape ``(n, classes)``.
        answers: What the model answered, in the same shape, if that is not the calibrated probabilities.
    """
    chance = np.asarray(probabilities, dtype=np.float64)
    stated = chance if answers is None else np.asarray(answers, dtype=np.float64)
    task = "binary" if chance.ndim == 1 else "multiclass"
    if metric not in METRICS[task] or not len(chance):
        return None
    value = _of_two(metric, chance, stated) if chance.ndim == 1 else _of_many(metric, chance, stated)
    return value if np.isfinite(value) else None


def _of_two(metric: str, chance: Floats, stated: Floats) -> float:
    """Each row counts as positive and as negative, as often as it is expected to be."""
    truth = np.repeat([1, 0], len(chance))
    return weighed(metric, truth, np.concatenate([stated, stated]), np.concatenate([chance, 1 - chance]))


def _of_many(metric: str, chance: Floats, stated: Floats) -> float:
    if metric == "log_loss":
        return float(-np.sum(chance * np.log(np.clip(stated, _TINY, 1 - _TINY))) / len(chance))
    # The other metrics only ask what was decided: the expected confusion matrix is all they need.
    decided, size = decide(stated), chance.shape[1]
    cells = np.stack([np.bincount(decided, weights=chance[:, at], minlength=size) for at in range(size)])
    truth, answered = np.divmod(np.arange(size * size), size)
    return weighed(metric, truth, np.eye(size)[answered], cells.astype(np.float64).ravel())


def _on(curve: Curve, stated: Floats) -> Floats:
    return np.interp(stated, curve.stated, curve.true)


def _fitted(stated: Floats, truth: NDArray[np.bool_]) -> Curve:
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(stated, truth.astype(np.float64))
    chosen = spread(len(fitted.X_thresholds_), KNOTS)
    return Curve(tuple(fitted.X_thresholds_[chosen].tolist()), tuple(fitted.y_thresholds_[chosen].tolist()))
