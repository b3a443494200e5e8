"""XGBoost's classifier for several labels of any kind.

It stands in kept models by this name: it must not move.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xgboost


class LabelXGBClassifier(xgboost.XGBClassifier):
    """XGBoost's classifier for labels of any kind; its own takes 0, 1, 2 ... alone."""

    labels_: Any

    @property
    def classes_(self) -> Any:
        """The labels, sorted: the order of ``predict_proba``."""
        return self.labels_ if hasattr(self, "labels_") else super().classes_

    def fit(self, X: Any, y: Any, *, eval_set: Any = None, **options: Any) -> LabelXGBClassifier:
        """As XGBoost's, on labels."""
        if hasattr(self, "labels_"):
            del self.labels_  # XGBoost compares what it is fitted on with its classes
        labels, codes = np.unique(np.asarray(y), return_inverse=True)
        held = None if eval_set is None else [(rows, np.searchsorted(labels, truth)) for rows, truth in eval_set]
        super().fit(X, codes, eval_set=held, **options)
        self.labels_ = labels
        return self

    def predict(self, X: Any, **options: Any) -> Any:
        """The label of each row, shape ``(n,)``."""
        return self.labels_[np.asarray(super().predict(X, **options)).astype(np.int64)]
