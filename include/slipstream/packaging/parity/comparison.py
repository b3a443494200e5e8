"""Proves that a compiled model answers as the model itself, on held-out rows and on rows made to trip it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import numpy as np

from slipstream.bundle.scorer import decided
from slipstream.compiler.program import Floats
from slipstream.model_schema import Schema
from slipstream.packaging.parity.rows import odd_rows

LIMIT = 1e-6
"""The greatest difference of a probability, or of a number relative to its size where that is above 1."""

_NOISE = 1e-12
"""Below it a difference is rounding, which another processor does otherwise: it is told as zero."""

Columns = Mapping[str, Sequence[Any]]


class RowEngine(Protocol):
    """Whatever answers columns; see :class:`slipstream.bundle.scorer.Engine`."""

    def run(self, columns: Columns) -> Any:
        """The answers."""
        ...


@dataclass(frozen=True)
class Parity:
    """What the comparison found.

    Attributes:
        rows: Rows that were compared.
        worst: The greatest difference; of a regression relative to the number where that is above 1.
        flips: Rows whose label differs.
        reason: Why the compiled model must not serve, as a sentence; None if it may.
    """

    rows: int
    worst: float
    flips: int
    reason: str | None

    @property
    def passed(self) -> bool:
        """Whether the compiled model may serve."""
        return self.reason is None


def check(
    compiled: RowEngine,
    model: RowEngine,
    schema: Schema,
    held: Iterable[Columns],
    edges: Mapping[str, Sequence[float]],
) -> Parity:
    """Compare the two engines.

    Args:
        compiled: The compiled model.
        model: What it was compiled from.
        schema: The inputs.
        held: Held-out rows, in as many parts as one likes.
        edges: Input -> the values at which the model's trees decide.
    """
    rows, worst, flips = 0, 0.0, 0
    parts = iter(held)
    first = next(parts, None)
    batches = chain([] if first is None else [first], parts, odd_rows(schema, edges, first or {}))
    for columns in batches:
        try:
            expected = model.run(columns)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            # A category that training did not hold, or null where a text is read, is no ValueError everywhere.
            why = str(error).partition("\n")[0].rstrip(".")
            return Parity(rows, worst, flips, f"The model refuses rows that the compiled one would answer: {why}.")
        got = compiled.run(columns)
        rows += len(expected)
        if np.shape(got) != np.shape(expected):
            return Parity(rows, math.inf, flips, "The compiled answers have another shape.")
        worst = max(worst, _difference(got, expected))
        flips += 0 if expected.ndim == 1 else int((decided(schema, got) != decided(schema, expected)).sum())
    return Parity(rows, _rounded(worst), flips, _reason(rows, worst, flips))


def _difference(got: Floats, expected: Floats) -> float:
    """The greatest difference; two answers that are no number are alike."""
    if not expected.size:
        return 0.0
    same = (got == expected) | (np.isnan(got) & np.isnan(expected))
    with np.errstate(invalid="ignore"):
        size = np.maximum(1.0, np.abs(expected)) if expected.ndim == 1 else 1.0
        distance = np.where(same, 0.0, np.abs(got - expected) / size)
    return float(np.max(np.where(np.isnan(distance), np.inf, distance)))


def _rounded(worst: float) -> float:
    return 0.0 if worst < _NOISE else float(f"{worst:.1e}")


def _reason(rows: int, worst: float, flips: int) -> str | None:
    if flips:
        return f"Compiled it gives another label on {flips:,} of {rows:,} rows."
    if worst > LIMIT:
        return f"Compiled it differs by up to {worst:.1e} on {rows:,} rows; {LIMIT:.0e} is allowed."
    return None
