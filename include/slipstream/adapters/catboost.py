"""A CatBoost model, kept as its binary or JSON format."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from slipstream.adapters.answering import FileModel, library

MISSING = "nan"
"""The word that a missing value of a category is given as."""


class CatboostModel(FileModel):
    """Answers by a model in CatBoost's own format."""

    def _open(self) -> None:
        self._model = opened(self.content)
        self._words = set(self._model.get_cat_feature_indices())
        self._classifies = len(self._model.classes_) > 0

    def raw(self, frame: Any) -> Any:
        """What the model answers, by one thread."""
        cells = np.empty((len(frame), len(self.columns)), dtype=object)
        for place, name in enumerate(self.columns):
            values = frame[name].tolist()
            cells[:, place] = [_word(value) for value in values] if place in self._words else values
        rows = cells if self._words else cells.astype(np.float64)
        kind = "Probability" if self._classifies else self._number_kind()
        return self._model.predict(rows, prediction_type=kind, thread_count=1)

    def _number_kind(self) -> str:
        """How a regression's sums become its answers."""
        loss = str(self._model.get_all_params().get("loss_function", ""))
        return "Exponent" if loss.startswith(("Poisson", "Tweedie")) else "RawFormulaVal"


def opened(content: bytes) -> Any:
    """CatBoost's own model of a file; raises what CatBoost raises, or BackendError ``missing_extra``."""
    model = library("catboost").CatBoost()
    if content.startswith(b"CBM1"):
        return model.load_model(blob=content)
    with tempfile.NamedTemporaryFile(suffix=".json") as file:  # it reads JSON from a path only
        Path(file.name).write_bytes(content)
        return model.load_model(file.name, format="json")


def _word(value: Any) -> str:
    if value is None or value != value:
        return MISSING
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
