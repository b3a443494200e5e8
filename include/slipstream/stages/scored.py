"""A window's rows as the champion answers them, and how good the answers are where truth is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipstream.scoring.metrics import Figure, figures, loss
from slipstream.scoring.profile import ANSWER
from slipstream.spec import ModelSpec
from slipstream.stages.answers import Candidate, load_candidate, truth_of
from slipstream.stages.evaluate import load_evaluation
from slipstream.stages.window import Window
from slipstream.store import Store

if TYPE_CHECKING:
    import pandas as pd

SCORED_ROWS = 200_000
"""Of a larger window so many evenly spaced rows are scored; inputs are judged on all."""


@dataclass(frozen=True)
class Quality:
    """The deciding metric at training and now.

    Attributes:
        metric: Its name.
        reference: On the rows held out at training.
        now: On the rows of the window whose truth is known.
        rows: How many those are.
        loss: By how much it got worse; negative when it got better.
        max_loss: What the model file allows; None when it says nothing.
        lost: Whether more was lost.
    """

    metric: str
    reference: Figure
    now: Figure
    rows: int
    loss: float
    max_loss: float | None
    lost: bool


@dataclass(frozen=True)
class Scored:
    """Rows with their answers.

    Attributes:
        frame: The scored rows: inputs, target where there is one, and the answer.
        answers: The answers, one plain value per row: number, probability of the positive label, or label.
        quality: None where no truth is known, or the metric is not defined on these rows.
    """

    frame: pd.DataFrame
    answers: list[Any]
    quality: Quality | None


def scored(spec: ModelSpec, store: Store, champion: Any, window: Window) -> Scored:
    """The rows of *window* with the champion's answers; captured rows have theirs already.

    Args:
        champion: A :class:`~slipstream.stages.monitor.Champion`.
    """
    frame = window.sample(SCORED_ROWS, window.relation.columns)
    if ANSWER in frame.columns:
        known = frame[ANSWER].notna()
        return Scored(frame[known], frame.loc[known, ANSWER].tolist(), None)
    candidate = load_candidate(spec, store, champion.candidate)
    said = candidate.answer(frame, candidate.training.classes)
    answers: list[Any] = said.tolist()
    if candidate.training.task == "multiclass":
        answers = [candidate.training.classes[place] for place in said.argmax(axis=1).tolist()]
    quality = _quality(spec, store, champion.evaluation, candidate, (frame, said))
    return Scored(frame.assign(**{ANSWER: answers}), answers, quality)


def _quality(
    spec: ModelSpec, store: Store, evaluation: str, candidate: Candidate, answered: tuple[pd.DataFrame, Any]
) -> Quality | None:
    """The deciding metric on the rows with truth, beside the champion's own at training."""
    import numpy as np

    frame, said = answered
    metric, target = spec.evaluate.metric, candidate.training.target
    known = frame[target].notna().to_numpy()
    before = load_evaluation(spec, store, evaluation)[1].scores.get(metric)
    if known.sum() < spec.monitor.min_rows or before is None or before.value is None:
        return None
    truth, classes = truth_of(candidate.training, frame.loc[known, target])
    if said.ndim == 2:
        # A class that training never saw is never answered.
        said = np.pad(said, ((0, 0), (0, len(classes) - said.shape[1])))
    now = figures([metric], truth, said[known], draws=spec.evaluate.bootstrap, seed=spec.seed)[metric]
    if now.value is None:
        return None
    worse = loss(metric, before.value, now.value)
    allowed = spec.monitor.quality.max_loss if spec.monitor.quality else None
    return Quality(metric, before, now, int(known.sum()), worse, allowed, allowed is not None and worse > allowed)
