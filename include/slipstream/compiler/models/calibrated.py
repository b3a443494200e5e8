"""Calibrated classifiers: each member's scores through its calibrators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from slipstream.compiler.feature_column import Columns, Node, join
from slipstream.compiler.models.methods import Method, from_chances, mean, shares
from slipstream.compiler.program import NotCompiled

Ask = Callable[[Any, Columns, Method], Node]


def calibrated(model: Any, columns: Columns, method: Method, ask: Ask) -> Node:
    """The mean of the calibrated members."""
    members = [_member(member, columns, ask) for member in model.calibrated_classifiers_]
    return from_chances(mean(members), model, method)


def _member(member: Any, columns: Columns, ask: Ask) -> Node:
    count = len(member.classes)
    if len(member.estimator.classes_) != count:
        raise NotCompiled("a member of the calibration did not see every class")
    method: Method = "decision_function" if hasattr(member.estimator, "decision_function") else "predict_proba"
    scores = ask(member.estimator, columns, method)
    if member.method == "temperature":
        return _temperature(member.calibrators[0], scores, method).then("capped")
    # Of two classes the probability of the second one alone is calibrated.
    scores = scores.take([1]) if count == 2 and scores.width == 2 else scores
    chances = join([_curve(curve, scores.take([place])) for place, curve in enumerate(member.calibrators)])
    return (chances.then("pair", width=2) if count == 2 else shares(chances)).then("capped")


def _curve(calibrator: Any, scores: Node) -> Node:
    if type(calibrator).__name__ == "IsotonicRegression":
        return isotonic(calibrator, scores)
    return scores.then("mul", calibrator.a_).then("add", calibrator.b_).then("mul", -1.0).then("logistic")


def isotonic(model: Any, values: Node) -> Node:
    """Isotonic regression of one input."""
    if values.width != 1 or model.out_of_bounds != "clip":
        raise NotCompiled("an isotonic regression that does not clip what is out of bounds is not compiled")
    return values.then("interpolated", model.X_thresholds_, model.y_thresholds_)


def _temperature(calibrator: Any, scores: Node, method: Method) -> Node:
    """Scores, or logarithms of probabilities, divided by a temperature."""
    if scores.width == 1:
        logits = scores.dot([[-1.0, 1.0]])
    elif method == "predict_proba":
        scores = scores.take([1]).then("pair", width=2) if scores.width == 2 else scores
        logits = scores.then("add", 1e-12).then("log")
    else:
        # That takes scores for probabilities if those of all rows look like it; decision functions do not.
        logits = scores
    return logits.then("mul", float(np.ravel(calibrator.beta_)[0])).then("softmax")
