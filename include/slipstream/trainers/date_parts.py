"""Dates that are written as words, as numbers that a model can learn from."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from slipstream.compiler.dates import PARTS, date_parts, is_date


class DateParts(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Each column of ISO dates or timestamps as year, month, day, weekday, hour and minute; NaN where there is none."""

    def fit(self, frame: Any, target: Any = None) -> DateParts:
        """Note the columns; nothing is learnt from the rows."""
        self.feature_names_in_ = np.asarray(list(frame.columns), dtype=object)
        self.n_features_in_ = len(frame.columns)
        return self

    def transform(self, frame: Any) -> Any:
        """Array of shape ``(n, 6 * columns)``."""
        check_is_fitted(self)
        parts = [[date_parts(word) for word in frame[name]] for name in self.feature_names_in_]
        columns = [np.array(rows, dtype=np.float64).reshape(len(frame), len(PARTS)) for rows in parts]
        return np.hstack(columns)

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """``column_part`` for each column and part."""
        return np.array([f"{name}_{part}" for name in self.feature_names_in_ for part in PARTS], dtype=object)


def holds_dates(column: Any) -> bool:
    """Whether a column of words holds nothing but dates."""
    words = column.dropna().unique()
    return len(words) > 0 and all(map(is_date, words))
