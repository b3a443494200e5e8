"""Some of many rows, evenly spaced, so that equal rows give an equal sample and no part of them is left out."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import Any, TypeVar

Rows = TypeVar("Rows", bound=Sized)


def stride(count: int, at_most: int) -> int:
    """The least step by which one comes to at most so many of *count* rows."""
    return max(1, -(-count // at_most))


def thinned(rows: Rows, at_most: int) -> Rows:
    """At most so many rows of a list, an array or a frame; the first is one of them."""
    by_place: Any = getattr(rows, "iloc", rows)
    chosen: Rows = by_place[:: stride(len(rows), at_most)]
    return chosen


def spread(count: int, at_most: int) -> Sequence[int]:
    """At most so many places from 0 to *count* - 1, with both ends."""
    import numpy as np

    places: list[int] = np.unique(np.linspace(0, count - 1, min(count, at_most)).round().astype(int)).tolist()
    return places
