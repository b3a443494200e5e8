"""Linear classifiers that need more than weights and a link."""

from __future__ import annotations

from typing import Any

import numpy as np

from slipstream.compiler.feature_column import Node
from slipstream.compiler.models.methods import Method, Rule, from_scores, shares, sigmoid


def _scores(model: Any, values: Node, method: Method) -> Node:
    return from_scores(values.dot(np.atleast_2d(model.coef_).T, model.intercept_), method)


def _descended(model: Any, values: Node, method: Method) -> Node:
    chances = {"log_loss": _logistic, "modified_huber": _clipped}.get(model.loss)
    return from_scores(values.dot(np.atleast_2d(model.coef_).T, model.intercept_), method, chances)


def _logistic(scores: Node) -> Node:
    return sigmoid(scores) if scores.width == 1 else shares(scores.then("logistic"))


def _clipped(scores: Node) -> Node:
    chances = scores.then("clip", -1.0, 1.0).then("add", 1.0).then("div", 2.0)
    return chances.then("pair", width=2) if scores.width == 1 else shares(chances)


RULES: dict[str, Rule] = {
    **dict.fromkeys(
        ("LinearSVC", "RidgeClassifier", "RidgeClassifierCV", "Perceptron", "PassiveAggressiveClassifier"), _scores
    ),
    "SGDClassifier": _descended,
}
