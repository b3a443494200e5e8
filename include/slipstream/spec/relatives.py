"""Which estimators of the allow-list stand nearest to one that a model file may not name."""

from __future__ import annotations

from collections.abc import Sequence

from slipstream.hints import similar

_BOOSTING = ("HistGradientBoosting",)
_LINEAR = ("LogisticRegression", "Ridge")
_RELATIVES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("svc", "nusvc", "linearsvc"), ("SVR", "LinearSVR", *_BOOSTING)),
    **dict.fromkeys(("svr", "nusvr", "linearsvr"), ("SVC", "LinearSVC", *_BOOSTING)),
    **dict.fromkeys(("sgd", "perceptron", "passiveaggressive"), ("SGD", *_LINEAR)),
    **dict.fromkeys(("ridge", "ridgecv", "logisticregressioncv", "lineardiscriminantanalysis"), _LINEAR),
    **dict.fromkeys(("lassocv", "lars", "lassolars"), ("Lasso", "LogisticRegression")),
    **dict.fromkeys(("elasticnetcv",), ("ElasticNet", "LogisticRegression")),
    **dict.fromkeys(("bayesianridge", "ardregression", "kernelridge"), ("Ridge", "LogisticRegression")),
    **dict.fromkeys(("linearregression", "ols", "lm", "linear"), ("LinearRegression", "LogisticRegression")),
    **dict.fromkeys(("logisticregression", "logit", "logistic"), ("LogisticRegression", "Ridge")),
    **dict.fromkeys(
        ("lasso", "elasticnet", "huber", "poisson", "gamma", "tweedie"), ("LogisticRegression", "PoissonRegressor")
    ),
    **dict.fromkeys(("naivebayes", "nb"), ("GaussianNB", "BernoulliNB")),
    **dict.fromkeys(("gaussiannb", "multinomialnb", "bernoullinb", "complementnb"), ("GaussianNB", "Ridge")),
    **dict.fromkeys(("knn",), ("KNeighbors",)),
    **dict.fromkeys(("isolationforest", "randomtrees"), ("RandomForest",)),
}
"""Stem of a name, in small letters -> stems of those that do the same in another way, nearest first."""
_TRAINERS = {
    **dict.fromkeys(("lgbm", "lightgbm"), "lightgbm"),
    **dict.fromkeys(("xgb", "xgboost", "xgbrf"), "xgboost"),
    "catboost": "catboost",
}
"""Stem of a name -> the trainer that fits it."""
_MOST = 3


def relatives(estimator: str, allowed: Sequence[str]) -> str:
    """The hint that follows an estimator that is not among those *allowed* for the task."""
    stems = {_stem(path): path for path in allowed}
    stem = _stem(estimator)
    if stem in _TRAINERS:
        return f"it has a trainer of its own, write trainer: {{type: {_TRAINERS[stem]}}}"
    near_estimators = [stems[stem]] if stem in stems else [stems[word] for word in _kin(stem) if word in stems]
    if not near_estimators:
        near_estimators = [stems[word] for word in similar(stem, stems, cutoff=0.7)]
    if near_estimators:
        return f"did you mean {' or '.join(near_estimators[:_MOST])}?"
    return f"known: {', '.join(allowed)}"


def _kin(stem: str) -> list[str]:
    return [_stem(word) for word in _RELATIVES.get(stem, ())]


def _stem(path: str) -> str:
    """``sklearn.ensemble.RandomForestClassifier`` -> ``randomforest``."""
    name = path.rpartition(".")[2]
    for ending in ("Classifier", "Regressor"):
        name = name.removesuffix(ending)
    return name.lower()
