"""What an evaluation draws: curves and tables of a model's answers, in plain values ready for JSON. Pure NumPy.

Truth and answers are those of :mod:`slipstream.statistics.metrics`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from slipstream.spacing import spread
from slipstream.statistics.metrics import decide

POINTS = 100
BINS = 10


def roc(truth: Any, answer: Any) -> list[tuple[float, float]]:
    """The ROC curve: ``(false positive rate, true positive rate)``, at most :data:`POINTS` points and both corners.

    Empty when a class does not occur.
    """
    truth = np.asarray(truth)
    order = np.argsort(-answer, kind="stable")
    last = np.append(np.flatnonzero(np.diff(answer[order])), len(order) - 1)
    up = np.cumsum(truth[order] == 1)[last]
    down = last + 1 - up
    if not up[-1] or not down[-1]:
        return []
    across, above = np.append(0, down / down[-1]), np.append(0, up / up[-1])
    return [(float(across[i]), float(above[i])) for i in spread(len(across), POINTS)]


def calibration(truth: Any, answer: Any) -> list[dict[str, float | int]]:
    """Mean answer against observed share in at most :data:`BINS` bins of about equal count; equal answers share one.

    DeGroot and Fienberg, The Statistician 32 (1983), 12-22.
    """
    _, value, counts = np.unique(answer, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2
    bins = (middle * BINS / len(answer)).astype(int)[value]
    truth = np.asarray(truth, dtype=np.float64)
    parts = [bins == one for one in np.unique(bins)]
    return [
        {"answer": float(answer[b].mean()), "observed": float(truth[b].mean()), "rows": int(b.sum())} for b in parts
    ]


def confusion(truth: Any, answer: Any, classes: int) -> list[list[int]]:
    """Counts by truth (rows) and answered class (columns); binary answers are cut at one half."""
    cell = np.asarray(truth, dtype=np.int64) * classes + decide(answer)
    counts: list[list[int]] = np.bincount(cell, minlength=classes**2).reshape(classes, classes).tolist()
    return counts


def residuals(truth: Any, answer: Any, bins: int = 40) -> dict[str, list[float] | list[int]]:
    """Histogram of answer minus truth between its 0.5 % and 99.5 % quantiles; the outer bins hold what lies outside."""
    missed = np.asarray(answer, dtype=np.float64) - truth
    low, high = np.quantile(missed, [0.005, 0.995])
    if low == high:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(np.clip(missed, low, high), bins, (low, high))
    return {"edges": edges.tolist(), "counts": counts.tolist()}
