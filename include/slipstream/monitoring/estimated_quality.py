"""How good a classifier's answers probably are before truth is known, from its own calibrated probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from slipstream.errors import DataError
from slipstream.evaluation.candidate_answers import truth_of
from slipstream.monitoring.performance_estimate import Calibration, calibration, estimate
from slipstream.monitoring.reference import Subject
from slipstream.spacing import thinned
from slipstream.statistics.metrics import Figure, loss
from slipstream.training.split import reopen

ROWS = 50_000
"""So many rows are estimated on at most, evenly spaced."""


@dataclass(frozen=True)
class Basis:
    """What is learnt once for each champion, on its held-out rows.

    Attributes:
        calibration: What its probabilities truly mean there.
        value: The deciding metric as it is estimated there, which tells the estimate's own error.
    """

    calibration: Calibration
    value: float


@dataclass(frozen=True)
class Estimate:
    """The deciding metric without truth.

    Attributes:
        value: What it probably is in the window: its value at training, changed by as much as the estimate changed.
            None where it cannot be estimated.
        loss: By how much that is worse than at training.
        max_loss: What the model file allows.
        lost: Whether more was lost.
        rows: Rows that it was estimated on.
        basis: Plain values of the :class:`Basis`, for the next measurement.
        note: Why nothing was estimated.
    """

    value: float | None = None
    loss: float | None = None
    max_loss: float | None = None
    lost: bool = False
    rows: int = 0
    basis: dict[str, Any] | None = None
    note: str = ""


def estimated(subject: Subject, answers: Any, before: Figure | None, known: Mapping[str, Any] | None) -> Estimate:
    """The estimate for the *answers* of the champion.

    Args:
        subject: The champion.
        answers: Its answers as the metrics take them; None where they are not known.
        before: The deciding metric at training.
        known: The basis as an earlier measurement of the same champion left it.
    """
    if subject.spec.task == "regression":
        return Estimate(note="only classifiers say how sure they are")
    if answers is None or not len(answers):
        return Estimate(note="the probabilities are not known")
    if before is None or before.value is None:
        return Estimate(note="the metric was not defined at training")
    basis = msgspec.convert(known, Basis) if known else _basis(subject)
    metric = subject.spec.evaluate.metric
    sampled = thinned(answers, ROWS)
    now = None if basis is None else estimate(metric, basis.calibration.apply(sampled), sampled)
    if basis is None or now is None:
        return Estimate(note=f"{metric} cannot be estimated")
    value, quality = before.value + now - basis.value, subject.spec.monitor.quality
    worse = loss(metric, before.value, value)
    allowed = quality.max_loss if quality else None
    lost = allowed is not None and worse > allowed
    return Estimate(value, worse, allowed, lost, len(sampled), msgspec.to_builtins(basis))


def _basis(subject: Subject) -> Basis | None:
    """The basis from the champion's held-out rows; None where they do not tell."""
    candidate = subject.candidate
    try:
        cut = reopen(subject.spec, subject.store, candidate.trained.dataset, candidate.training.boundaries)
    except DataError:  # the model file names columns that were not there then
        return None
    frame = thinned(cut.frame("holdout"), ROWS)
    truth, classes = truth_of(candidate.training, frame[candidate.training.target])
    if len(classes) > len(candidate.training.classes):
        return None
    answers = candidate.answer(frame, classes)
    fitted = calibration(answers, truth)
    value = estimate(subject.spec.evaluate.metric, fitted.apply(answers), answers)
    return None if value is None else Basis(fitted, value)
