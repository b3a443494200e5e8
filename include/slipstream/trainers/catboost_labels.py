"""CatBoost's classifier for several labels, with answers of scikit-learn's shape.

It stands in kept models by this name: it must not move.
"""

from __future__ import annotations

from typing import Any

import catboost
import numpy as np


class FlatCatBoostClassifier(catboost.CatBoostClassifier):  # type: ignore[misc]
    """CatBoost's classifier with one label a row; its own answers several labels in shape ``(n, 1)``."""

    def predict(self, data: Any, *options: Any, **more: Any) -> Any:
        """The label of each row, shape ``(n,)``; what else is asked for as CatBoost gives it."""
        answers = np.asarray(super().predict(data, *options, **more))
        return answers[:, 0] if answers.ndim == 2 and answers.shape[1] == 1 else answers
