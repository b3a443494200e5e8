"""Transformers that send each number through a curve of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from slipstream.compiler.feature_column import Columns, FeatureColumn, Node, matrix
from slipstream.compiler.layers.curves import CONSTANT, CONTINUED, LINEAR
from slipstream.compiler.layers.operations import FUNCTIONS
from slipstream.compiler.program import NotCompiled


def _quantiles(step: Any, columns: Columns) -> Node:
    from scipy.stats import norm

    normal = step.output_distribution == "normal"
    least = 1e-7 - np.spacing(1)
    ends = [norm.ppf(least), norm.ppf(1 - least)] if normal else []
    return matrix(columns).then("ranks", step.quantiles_, step.references_, ends)


def _power(step: Any, columns: Columns) -> Node:
    curve = matrix(columns).then(step.method.replace("-", "_"), step.lambdas_)
    if step.standardize:
        scaler = step._scaler
        return curve.then("sub", scaler.mean_).then("div", scaler.scale_)
    return curve


def _bins(step: Any, columns: Columns) -> Node:
    inner = [edges[1:-1] for edges in step.bin_edges_]
    edges = np.full((len(inner), max(1, *map(len, inner))), np.inf)
    for row, own in zip(edges, inner, strict=True):
        row[: len(own)] = own
    numbers = matrix(columns).then("bins", edges)
    if step.encode == "ordinal":
        return numbers
    pairs = [(place, bin_) for place, count in enumerate(step.n_bins_) for bin_ in range(count)]
    places, bins = zip(*pairs, strict=True)
    return numbers.take(places).then("one_hot", bins)


def _splines(step: Any, columns: Columns) -> Node:
    from scipy.interpolate import BSpline, PPoly

    beyond = {"constant": CONSTANT, "continue": CONTINUED, "linear": LINEAR}.get(step.extrapolation)
    if beyond is None or step.degree < 1 + (beyond == LINEAR) or getattr(step, "handle_missing", "error") != "error":
        raise NotCompiled(f"splines of degree {step.degree} with extrapolation {step.extrapolation!r} are not compiled")
    count = step.bsplines_[0].c.shape[1]
    knots, pieces = [], []
    for spline in step.bsplines_:
        first, last = spline.k, len(spline.t) - spline.k - 1
        each = [PPoly.from_spline(BSpline(spline.t, weights, spline.k)).c[:, first:last] for weights in spline.c.T]
        knots.append(spline.t[first : last + 1])
        pieces.append(np.stack(each, axis=2).transpose(1, 0, 2))
    every = matrix(columns).then("splines", np.stack(knots), np.stack(pieces), beyond, width=count * len(knots))
    if step.include_bias:
        return every
    return every.take([place for place in range(every.width) if (place + 1) % count])


def _above(step: Any, columns: Columns) -> Node:
    return matrix(columns).then("above", step.threshold)


def function(step: Any, columns: Columns) -> Columns:
    """A function transformer that calls a plain function of NumPy.

    Raises:
        NotCompiled: it calls another function.
    """
    name = getattr(step.func, "__name__", "")
    if step.kw_args or FUNCTIONS.get(name) is not step.func:
        raise NotCompiled("FunctionTransformer calls a function of its own")
    return matrix(columns).then(name).features()


def _rule(node: Callable[[Any, Columns], Node]) -> Callable[[Any, list[FeatureColumn]], Columns]:
    return lambda step, columns: node(step, columns).features()


CURVED = {
    "QuantileTransformer": _rule(_quantiles),
    "PowerTransformer": _rule(_power),
    "KBinsDiscretizer": _rule(_bins),
    "SplineTransformer": _rule(_splines),
    "Binarizer": _rule(_above),
}
