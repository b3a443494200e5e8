"""How far a shadow's answers are from those that were given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slipstream.scoring.schema import Schema
from slipstream.scoring.scorer import Answers

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


def comparable(answering: Schema, shadow: Schema) -> bool:
    """Whether the shadow can answer rows that were decoded for *answering*, and its answers mean the same.

    What was seen in training may differ: versions seldom learn from the same rows.
    """
    kinds = {field.name: field.type for field in answering.inputs}
    inputs = all(kinds.get(field.name) == field.type for field in shadow.inputs)
    meant = (answering.task, answering.target, answering.classes, answering.positive)
    return inputs and meant == (shadow.task, shadow.target, shadow.classes, shadow.positive)


def difference(given: Answers, shadow: Answers) -> Difference:
    """*given* and *shadow* compared row by row."""
    import numpy as np

    if given.probabilities is None:
        ours, theirs = _numbers(given.predictions), _numbers(shadow.predictions)
        apart = np.abs(theirs - ours)
        return Difference(int(np.count_nonzero(apart > FAR * np.abs(ours))), float(apart.sum()))
    disagreed = sum(map(_differ, given.predictions, shadow.predictions))
    apart = np.abs(_numbers(shadow.probabilities) - _numbers(given.probabilities))
    return Difference(disagreed, float(apart.sum()) / apart.ndim)


def _differ(one: Any, other: Any) -> bool:
    return bool(one != other)


def _numbers(values: Any) -> Any:
    import numpy as np

    return np.array(values, dtype=np.float64)
