"""A window's rows as the champion answers them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipstream.evaluation.candidate_answers import Candidate
from slipstream.monitoring.reference import Subject
from slipstream.monitoring.window import PROBABILITIES, Window
from slipstream.profiling.profile import ANSWER

if TYPE_CHECKING:
    import pandas as pd

SCORED_ROWS = 200_000
"""Of a larger window so many evenly spaced rows are scored; inputs are judged on all."""


@dataclass(frozen=True)
class Scored:
    """Rows with their answers.

    Attributes:
        frame: The scored rows: inputs, target where there is one, event time, and the answer.
        answers: The answers, one plain value per row: number, probability of the positive label, or label.
        scores: The same as the metrics take them; None for captured labels without their probabilities.
    """

    frame: pd.DataFrame
    answers: list[Any]
    scores: Any


def scored(subject: Subject, window: Window) -> Scored:
    """The rows of *window* with the champion's answers; captured rows have theirs already."""
    import numpy as np

    frame = window.sample(SCORED_ROWS)
    if ANSWER not in frame.columns:
        scores, answers = answered(subject.candidate, frame)
        return Scored(frame.assign(**{ANSWER: answers}), answers, scores)
    frame = frame[frame[ANSWER].notna()]
    captured: Any = None
    if PROBABILITIES in frame.columns:
        probabilities = frame[PROBABILITIES]
        captured = np.array(probabilities.tolist(), dtype=np.float64) if probabilities.notna().all() else None
    elif subject.spec.task != "multiclass":
        captured = frame[ANSWER].to_numpy(dtype=np.float64)
    return Scored(frame, frame[ANSWER].tolist(), captured)


def answered(candidate: Candidate, frame: pd.DataFrame) -> tuple[Any, list[Any]]:
    """What *candidate* says of the rows of *frame*: as the metrics take it, and one plain value for each."""
    training = candidate.training
    scores = candidate.answer(frame, training.classes)
    if training.task == "multiclass":
        return scores, [training.classes[place] for place in scores.argmax(axis=1).tolist()]
    return scores, scores.tolist()
