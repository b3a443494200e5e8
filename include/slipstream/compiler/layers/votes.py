"""Operations that make one answer of several members' or of several classes' answers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np

from slipstream.compiler.program import Floats


def _first(values: Floats) -> Floats:
    """The number of the greatest column."""
    return np.asarray(values.argmax(axis=1)[:, None], dtype=np.float64)


def _one_hot(classes: Floats) -> Callable[[Floats], Floats]:
    return lambda values: (values == classes).astype(np.float64)


def _shares(nothing: Floats) -> Callable[[Floats], Floats]:
    """Each row divided by its total; *nothing* in place of a row whose total is zero."""

    def run(values: Floats) -> Floats:
        total = values.sum(axis=1, keepdims=True)
        return np.where(total == 0, nothing, values / np.where(total == 0, 1.0, total))

    return run


def _capped(values: Floats) -> Floats:
    """What exceeds 1 by a rounding is 1."""
    return np.where((values > 1.0) & (values <= 1.0 + 1e-5), 1.0, values)


def _median(weights: Floats) -> Callable[[Floats], Floats]:
    """The weighted median of the columns."""

    def run(values: Floats) -> Floats:
        order = np.argsort(values, axis=1)
        reached = np.cumsum(weights[order], axis=1)
        middle = (reached >= 0.5 * reached[:, -1:]).argmax(axis=1)[:, None]
        return np.take_along_axis(values, np.take_along_axis(order, middle, axis=1), axis=1)

    return run


def _duels(classes: Floats) -> Callable[[Floats], Floats]:
    """From scores of each class against each other, positive for the first, to one score for each class."""
    count = int(classes)
    pairs = list(combinations(range(count), 2))

    def run(scores: Floats) -> Floats:
        votes, sums = np.zeros((len(scores), count)), np.zeros((len(scores), count))
        for at, (one, other) in enumerate(pairs):
            score = -scores[:, at]
            sums[:, one] -= score
            sums[:, other] += score
            lost = scores[:, at] < 0
            votes[:, one] += ~lost
            votes[:, other] += lost
        return np.asarray(votes + sums / (3 * (np.abs(sums) + 1)))

    return run


def _coupled(classes: Floats) -> Callable[[Floats], Floats]:
    """From the chances of the first of each two classes to those of all, with libsvm's iteration and its end."""
    count = int(classes)

    def run(chances: Floats) -> Floats:
        rows = len(chances)
        against = np.zeros((rows, count, count))
        for at, (one, other) in enumerate(combinations(range(count), 2)):
            chance = np.clip(chances[:, at], 1e-7, 1 - 1e-7)
            against[:, one, other], against[:, other, one] = chance, 1 - chance
        square = -against.transpose(0, 2, 1) * against
        every = np.arange(count)
        square[:, every, every] = (against**2).sum(axis=1)
        result = np.full((rows, count), 1.0 / count)
        open_rows = np.arange(rows)
        for _ in range(max(100, count)):
            part, these = square[open_rows], result[open_rows]
            slopes = (part @ these[:, :, None])[:, :, 0]
            level = (these * slopes).sum(axis=1)
            more = np.abs(slopes - level[:, None]).max(axis=1) >= 0.005 / count
            if not more.any():
                break
            open_rows = open_rows[more]
            result[open_rows] = _sweep(part[more], these[more], slopes[more], level[more])
        return result

    return run


def _sweep(square: Floats, chances: Floats, slopes: Floats, level: Floats) -> Floats:
    """One round of the iteration: every class once."""
    for at in range(chances.shape[1]):
        own = square[:, at, at]
        step = (-slopes[:, at] + level) / own
        chances[:, at] += step
        level = (level + step * (step * own + 2 * slopes[:, at])) / (1 + step) / (1 + step)
        slopes = (slopes + step[:, None] * square[:, at]) / (1 + step)[:, None]
        chances /= (1 + step)[:, None]
    return chances


VOTES: dict[str, Callable[..., Any]] = {
    "first": lambda: _first,
    "one_hot": _one_hot,
    "shares": _shares,
    "capped": lambda: _capped,
    "median": _median,
    "duels": _duels,
    "coupled": _coupled,
}
