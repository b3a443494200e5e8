"""Metrics by the names of :data:`slipstream.spec.estimators.METRICS`, and resamples of them. Pure NumPy.

Truth and answers are arrays over the same ``n`` rows:

========== ============================ =======================================
task       truth                        answer
========== ============================ =======================================
binary     0 or 1, shape ``(n,)``       probability of 1, shape ``(n,)``
multiclass class number, shape ``(n,)`` probabilities, shape ``(n, classes)``
regression value, shape ``(n,)``        value, shape ``(n,)``
========== ============================ =======================================

Every metric is prepared once (sorted, or reduced to a loss for each row) and then weighed by how often each row was
drawn, so that hundreds of resamples cost a few passes over one matrix instead of hundreds of evaluations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipstream.spec.estimators import LOWER_IS_BETTER

Floats = NDArray[np.float64]
Weigh = Callable[[Floats], Floats]
"""Weights of shape ``(draws, n)`` -> values of the metric, shape ``(draws,)``; NaN where it is not defined."""

LEVEL = 0.95
_CELLS = 4_000_000
"""So many weights are held at once: 32 MB."""
_TINY = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Figure:
    """A figure with its 95 % interval; None where it is not defined.

    Attributes:
        value: On the rows themselves.
        low: The lower end (see :mod:`slipstream.statistics.intervals`; of a difference that of its resamples).
        high: The upper end.
        note: Why the interval may be too short; "" where it is not.
    """

    value: float | None
    low: float | None
    high: float | None
    note: str = ""


def measure(metric: str, truth: Any, answer: Any) -> float:
    """The metric on these rows; NaN where it is not defined (such as roc_auc of one class)."""
    return weighed(metric, truth, answer, np.ones(len(truth)))


def weighed(metric: str, truth: Any, answer: Any, weights: Floats) -> float:
    """The metric on rows that count so often each, shape ``(n,)``; NaN where it is not defined."""
    return float(_prepare(metric, truth, answer)(weights[None, :])[0])


def resample(metrics: Sequence[str], truth: Any, answer: Any, *, draws: int, seed: int) -> dict[str, Floats]:
    """Each metric on *draws* bootstrap resamples of the rows, shape ``(draws,)``.

    The same seed and number of rows give the same resamples, so two models on the same rows are compared pairwise by
    subtracting what this returns for each (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).
    """
    weighers = {metric: _prepare(metric, truth, answer) for metric in metrics}
    parts: dict[str, list[Floats]] = {metric: [] for metric in metrics}
    for weights in _draw(len(truth), draws, seed):
        for metric, weigh in weighers.items():
            parts[metric].append(weigh(weights))
    return {metric: np.concatenate(values) for metric, values in parts.items()}


def resampled(value: float, drawn: Floats) -> Figure:
    """*value* with the percentile interval of what was *drawn*; resamples on which it was not defined are left out."""
    known = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or not len(known):
        return Figure(float(value) if np.isfinite(value) else None, None, None)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Figure(float(value), float(low), float(high))


def loss(metric: str, better: float, worse: float) -> float:
    """By how much *worse* is worse than *better*, whatever the metric's sense; negative if it is in truth better."""
    return worse - better if metric in LOWER_IS_BETTER else better - worse


def holds(metric: str, value: float, bound: float) -> bool:
    """Whether *value* is at least as good as *bound*."""
    return loss(metric, bound, value) <= 0


