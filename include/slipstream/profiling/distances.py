"""How far two profiles of a column are apart, and how far chance alone would bring them.

Each measure knows its distribution where nothing changed, so that a figure comes with a p-value, and a level with what
chance exceeds at that level; and, nearly, where something changed, so that equality can be proven too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from slipstream.profiling.comparison_bins import Floats, compared
from slipstream.profiling.profile import ColumnProfile

Method = Literal["psi", "ks", "wasserstein", "jensen_shannon", "chi_square"]
_HALF_NORMAL = math.sqrt(2 / math.pi)
"""Mean of the absolute value of a standard normal figure."""


@dataclass(frozen=True)
class Distance:
    """How far two profiles are apart.

    Attributes:
        statistic: 0 when nothing changed.
        p_value: How often chance alone gives as much or more.
        noise: Level -> what chance alone exceeds at that level.
        closer: A distance -> how often chance makes so little, or less, of sides that are truly so far apart. Where
            that is rare they are nearer: an equivalence test (Wellek, Testing Statistical Hypotheses of Equivalence and
            Noninferiority, 2010), which needs rows to find anything, where a small p-value needs a difference.
    """

    statistic: float
    p_value: float
    noise: Callable[[float], float]
    closer: Callable[[float], float]


NONE = Distance(0.0, 1.0, lambda _: 0.0, lambda _: 1.0)
"""Nothing to compare."""
SAME = Distance(0.0, 1.0, lambda _: 0.0, lambda _: 0.0)
"""All rows of both sides in one cell."""


def distance(method: Method, reference: ColumnProfile, window: ColumnProfile) -> Distance:
    """How far *window* is from *reference*, which has the same bins. Without rows on either side they do not differ."""
    return _DISTANCES[method](reference, window) if reference.rows and window.rows else NONE


def smoothed(counts: Floats) -> Floats:
    """Shares with half a row more in each cell, so that an empty one weighs as little as it proves."""
    shares: Floats = (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
    return shares


def _psi(before: Floats, now: Floats) -> tuple[float, float]:
    """Population stability index (Siddiqi, Credit Risk Scorecards, 2006), its chance as in Yurdakul (2018)."""
    p, q = smoothed(before), smoothed(now)
    return float(np.sum((q - p) * np.log(q / p))), 1 / before.sum() + 1 / now.sum()


def _jensen_shannon(before: Floats, now: Floats) -> tuple[float, float]:
    """Jensen-Shannon divergence in bits (Lin 1991; its root is a metric: Endres and Schindelin 2003)."""
    p, q = before / before.sum(), now / now.sum()
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = np.nansum(p * np.log2(p / middle)) + np.nansum(q * np.log2(q / middle))
    # In nats and near 0 it is an eighth of psi.
    return max(float(bits) / 2, 0.0), (1 / before.sum() + 1 / now.sum()) / 8 / math.log(2)


def _cramer(before: Floats, now: Floats) -> tuple[float, float]:
    """The square of Cramér's V of the table side x cell (Cramér 1946)."""
    total = before.sum() + now.sum()
    return _pearson(before, now) / total, 1 / total


def _of_cells(
    measure: Callable[[Floats, Floats], tuple[float, float]], power: int
) -> Callable[[ColumnProfile, ColumnProfile], Distance]:
    """A distance of cells: *measure* gives a value and what is worth 1 in chi-square; shown is the *power*-th root."""

    def measured(reference: ColumnProfile, window: ColumnProfile) -> Distance:
        from scipy.special import chdtrc, chdtri, chndtr

        def shown(value: float) -> float:
            return math.sqrt(value) if power == 2 else value

        before, now = compared(reference, window)
        free = len(before) - 1
        if not free:
            return SAME
        value, unit = measure(before, now)
        # With few rows in a cell psi leaves its distribution sooner than Pearson's chi-square: the smaller one counts.
        chi = min(value / unit, _pearson(before, now))
        return Distance(
            shown(value),
            float(chdtrc(free, chi)),
            lambda level: shown(unit * float(chdtri(free, level))),
            lambda apart: float(chndtr(value / unit, free, apart**power / unit)),
        )

    return measured


