"""Runs the fitted scikit-learn pipeline itself: what serves a version that could not be compiled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from slipstream.compiler.program import EXACT
from slipstream.model_schema import Field, Schema


@dataclass(frozen=True)
class SklearnEngine:
    """The fitted pipeline as an engine."""

    schema: Schema
    estimator: Any
    name: ClassVar[str] = "sklearn"
    tolerance: ClassVar[float] = EXACT

    def run(self, columns: Mapping[str, Sequence[Any]]) -> Any:
        """The answers; a frame of the columns is made as training saw it: numbers float64, words str or None."""
        import pandas as pd

        frame = pd.DataFrame({field.name: _array(field, columns[field.name]) for field in self.schema.inputs})
        if self.schema.task == "regression":
            return np.asarray(self.estimator.predict(frame), dtype=np.float64)
        return np.asarray(self.estimator.predict_proba(frame), dtype=np.float64)


def _array(field: Field, values: Sequence[Any]) -> Any:
    if field.type == "string":
        array = np.empty(len(values), dtype=object)
        array[:] = list(values)
        return array
    return np.array(values, dtype=np.float64)
