"""How many threads a training gets; results do not depend on it."""

from __future__ import annotations

CELLS_PER_THREAD = 2_000_000
"""Histogram boosting gets one thread for so many cells: with less to do, threads that wait for each other on a busy
machine cost more than they bring (1M cells on 2 cores: 1.2 s by one thread, 1.0 s by two, 9 s by two under load)."""


def threads_for(cells: int) -> int:
    """The threads for a table of so many *cells*, at most one for each processor."""
    from joblib import cpu_count

    return max(1, min(int(cpu_count()), cells // CELLS_PER_THREAD))
