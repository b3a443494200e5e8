"""What undoes the transformation of a target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slipstream.compiler.feature_column import Node
from slipstream.compiler.layers.operations import FUNCTIONS
from slipstream.compiler.program import NotCompiled


def undone(transformer: Any, values: Node) -> Node:
    """The inverse of a fitted transformer of one column.

    Raises:
        NotCompiled: it is none that is known.
    """
    name = type(transformer).__name__
    known = _INVERSES.get(name) if type(transformer).__module__.startswith("sklearn.") else None
    if known is None:
        raise NotCompiled(f"the inverse of {name} is none that is compiled")
    return known(transformer, values)


def _function(transformer: Any, values: Node) -> Node:
    return called(transformer.inverse_func, transformer.inv_kw_args, values)


def called(function: Any, arguments: Any, values: Node) -> Node:
    """A function of NumPy on every number of a matrix; None changes nothing."""
    if function is None:
        return values
    name = getattr(function, "__name__", "")
    if arguments or FUNCTIONS.get(name) is not function:
        raise NotCompiled("it calls a function that is none of the plain ones of NumPy")
    return values.then(name)


def _standard(transformer: Any, values: Node) -> Node:
    values = values.then("mul", transformer.scale_) if transformer.with_std else values
    return values.then("add", transformer.mean_) if transformer.with_mean else values


def _robust(transformer: Any, values: Node) -> Node:
    values = values.then("mul", transformer.scale_) if transformer.with_scaling else values
    return values.then("add", transformer.center_) if transformer.with_centering else values


def _min_max(transformer: Any, values: Node) -> Node:
    return values.then("sub", transformer.min_).then("div", transformer.scale_)


def _max_abs(transformer: Any, values: Node) -> Node:
    return values.then("mul", transformer.scale_)


def _pipeline(transformer: Any, values: Node) -> Node:
    for _, step in reversed(transformer.steps):
        values = values if step in (None, "passthrough") else undone(step, values)
    return values


_INVERSES: dict[str, Callable[[Any, Node], Node]] = {
    "FunctionTransformer": _function,
    "StandardScaler": _standard,
    "RobustScaler": _robust,
    "MinMaxScaler": _min_max,
    "MaxAbsScaler": _max_abs,
    "Pipeline": _pipeline,
}
