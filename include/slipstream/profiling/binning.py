"""Numbers counted in bins as they stream by, in memory that depends on the number of bins alone."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Binned:
    """The numbers seen so far: how many lie in each bin, their ends, mean and spread.

    Attributes:
        rows: All that were seen, missing ones included.
        counts: In each bin ``(edges[i-1], edges[i]]`` and, last, above the last edge.
        low: The least; infinite without any. So is ``high``.
        mean: NaN without any.
        squares: Sum of the squared distances from the mean.
    """

    def __init__(self, edges: tuple[float, ...]) -> None:
        self.edges = np.array(edges, dtype=np.float64)
        self.rows = 0
        self.counts = np.zeros(len(edges) + 1, dtype=np.int64)
        self.low, self.high = math.inf, -math.inf
        self.mean, self.squares = math.nan, 0.0

    @property
    def known(self) -> int:
        """How many are finite numbers."""
        return int(self.counts.sum())

    @property
    def sd(self) -> float:
        """Standard deviation (population); NaN without numbers."""
        return math.sqrt(self.squares / self.known) if self.known else math.nan

    def add(self, values: Floats) -> None:
        """Count more *values*; NaN and infinite ones are missing."""
        # Sorting some ten thousand numbers and finding the edges in them is several times faster than finding each
        # number among the edges; what is not finite lies at the ends then.
        ordered = np.sort(values)
        begin, end = np.searchsorted(ordered, -math.inf, side="right"), np.searchsorted(ordered, math.inf)
        finite = ordered[begin:end]
        self.rows += len(values)
        if not len(finite):
            return
        with np.errstate(over="ignore", invalid="ignore"):
            self._move(len(finite), float(finite.mean()), float(finite.var()) * len(finite))
        self.counts += np.diff(np.searchsorted(finite, self.edges, side="right"), prepend=0, append=len(finite))
        self.low, self.high = min(self.low, float(finite[0])), max(self.high, float(finite[-1]))

    def _move(self, more: int, mean: float, squares: float) -> None:
        """Chan, Golub and LeVeque, The American Statistician 37 (1983), 242-247."""
        before = self.known
        if not before:
            self.mean, self.squares = mean, squares
            return
        apart = np.float64(mean) - self.mean
        self.mean = float(self.mean + apart * more / (before + more))
        self.squares = float(self.squares + squares + apart**2 * before * more / (before + more))
