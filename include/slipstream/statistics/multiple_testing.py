"""Many tests at once: which p-values are still small when so many were looked at.

scipy's ``false_discovery_control`` answers the first question alone: a verdict also shows the level that its column had
to reach, and dry runs judge every window that was kept, where this takes a tenth of the time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def benjamini_hochberg(p_values: Sequence[float], level: float) -> list[bool]:
    """Which of *p_values* are significant at *level*, in their order.

    Of those found, a share of at most *level* is expected to be false; where there is nothing to find, any is found
    with at most that probability (Benjamini and Hochberg, Journal of the Royal Statistical Society B 57 (1995),
    289-300).
    """
    significant = _count(p_values, level)
    limit = level * significant / max(len(p_values), 1)
    return [significant > 0 and value <= limit for value in p_values]


def judged_at(p_values: Sequence[float], level: float) -> list[float]:
    """The level that each of *p_values* had to reach to be significant by :func:`benjamini_hochberg`."""
    count, significant = len(p_values), _count(p_values, level)
    # One more would have been found, had it reached the limit of one more.
    return [
        level * (significant if is_significant else min(significant + 1, count)) / count
        for is_significant in benjamini_hochberg(p_values, level)
    ]


def _count(p_values: Sequence[float], level: float) -> int:
    """How many are significant: the largest k for which the k-th smallest is at most ``level * k / n``."""
    ordered = np.sort(np.asarray(p_values, dtype=np.float64))
    limits = level * np.arange(1, len(ordered) + 1) / max(len(ordered), 1)
    reached = np.flatnonzero(ordered <= limits)
    return int(reached[-1]) + 1 if len(reached) else 0
