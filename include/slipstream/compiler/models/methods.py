"""Which of a model's methods is compiled, and how one follows from another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from slipstream.compiler.feature_column import Node
from slipstream.compiler.program import NotCompiled

Method = Literal["predict", "predict_proba", "decision_function"]
Rule = Callable[[Any, Node, Method], Node]


def can(model: Any, method: Method) -> bool:
    """Whether a model has the method."""
    return hasattr(model, method)


def is_classifier(model: Any) -> bool:
    """Whether a model answers with classes."""
    # CatBoost's regressors have the attribute, too: an empty list.
    return len(getattr(model, "classes_", ())) > 0


def from_chances(chances: Node, model: Any, method: Method) -> Node:
    """The answer of a classifier that knows probabilities, and answers with the greatest."""
    if method == "decision_function":
        raise NotCompiled(f"the decision function of {type(model).__name__} is not compiled")
    return chances.then("first", width=1) if method == "predict" else chances


def from_scores(scores: Node, method: Method, chances: Callable[[Node], Node] | None = None) -> Node:
    """The answer of a classifier that decides by scores: by the sign of one, or the greatest of many."""
    if method == "decision_function":
        return scores
    if method == "predict":
        return scores.then("above", 0.0) if scores.width == 1 else scores.then("first", width=1)
    if chances is None:
        raise NotCompiled("it has no probabilities")
    return chances(scores)


def sigmoid(scores: Node) -> Node:
    """Probabilities of two classes from one score."""
    return scores.then("logistic").then("pair", width=2)


def shares(values: Node) -> Node:
    """Each row as shares of its total, equal ones where that is zero."""
    return values.then("shares", 1.0 / values.width)


def mean(parts: list[Node], weights: Any = None) -> Node:
    """The mean of matrices of one shape, added in their order."""
    factors = np.ones(len(parts)) if weights is None else np.asarray(weights, dtype=np.float64)
    total = weighted(parts[0], factors[0])
    for part, factor in zip(parts[1:], factors[1:], strict=True):
        total = total.with_("plus", weighted(part, factor))
    return total if factors.sum() == 1 and len(parts) == 1 else total.then("div", factors.sum())


def weighted(part: Node, factor: float) -> Node:
    """A matrix times a number."""
    return part if factor == 1 else part.then("mul", factor)


def only_one_target(model: Any) -> None:
    """Refuse models that answer several targets at once."""
    if getattr(model, "n_outputs_", 1) != 1:
        raise NotCompiled("it answers several targets at once")
