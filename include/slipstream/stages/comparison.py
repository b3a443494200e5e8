"""Champion against candidate on the same rows: the candidate's held-out rows that the champion did not train on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slipstream.errors import DataError
from slipstream.scoring import curves
from slipstream.scoring.metrics import Figure, figure, loss, measure, resample
from slipstream.spec import ModelSpec
from slipstream.stages.answers import Candidate, load_candidate, truth_of
from slipstream.stages.split import Split, reopen
from slipstream.store import Store


@dataclass(frozen=True)
class Pair:
    """One metric of both.

    Attributes:
        champion: The champion's figure.
        candidate: The candidate's, on the same rows.
        gain: By how much the candidate is better (negative: worse), with a paired bootstrap interval.
    """

    champion: float | None
    candidate: float | None
    gain: Figure


@dataclass(frozen=True)
class Comparison:
    """The candidate against a champion.

    Attributes:
        version: The champion's number.
        candidate: The champion's train run.
        rows: Rows that both were judged on.
        seen: Held-out rows that the champion had trained on.
        excluded: Whether those were left out; if not, the comparison flatters the champion.
        note: What a reader must know of the rows, in one sentence; empty if there is nothing.
        refused: Why no comparison was possible; empty if it was.
        figures: Metric -> both figures.
        roc: For a binary task the ROC curve of ``candidate`` and ``champion``.
    """

    version: int
    candidate: str
    rows: int
    seen: int
    excluded: bool
    note: str
    refused: str
    figures: dict[str, Pair]
    roc: dict[str, list[tuple[float, float]]] = field(default_factory=dict)


def compare(
    spec: ModelSpec, store: Store, champion: tuple[int, str], candidate: Candidate, metrics: Sequence[str]
) -> Comparison:
    """Judge *candidate* and the champion, given as ``(version, train run)``, on the candidate's held-out rows."""
    version, run = champion
    other = load_candidate(spec, store, run)
    cut, refused = _common_rows(spec, store, candidate, other)
    if cut is None:
        return Comparison(version, run, 0, 0, False, "", refused, {})
    frame = cut.frame("holdout")
    used, seen, note = _unseen(spec, cut, other, len(frame))
    frame = frame[used] if used is not None else frame
    truth, classes = truth_of(candidate.training, frame[spec.target])
    classes = (*classes, *(label for label in other.training.classes if label not in classes))
    answers = {"candidate": candidate.answer(frame, classes), "champion": other.answer(frame, classes)}
    pairs = _pairs(metrics, truth, answers, spec)
    roc = {who: curves.roc(truth, answer) for who, answer in answers.items()} if spec.task == "binary" else {}
    return Comparison(version, run, len(frame), seen, used is not None, note, "", pairs, roc)


def _common_rows(spec: ModelSpec, store: Store, candidate: Candidate, other: Candidate) -> tuple[Split | None, str]:
    """The candidate's rows with the columns of both; or None and why there can be none."""
    mine, theirs = candidate.training, other.training
    if (mine.task, mine.target) != (theirs.task, theirs.target):
        return None, f"it does {theirs.task} of {theirs.target!r}, the candidate {mine.task} of {mine.target!r}"
    if mine.task == "binary" and mine.classes != theirs.classes:
        return None, f"it tells {theirs.classes} apart, the candidate {mine.classes}"
    try:
        return reopen(spec, store, candidate.trained.dataset, mine.boundaries, other.inputs), ""
    except DataError as error:
        return None, str(error)


def _unseen(spec: ModelSpec, cut: Split, other: Candidate, rows: int) -> tuple[Any, int, str]:
    """Mask of the rows to use (None: all), how many the champion had seen, and what to say of it."""
    mask = cut.seen(other.training.boundaries)
    if mask is None:
        return None, 0, "The champion was split by other columns, so it may have trained on some of these rows."
    seen = int(mask.sum())
    if not seen:
        return None, 0, ""
    if rows - seen >= spec.evaluate.min_slice:
        return ~mask, seen, f"{seen:,} of {rows:,} held-out rows are left out because the champion had trained on them."
    note = (
        f"The champion had trained on {seen:,} of these {rows:,} rows, which flatters it; "
        f"without them too few would be left (evaluate.min_slice is {spec.evaluate.min_slice:,})."
    )
    return None, seen, note


def _pairs(metrics: Sequence[str], truth: Any, answers: Mapping[str, Any], spec: ModelSpec) -> dict[str, Pair]:
    draws, seed = spec.evaluate.bootstrap, spec.seed
    values = {who: {m: measure(m, truth, answer) for m in metrics} for who, answer in answers.items()}
    drawn = {who: resample(metrics, truth, answer, draws=draws, seed=seed) for who, answer in answers.items()}
    pairs = {}
    for metric in metrics:
        mine, theirs = values["candidate"][metric], values["champion"][metric]
        sign = loss(metric, better=1.0, worse=0.0)
        gain = figure(sign * (mine - theirs), sign * (drawn["candidate"][metric] - drawn["champion"][metric]))
        pairs[metric] = Pair(_plain(theirs), _plain(mine), gain)
    return pairs


def _plain(value: float) -> float | None:
    """JSON knows no NaN."""
    return value if math.isfinite(value) else None
