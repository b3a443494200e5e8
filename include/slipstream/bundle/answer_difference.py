"""How far the answers of two versions to the same rows are apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slipstream.bundle.scorer import Answers
from slipstream.model_schema import Schema

FAR = 0.01
"""Two numbers further apart than this share of the given one disagree."""


@dataclass(frozen=True)
class Difference:
    """Some rows' two answers, compared.

    Attributes:
        disagreed: Rows with another label or, for regression, with a number more than 1 % off.
        distance: Sum over the rows of the distance: of the positive label's probability, of the number or, for
            multiclass, of all probabilities (total variation).
    """

    disagreed: int
    distance: float


def comparable(answering: Schema, other: Schema) -> bool:
    """Whether *other* can answer rows that were decoded for *answering*, and its answers mean the same.

    What was seen in training may differ: versions seldom learn from the same rows.
    """
    kinds = {field.name: field.type for field in answering.inputs}
    return all(kinds.get(field.name) == field.type for field in other.inputs) and alike(answering, other)


def alike(one: Schema, other: Schema) -> bool:
    """Whether the answers of both mean the same: the same target, told apart in the same classes."""
    meant = (one.task, one.target, one.classes, one.positive)
    return meant == (other.task, other.target, other.classes, other.positive)


def difference(answers: Answers, other: Answers) -> Difference:
    """*answers* and *other* compared row by row."""
    disagreed, distance = by_row(answers, other)
    return Difference(int(disagreed.sum()), float(distance.sum()))


def by_row(answers: Answers, other: Answers) -> tuple[Any, Any]:
    """Whether the two disagree and how far they are apart, for each row: arrays of shape ``(n,)``, bool and float64."""
    import numpy as np

    if answers.probabilities is None:
        ours, theirs = _numbers(answers.predictions), _numbers(other.predictions)
        apart = np.abs(theirs - ours)
        return apart > FAR * np.abs(ours), apart
    differ = [one != another for one, another in zip(answers.predictions, other.predictions, strict=True)]
    apart = np.abs(_numbers(other.probabilities) - _numbers(answers.probabilities))
    return np.array(differ, dtype=bool), apart if apart.ndim == 1 else apart.sum(axis=1) / 2


def _numbers(values: Any) -> Any:
    import numpy as np

    return np.array(values, dtype=np.float64)
