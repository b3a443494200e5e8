"""What every adapter does: the columns that its model takes, and its answers in the order that is asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from slipstream.errors import BackendError


class AnsweringModel(ABC):
    """A fitted model as an estimator of scikit-learn's kind.

    Attributes:
        columns: The inputs that the model takes, in its own order.
        labels: What its probabilities are of, in the order of the answers: 0 and 1 of a binary task; None of a
            regression.
        order: Which column of the model's own answer is which; None: as they come.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = list(columns)
        self.labels: list[Any] | None = None
        self.order: list[int] | None = None

    @property
    def classes_(self) -> Any:
        """The labels, shape ``(k,)``."""
        return np.array(self.labels)

    @abstractmethod
    def raw(self, frame: Any) -> Any:
        """The model's own answer, shape ``(n,)`` or ``(n, k)``."""

    def predict(self, frame: Any) -> Any:
        """Numbers of a regression or the most probable labels, shape ``(n,)``."""
        if self.labels is None:
            return np.asarray(self.raw(frame), dtype=np.float64).reshape(len(frame))
        return self.classes_[self.predict_proba(frame).argmax(axis=1)]

    def predict_proba(self, frame: Any) -> Any:
        """Probabilities, shape ``(n, k)``, of a single probability that and its rest."""
        answer = np.asarray(self.raw(frame), dtype=np.float64).reshape(len(frame), -1)
        if answer.shape[1] == 1:
            answer = np.column_stack([1.0 - answer, answer])
        return answer if self.order is None else answer[:, self.order]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}


class FileModel(AnsweringModel):
    """A model that is kept as the file that its library wrote, and opened by that library.

    Attributes:
        content: The file.
        categories: Input -> the values that the model knows by their place in this list.
    """

    def __init__(
        self, content: bytes, columns: Sequence[str], categories: Mapping[str, Sequence[Any]] | None = None
    ) -> None:
        super().__init__(columns)
        self.content = content
        self.categories = {name: list(values) for name, values in (categories or {}).items()}
        self._open()

    @abstractmethod
    def _open(self) -> None:
        """Open the file; raises what the library raises, or BackendError ``missing_extra``."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._open()

    def matrix(self, frame: Any) -> Any:
        """The columns as numbers, shape ``(n, columns)``: of a value its place among the known ones, NaN if unknown."""
        matrix = np.empty((len(frame), len(self.columns)))
        for place, name in enumerate(self.columns):
            values = self.categories.get(name)
            matrix[:, place] = frame[name].to_numpy(np.float64) if values is None else coded(frame[name], values)
        return matrix


def coded(column: Any, values: Sequence[Any]) -> Any:
    """The place of each entry of *column* among *values*; NaN for one that is not among them."""
    places = {value: float(place) for place, value in enumerate(values)}
    return np.array([places.get(value, np.nan) for value in column.tolist()], dtype=np.float64)


def library(name: str) -> Any:
    """The library of that name.

    Raises:
        BackendError: ``missing_extra``.
    """
    try:
        return import_module(name)
    except ImportError as error:
        hint = "pip install --require-hashes -r requirements-boosting.txt"
        message = f"the model needs {name!r}, which is not installed; {hint}."
        raise BackendError(message, code="missing_extra") from error
