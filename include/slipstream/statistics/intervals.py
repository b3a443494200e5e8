"""95 % intervals of the metrics, in closed form: the same rows give the same bytes, and nothing is drawn.

================================================= ====================================================================
metric                                            interval
================================================= ====================================================================
accuracy, precision, recall                       of a share: Wilson, J. Am. Stat. Assoc. 22 (1927), 209-212
f1                                                of the share that is right among the rows that are positive or taken
                                                  for it, of which f1 is a function
balanced_accuracy                                 of a mean of shares, from the interval of each: Zou and Donner,
                                                  Statistics in Medicine 27 (2008), 1693-1702
f1_macro                                          from the influence of each row, on the logit scale: Takahashi et al.,
                                                  Applied Intelligence 52 (2022), 4961-4972
roc_auc                                           DeLong et al., Biometrics 44 (1988), 837-845, on the logit scale by
                                                  Student's t; where few pairs are in wrong order method 5 of
                                                  Newcombe, Statistics in Medicine 25 (2006), 559-573
average_precision                                 from the influence of each row, without its bias: of the logit scale
                                                  and the transformation of means below, the wider end
log_loss, brier, mae, mape; rmse (by its square)  of a mean, without skewness: Hall, J. R. Stat. Soc. B 54 (1992),
                                                  221-228, by Student's t
median_absolute_error                             by ranks: Hettmansperger and Sheather, Statistics and Probability
                                                  Letters 4 (1986), 75-79
r2                                                from the influence of each row, on the scale of log(1 - r2)
================================================= ====================================================================

How often they hold the true figure: ``python bench/scripts/interval_coverage.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from slipstream.statistics.metrics import Figure, Floats, decide, measure, row_losses, squares, ties
from slipstream.statistics.shares import wilson

LEVEL = 0.95
FEW = "a few rows decide it: its true range may be wider"
"""Said of a figure whose interval may hold the true one less often than 93 times of 100."""
_Z = 1.959963984540054
_SKEWED = 0.35
"""Above this skewness of a mean's error, intervals of means hold less often than they say."""
_WRONG = 2.0
"""Fewer expected rows of the rarer class in wrong order than this, and DeLong's variance is itself a matter of luck."""

Ends = tuple[float, float]


def figures(metrics: Sequence[str], truth: Any, answer: Any) -> dict[str, Figure]:
    """Each metric with its interval."""
    return {metric: figure(metric, truth, answer) for metric in metrics}


def figure(metric: str, truth: Any, answer: Any) -> Figure:
    """The metric with its interval; without one where there is but one row, and of None where it is not defined."""
    value = measure(metric, truth, answer)
    if not math.isfinite(value) or len(truth) < 2:
        return Figure(value if math.isfinite(value) else None, None, None)
    truth, answer = np.asarray(truth), np.asarray(answer, dtype=np.float64)
    (low, high), skew = _INTERVALS.get(metric, _of_row_losses(metric))(truth, answer)
    # Where an end is on the other side of its figure the figure is biased, and stands at the end.
    return Figure(value, min(float(low), value), max(float(high), value), FEW if abs(skew) > _SKEWED else "")


_Found = tuple[Ends, float]
"""The ends, and the skewness of the figure's error where the interval hangs on it."""


def _student(level: float, free: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(max(free, 1.0), level))


def _unskewed(value: float, error: float, skew: float, quantile: float) -> Ends:
    """Of a mean: its ends after Hall's transformation.

    Args:
        value: The mean.
        error: Its standard error.
        skew: The skewness of that error: the rows' by the root of their number.
        quantile: Of Student's t.
    """

    def back(t: float) -> float:
        return t if abs(skew) < 1e-9 else 3 / skew * (float(np.cbrt(1 + skew * (t - skew / 6))) - 1)

    return value - error * back(quantile), value - error * back(-quantile)


def _skewness(values: Floats) -> float:
    """Skewness of the mean of *values*."""
    apart = values - values.mean()
    spread = float(np.mean(apart**2))
    return float(np.mean(apart**3)) / spread**1.5 / math.sqrt(len(values)) if spread else 0.0


def _mean(values: Floats) -> _Found:
    skew, rows = _skewness(values), len(values)
    error = float(values.std(ddof=1)) / math.sqrt(rows)
    low, high = _unskewed(float(values.mean()), error, skew, _student((1 + LEVEL) / 2, rows - 1))
    return (max(low, 0.0), high), skew


