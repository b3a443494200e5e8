"""A transformer of our own: model.py imports it from beside it, and it travels with the model."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin


class WithRatio(TransformerMixin, BaseEstimator):
    """Two columns, and the first divided by the second."""

    def fit(self, amounts: Any, target: Any = None) -> WithRatio:
        """Nothing is learnt from the rows."""
        self.n_features_in_ = amounts.shape[1]
        return self

    def transform(self, amounts: Any) -> Any:
        """Array of shape ``(n, 3)``; an income of nothing counts as 1."""
        return np.column_stack((amounts, amounts[:, 0] / np.maximum(amounts[:, 1], 1.0)))
