"""Naive Bayes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from slipstream.compiler.feature_column import Node
from slipstream.compiler.models.methods import Method, Rule
from slipstream.compiler.program import NotCompiled


def _gaussian(model: Any, values: Node) -> Node:
    base = np.log(model.class_prior_) - 0.5 * np.log(2.0 * np.pi * model.var_).sum(axis=1)
    return values.then("gaussian", model.theta_, model.var_, base, width=len(base))


def _multinomial(model: Any, values: Node) -> Node:
    return values.dot(model.feature_log_prob_.T, model.class_log_prior_)


def _complement(model: Any, values: Node) -> Node:
    return values.dot(model.feature_log_prob_.T)


def _bernoulli(model: Any, values: Node) -> Node:
    values = values if model.binarize is None else values.then("above", model.binarize)
    absent = np.log(1 - np.exp(model.feature_log_prob_))
    return values.dot((model.feature_log_prob_ - absent).T, model.class_log_prior_ + absent.sum(axis=1))


def _categorical(model: Any, values: Node) -> Node:
    """A category that training did not hold is an error of scikit-learn; here its answer is no number."""
    most = max(chances.shape[1] for chances in model.feature_log_prob_)
    tables = np.full((len(model.feature_log_prob_), most + 1, len(model.classes_)), np.nan)
    for table, chances in zip(tables, model.feature_log_prob_, strict=True):
        table[: chances.shape[1]] = chances.T
    width = len(model.classes_)
    return values.then("categories", tables, width=width).then("add", model.class_log_prior_)


def _rule(likelihoods: Callable[[Any, Node], Node]) -> Rule:
    def answered(model: Any, values: Node, method: Method) -> Node:
        if len(model.classes_) < 2:
            raise NotCompiled("training held a single class")
        scores = likelihoods(model, values)
        return scores.then("first", width=1) if method == "predict" else scores.then("likely")

    return answered


RULES: dict[str, Rule] = {
    "GaussianNB": _rule(_gaussian),
    "MultinomialNB": _rule(_multinomial),
    "ComplementNB": _rule(_complement),
    "BernoulliNB": _rule(_bernoulli),
    "CategoricalNB": _rule(_categorical),
}
