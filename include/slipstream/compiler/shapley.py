"""Shapley values: how much each input of a row moves the model's answer away from its mean over background rows.

The inputs of the row replace those of a background row one after the other, in many orders; what an input moves is
averaged over the orders (Strumbelj and Kononenko, Knowledge and Information Systems 41 (2014)). Each order is also
taken backwards, which makes the errors of the two nearly cancel (Mitchell, Cooper, Frank and Holmes, JMLR 23 (2022)).
Along each order the moves add up to the whole way, so the values add up to answer minus base whatever the sample.
With few inputs nothing is sampled: all their subsets are asked. Needs only a function that answers many rows at once.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from slipstream.spacing import thinned

Columns = Mapping[str, Any]
"""Input -> values of many rows: a float64 array with NaN for null, or an array of words and None."""
Ask = Callable[[Columns], Any]
"""Answers rows: an array of one number for each."""

EXACT_INPUTS = 8
"""Up to so many inputs every subset of them is asked: 256 questions for each background row."""
QUESTIONS = 8000
"""About so many rows are answered to explain one, where orders are sampled."""
AT_ONCE = 16_384
LEAST_BACKGROUND, MOST_ORDERS = 4, 64


@dataclass(frozen=True)
class Contributions:
    """The explanation of one row.

    Attributes:
        answer: What the model answers to it.
        base: The mean answer over the background rows.
        values: One number for each input; they add up to ``answer - base``.
        errors: The standard error of each, from the sampling of orders; None where nothing was sampled.
        orders: How many orders were walked; 0: all subsets were asked.
    """

    answer: float
    base: float
    values: tuple[float, ...]
    errors: tuple[float, ...] | None
    orders: int


def contributions(
    ask: Ask, row: Mapping[str, Any], background: Columns, *, questions: int = QUESTIONS
) -> Contributions:
    """Explain the answer to *row*, always alike for the same row.

    Args:
        ask: The model.
        row: Input -> value; NaN or None for null.
        background: The rows to compare with.
        questions: About how many rows may be answered for it, where orders are sampled.
    """
    names = list(row)
    if len(names) <= EXACT_INPUTS:
        return _exact(ask, row, background)
    background = _fewer(background, max(LEAST_BACKGROUND, questions // (4 * len(names))))
    rows = _rows(background)
    each = max(1, min(MOST_ORDERS, questions // (2 * len(names) * rows)))
    random = np.random.default_rng(_seed(row))
    forward = random.permuted(np.tile(np.arange(len(names)), (rows * each, 1)), axis=1)
    # Shape (rows, each, there and back, inputs).
    orders = np.stack([forward, forward[:, ::-1]], axis=1).reshape(rows, each, 2, len(names))
    walked = _walk(ask, row, background, orders)
    moves = np.empty_like(orders, dtype=np.float64)
    np.put_along_axis(moves, orders, np.diff(walked, axis=-1), axis=-1)
    pairs = moves.mean(axis=2)
    values = pairs.mean(axis=(0, 1))
    errors = np.sqrt((pairs.var(axis=1, ddof=1) / each).mean(axis=0) / rows) if each > 1 else None
    answer, base = float(walked[0, 0, 0, -1]), float(walked[:, 0, 0, 0].mean())
    standard_errors = None if errors is None else tuple(errors.tolist())
    return Contributions(answer, base, tuple(values.tolist()), standard_errors, orders.size // len(names))


def evenly(columns: Columns, at_most: int) -> dict[str, Any]:
    """At most so many evenly spaced rows of *columns*."""
    return {name: thinned(values, at_most) for name, values in columns.items()}


def _fewer(background: Columns, at_most: int) -> Columns:
    return background if _rows(background) <= at_most else evenly(background, at_most)


def _walk(ask: Ask, row: Mapping[str, Any], background: Columns, orders: Any) -> Any:
    """The answers along each order: at its start the background row's own, at its end the row's."""
    rows, each, _, inputs = orders.shape
    steps = np.argsort(orders, axis=-1)
    # Between start and end: after step s an input is the row's if its place in the order is at most s.
    taken = steps[..., None, :] <= np.arange(inputs - 1)[:, None]
    place = np.repeat(np.arange(rows), each * 2 * (inputs - 1))
    between = _ask(ask, row, background, taken.reshape(-1, inputs), place)
    ends = np.vstack([np.zeros((rows, inputs), dtype=bool), np.ones((1, inputs), dtype=bool)])
    answers = _ask(ask, row, background, ends, np.minimum(np.arange(rows + 1), rows - 1))
    walked = np.empty((rows, each, 2, inputs + 1))
    walked[..., 0] = answers[:rows, None, None]
    walked[..., 1:-1] = between.reshape(rows, each, 2, inputs - 1)
    walked[..., -1] = answers[rows]
    return walked


def _exact(ask: Ask, row: Mapping[str, Any], background: Columns) -> Contributions:
    """Shapley's formula over all subsets."""
    count, rows = len(row), _rows(background)
    subsets = (np.arange(1 << count)[:, None] >> np.arange(count)) & 1 == 1
    answers = _ask(ask, row, background, np.repeat(subsets, rows, axis=0), np.tile(np.arange(rows), len(subsets)))
    means = answers.reshape(len(subsets), rows).mean(axis=1)
    means[-1] = answers[-1]  # rounding aside the mean of equal answers
    values = []
    for place in range(count):
        without = np.flatnonzero(~subsets[:, place])
        values.append(
            float(_weights(count)[subsets[without].sum(axis=1)] @ (means[without | 1 << place] - means[without]))
        )
    return Contributions(float(means[-1]), float(means[0]), tuple(values), None, 0)


@lru_cache(maxsize=EXACT_INPUTS)
def _weights(count: int) -> Any:
    """The weight of a subset of each size that lacks one input."""
    factorial = math.factorial
    sizes = [factorial(size) * factorial(count - size - 1) / factorial(count) for size in range(count)]
    return np.array(sizes)


def _ask(ask: Ask, row: Mapping[str, Any], background: Columns, taken: Any, place: Any) -> Any:
    """The answers to rows that have the inputs *taken* from *row* and the others from the background row at *place*."""
    parts = []
    for start in range(0, len(taken), AT_ONCE):
        piece, where = taken[start : start + AT_ONCE], place[start : start + AT_ONCE]
        mixed = {}
        for number, (name, value) in enumerate(row.items()):
            column = background[name][where]
            column[piece[:, number]] = value
            mixed[name] = column
        parts.append(np.asarray(ask(mixed), dtype=np.float64))
    return np.concatenate(parts)


def _rows(columns: Columns) -> int:
    return len(next(iter(columns.values())))


def _seed(row: Mapping[str, Any]) -> int:
    values: Sequence[Any] = [None if value != value else value for value in row.values()]
    return int.from_bytes(hashlib.blake2b(repr(values).encode("utf-8", "replace"), digest_size=8).digest(), "big")