def _pearson(before: Floats, now: Floats) -> float:
    table = np.stack([before, now])
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    return float(np.sum((table - expected) ** 2 / expected))


def _ks(reference: ColumnProfile, window: ColumnProfile) -> Distance:
    """Largest distance of the distribution functions (Smirnov 1939), a missing value counting as beyond every number.

    It is read at the edges: at most the share of one bin of the reference or the window below the exact value.
    """
    from scipy.special import kolmogi, kolmogorov, ndtr

    steps = [np.cumsum(side.counts) / side.rows for side in (reference, window)]
    statistic = float(np.max(np.abs(steps[0] - steps[1])))
    spread = math.sqrt(1 / reference.rows + 1 / window.rows)
    return Distance(
        statistic,
        float(kolmogorov(statistic / spread)),
        lambda level: float(kolmogi(level)) * spread,
        # At the place where they are furthest apart two shares are compared, whose deviation is at most half of it.
        lambda apart: float(ndtr((statistic - apart) / (spread / 2))),
    )


def _wasserstein(reference: ColumnProfile, window: ColumnProfile) -> Distance:
    """Area between the distribution functions in standard deviations of the reference, straight inside each bin.

    Where more values are missing than before, or fewer, that share counts if it is larger.
    """
    missing = _missing(reference, window)
    if not reference.known or not window.known:
        return missing
    area = _area(reference, window)
    if not reference.missing and not window.missing:
        return area
    larger = max(area, missing, key=lambda one: one.statistic)
    # The larger of two was taken, so each is judged at half the level.
    return Distance(
        larger.statistic, min(2 * larger.p_value, 1.0), lambda level: larger.noise(level / 2), larger.closer
    )


def _missing(reference: ColumnProfile, window: ColumnProfile) -> Distance:
    """The distance of the shares of missing values, judged as two binomials with Yates's correction (1934)."""
    spread = 1 / reference.rows + 1 / window.rows
    share = (reference.missing + window.missing) / (reference.rows + window.rows)
    apart = abs(reference.missing / reference.rows - window.missing / window.rows)
    return _beside_normal(apart, spread / 2, math.sqrt(share * (1 - share) * spread))


def _area(reference: ColumnProfile, window: ColumnProfile) -> Distance:
    """The area, judged by an approximation.

    Where nothing changed, the gap of the distribution functions is near a Brownian bridge. Its area is on average
    0.798 times the area under the bridge's standard deviation, and its large values are those of the distance of the
    means, which is normal, or with heavy tails Student's t. Both together: a constant and the absolute value of such a
    figure.
    """
    unit = reference.sd or abs(reference.mean or 0.0) or 1.0
    low, high = zip(*map(_ends, (reference, window)), strict=True)
    places = np.maximum.accumulate(np.array((min(low), *reference.edges, max(high))))
    counts = np.array([reference.counts, window.counts], float)
    first, second, both = (_steps(rows) for rows in (*counts, counts.sum(axis=0)))
    # The exact area is at least the distance of the means.
    apart = abs((reference.mean or 0.0) - (window.mean or 0.0))
    area = _inside_and_beyond(reference, window, places, first - second)
    squares = sum((side.sd or 0.0) ** 2 * side.known for side in (reference, window))
    sd = math.sqrt(squares / (reference.known + window.known))
    constant = max(_HALF_NORMAL * (_under(places, np.sqrt(both * (1 - both))) - sd), 0.0)
    near = math.sqrt(1 / reference.known + 1 / window.known) / unit
    free = 2 * min(reference.known, window.known) / max(_kurtosis(places, counts.sum(axis=0)) - 1, 1e-9)
    return _beside_normal(max(area, apart) / unit, constant * near, sd * near, free)


def _inside_and_beyond(reference: ColumnProfile, window: ColumnProfile, places: Floats, gaps: Floats) -> float:
    """The area: by straight lines inside the bins, and beyond their edges, where a bin may be wide, by the means."""
    if not reference.edges:
        return _between(places, gaps)
    beyond = zip(_beyond(reference), _beyond(window), (slice(0, 2), slice(-2, None)), strict=True)
    whole = _between(places[1:-1], gaps[1:-1])
    for one, other, end in beyond:
        # Where both sides have values there, the area lies between what they differ and what they are together.
        straight = _between(places[end], gaps[end])
        whole += min(max(straight, abs(one - other)), one + other)
    return whole


