"""Whether a column drifted: two profiles over the same bins, one figure, one verdict, one sentence.

Psi, Jensen-Shannon and chi-square compare shares of a few cells: a number's are cut at the deciles of the reference,
with what lies beyond its range apart; a word's are its 30 most frequent words, the rarer ones together and the never
seen ones together; missing values are a cell of their own. A figure counts as drift only where it exceeds the threshold
*and* what pure chance would give once in a thousand times with so many rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from slipstream.scoring.profile import Column, Profile

Method = Literal["psi", "ks", "wasserstein", "jensen_shannon", "chi_square"]
Floats = NDArray[np.float64]
TOP_WORDS = 30
_DECILES = tuple(step / 10 for step in range(1, 10))
_Z = 3.0902
"""The normal quantile that is exceeded once in a thousand times."""
_KS = 1.9495
"""The Kolmogorov distribution exceeds it once in a thousand times."""


@dataclass(frozen=True)
class ColumnDrift:
    """The verdict on one column.

    Attributes:
        column: The column.
        role: ``input``, ``target`` or ``answer``.
        method: What the statistic is.
        statistic: 0 when nothing changed. psi is unbounded, ks, jensen_shannon and chi_square (Cramér's V) reach 1,
            wasserstein counts standard deviations of the reference.
        threshold: What the model file allows.
        noise: What chance alone exceeds once in a thousand times.
        drifted: Whether the statistic is above both.
        n_reference: Rows of the reference.
        n_window: Rows of the window.
        effect: What changed, in words.
        p_value: For ks (asymptotic) and chi_square; with many rows it is small for changes of no importance.
    """

    column: str
    role: str
    method: Method
    statistic: float
    threshold: float
    noise: float
    drifted: bool
    n_reference: int
    n_window: int
    effect: str
    p_value: float | None = None


@dataclass(frozen=True)
class Methods:
    """How columns are judged: a method for each kind, and the threshold."""

    numeric: Method
    categorical: Method
    threshold: float


def drifts(reference: Profile, window: Profile, methods: Methods) -> tuple[ColumnDrift, ...]:
    """The verdict on each column of *window*, which was profiled over the bins of *reference*."""
    return tuple(drift(reference.columns[name], column, methods) for name, column in window.columns.items())


def drift(reference: Column, window: Column, methods: Methods) -> ColumnDrift:
    """The verdict on one column. Without rows on either side nothing has drifted."""
    method = methods.numeric if reference.kind == "number" else methods.categorical
    if reference.role == "target":
        # Truth that is still to come is not drift.
        reference, window = (replace(side, rows=side.known, missing=0) for side in (reference, window))
    statistic, noise, p_value = 0.0, 0.0, None
    if reference.rows and window.rows:
        statistic, noise, p_value = _STATISTICS[method](reference, window)
    return ColumnDrift(
        column=reference.name,
        role=reference.role,
        method=method,
        statistic=statistic,
        threshold=methods.threshold,
        noise=noise,
        drifted=statistic > max(methods.threshold, noise),
        n_reference=reference.rows,
        n_window=window.rows,
        effect=effect(reference, window),
        p_value=p_value,
    )


def figures(found: Sequence[ColumnDrift], reference: Profile, window: Profile) -> list[dict[str, Any]]:
    """Each verdict as plain values, with the cells that a histogram of it is drawn from."""
    made = []
    for one in found:
        names, before, now = cells(reference.columns[one.column], window.columns[one.column])
        made.append(asdict(one) | {"cells": names, "reference": before.tolist(), "window": now.tolist()})
    return made


def cells(reference: Column, window: Column) -> tuple[list[str], Floats, Floats]:
    """Names of the cells, and the rows of the reference and of the window in each; cells empty in both are left out."""
    named = _number_cells(reference, window) if reference.kind == "number" else _word_cells(reference, window)
    named.append(("missing", reference.missing, window.missing))
    kept = [cell for cell in named if cell[1] or cell[2]]
    return [c[0] for c in kept], np.array([c[1] for c in kept], float), np.array([c[2] for c in kept], float)


def _number_cells(reference: Column, window: Column) -> list[tuple[str, int, int]]:
    if not reference.edges:
        return [("any value", reference.known, window.known)]
    passed = np.cumsum(reference.counts)[:-1]
    deciles = {int(np.searchsorted(passed, share * reference.known)) for share in _DECILES}
    cuts = sorted({0, len(reference.edges) - 1, *(place for place in deciles if place < len(reference.edges))})
    named, begin = [], 0
    for number, cut in enumerate(cuts):
        name = f"< {reference.low:.4g}" if not number else f"≤ {reference.edges[cut]:.4g}"
        named.append((name, sum(reference.counts[begin : cut + 1]), sum(window.counts[begin : cut + 1])))
        begin = cut + 1
    named.append((f"> {reference.edges[-1]:.4g}", sum(reference.counts[begin:]), sum(window.counts[begin:])))
    return named


def _word_cells(reference: Column, window: Column) -> list[tuple[str, int, int]]:
    now = dict(window.words)
    top, rare = reference.words[:TOP_WORDS], reference.words[TOP_WORDS:]
    named = [(word, count, now.pop(word, 0)) for word, count in top]
    rarer = sum(now.pop(word, 0) for word, _ in rare)
    unseen = sum(now.values()) + window.other
    # With words that the reference no longer tells apart, one that looks new may be one of them.
    more, new = (rarer + unseen, 0) if reference.other else (rarer, unseen)
    named.append(("rarer words", sum(count for _, count in rare) + reference.other, more))
    named.append(("never seen", 0, new))
    return named


def _smoothed(counts: Floats) -> Floats:
    """Shares with half a row more in each cell, so that an empty one weighs as little as it proves."""
    shares: Floats = (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
    return shares


def _psi(reference: Column, window: Column) -> tuple[float, float, float | None]:
    """Population stability index (Siddiqi, Credit Risk Scorecards, 2006), noise as in Yurdakul (2018)."""
    _, before, now = cells(reference, window)
    p, q = _smoothed(before), _smoothed(now)
    return float(np.sum((q - p) * np.log(q / p))), _chi(len(p)) * _spread(reference, window), None


def _jensen_shannon(reference: Column, window: Column) -> tuple[float, float, float | None]:
    """Root of the Jensen-Shannon divergence in bits (Lin 1991; Endres and Schindelin 2003), near psi / 8 in nats."""
    _, before, now = cells(reference, window)
    p, q = before / before.sum(), now / now.sum()
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = np.nansum(p * np.log2(p / middle)) + np.nansum(q * np.log2(q / middle))
    noise = math.sqrt(_chi(len(p)) * _spread(reference, window) / 8 / math.log(2))
    return math.sqrt(max(float(bits) / 2, 0.0)), noise, None


def _chi_square(reference: Column, window: Column) -> tuple[float, float, float | None]:
    """Cramér's V of the table side x cell (Cramér 1946), with the p-value of Pearson's chi-square."""
    from scipy.special import chdtrc

    _, before, now = cells(reference, window)
    table = np.stack([before, now])
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    chi = float(np.sum((table - expected) ** 2 / expected))
    free = len(before) - 1
    p_value = float(chdtrc(free, chi)) if free else 1.0
    return math.sqrt(chi / table.sum()), math.sqrt(_chi(len(before)) / table.sum()), p_value


def _ks(reference: Column, window: Column) -> tuple[float, float, float | None]:
    """Largest distance of the distribution functions (Smirnov 1939), a missing value counting as beyond every number.

    It is read at the edges: at most the share of one bin of the reference or the window below the exact value.
    """
    from scipy.special import kolmogorov

    steps = [np.cumsum(side.counts) / side.rows for side in (reference, window)]
    statistic = float(np.max(np.abs(steps[0] - steps[1])))
    spread = math.sqrt(_spread(reference, window))
    return statistic, _KS * spread, float(kolmogorov(statistic / spread))


def _wasserstein(reference: Column, window: Column) -> tuple[float, float, float | None]:
    """Area between the distribution functions in standard deviations of the reference, straight inside each bin.

    Where more values are missing than before, or fewer, that share counts if it is larger.
    """
    missing = abs(reference.missing / reference.rows - window.missing / window.rows)
    if not reference.known or not window.known:
        return missing, 0.0, None
    unit = reference.sd or abs(reference.mean or 0.0) or 1.0
    ends = (min(_low(reference), _low(window)), *reference.edges, max(_high(reference), _high(window)))
    places = np.maximum.accumulate(np.array(ends))
    first, second = (np.concatenate([[0.0], np.cumsum(side.counts) / side.known]) for side in (reference, window))
    # Straight lines underrate a heap of values beyond the edges; the exact area is at least the distance of the means.
    apart = abs((reference.mean or 0.0) - (window.mean or 0.0))
    area = max(_area(places, first - second), apart) / unit
    noise = _WASSERSTEIN * float(np.sum(np.diff(places) * np.sqrt(first * (1 - first))[1:])) / unit
    return max(area, missing), noise * math.sqrt(_spread(reference, window)), None


_WASSERSTEIN = 2.4
"""Simulated: chance exceeds 2.1 (normal), 2.2 (exponential) or 2.3 (uniform) of the area's scale once in a thousand."""


def _area(places: Floats, gaps: Floats) -> float:
    """Area under the absolute value of the line through (place, gap)."""
    left, right, width = gaps[:-1], gaps[1:], np.diff(places)
    size = np.abs(left) + np.abs(right)
    crossing = np.divide(left**2 + right**2, size, out=np.zeros_like(size), where=size > 0)
    return float(np.sum(width * np.where(left * right < 0, crossing, size) / 2))


def _low(side: Column) -> float:
    return math.inf if side.low is None else side.low


def _high(side: Column) -> float:
    return -math.inf if side.high is None else side.high


def _spread(reference: Column, window: Column) -> float:
    return 1 / reference.rows + 1 / window.rows


def _chi(count: int) -> float:
    """What a chi-square figure of *count* cells exceeds once in a thousand times (Wilson and Hilferty 1931)."""
    free = max(count - 1, 1)
    return free * (1 - 2 / (9 * free) + _Z * math.sqrt(2 / (9 * free))) ** 3


def effect(reference: Column, window: Column) -> str:
    """What changed, in words: means, or the words whose shares changed most; and missing values."""
    said = _number_effect(reference, window) if reference.kind == "number" else _word_effect(reference, window)
    before, now = (side.missing / side.rows if side.rows else 0.0 for side in (reference, window))
    if abs(before - now) >= 0.01:
        said.append(f"missing {before:.1%} -> {now:.1%}")
    return ", ".join(said)


def _number_effect(reference: Column, window: Column) -> list[str]:
    if reference.mean is None or window.mean is None:
        return []
    said = [f"mean {reference.mean:.4g} -> {window.mean:.4g}"]
    outside = (window.counts[0] + window.counts[-1]) / window.known
    if outside >= 0.01:
        said.append(f"{outside:.1%} outside the reference's range")
    return said


def _word_effect(reference: Column, window: Column) -> list[str]:
    names, before, now = cells(reference, window)
    if not before.sum() or not now.sum():
        return []
    p, q = before / before.sum(), now / now.sum()
    moved = np.abs(np.log(_smoothed(now) / _smoothed(before)) * (q - p))
    order = [place for place in np.argsort(-moved, kind="stable") if names[place] != "missing"]
    return [f"{names[place]}: {p[place]:.1%} -> {q[place]:.1%}" for place in order[:2]]


_STATISTICS: dict[str, Callable[[Column, Column], tuple[float, float, float | None]]] = {
    "psi": _psi,
    "ks": _ks,
    "wasserstein": _wasserstein,
    "jensen_shannon": _jensen_shannon,
    "chi_square": _chi_square,
}
