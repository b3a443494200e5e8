"""Quadratic discriminants; linear ones are weights alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from slipstream.compiler.feature_column import Node, join
from slipstream.compiler.models.methods import Method, Rule


def _quadratic(model: Any, values: Node, method: Method) -> Node:
    distances = []
    for mean, rotation, scaling in zip(model.means_, model.rotations_, model.scalings_, strict=True):
        turned = values.then("sub", mean).dot(rotation * scaling**-0.5)
        distances.append(turned.then("square").then("total", width=1))
    volumes = np.array([np.log(scaling).sum() for scaling in model.scalings_])
    scores = join(distances).then("add", volumes).then("mul", -0.5).then("add", np.log(model.priors_))
    if method == "predict":
        return scores.then("first", width=1)
    if method == "predict_proba":
        return scores.then("softmax")
    return scores.dot([[-1.0], [1.0]]) if scores.width == 2 else scores


RULES: dict[str, Rule] = {"QuadraticDiscriminantAnalysis": _quadratic}