def _beyond(side: ColumnProfile) -> tuple[float, float]:
    """Mean distance of the values below the first edge from it, and of those above the last, the others counting 0.

    A profile keeps the mean of all values. What the bins between the edges leave of it is that of the values beyond: of
    one end exactly but for what straight lines miss inside narrow bins; with values beyond both ends, the nearer ones
    are taken as straight.
    """
    first, last = side.edges[0], side.edges[-1]
    low, high = _ends(side)
    reach = max(first - low, 0.0), max(high - last, 0.0)
    shares = side.counts[0] / side.known, side.counts[-1] / side.known
    below, above = (share * far / 2 for share, far in zip(shares, reach, strict=True))
    passed = np.cumsum(side.counts)[:-1] / side.known
    left = (side.mean or 0.0) - first - _under(np.array(side.edges), 1 - passed)
    if above >= below:
        above = left + below
    else:
        below = above - left
    # The furthest value is known, and no other is further.
    return (
        min(max(below, reach[0] / side.known), shares[0] * reach[0]),
        min(max(above, reach[1] / side.known), shares[1] * reach[1]),
    )


def _beside_normal(statistic: float, constant: float, scale: float, free: float = math.inf) -> Distance:
    """A statistic that chance makes a *constant* and *scale* times the absolute value of Student's t.

    Args:
        statistic: What was measured.
        constant: In its unit.
        scale: In its unit; 0: chance makes the constant.
        free: Degrees of freedom; with very many it is the normal distribution.
    """
    from scipy.special import stdtr, stdtrit

    if not scale:
        return Distance(
            statistic, float(statistic <= constant), lambda _: constant, lambda apart: float(statistic >= apart)
        )
    free = min(max(free, 1.0), 1e9)
    p_value = min(2 * float(stdtr(free, (constant - statistic) / scale)), 1.0)
    return Distance(
        statistic,
        p_value,
        lambda level: constant - scale * float(stdtrit(free, level / 2)),
        lambda apart: float(stdtr(free, (statistic - apart) / scale)),
    )


def _steps(counts: Floats) -> Floats:
    """The distribution function at the places between which *counts* lie."""
    return np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])


def _kurtosis(places: Floats, counts: Floats) -> float:
    """Fourth central moment by the squared variance, the rows of a bin in its middle; 3 for the normal distribution.

    The variance of a sample of n is as uncertain as with ``2 n / (kurtosis - 1)`` degrees of freedom.
    """
    middle = (places[:-1] + places[1:]) / 2
    middle = (middle - np.average(middle, weights=counts)) / (np.ptp(middle) or 1.0)
    return float(np.average(middle**4, weights=counts) / (np.average(middle**2, weights=counts) ** 2 or 1.0))


def _between(places: Floats, gaps: Floats) -> float:
    """Area under the absolute value of the line through (place, gap)."""
    left, right, width = gaps[:-1], gaps[1:], np.diff(places)
    size = np.abs(left) + np.abs(right)
    crossing = np.divide(left**2 + right**2, size, out=np.zeros_like(size), where=size > 0)
    return float(np.sum(width * np.where(left * right < 0, crossing, size) / 2))


def _under(places: Floats, heights: Floats) -> float:
    """Area under the line through (place, height)."""
    return float(np.sum(np.diff(places) * (heights[:-1] + heights[1:]) / 2))


def _ends(side: ColumnProfile) -> tuple[float, float]:
    return (math.inf if side.low is None else side.low), (-math.inf if side.high is None else side.high)


_DISTANCES: dict[str, Callable[[ColumnProfile, ColumnProfile], Distance]] = {
    "psi": _of_cells(_psi, 1),
    "ks": _ks,
    "wasserstein": _wasserstein,
    "jensen_shannon": _of_cells(_jensen_shannon, 2),
    "chi_square": _of_cells(_cramer, 2),
}