def _of_row_losses(metric: str) -> Callable[[Any, Floats], _Found]:
    return lambda truth, answer: _mean(row_losses(metric, truth, answer))


def _rmse(truth: Any, answer: Floats) -> _Found:
    (low, high), skew = _mean(squares(truth, answer))
    return (math.sqrt(low), math.sqrt(high)), skew


def _logit(value: float, error: float, quantile: float) -> Ends:
    """Ends on the logit scale of a figure between 0 and 1."""
    at, half = math.log(value / (1 - value)), quantile * error / (value * (1 - value))
    return 1 / (1 + math.exp(min(half - at, 700))), 1 / (1 + math.exp(max(-half - at, -700)))


def _share(chosen: Callable[[Any, Any], tuple[Any, Any]]) -> Callable[[Any, Floats], _Found]:
    """*chosen* takes truth and what was decided, and gives which rows are right and which count."""

    def interval(truth: Any, answer: Floats) -> _Found:
        right, among = chosen(truth, decide(answer))
        return wilson(float(np.sum(right & among)), float(np.sum(among)), _Z), 0.0

    return interval


def _f1(truth: Any, answer: Floats) -> _Found:
    decided = decide(answer)
    right, among = (truth == 1) & (decided == 1), (truth == 1) | (decided == 1)
    low, high = wilson(float(right.sum()), float(among.sum()), _Z)
    return (2 * low / (1 + low), 2 * high / (1 + high)), 0.0


def _balanced_accuracy(truth: Any, answer: Floats) -> _Found:
    right = decide(answer) == truth
    by_class = [right[truth == label] for label in np.unique(truth)]
    shares = np.array([part.mean() for part in by_class])
    ends = np.array([wilson(float(part.sum()), len(part), _Z) for part in by_class])
    lower, upper = (math.sqrt(np.sum((shares - ends[:, end]) ** 2)) / len(by_class) for end in (0, 1))
    return (float(shares.mean()) - lower, float(shares.mean()) + upper), 0.0


def _f1_macro(truth: Any, answer: Floats) -> _Found:
    decided, rows = decide(answer), len(truth)
    labels = np.union1d(truth, decided)
    influence, value = np.zeros(rows), 0.0
    for label in labels:
        among = (truth == label).astype(float) + (decided == label)
        right = 2.0 * ((truth == label) & (decided == label))
        one = right.sum() / among.sum()
        value += one / len(labels)
        influence += (right - one * among) * rows / among.sum() / len(labels)
    error = float(influence.std(ddof=1)) / math.sqrt(rows)
    if not error or not 0 < value < 1:  # every row is right, or none
        return wilson(value * rows, rows, _Z), 0.0
    return _logit(value, error, _student((1 + LEVEL) / 2, rows - 1)), 0.0


def _roc_auc(truth: Any, answer: Floats) -> _Found:
    order, starts = ties(answer)
    positive = (truth == 1)[order].astype(np.float64)
    up, down = np.add.reduceat(positive, starts), np.add.reduceat(1 - positive, starts)
    ups, downs = float(up.sum()), float(down.sum())
    # Of each positive the share of the negatives below it, and of each negative that of the positives above it.
    below, above = (np.cumsum(down) - down / 2) / downs, (ups - np.cumsum(up) + up / 2) / ups
    value = float(np.sum(up * below) / ups)
    if min(ups, downs) * min(value, 1 - value) < _WRONG:
        return _newcombe(value, ups, downs), 0.0
    parts = [
        float(np.sum(count * (place - value) ** 2)) / (rows - 1) / rows
        for count, place, rows in ((up, below, ups), (down, above, downs))
    ]
    # Satterthwaite's degrees of freedom (1946), as for means of two groups.
    free = sum(parts) ** 2 / (parts[0] ** 2 / (ups - 1) + parts[1] ** 2 / (downs - 1))
    return _logit(value, math.sqrt(sum(parts)), _student((1 + LEVEL) / 2, free)), 0.0


