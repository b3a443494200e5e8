"""The model at the end of a pipeline: trees or weights, whichever library fitted it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from slipstream.compiler.features import Columns, through
from slipstream.compiler.imported import taken
from slipstream.compiler.program import Floats, Link, NotCompiled
from slipstream.compiler.trees import boosting as trees_boosting
from slipstream.compiler.trees import sklearn as trees
from slipstream.compiler.trees.catboost import from_catboost
from slipstream.compiler.trees.sklearn import Ensemble


@dataclass(frozen=True)
class Weights:
    """A linear model: ``(scores, features)`` and one constant per score."""

    by: Floats
    base: Floats
    link: Link


def is_head(model: Any) -> bool:
    """Whether a model is one of trees or weights alone."""
    return _name(model) in _HEADS


def _name(model: Any) -> str:
    return f"{type(model).__module__.partition('.')[0]}.{type(model).__name__}"


def head(model: Any, columns: Columns) -> tuple[Ensemble | Weights, Columns]:
    """What a fitted model computes, and the columns that it computes it from.

    Raises:
        NotCompiled: it holds something that cannot be compiled.
        KeyError: it is none; see :func:`is_head`.
    """
    kind = type(model)
    library, name = kind.__module__.partition(".")[0], kind.__name__
    known = _HEADS[_name(model)]
    if name.startswith("HistGradientBoosting") and model._preprocessor is not None:
        columns = through(model._preprocessor, columns)
    if kind.__module__.startswith("slipstream.adapters."):
        columns = taken(model, columns)
    if library == "lightgbm" or name == "LightgbmModel":
        columns = trees_boosting.whole_categories(model, columns)
    if known is trees_boosting.from_xgboost:
        columns = trees_boosting.known_categories(model, columns)
    return known(model), columns


def _linear(model: Any) -> Weights:
    return _weights(model, "none")


def _logistic(model: Any) -> Weights:
    return _weights(model, "softmax" if len(model.classes_) > 2 else "sigmoid")


def _log_link(model: Any) -> Weights:
    return _weights(model, "exp")


def _tweedie(model: Any) -> Weights:
    links: dict[str, Link] = {"IdentityLink": "none", "LogLink": "exp"}
    return _weights(model, links[type(model._base_loss.link).__name__])


def _projected(model: Any) -> Weights:
    """Partial least squares, which centres its inputs first."""
    fitted = _weights(model, "none")
    return Weights(fitted.by, np.atleast_1d(model.intercept_) - model._x_mean @ fitted.by.T, "none")


def _weights(model: Any, link: Link) -> Weights:
    by = np.atleast_2d(np.asarray(model.coef_, dtype=np.float64))
    if by.shape[0] > 1 and link != "softmax":
        raise NotCompiled("it answers several targets at once")
    return Weights(by, np.broadcast_to(np.asarray(model.intercept_, dtype=np.float64), by.shape[:1]), link)


_LINEAR = (
    *("LinearRegression", "Ridge", "Lasso", "ElasticNet", "HuberRegressor", "RidgeCV", "LassoCV", "ElasticNetCV"),
    *("Lars", "LarsCV", "LassoLars", "LassoLarsCV", "LassoLarsIC", "OrthogonalMatchingPursuit"),
    *("OrthogonalMatchingPursuitCV", "ARDRegression", "BayesianRidge", "SGDRegressor", "PassiveAggressiveRegressor"),
    *("QuantileRegressor", "TheilSenRegressor", "LinearSVR", "MultiTaskLasso", "MultiTaskElasticNet"),
    *("MultiTaskLassoCV", "MultiTaskElasticNetCV"),
)
"""Regressors that are weights and a constant."""

_HEADS: dict[str, Callable[[Any], Ensemble | Weights]] = {
    **{f"sklearn.{name}{task}": trees.from_tree for name in ("DecisionTree", "ExtraTree") for task in trees.TASKS},
    **{f"sklearn.{name}{task}": trees.from_forest for name in ("RandomForest", "ExtraTrees") for task in trees.TASKS},
    **{f"sklearn.GradientBoosting{task}": trees.from_gradient_boosting for task in trees.TASKS},
    **{f"sklearn.HistGradientBoosting{task}": trees.from_hist for task in trees.TASKS},
    **{f"sklearn.{name}": _linear for name in _LINEAR},
    **{f"sklearn.{name}": _log_link for name in ("PoissonRegressor", "GammaRegressor")},
    **{f"sklearn.{name}": _logistic for name in ("LogisticRegression", "LogisticRegressionCV")},
    "sklearn.LinearDiscriminantAnalysis": _logistic,
    "sklearn.TweedieRegressor": _tweedie,
    **{f"sklearn.{name}": _projected for name in ("PLSRegression", "PLSCanonical", "CCA")},
    "lightgbm.LGBMClassifier": trees_boosting.from_lightgbm,
    "lightgbm.LGBMRegressor": trees_boosting.from_lightgbm,
    "slipstream.LightgbmModel": trees_boosting.from_lightgbm,
    "slipstream.XgboostModel": trees_boosting.from_xgboost,
    "xgboost.XGBClassifier": trees_boosting.from_xgboost,
    "xgboost.XGBRegressor": trees_boosting.from_xgboost,
    "slipstream.LabelXGBClassifier": trees_boosting.from_xgboost,
    "catboost.CatBoostClassifier": from_catboost,
    "catboost.CatBoostRegressor": from_catboost,
    "slipstream.FlatCatBoostClassifier": from_catboost,
}
