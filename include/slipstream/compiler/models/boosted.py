"""AdaBoost: members that vote with weights; trees among them become one operator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from slipstream.compiler.feature_column import Columns, Node, join
from slipstream.compiler.models.methods import Method, from_scores, sigmoid
from slipstream.compiler.models.plain import trees
from slipstream.compiler.program import NotCompiled
from slipstream.compiler.trees.sklearn import Ensemble, from_tree

Ask = Callable[[Any, Columns, Method], Node]
_MOST = 200


def _are_trees(model: Any) -> bool:
    return all(type(member).__name__ in _TREES for member in model.estimators_) and all(
        type(member).__module__.startswith("sklearn.tree") for member in model.estimators_
    )


_TREES = {f"{name}{task}" for name in ("DecisionTree", "ExtraTree") for task in ("Classifier", "Regressor")}


def classifier(model: Any, columns: Columns, method: Method, ask: Ask) -> Node:
    """Each member gives its weight to its class and takes it, shared out, from the others."""
    count = len(model.classes_)
    if count < 2:
        raise NotCompiled("training held a single class")
    weights = np.asarray(model.estimator_weights_)[: len(model.estimators_)]
    if _are_trees(model):
        votes = trees(_voting_trees(model, weights), columns)
    else:
        votes = _voting_members(model, columns, weights, ask)
    scores = votes.then("div", weights.sum())
    if count == 2:
        return from_scores(scores.dot([[-1.0], [1.0]]), method, sigmoid)
    return from_scores(scores, method, lambda node: node.then("div", count - 1.0).then("softmax"))


def _voting_trees(model: Any, weights: Any) -> Ensemble:
    count, voting = len(model.classes_), []
    for member, weight in zip(model.estimators_, weights, strict=True):
        single = from_tree(member).trees
        winners = member.tree_.value[:, 0, :].argmax(axis=1)
        winners = np.searchsorted(model.classes_, member.classes_)[winners]
        for target in range(count):
            value = np.where(winners == target, weight, -weight / (count - 1))
            voting.append(replace(single[0], value=value, target=target))
    return Ensemble(tuple(voting), (0.0,) * count)


def _voting_members(model: Any, columns: Columns, weights: Any, ask: Ask) -> Node:
    _few(model)
    count, total = len(model.classes_), None
    for member, weight in zip(model.estimators_, weights, strict=True):
        places = np.searchsorted(model.classes_, member.classes_)
        votes = ask(member, columns, "predict").then("one_hot", np.arange(len(places)), width=len(places))
        table = np.where(np.eye(count)[places] == 1, weight, -weight / (count - 1))
        votes = votes.dot(table)
        total = votes if total is None else total.with_("plus", votes)
    if total is None:
        raise NotCompiled("it has no members")
    return total


def regressor(model: Any, columns: Columns, method: Method, ask: Ask) -> Node:
    """The weighted median of the members."""
    weights = np.asarray(model.estimator_weights_)[: len(model.estimators_)]
    if _are_trees(model):
        each = [replace(from_tree(member).trees[0], target=at) for at, member in enumerate(model.estimators_)]
        answers = trees(Ensemble(tuple(each), (0.0,) * len(each)), columns)
    else:
        _few(model)
        answers = join([ask(member, columns, "predict") for member in model.estimators_])
    return answers.then("median", weights, width=1)


def _few(model: Any) -> None:
    if len(model.estimators_) > _MOST:
        raise NotCompiled(f"it has {len(model.estimators_):,} members, and at most {_MOST} are compiled")
