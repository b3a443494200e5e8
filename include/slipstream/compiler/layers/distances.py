"""Operations on the distances between rows and the points that a model keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from slipstream.compiler.program import Floats

_GROUP = 16
_SPARE = 8
"""So many neighbours more are looked at exactly, as rounding may change the order of nearly equal ones."""


def _squared(points: Floats) -> Callable[[Floats], Floats]:
    """Squared distances to *points*, from products: points and rows are centred so that little cancels."""
    middle = points.mean(axis=0)
    centred = points - middle
    turned, sizes = (-2.0 * centred.T).copy(), (centred * centred).sum(axis=1)

    def run(values: Floats) -> Floats:
        rows = values - middle
        squares = rows @ turned
        squares += sizes
        squares += (rows * rows).sum(axis=1, keepdims=True)
        return np.asarray(np.maximum(squares, 0.0, out=squares))

    return run


def _rbf(points: Floats, gamma: Floats) -> Callable[[Floats], Floats]:
    squared = _squared(points)

    def run(values: Floats) -> Floats:
        squares = squared(values)
        squares *= -gamma
        return np.exp(squares, out=squares)

    return run


def _neighbours(
    points: Floats, answers: Floats, count: Floats, order: Floats, weighted: Floats
) -> Callable[..., Floats]:
    """The mean, over the nearest *points*, of what is known of them; weighted by 1 / distance if *weighted*."""
    near, power = int(count), float(order)
    candidates = _candidates(points, min(near + _SPARE, len(points)), power)

    def run(values: Floats) -> Floats:
        some = candidates(values)
        exact = _distances(values[:, None, :], points[some], power)
        best = np.argsort(exact, axis=1, kind="stable")[:, :near]
        chosen = answers[np.take_along_axis(some, best, axis=1)]
        if not weighted:
            return np.asarray(chosen.mean(axis=1))
        distances = np.take_along_axis(exact, best, axis=1)
        distances = np.sqrt(distances) if power == 2 else distances
        weights = _weights(distances)[:, :, None]
        return np.asarray((chosen * weights).sum(axis=1) / weights.sum(axis=1))

    return run


def _candidates(points: Floats, count: int, power: float) -> Callable[[Floats], Any]:
    """The numbers of the *count* points that are nearest but for rounding, in order.

    Points fall into groups, and the nearest ones lie in the groups whose own nearest one is nearest: groups are few.
    """
    groups = max(-(-len(points) // _GROUP), min(count, len(points)))
    each = -(-len(points) // groups)
    rough = _squared(points) if power == 2 else _apart(points)
    members = np.arange(each) * groups

    def run(values: Floats) -> Any:
        far = np.full((len(values), each * groups), np.inf)
        far[:, : len(points)] = rough(values)
        nearest = far.reshape(len(values), each, groups).min(axis=1)
        some = np.argpartition(nearest, count - 1, axis=1)[:, :count] if count < groups else np.arange(groups)[None]
        some = (np.broadcast_to(some, (len(values), some.shape[1]))[:, :, None] + members).reshape(len(values), -1)
        best = np.argpartition(np.take_along_axis(far, some, axis=1), count - 1, axis=1)[:, :count]
        return np.sort(np.take_along_axis(some, best, axis=1), axis=1)

    return run


def _apart(points: Floats) -> Callable[[Floats], Floats]:
    """Sums of absolute differences to *points*."""

    def run(values: Floats) -> Floats:
        total = np.zeros((len(values), len(points)))
        for place in range(points.shape[1]):
            total += np.abs(values[:, place : place + 1] - points[:, place])
        return total

    return run


def _distances(rows: Floats, points: Floats, power: float) -> Floats:
    """Distances, squared ones for the Euclidean, as their order is the same."""
    apart = rows - points
    return np.asarray((apart * apart).sum(axis=2) if power == 2 else np.abs(apart).sum(axis=2))


def _weights(distances: Floats) -> Floats:
    """1 / distance; where one is zero, 1 for those that are and 0 for the others."""
    same = distances == 0
    return np.where(same.any(axis=1, keepdims=True), same, 1.0 / np.where(same, 1.0, distances))


DISTANCES: dict[str, Callable[..., Any]] = {
    "rbf": _rbf,
    "squared": _squared,
    "neighbours": _neighbours,
}
