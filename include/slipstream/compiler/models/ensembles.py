"""Models that ask other models: their members may be anything that is compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from slipstream.compiler.feature_column import Columns, Node, constant, join, matrix
from slipstream.compiler.models import boosted, calibrated
from slipstream.compiler.models.methods import Method, from_chances, is_classifier, mean
from slipstream.compiler.program import NotCompiled

Ask = Callable[[Any, Columns, Method], Node]
MOST_MEMBERS = 200
"""Ensembles of more members than that are compiled only if they are trees."""


def _voting(model: Any, columns: Columns, method: Method, ask: Ask) -> Node:
    if is_classifier(model) and model.voting != "soft":
        raise NotCompiled("members that vote have no probabilities")
    inner: Method = "predict_proba" if is_classifier(model) else "predict"
    result = mean([ask(member, columns, inner) for member in model.estimators_], model._weights_not_none)
    return from_chances(result, model, method) if is_classifier(model) else result


def _stacking(model: Any, columns: Columns, method: Method, ask: Ask) -> Node:
    features: Columns = []
    members = [member for member in model.estimators_ if not isinstance(member, str)]
    methods = [method for method in model.stack_method_ if method is not None]
    for member, inner in zip(members, methods, strict=True):
        answers = ask(member, columns, inner)
        binary = inner == "predict_proba" and answers.width == 2
        features += answers.features()[1:] if binary else answers.features()
    return ask(model.final_estimator_, features + columns if model.passthrough else features, method)


def _bagging(model: Any, columns: Columns, method: Method, ask: Ask) -> Node:
    bounded(model.estimators_)
    answers = []
    for member, places in zip(model.estimators_, model.estimators_features_, strict=True):
        taken = [columns[place] for place in places]
        if not is_classifier(model):
            answers.append(ask(member, taken, "predict"))
        elif hasattr(member, "predict_proba"):
            answers.append(spread(ask(member, taken, "predict_proba"), member.classes_, len(model.classes_)))
        else:
            answers.append(ask(member, taken, "predict").then("one_hot", member.classes_, width=len(member.classes_)))
            answers[-1] = spread(answers[-1], member.classes_, len(model.classes_))
    return from_chances(mean(answers), model, method) if is_classifier(model) else mean(answers)


def spread(chances: Node, places: Any, count: int) -> Node:
    """Probabilities of the classes at *places* among those of *count*."""
    if list(places) == list(range(count)):
        return chances
    return chances.dot(np.eye(count)[np.asarray(places, dtype=int)])


def bounded(members: Any) -> None:
    """Refuse too many members."""
    if len(members) > MOST_MEMBERS:
        raise NotCompiled(f"it has {len(members):,} members, and at most {MOST_MEMBERS} are compiled")


def _one_against_rest(model: Any, columns: Columns, method: Method, ask: Ask) -> Node:
    if model.multilabel_:
        raise NotCompiled("it answers several labels at once")
    bounded(model.estimators_)
    if method == "decision_function":
        return join([ask(member, columns, method) for member in model.estimators_])
    chances = join([ask(member, columns, "predict_proba").take([1]) for member in model.estimators_])
    if chances.width == 1:
        return from_chances(chances.then("pair", width=2), model, method)
    return from_chances(chances.then("shares", 0.0), model, method)


def _transformed(model: Any, columns: Columns, method: Method, ask: Ask) -> Node:
    from slipstream.compiler.transformers.inverse import undone

    return undone(model.transformer_, ask(model.regressor_, columns, method))


def _threshold(model: Any, columns: Columns, method: Method, ask: Ask) -> Node:
    limit = getattr(model, "best_threshold_", getattr(model, "threshold", 0.5))
    if limit not in ("auto", 0.5) or model.response_method == "decision_function":
        raise NotCompiled(f"it decides at a threshold of its own ({limit}), and answers here decide at one half")
    return ask(model.estimator_, columns, method)


def _around(name: str) -> Callable[[Any, Columns, Method, Ask], Node]:
    return lambda model, columns, method, ask: ask(getattr(model, name), columns, method)


def _selected(model: Any, columns: Columns, method: Method, ask: Ask) -> Node:
    chosen = [column for column, taken in zip(columns, model.support_, strict=True) if taken]
    return ask(model.estimator_, chosen, method)


def _dummy(model: Any, columns: Columns, method: Method, ask: Ask) -> Node:
    if model.n_outputs_ != 1:
        raise NotCompiled("it answers several targets at once")
    if not is_classifier(model):
        return constant(np.ravel(model.constant_).astype(np.float64))
    if model._strategy == "stratified" or (model._strategy == "uniform" and method == "predict"):
        raise NotCompiled("its answers are drawn by lot")
    return from_chances(constant(model.predict_proba(np.zeros((1, 1)))[0]), model, method)


def _constant(model: Any, columns: Columns, method: Method, ask: Ask) -> Node:
    return from_chances(constant(model.predict_proba(np.zeros((1, 1)))[0]), model, method)


def _isotonic(model: Any, columns: Columns, method: Method, ask: Ask) -> Node:
    return calibrated.isotonic(model, matrix(columns))


RULES: dict[str, Callable[[Any, Columns, Method, Ask], Node]] = {
    **dict.fromkeys(("VotingClassifier", "VotingRegressor"), _voting),
    **dict.fromkeys(("StackingClassifier", "StackingRegressor"), _stacking),
    **dict.fromkeys(("BaggingClassifier", "BaggingRegressor"), _bagging),
    **dict.fromkeys(("DummyClassifier", "DummyRegressor"), _dummy),
    **dict.fromkeys(("TunedThresholdClassifierCV", "FixedThresholdClassifier"), _threshold),
    **dict.fromkeys(("RFE", "RFECV"), _selected),
    "AdaBoostClassifier": boosted.classifier,
    "AdaBoostRegressor": boosted.regressor,
    "CalibratedClassifierCV": calibrated.calibrated,
    "OneVsRestClassifier": _one_against_rest,
    "TransformedTargetRegressor": _transformed,
    "RANSACRegressor": _around("estimator_"),
    "SelfTrainingClassifier": _around("estimator_"),
    "IsotonicRegression": _isotonic,
    "_ConstantPredictor": _constant,
}