def _newcombe(value: float, ups: float, downs: float) -> Ends:
    """The areas from which this one is as far as chance explains: his method 5."""
    more = (ups + downs) / 2 - 1

    def within(area: float) -> bool:
        wider = 1 + more * ((1 - area) / (2 - area) + area / (1 + area))
        return abs(area - value) <= _Z * math.sqrt(area * (1 - area) * wider / (ups * downs))

    def end(outside: float) -> float:
        inside = value
        for _ in range(50):
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if within(middle) else (inside, middle)
        return inside

    return end(0.0), end(1.0)


def _average_precision(truth: Any, answer: Floats) -> _Found:
    order, starts = ties(-answer)
    positive = (truth == 1)[order].astype(np.float64)
    rows, up = len(truth), np.add.reduceat(positive, starts)
    each = np.diff(np.append(starts, rows)).astype(np.float64)
    hits, every, ups = np.cumsum(up), np.cumsum(each), float(up.sum())
    precision = hits / every
    value = float(np.sum(precision * up) / ups)
    # A row changes the precision at every place from its own on; a positive counts at its own besides.
    later, earlier = (np.cumsum(part[::-1])[::-1] / ups for part in (up / every, up * hits / every**2))
    influence = [rows * (later - earlier + (precision - value) / ups), -rows * earlier]
    moments = [
        sum(float(np.sum(n * f**k)) / rows for n, f in zip((up, each - up), influence, strict=True)) for k in (2, 3)
    ]
    if moments[0] <= 1e-18:  # every positive stands above every negative
        return wilson(value * ups, ups, _Z), 0.0
    # Each positive is one of the rows of which it is the precision: that is too much by so much.
    bias = float(np.sum(up * (1 - precision) / every) / ups)
    skew = moments[1] / moments[0] ** 1.5 / math.sqrt(rows)
    error, quantile = math.sqrt(moments[0] / (rows - 1)), _student((1 + LEVEL) / 2, ups - 1)
    both = (_unskewed(value - bias, error, skew, quantile), _logit(value - bias, error, quantile))
    return (max(min(low for low, _ in both), 0.0), min(max(high for _, high in both), 1.0)), 0.0


def _r2(truth: Any, answer: Floats) -> _Found:
    missed, apart = squares(truth, answer), squares(truth, np.full(len(truth), np.mean(truth)))
    left = float(missed.mean() / apart.mean())
    if not left:
        return (1.0, 1.0), 0.0
    influence = missed / missed.mean() - apart / apart.mean()
    half = _student((1 + LEVEL) / 2, len(truth) - 1) * float(influence.std(ddof=1)) / math.sqrt(len(truth))
    skew = max(_skewness(missed), _skewness(apart), key=abs)
    return (1 - left * math.exp(min(half, 50.0)), 1 - left * math.exp(-half)), skew


def _median_absolute_error(truth: Any, answer: Floats) -> _Found:
    from scipy.special import bdtr

    errors = np.sort(np.abs(answer - truth))
    rows = len(errors)

    def holds(rank: int) -> float:
        """How often the median lies between the values of that rank from both ends."""
        return 1 - 2 * float(bdtr(rank - 1, rows, 0.5))

    rank = max(int(rows / 2 - _Z * math.sqrt(rows) / 2), 1)
    while rank > 1 and holds(rank) < LEVEL:
        rank -= 1
    while 2 * (rank + 1) <= rows and holds(rank + 1) >= LEVEL:
        rank += 1
    if holds(rank) < LEVEL or 2 * (rank + 1) > rows:  # fewer than six rows hold no such interval
        return (float(errors[0]), float(errors[-1])), math.inf
    wide, narrow = holds(rank), holds(rank + 1)
    part = (wide - LEVEL) / (wide - narrow)
    inward = (rows - rank) * part / (rank + (rows - 2 * rank) * part)
    low = (1 - inward) * errors[rank - 1] + inward * errors[rank]
    high = (1 - inward) * errors[rows - rank] + inward * errors[rows - rank - 1]
    return (float(low), float(high)), 0.0


_INTERVALS: dict[str, Callable[[Any, Floats], _Found]] = {
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    "accuracy": _share(lambda truth, decided: (truth == decided, truth == truth)),
    "precision": _share(lambda truth, decided: (truth == 1, decided == 1)),
    "recall": _share(lambda truth, decided: (decided == 1, truth == 1)),
    "balanced_accuracy": _balanced_accuracy,
    "f1": _f1,
    "f1_macro": _f1_macro,
    "rmse": _rmse,
    "r2": _r2,
    "median_absolute_error": _median_absolute_error,
}
