"""Estimators that a model project builds by itself, one function each."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, StackingClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from .parts import Clip, doubled


def prepared():
    return make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), make_column_selector(dtype_include=np.number)),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), make_column_selector(dtype_include=object)),
    )


def plain(C=1.0):
    return make_pipeline(prepared(), SelectKBest(k="all"), LogisticRegression(C=C, max_iter=500))


def calibrated():
    return make_pipeline(prepared(), CalibratedClassifierCV(RandomForestClassifier(10), cv=3))


def stacked():
    members = [("trees", HistGradientBoostingClassifier(max_iter=5)), ("forest", RandomForestClassifier(5))]
    return make_pipeline(prepared(), StackingClassifier(members, LogisticRegression(), cv=3))


def thresholded():
    return make_pipeline(prepared(), TunedThresholdClassifierCV(LogisticRegression(), cv=3))


def fixed_threshold():
    return make_pipeline(prepared(), FixedThresholdClassifier(LogisticRegression(), threshold=0.2))


def own_transformer(limit=1.0):
    return make_pipeline(prepared(), Clip(limit), LogisticRegression())


def own_function():
    return make_pipeline(prepared(), FunctionTransformer(doubled), LogisticRegression())


def own_classifier():
    return make_pipeline(prepared(), Nearest())


def own_regressor():
    return TransformedTargetRegressor(make_pipeline(prepared(), Ridge()), func=np.log1p, inverse_func=np.expm1)


def resampled():
    from imblearn.over_sampling import RandomOverSampler
    from imblearn.pipeline import make_pipeline as make_resampling_pipeline

    return make_resampling_pipeline(prepared(), RandomOverSampler(), LogisticRegression())


class Nearest(ClassifierMixin, BaseEstimator):
    """The class whose centre is nearest; probabilities by distance."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.centres_ = np.stack([X[y == label].mean(axis=0) for label in self.classes_])
        return self

    def predict_proba(self, X):
        apart = np.linalg.norm(X[:, None, :] - self.centres_, axis=2)
        near = np.exp(-apart)
        return near / near.sum(axis=1, keepdims=True)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def resampled_own():
    from imblearn.over_sampling import RandomOverSampler
    from imblearn.pipeline import make_pipeline as make_resampling_pipeline

    return make_resampling_pipeline(prepared(), RandomOverSampler(), Clip(), LogisticRegression())
