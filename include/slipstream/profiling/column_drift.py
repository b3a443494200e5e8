"""Whether a column drifted: two profiles over the same bins, one figure, one verdict, one sentence.

A figure counts as drift only where it exceeds the threshold *and* what chance alone explains. The more columns are
looked at, the more of them chance alone moves, so that all of them are judged together (see :func:`drifts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from slipstream.profiling.comparison_bins import cells, unknown
from slipstream.profiling.distances import Distance, Method, distance, smoothed
from slipstream.profiling.profile import ColumnProfile, Profile
from slipstream.statistics.multiple_testing import benjamini_hochberg, judged_at

ALIKE = 0.05
"""How often columns that are as far apart as the threshold may count as alike."""
_FAR = {"psi": 4.0}
"""A distance so many times the threshold is that of a shift twice as large: psi grows with its square."""


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
        noise: What chance alone exceeds at the level at which the column was judged.
        drifted: Whether the statistic is above the threshold and the p-value below that level.
        n_reference: Rows of the reference.
        n_window: Rows of the window.
        effect: What changed, in words.
        p_value: How often chance alone gives as much; with many rows it is small for changes of no importance.
        missing: Share of missing values in the reference and in the window.
        unknown: Share of the window's rows with words that the reference never saw; 0 for numbers.
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
    p_value: float
    missing: tuple[float, float]
    unknown: float

    @property
    def far(self) -> float:
        """The statistic of a shift twice as large as the threshold's: beyond it a drifted column counts alone."""
        return _FAR.get(self.method, 2.0) * self.threshold


@dataclass(frozen=True)
class Methods:
    """How columns are judged: a method for each kind, the threshold, and how often a quiet window may alarm."""

    numeric: Method
    categorical: Method
    threshold: float
    false_alarms: float = 0.01


def drifts(reference: Profile, window: Profile, methods: Methods) -> tuple[ColumnDrift, ...]:
    """The verdict on each column of *window*, which was profiled over the bins of *reference*.

    The inputs are one family of tests and the target and the answer another: in each, any column of a quiet window is
    found with at most the probability ``methods.false_alarms`` (see :func:`.correction.benjamini_hochberg`).
    """
    verdicts: dict[str, ColumnDrift] = {}
    names = list(window.columns)
    inputs = [name for name in names if reference.columns[name].role == "input"]
    for family in (inputs, [name for name in names if name not in set(inputs)]):
        pairs = [_judged_rows(reference.columns[name], window.columns[name]) for name in family]
        verdicts |= {one.column: one for one in _verdicts(pairs, methods)}
    return tuple(verdicts[name] for name in names)


def drift(reference: ColumnProfile, window: ColumnProfile, methods: Methods) -> ColumnDrift:
    """The verdict on one column alone. Without rows on either side nothing has drifted."""
    (verdict,) = _verdicts([_judged_rows(reference, window)], methods)
    return verdict


def alike(then: Profile, now: Profile, methods: Methods) -> dict[str, bool]:
    """Whether each column of *now* is proven to be nearer to *then* than the threshold; False also where rows are few.

    That two sides cannot be told apart proves nothing where there are few rows.
    """
    pairs = {name: _judged_rows(then.columns[name], column) for name, column in now.columns.items()}
    return {name: _distance(pair, methods).closer(methods.threshold) <= ALIKE for name, pair in pairs.items()}


def _method(column: ColumnProfile, methods: Methods) -> Method:
    return methods.numeric if column.kind == "number" else methods.categorical


def _distance(pair: tuple[ColumnProfile, ColumnProfile], methods: Methods) -> Distance:
    return distance(_method(pair[0], methods), *pair)


def _judged_rows(reference: ColumnProfile, window: ColumnProfile) -> tuple[ColumnProfile, ColumnProfile]:
    if reference.role != "target":
        return reference, window
    # Truth that is still to come is not drift.
    before, now = (replace(side, rows=side.known, missing=0) for side in (reference, window))
    return before, now


def _verdicts(pairs: Sequence[tuple[ColumnProfile, ColumnProfile]], methods: Methods) -> list[ColumnDrift]:
    """The verdicts on one family of columns."""
    chosen = [_method(before, methods) for before, _ in pairs]
    apart = [_distance(pair, methods) for pair in pairs]
    p_values = [one.p_value for one in apart]
    proven = benjamini_hochberg(p_values, methods.false_alarms)
    levels = judged_at(p_values, methods.false_alarms)
    return [
        ColumnDrift(
            column=before.name,
            role=before.role,
            method=method,
            statistic=one.statistic,
            threshold=methods.threshold,
            noise=one.noise(level),
            drifted=significant and one.statistic > methods.threshold,
            n_reference=before.rows,
            n_window=now.rows,
            effect=effect(before, now),
            p_value=one.p_value,
            missing=(_missing(before), _missing(now)),
            unknown=unknown(before, now),
        )
        for (before, now), method, one, significant, level in zip(pairs, chosen, apart, proven, levels, strict=True)
    ]


def _missing(side: ColumnProfile) -> float:
    return side.missing / side.rows if side.rows else 0.0


def figures(verdicts: Sequence[ColumnDrift], reference: Profile, window: Profile) -> list[dict[str, Any]]:
    """Each verdict as plain values, with the cells that a histogram of it is drawn from."""
    figures_by_column = []
    for one in verdicts:
        names, before, now = cells(reference.columns[one.column], window.columns[one.column])
        figures_by_column.append(asdict(one) | {"cells": names, "reference": before.tolist(), "window": now.tolist()})
    return figures_by_column


def effect(reference: ColumnProfile, window: ColumnProfile) -> str:
    """What changed, in words: means, or the words whose shares changed most; and missing values."""
    changes = _number_effect(reference, window) if reference.kind == "number" else _word_effect(reference, window)
    before, now = _missing(reference), _missing(window)
    if abs(before - now) >= 0.01:
        changes.append(f"missing {before:.1%} -> {now:.1%}")
    return ", ".join(changes)


def _number_effect(reference: ColumnProfile, window: ColumnProfile) -> list[str]:
    if reference.mean is None or window.mean is None:
        return []
    changes = [f"mean {reference.mean:.4g} -> {window.mean:.4g}"]
    outside = (window.counts[0] + window.counts[-1]) / window.known
    if outside >= 0.01:
        changes.append(f"{outside:.1%} outside the reference's range")
    return changes


def _word_effect(reference: ColumnProfile, window: ColumnProfile) -> list[str]:
    names, before, now = cells(reference, window)
    if not before.sum() or not now.sum():
        return []
    p, q = before / before.sum(), now / now.sum()
    moved = np.abs(np.log(smoothed(now) / smoothed(before)) * (q - p))
    order = [place for place in np.argsort(-moved, kind="stable") if names[place] != "missing"]
    return [f"{names[place]}: {p[place]:.1%} -> {q[place]:.1%}" for place in order[:2]]
