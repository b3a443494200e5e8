"""How long answers take: counts in fixed buckets, which add up over processes, and what can be read from them."""

from __future__ import annotations

from collections.abc import Sequence

BOUNDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Upper ends of the buckets in seconds; a last one holds what takes longer."""


def quantile(counts: Sequence[int], share: float) -> float | None:
    """Seconds within which that *share* of the answers came, evenly spread within a bucket; None without answers.

    Args:
        counts: Answers in each bucket, one more than :data:`BOUNDS`.
        share: From 0 to 1.
    """
    wanted, below, low = share * sum(counts), 0, 0.0
    if not wanted:
        return None
    for count, high in zip(counts, (*BOUNDS, BOUNDS[-1]), strict=True):
        if below + count >= wanted:
            return low + (high - low) * (wanted - below) / count
        below, low = below + count, high
    return low


def slower(counts: Sequence[int], seconds: float) -> int:
    """How many of the answers took longer than *seconds*, evenly spread within a bucket and rounded down."""
    count_above, low = 0.0, 0.0
    for count, high in zip(counts, (*BOUNDS, float("inf")), strict=True):
        if low >= seconds:
            count_above += count
        elif high > seconds and high != float("inf"):
            count_above += count * (high - seconds) / (high - low)
        low = high
    return int(count_above)
