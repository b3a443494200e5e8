"""An estimator of scikit-learn that was fitted on its inputs in another order, on arrays, or on other labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slipstream.adapters.answering import AnsweringModel


class SklearnModel(AnsweringModel):
    """Answers by an estimator, given its inputs in its own order.

    Attributes:
        estimator: The fitted estimator.
        named: Whether it takes a frame; else an array.
    """

    def __init__(self, estimator: Any, columns: Sequence[str], named: bool) -> None:
        super().__init__(columns)
        self.estimator = estimator
        self.named = named

    def raw(self, frame: Any) -> Any:
        """Its probabilities if it has any, else its numbers."""
        return (getattr(self.estimator, "predict_proba", None) or self.estimator.predict)(self.given(frame))

    def given(self, frame: Any) -> Any:
        """The rows of *frame* as the estimator takes them."""
        return frame[self.columns] if self.named else frame[self.columns].to_numpy()
