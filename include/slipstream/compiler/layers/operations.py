"""The operations of layers, with NumPy: each takes its numbers once and then matrices of one row per row.

What scikit-learn does is done in its order, so that answers differ by no more than rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from slipstream.compiler.layers.curves import CURVES
from slipstream.compiler.layers.distances import DISTANCES
from slipstream.compiler.layers.symmetric import SYMMETRIC
from slipstream.compiler.layers.votes import VOTES
from slipstream.compiler.program import NEUTRAL, Floats, apply

Prepared = Callable[..., Floats]


def _take(places: Floats) -> Prepared:
    at = places.astype(np.intp)
    return lambda values: values[:, at]


def _dot(weights: Floats, base: Floats) -> Prepared:
    return lambda values: values @ weights + base


def _simple(kind: Any) -> Callable[..., Prepared]:
    return lambda by=0.0, to=0.0: lambda values: apply(kind, values, by, to)


def _plain(function: Callable[..., Any]) -> Callable[[], Prepared]:
    return lambda: function


def _by(function: Callable[..., Any]) -> Callable[..., Prepared]:
    return lambda *by: partial(_called, function, by)


def _called(function: Callable[..., Any], by: tuple[Floats, ...], values: Floats) -> Floats:
    result: Floats = function(values, *by)
    return result


def _logistic(values: Floats) -> Floats:
    small = np.exp(-np.abs(values))
    return np.where(values >= 0, 1.0, small) / (1.0 + small)


def _softmax(scores: Floats) -> Floats:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _likely(scores: Floats) -> Floats:
    """From logarithms of likelihoods to chances, as naive Bayes takes the detour by the logarithm of their sum."""
    most = scores.max(axis=1, keepdims=True)
    return np.asarray(np.exp(scores - (np.log(np.exp(scores - most).sum(axis=1, keepdims=True)) + most)))


def _pair(chance: Floats) -> Floats:
    return np.concatenate((1.0 - chance, chance), axis=1)


def single(values: Floats) -> Floats:
    """The numbers as single precision has them."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32).astype(np.float64)


def _sublinear(counts: Floats) -> Floats:
    return np.where(counts > 0, np.log(np.maximum(counts, 1e-300)) + 1.0, counts)


def _gaussian(means: Floats, variances: Floats, base: Floats) -> Prepared:
    """The logarithm of a class's density, but for its constant, added to *base*."""
    classes = list(zip(means, variances, strict=True))

    def run(values: Floats) -> Floats:
        each = [np.sum((values - mean) ** 2 / variance, axis=1) for mean, variance in classes]
        return base - 0.5 * np.stack(each, axis=1)

    return run


def _categories(chances: Floats) -> Prepared:
    """Sums over the features of ``(features, categories, classes)``; NaN where a category is none."""
    features, categories, _ = chances.shape
    every = np.arange(features)

    def run(values: Floats) -> Floats:
        whole = np.where(values > -1, np.minimum(np.nan_to_num(values, nan=categories), categories), categories)
        return np.asarray(chances[every, np.minimum(whole.astype(np.intp), categories - 1)].sum(axis=1))

    return run


def _products(factors: Floats) -> Prepared:
    """Each output the product of its factors: numbers of columns, and one past the last for 1."""
    columns = [column.astype(np.intp) for column in factors.T]

    def run(values: Floats) -> Floats:
        wide = np.concatenate((values, np.ones((len(values), 1))), axis=1)
        product = wide[:, columns[0]]
        for column in columns[1:]:
            product = product * wide[:, column]
        return product

    return run


def _normalized(values: Floats, order: Floats) -> Floats:
    sizes = {1: lambda: np.abs(values).sum(axis=1), 2: lambda: np.sqrt((values * values).sum(axis=1))}
    size = sizes[int(order)]() if int(order) in sizes else np.abs(values).max(axis=1)
    # Rows of next to nothing are left as they are.
    return values / np.where(size < 10 * np.finfo(np.float64).eps, 1.0, size)[:, None]


FUNCTIONS: dict[str, Any] = {
    name: getattr(np, name)
    for name in (
        *("log", "log1p", "log2", "log10", "exp", "expm1", "exp2", "sqrt", "cbrt", "square", "reciprocal"),
        *("sin", "cos", "tan", "tanh", "sinh", "cosh", "arctan", "arcsinh", "floor", "ceil", "trunc", "rint"),
        *("absolute", "sign", "negative", "isnan"),
    )
}
"""Functions of NumPy of one number, by their names there."""

OPERATIONS: dict[str, Callable[..., Prepared]] = {
    "take": _take,
    "join": lambda: lambda *parts: np.concatenate(parts, axis=1),
    "dot": _dot,
    "plus": _plain(np.add),
    "times": _plain(np.multiply),
    "over": _plain(np.divide),
    "total": _plain(lambda values: values.sum(axis=1, keepdims=True)),
    "relu": _plain(lambda values: np.maximum(values, 0.0)),
    "power": _by(np.power),
    "logistic": _plain(_logistic),
    "softmax": _plain(_softmax),
    "likely": _plain(_likely),
    "pair": _plain(_pair),
    "above": _by(lambda values, by: (values > by).astype(np.float64)),
    "single": _plain(single),
    "sublinear": _plain(_sublinear),
    "gaussian": _gaussian,
    "categories": _categories,
    "products": _products,
    "normalized": _by(_normalized),
    **{name: _plain(function) for name, function in FUNCTIONS.items()},
    **{kind: _simple(kind) for kind in (*NEUTRAL, "isnan", "trunc")},
    **CURVES,
    **DISTANCES,
    **SYMMETRIC,
    **VOTES,
}
