"""Multi-layer perceptrons."""

from __future__ import annotations

from typing import Any

from slipstream.compiler.feature_column import Node
from slipstream.compiler.models.methods import Method, Rule, from_chances, is_classifier
from slipstream.compiler.program import NotCompiled

_KNOWN = {"identity", "tanh", "logistic", "relu", "softmax", "exp"}


def _perceptron(model: Any, values: Node, method: Method) -> Node:
    last = len(model.coefs_) - 1
    for place, (weights, base) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        values = _activated(values.dot(weights, base), model.out_activation_ if place == last else model.activation)
    if not is_classifier(model):
        if values.width != 1:
            raise NotCompiled("it answers several targets at once")
        return values
    if model.out_activation_ == "logistic" and values.width > 1:
        raise NotCompiled("it answers several labels at once")
    return from_chances(values.then("pair", width=2) if values.width == 1 else values, model, method)


def _activated(values: Node, name: str) -> Node:
    if name not in _KNOWN:
        raise NotCompiled(f"its activation {name!r} is none that is compiled")
    return values if name == "identity" else values.then(name)


RULES: dict[str, Rule] = {"MLPClassifier": _perceptron, "MLPRegressor": _perceptron}
