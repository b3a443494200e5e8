"""How good the champion's answers to a window are, where truth is known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from slipstream.duck import first_row, quoted
from slipstream.evaluation.candidate_answers import truth_of
from slipstream.evaluation.record import load_evaluation
from slipstream.monitoring.reference import Subject
from slipstream.monitoring.scored_window import Scored
from slipstream.monitoring.window import CLOCK, Window
from slipstream.spec.estimators import LOWER_IS_BETTER
from slipstream.spec.values import written
from slipstream.statistics.intervals import figure
from slipstream.statistics.metrics import Figure, loss
from slipstream.store.figures import JoinFigures
from slipstream.store.payloads import LabelsJoined

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class QualityChange:
    """The deciding metric at training and now.

    Attributes:
        metric: Its name.
        reference: On the rows held out at training.
        now: On the rows of the window whose truth is known; None where it was not judged.
        rows: How many those are.
        coverage: Their share of the rows that are old enough; None where nothing can tell.
        matured: How old that is, in words; empty for no limit.
        loss: By how much it got worse; negative when it got better. None where it was not judged.
        max_loss: What the model file allows; None when it says nothing.
        lost: Whether more was lost, and the better end of the interval is still worse than at training.
        note: Why it was not judged, or which rows were left out.
    """

    metric: str
    reference: Figure | None
    now: Figure | None = None
    rows: int = 0
    coverage: float | None = None
    matured: str = ""
    loss: float | None = None
    max_loss: float | None = None
    lost: bool = False
    note: str = ""

    @property
    def sentence(self) -> str:
        """What is known, as part of a sentence; empty if that is nothing."""
        if self.now is None or self.now.value is None or self.reference is None or self.reference.value is None:
            return ""
        before, value = self.reference.value, self.now.value
        text = f"{self.metric} {value:.3f}, at training {before:.3f}"
        if self.lost:
            moved = "rose" if self.metric in LOWER_IS_BETTER else "fell"
            text = f"{self.metric} {moved} from {before:.3f} to {value:.3f}"
        if self.coverage is not None and (self.coverage < 1 or self.matured):
            text += f" on {self.coverage:.0%} labelled".replace("%", " %")
        return text + (f", matured {self.matured}" if self.matured else "")


def quality_of(subject: Subject, window: Window, done: Scored, labels: JoinFigures | None) -> QualityChange:
    """The quality on *window*.

    Args:
        subject: The champion.
        window: The rows.
        done: Their sample with answers.
        labels: For captured predictions what the newest join of labels to them left; None if there is none.
    """
    metric = subject.spec.evaluate.metric
    before = load_evaluation(subject.spec, subject.store, subject.champion.evaluation)[1].scores.get(metric)
    if before is None or before.value is None:
        return QualityChange(metric, None, note=f"{metric} was not defined at training")
    if subject.spec.monitor.source == "predictions":
        return _joined(subject, before, labels)
    return _committed(subject, before, window, done)


def labels_of(subject: Subject) -> JoinFigures | None:
    """What the newest join of labels to the champion's predictions left; None without one."""
    model = subject.store.ledger.state().model(subject.spec.name)
    newest = model.newest("labels.joined", subject.champion.number)
    return newest.content_as(LabelsJoined).result if newest is not None else None


def _joined(subject: Subject, before: Figure, labels: JoinFigures | None) -> QualityChange:
    """The quality that the stage *join* measured."""
    metric = subject.spec.evaluate.metric
    if labels is None:
        return QualityChange(metric, before, note="no labels have come for its predictions")
    now = Figure(labels.value, labels.low, labels.high)
    label_facts = labels.labelled, labels.coverage, labels.matured
    return _judged(subject, before, now if labels.metric == metric else Figure(None, None, None), label_facts)


def _committed(subject: Subject, before: Figure, window: Window, done: Scored) -> QualityChange:
    """The quality on committed rows that are old enough and whose target is known."""
    spec, training = subject.spec, subject.candidate.training
    maturity = spec.monitor.quality.maturity if spec.monitor.quality else None
    old, mature = "true", done.frame[training.target].notna()
    if maturity is not None and window.last:
        edge = datetime.fromisoformat(window.last) - maturity
        old, mature = f"{CLOCK} <= TIMESTAMP '{edge.isoformat()}'", mature & (done.frame[CLOCK] <= edge)
    aggregates = f"count(*) FILTER ({old}), count({quoted(training.target)}) FILTER ({old})"
    every, labelled = first_row(window.relation.aggregate(aggregates))
    label_facts = labelled, labelled / every if every else 0.0, written(maturity) if maturity else ""
    short = _too_few(subject, label_facts[0], label_facts[1])
    if short:
        return _judged(subject, before, Figure(None, None, None), label_facts)
    rows, note = _known_classes(subject, done.frame, mature)
    now = _measured(subject, done.frame, done.scores, rows)
    return _judged(subject, before, now, label_facts, note)


def _known_classes(subject: Subject, frame: pd.DataFrame, labelled: Any) -> tuple[Any, str]:
    """The labelled rows, but for those whose class a binary model cannot be judged on; and what to say of these."""
    training = subject.candidate.training
    if training.task != "binary":
        return labelled, ""
    known = labelled & frame[training.target].isin(training.classes)
    strange = int(labelled.sum() - known.sum())
    return known, f"{strange:,} rows hold a class that training never saw" if strange else ""


def _measured(subject: Subject, frame: pd.DataFrame, answers: Any, rows: Any) -> Figure:
    """The deciding metric on some *rows* of the scored *frame*."""
    import numpy as np

    spec, training = subject.spec, subject.candidate.training
    mask = rows.to_numpy()
    if not mask.any():
        return Figure(None, None, None)
    truth, classes = truth_of(training, frame.loc[mask, training.target])
    if answers.ndim == 2:
        # A class that training never saw is never answered.
        answers = np.pad(answers, ((0, 0), (0, len(classes) - answers.shape[1])))
    return figure(spec.evaluate.metric, truth, answers[mask])


def _judged(
    subject: Subject, before: Figure, now: Figure, label_facts: tuple[int, float | None, str], note: str = ""
) -> QualityChange:
    """The verdict. *label_facts*: labelled rows, coverage, maturity in words."""
    metric, settings = subject.spec.evaluate.metric, subject.spec.monitor.quality
    rows, coverage, matured = label_facts
    short = _too_few(subject, rows, coverage)
    if short or now.value is None or before.value is None:
        return QualityChange(
            metric, before, None, rows, coverage, matured, note=short or f"{metric} is not defined on them"
        )
    best = now.low if metric in LOWER_IS_BETTER else now.high
    worse = loss(metric, before.value, now.value)
    # What chance alone explains is no loss: the better end of the interval must be worse than the reference too.
    real = best is None or loss(metric, before.value, best) > 0
    allowed = settings.max_loss if settings else None
    lost = allowed is not None and worse > allowed and real
    return QualityChange(metric, before, now, rows, coverage, matured, worse, allowed, lost, note)


def _too_few(subject: Subject, rows: int, coverage: float | None) -> str:
    """Why there are too few labels to judge; empty if there are enough."""
    monitor = subject.spec.monitor
    least = monitor.quality.min_coverage if monitor.quality else 0.0
    if rows < monitor.min_rows:
        return f"{rows:,} rows are labelled, monitor.min_rows asks for {monitor.min_rows:,}"
    if coverage is not None and coverage < least:
        return f"{coverage:.0%} are labelled, monitor.quality.min_coverage asks for {least:.0%}"
    return ""
