"""Models of trees or weights as part of a greater one."""

from __future__ import annotations

from typing import Any

from slipstream.compiler.feature_column import Columns, Node, matrix
from slipstream.compiler.final_estimators import Weights
from slipstream.compiler.models.methods import Method, from_chances, from_scores, is_classifier, sigmoid
from slipstream.compiler.program import Link, NotCompiled
from slipstream.compiler.trees.sklearn import Ensemble


def answered(fitted: Ensemble | Weights, columns: Columns, model: Any, method: Method) -> Node:
    """What the model answers to rows of *columns*."""
    scores = _weights(fitted, columns) if isinstance(fitted, Weights) else trees(fitted, columns)
    if not is_classifier(model):
        if method != "predict":
            raise NotCompiled(f"{type(model).__name__} has no {method}")
        return scores.then("exp") if fitted.link == "exp" else scores
    if fitted.link in {"sigmoid", "softmax"} and hasattr(model, "decision_function"):
        gain = 1.0 if isinstance(fitted, Weights) else fitted.gain
        return from_scores(scores, method, lambda node: linked(node, fitted.link, gain))
    gain = 1.0 if isinstance(fitted, Weights) else fitted.gain
    return from_chances(linked(scores, fitted.link, gain), model, method)


def _weights(fitted: Weights, columns: Columns) -> Node:
    return matrix(columns).dot(fitted.by.T, fitted.base)


def trees(fitted: Ensemble, columns: Columns) -> Node:
    """The scores of trees."""
    values = matrix(columns)
    values = values.then("single") if fitted.single else values
    op = "symmetric" if fitted.symmetric else "trees"
    node = Node(op, (values,), len(fitted.base), fitted.symmetric, tuple(columns), fitted)
    node = node if fitted.divide == 1 else node.then("div", fitted.divide)
    return node.then("add", fitted.base) if any(fitted.base) else node


def linked(scores: Node, link: Link, gain: float) -> Node:
    """Scores through a link."""
    scores = scores if gain == 1 else scores.then("mul", gain)
    if link == "sigmoid":
        return sigmoid(scores)
    return scores if link == "none" else scores.then(link)
