"""Operations that send each column through a curve of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from slipstream.compiler.layers.normal import quantile
from slipstream.compiler.program import Floats

CONSTANT, CONTINUED, LINEAR = 0, 1, 2
"""How a spline goes on beyond its knots."""


def _interpolated(knots: Floats, heights: Floats) -> Callable[[Floats], Floats]:
    """Straight lines between *knots*, level beyond them; one curve for all columns."""
    return lambda values: np.interp(values.ravel(), knots, heights).reshape(values.shape)


def _ranks(knots: Floats, heights: Floats, ends: Floats) -> Callable[[Floats], Floats]:
    """The share of training below each value; as a normal deviate between *ends* if there are any.

    Equal knots are passed from both sides, and the mean is taken.
    """
    columns = [np.ascontiguousarray(column) for column in knots.T]
    turned, down = [-column[::-1] for column in columns], -heights[::-1]

    def run(values: Floats) -> Floats:
        result = np.empty_like(values)
        for place, (up, back) in enumerate(zip(columns, turned, strict=True)):
            column = values[:, place]
            share = 0.5 * (np.interp(column, up, heights) - np.interp(-column, back, down))
            margin = 1e-7 if ends.size else 0.0
            share = np.where(column + margin > up[-1] if ends.size else column == up[-1], 1.0, share)
            result[:, place] = np.where(column - margin < up[0] if ends.size else column == up[0], 0.0, share)
        return np.clip(quantile(np.clip(result, 1e-9, 1 - 1e-9)), *ends) if ends.size else result

    return run


def _yeo_johnson(powers: Floats) -> Callable[[Floats], Floats]:
    up, down = np.abs(powers) < np.spacing(1.0), np.abs(powers - 2) <= np.spacing(1.0)
    over, under = np.where(up, 1.0, powers), np.where(down, 1.0, 2 - powers)

    def run(values: Floats) -> Floats:
        size = np.log1p(np.abs(values))
        high = np.where(up, size, np.expm1(over * size) / over)
        low = np.where(down, -size, -np.expm1(under * size) / under)
        return np.where(values >= 0, high, low)

    return run


def _box_cox(powers: Floats) -> Callable[[Floats], Floats]:
    flat = np.abs(powers) < 1e-19
    by = np.where(flat, 1.0, powers)

    def run(values: Floats) -> Floats:
        logs = np.log(values)
        return np.where(flat, logs, np.expm1(by * logs) / by)

    return run


def _bins(edges: Floats) -> Callable[[Floats], Floats]:
    """How many of a column's *edges* each value has reached; edges that are infinite fill up."""
    return lambda values: (values[:, :, None] >= edges).sum(axis=2).astype(np.float64)


def _splines(knots: Floats, pieces: Floats, beyond: Floats) -> Callable[[Floats], Floats]:
    """Polynomials of each piece between *knots* ``(columns, knots)``.

    *pieces* are ``(columns, pieces, powers, splines)``, the highest power first.
    """

    def run(values: Floats) -> Floats:
        return np.concatenate([one(values[:, place]) for place, one in enumerate(curves)], axis=1)

    curves = [_spline(at, of, int(beyond)) for at, of in zip(knots, pieces, strict=True)]
    return run


def _spline(knots: Floats, pieces: Floats, beyond: int) -> Callable[[Floats], Floats]:
    def run(values: Floats) -> Floats:
        near = values if beyond == CONTINUED else np.clip(values, knots[0], knots[-1])
        piece = np.clip(np.searchsorted(knots, near, side="right") - 1, 0, len(knots) - 2)
        along, powers = (near - knots[piece])[:, None], pieces[piece]
        result, slope = powers[:, 0], np.zeros_like(powers[:, 0])
        for power in range(1, powers.shape[1]):
            slope = slope * along + result
            result = result * along + powers[:, power]
        return result if beyond != LINEAR else result + slope * (values - near)[:, None]

    return run


CURVES: dict[str, Callable[..., Any]] = {
    "interpolated": _interpolated,
    "ranks": _ranks,
    "yeo_johnson": _yeo_johnson,
    "box_cox": _box_cox,
    "bins": _bins,
    "splines": _splines,
}
