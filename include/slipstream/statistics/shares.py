"""The interval of a share, without any library, because the watch over a rollout needs nothing else."""

from __future__ import annotations

import math


def wilson(hits: float, rows: float, quantile: float) -> tuple[float, float]:
    """The interval of the share *hits* of *rows* (Wilson, J. Am. Stat. Assoc. 22 (1927), 209-212); 0 to 1 without rows.

    scipy's ``binomtest(...).proportion_ci`` takes whole numbers alone, and here parts of rows count too.

    Args:
        hits: From 0 to *rows*.
        rows: How many, or how many they are worth.
        quantile: Of the normal distribution, such as 1.96 for 95 %.
    """
    if not rows:
        return 0.0, 1.0
    share, spread = hits / rows, quantile**2 / rows
    middle, half = share + spread / 2, quantile * math.sqrt(share * (1 - share) / rows + spread / rows / 4)
    return max((middle - half) / (1 + spread), 0.0), min((middle + half) / (1 + spread), 1.0)
