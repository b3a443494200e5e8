"""The estimators that a model file may name, by import path, with the tasks that each can do, and the metrics.

A list, because importing whatever a model file says would run code from data. Strings, because model files are read
where scikit-learn must not be imported. It holds every classifier and regressor of scikit-learn, or says why not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

_BOTH: Mapping[str, str] = {
    "dummy": "Dummy",
    "ensemble": "RandomForest ExtraTrees GradientBoosting HistGradientBoosting Bagging AdaBoost",
    "gaussian_process": "GaussianProcess",
    "neighbors": "KNeighbors",
    "neural_network": "MLP",
    "tree": "DecisionTree ExtraTree",
}
_CLASSIFIERS: Mapping[str, str] = {
    "discriminant_analysis": "LinearDiscriminantAnalysis QuadraticDiscriminantAnalysis",
    "linear_model": "LogisticRegression LogisticRegressionCV Perceptron RidgeClassifier RidgeClassifierCV "
    "SGDClassifier",
    "naive_bayes": "BernoulliNB ComplementNB GaussianNB MultinomialNB",
    "neighbors": "NearestCentroid",
    "svm": "LinearSVC NuSVC SVC",
}
_REGRESSORS: Mapping[str, str] = {
    "cross_decomposition": "PLSRegression",
    "kernel_ridge": "KernelRidge",
    "linear_model": "ARDRegression BayesianRidge ElasticNet ElasticNetCV GammaRegressor HuberRegressor Lars LarsCV "
    "Lasso LassoCV LassoLars LassoLarsCV LassoLarsIC LinearRegression OrthogonalMatchingPursuit "
    "OrthogonalMatchingPursuitCV PoissonRegressor QuantileRegressor RANSACRegressor Ridge "
    "RidgeCV SGDRegressor TheilSenRegressor TweedieRegressor",
    "svm": "LinearSVR NuSVR SVR",
}


def _paths(names: Mapping[str, str], ending: str = "") -> tuple[str, ...]:
    return tuple(f"sklearn.{module}.{name}{ending}" for module, listed in names.items() for name in listed.split())


CLASSIFIERS: tuple[str, ...] = tuple(sorted((*_paths(_BOTH, "Classifier"), *_paths(_CLASSIFIERS))))
REGRESSORS: tuple[str, ...] = tuple(sorted((*_paths(_BOTH, "Regressor"), *_paths(_REGRESSORS))))
ESTIMATORS: tuple[str, ...] = CLASSIFIERS + REGRESSORS

CALIBRATED: frozenset[str] = frozenset(
    f"sklearn.{name}"
    for name in (
        "linear_model.Perceptron",
        "linear_model.RidgeClassifier",
        "linear_model.RidgeClassifierCV",
        "linear_model.SGDClassifier",
        "svm.LinearSVC",
        "svm.NuSVC",
        "svm.SVC",
    )
)
"""Those that tell no probability by themselves: it is fitted to their score in five folds (Platt's sigmoid)."""

_WRAPS = "it wraps another estimator, which a word cannot say; build it in model.py: trainer {type: python}"
_TARGETS = "it predicts several targets, a model here has one"
_RADIUS = "it has no answer for a row that is far from all others"
_UNLABELLED = "it learns from rows without a label, which are not trained on here"
REFUSED: Mapping[str, str] = {
    **dict.fromkeys(
        _paths(
            {
                "calibration": "CalibratedClassifierCV",
                "compose": "TransformedTargetRegressor",
                "ensemble": "StackingClassifier StackingRegressor VotingClassifier VotingRegressor",
                "model_selection": "FixedThresholdClassifier TunedThresholdClassifierCV",
                "multiclass": "OneVsOneClassifier OneVsRestClassifier OutputCodeClassifier",
            }
        ),
        _WRAPS,
    ),
    **dict.fromkeys(
        _paths(
            {
                "cross_decomposition": "CCA PLSCanonical",
                "linear_model": "MultiTaskElasticNet MultiTaskElasticNetCV MultiTaskLasso MultiTaskLassoCV",
                "multioutput": "ClassifierChain MultiOutputClassifier MultiOutputRegressor RegressorChain",
            }
        ),
        _TARGETS,
    ),
    **dict.fromkeys(_paths({"neighbors": "RadiusNeighborsClassifier RadiusNeighborsRegressor"}), _RADIUS),
    **dict.fromkeys(_paths({"semi_supervised": "LabelPropagation LabelSpreading SelfTrainingClassifier"}), _UNLABELLED),
    **dict.fromkeys(
        _paths({"linear_model": "PassiveAggressiveClassifier PassiveAggressiveRegressor"}),
        "scikit-learn gives it up; take SGDClassifier or SGDRegressor with learning_rate: pa1",
    ),
    "sklearn.isotonic.IsotonicRegression": "it takes a single input; HistGradientBoosting's monotonic_cst takes more",
    "sklearn.naive_bayes.CategoricalNB": "it fails on categories that training had not; take BernoulliNB",
}
"""Estimators of scikit-learn that cannot be named, and why."""

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