def _draw(rows: int, draws: int, seed: int) -> Iterator[Floats]:
    """How often each row is drawn in each resample: blocks of shape ``(some, rows)``."""
    random = np.random.default_rng(seed)
    block = max(1, _CELLS // max(rows, 1))
    for begin in range(0, draws, block):
        size = min(block, draws - begin)
        counts = [np.bincount(random.integers(0, rows, rows), minlength=rows) for _ in range(size)]
        yield np.asarray(counts, dtype=np.float64)


def _prepare(metric: str, truth: Any, answer: Any) -> Weigh:
    truth, answer = np.asarray(truth), np.asarray(answer, dtype=np.float64)
    if metric in _ROW_LOSS:
        return _mean_of(row_losses(metric, truth, answer))
    return _WEIGHERS[metric](truth, answer)


def _sums(weights: Floats, values: Floats) -> Floats:
    """Weighted sums, shape ``(draws,)``. Not by BLAS, whose sums change with the number of threads."""
    sums: Floats = np.einsum("dn,n->d", weights, values)
    return sums


def _mean_of(values: Floats) -> Weigh:
    return lambda weights: _sums(weights, values) / weights.sum(axis=1)


def _share(part: Floats, whole: Floats, otherwise: float = 0.0) -> Floats:
    share: Floats = np.divide(part, whole, out=np.full(part.shape, otherwise), where=whole > 0)
    return share


def row_losses(metric: str, truth: Any, answer: Floats) -> Floats:
    """The loss of each row, of which the metric is the mean."""
    losses: Floats = _ROW_LOSS[metric](truth, answer)
    return losses


def squares(truth: Any, answer: Floats) -> Floats:
    """The squared error of each row."""
    missed: Floats = (answer - truth) ** 2
    return missed


def _log_loss(truth: Any, answer: Floats) -> Floats:
    held = np.clip(answer, _TINY, 1 - _TINY)
    chosen = np.where(truth == 1, held, 1 - held) if answer.ndim == 1 else held[np.arange(len(truth)), truth]
    losses: Floats = -np.log(chosen)
    return losses


def decide(answer: Floats) -> NDArray[np.int64]:
    """The class that is answered (see :func:`slipstream.bundle.scorer.decided`): at exactly one half the first."""
    decided: NDArray[np.int64] = (answer > 0.5).astype(np.int64) if answer.ndim == 1 else answer.argmax(axis=1)
    return decided


def _roc_auc(truth: Any, answer: Floats) -> Weigh:
    """Area under the ROC curve by ranks: the share of (negative, positive) pairs in right order, ties counting half.

    Hanley and McNeil, Radiology 143 (1982), 29-36.
    """
    order, starts = ties(answer)
    positive = (truth == 1)[order].astype(np.float64)

    def weigh(weights: Floats) -> Floats:
        drawn = weights[:, order]
        up = np.add.reduceat(drawn * positive, starts, axis=1)
        down = np.add.reduceat(drawn, starts, axis=1) - up
        below = np.cumsum(down, axis=1)
        right = np.einsum("dg,dg->d", up, below - down / 2)
        return _share(right, up.sum(axis=1) * below[:, -1], np.nan)

    return weigh


def _average_precision(truth: Any, answer: Floats) -> Weigh:
    """The sum of precisions weighted by the gain in recall, without interpolation."""
    order, starts = ties(-answer)
    positive = (truth == 1)[order].astype(np.float64)

    def weigh(weights: Floats) -> Floats:
        drawn = weights[:, order]
        up = np.add.reduceat(drawn * positive, starts, axis=1)
        every = np.cumsum(np.add.reduceat(drawn, starts, axis=1), axis=1)
        precision = _share(np.cumsum(up, axis=1), every)
        return _share(np.einsum("dg,dg->d", precision, up), up.sum(axis=1), np.nan)

    return weigh


def ties(values: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The order that sorts *values*, and where in it each new value begins."""
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    return order, starts


def _of_cells(reduce: Callable[[Floats], Floats]) -> Callable[[Any, Floats], Weigh]:
    """A metric of the confusion matrix: *reduce* takes ``(draws, truth, decided)``."""

    def prepare(truth: Any, answer: Floats) -> Weigh:
        size = 2 if answer.ndim == 1 else answer.shape[1]
        cell = np.asarray(truth, dtype=np.int64) * size + decide(answer)

        def weigh(weights: Floats) -> Floats:
            cells = [np.bincount(cell, weights=row, minlength=size * size) for row in weights]
            return reduce(np.asarray(cells, dtype=np.float64).reshape(-1, size, size))

        return weigh

    return prepare


def _mean_recall(cells: Floats) -> Floats:
    recall = _share(np.einsum("dcc->dc", cells), cells.sum(axis=2), np.nan)
    return _mean_of_known(recall)


def _f1_of_each(cells: Floats) -> Floats:
    hit = np.einsum("dcc->dc", cells)
    return _share(2 * hit, cells.sum(axis=1) + cells.sum(axis=2), np.nan)


def _f1_macro(cells: Floats) -> Floats:
    return _mean_of_known(_f1_of_each(cells))


def _mean_of_known(values: Floats) -> Floats:
    """Over the classes that occur, which are those with a value."""
    mean: Floats = np.nanmean(values, axis=1)
    return mean


def _f1(cells: Floats) -> Floats:
    return np.nan_to_num(_f1_of_each(cells)[:, 1], nan=0.0)


def _precision(cells: Floats) -> Floats:
    return _share(cells[:, 1, 1], cells[:, :, 1].sum(axis=1))


def _recall(cells: Floats) -> Floats:
    return _share(cells[:, 1, 1], cells[:, 1, :].sum(axis=1))


def _rmse(truth: Any, answer: Floats) -> Weigh:
    mean = _mean_of(squares(truth, answer))
    return lambda weights: np.sqrt(mean(weights))


def _r2(truth: Any, answer: Floats) -> Weigh:
    # Around the mean of all rows: sums of squares of large values would cancel.
    centred = np.asarray(truth, dtype=np.float64) - np.mean(truth)
    missed = squares(truth, answer)

    def weigh(weights: Floats) -> Floats:
        total = weights.sum(axis=1)
        spread = _sums(weights, centred**2) - _sums(weights, centred) ** 2 / total
        return 1 - _share(_sums(weights, missed), spread, np.nan)

    return weigh


def _median_absolute_error(truth: Any, answer: Floats) -> Weigh:
    errors = np.abs(answer - truth)
    order = np.argsort(errors, kind="stable")
    ranked = errors[order]
    last = len(ranked) - 1

    def weigh(weights: Floats) -> Floats:
        passed = np.cumsum(weights[:, order], axis=1)
        total = passed[:, -1:]
        lower = np.minimum((passed <= (total - 1) // 2).sum(axis=1), last)
        upper = np.minimum((passed <= total // 2).sum(axis=1), last)
        median: Floats = (ranked[lower] + ranked[upper]) / 2
        return median

    return weigh


_ROW_LOSS: dict[str, Callable[[Any, Floats], Any]] = {
    "log_loss": _log_loss,
    "brier": squares,
    "accuracy": lambda truth, answer: (decide(answer) == truth).astype(np.float64),
    "mae": lambda truth, answer: np.abs(answer - truth),
    "mape": lambda truth, answer: np.abs(answer - truth) / np.maximum(np.abs(truth), _TINY),
}
_WEIGHERS: dict[str, Callable[[Any, Floats], Weigh]] = {
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    "balanced_accuracy": _of_cells(_mean_recall),
    "f1": _of_cells(_f1),
    "f1_macro": _of_cells(_f1_macro),
    "precision": _of_cells(_precision),
    "recall": _of_cells(_recall),
    "rmse": _rmse,
    "r2": _r2,
    "median_absolute_error": _median_absolute_error,
}
