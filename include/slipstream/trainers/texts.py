"""Texts as numbers: one vectorizer of scikit-learn for each column, where a missing text is an empty one."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted


class Texts(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Columns of text, each behind its own fitted copy of *vectorizer*, side by side.

    Attributes:
        vectorizers_: One for each column, once fitted.
    """

    def __init__(self, vectorizer: Any) -> None:
        self.vectorizer = vectorizer

    def fit(self, frame: Any, target: Any = None) -> Texts:
        """Learn the words of each column of *frame*."""
        self.feature_names_in_ = np.asarray(list(frame.columns), dtype=object)
        self.n_features_in_ = len(frame.columns)
        self.vectorizers_ = [clone(self.vectorizer).fit(_texts(frame[name])) for name in frame.columns]
        return self

    def transform(self, frame: Any) -> Any:
        """Array of shape ``(n, words of all columns)``."""
        check_is_fitted(self)
        pairs = zip(self.feature_names_in_, self.vectorizers_, strict=True)
        return np.hstack([vectorizer.transform(_texts(frame[name])).toarray() for name, vectorizer in pairs])

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """``column_word``, or ``column_number`` where words are hashed."""
        names: list[str] = []
        for name, vectorizer in zip(self.feature_names_in_, self.vectorizers_, strict=True):
            known = hasattr(vectorizer, "get_feature_names_out")
            words = vectorizer.get_feature_names_out() if known else range(vectorizer.n_features)
            names += [f"{name}_{word}" for word in words]
        return np.array(names, dtype=object)


def _texts(column: Any) -> list[str]:
    return ["" if text is None or text != text else str(text) for text in column]
