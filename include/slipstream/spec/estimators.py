"""The estimators that a model file may name, by import path, with the tasks that each can do.

A list, because importing whatever a model file says would run code from data. Strings, because model files are read
where scikit-learn must not be imported.
"""

from __future__ import annotations

import math

_BOTH_TREES = ("DecisionTree", "ExtraTree")
_BOTH_ENSEMBLES = ("RandomForest", "ExtraTrees", "GradientBoosting", "HistGradientBoosting", "Bagging", "AdaBoost")

CLASSIFIERS: tuple[str, ...] = (
    *(f"sklearn.tree.{name}Classifier" for name in _BOTH_TREES),
    *(f"sklearn.ensemble.{name}Classifier" for name in _BOTH_ENSEMBLES),
    "sklearn.linear_model.LogisticRegression",
    "sklearn.naive_bayes.GaussianNB",
    "sklearn.neighbors.KNeighborsClassifier",
    "sklearn.dummy.DummyClassifier",
)
REGRESSORS: tuple[str, ...] = (
    *(f"sklearn.tree.{name}Regressor" for name in _BOTH_TREES),
    *(f"sklearn.ensemble.{name}Regressor" for name in _BOTH_ENSEMBLES),
    "sklearn.linear_model.LinearRegression",
    "sklearn.linear_model.Ridge",
    "sklearn.linear_model.Lasso",
    "sklearn.linear_model.ElasticNet",
    "sklearn.linear_model.HuberRegressor",
    "sklearn.linear_model.PoissonRegressor",
    "sklearn.linear_model.GammaRegressor",
    "sklearn.neighbors.KNeighborsRegressor",
    "sklearn.dummy.DummyRegressor",
)
ESTIMATORS: tuple[str, ...] = CLASSIFIERS + REGRESSORS

SETTLED = {
    "random_state": "set train.seed instead",
    "n_jobs": "threads are the installation's to say, and results do not depend on them",
}
"""Arguments of estimators that a model file does not give, and why."""

METRICS: dict[str, tuple[str, ...]] = {
    "binary": (
        "roc_auc",
        "average_precision",
        "log_loss",
        "brier",
        "accuracy",
        "balanced_accuracy",
        "f1",
        "precision",
        "recall",
    ),
    "multiclass": ("log_loss", "accuracy", "balanced_accuracy", "f1_macro"),
    "regression": ("rmse", "mae", "median_absolute_error", "r2", "mape"),
}
LOWER_IS_BETTER: frozenset[str] = frozenset({"log_loss", "brier", "rmse", "mae", "median_absolute_error", "mape"})
RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(
        (
            "roc_auc",
            "average_precision",
            "brier",
            "accuracy",
            "balanced_accuracy",
            "f1",
            "f1_macro",
            "precision",
            "recall",
        ),
        (0.0, 1.0),
    ),
    **dict.fromkeys(("log_loss", "rmse", "mae", "median_absolute_error", "mape"), (0.0, math.inf)),
    "r2": (-math.inf, 1.0),
}
"""The least and the largest value that each metric can have."""
