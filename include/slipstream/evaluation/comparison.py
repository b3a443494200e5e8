"""Champion against candidate on the same rows: the candidate's held-out rows that the champion did not train on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from slipstream.errors import DataError
from slipstream.evaluation.candidate_answers import Candidate, load_candidate, truth_of
from slipstream.evaluation.fairness import Fairness, fairness
from slipstream.evaluation.slices import Pair, SlicePair, pairs, slice_pairs
from slipstream.spec.model import ModelSpec
from slipstream.statistics import curves
from slipstream.store import Store
from slipstream.store.datasets import load_dataset
from slipstream.training.split import Split, reopen


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
        slices: The deciding metric of both in each slice with rows enough.
        fairness: How the champion treats the groups of each sensitive column, on these rows.
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
    slices: tuple[SlicePair, ...] = ()
    fairness: tuple[Fairness, ...] = ()


def compare(
    spec: ModelSpec, store: Store, champion: tuple[int, str], candidate: Candidate, metrics: Sequence[str]
) -> Comparison:
    """Judge *candidate* and the champion, given as ``(version, train run)``, on the candidate's held-out rows."""
    version, run = champion
    other = load_candidate(spec, store, run)
    cut, refused = _common_rows(spec, store, candidate, other)
    if cut is None:
        return Comparison(version, run, 0, 0, False, "", refused, {})
    whole = cut.frame("holdout")
    used, seen, note = _unseen(spec, cut, other, len(whole))
    frame = whole[used] if used is not None else whole
    truth, classes = truth_of(candidate.training, frame[spec.target])
    classes = (*classes, *(label for label in other.training.classes if label not in classes))
    answers = {"candidate": candidate.answer(frame, classes), "champion": other.answer(frame, classes)}
    return Comparison(
        version=version,
        candidate=run,
        rows=len(frame),
        seen=seen,
        excluded=used is not None,
        note=note,
        refused="",
        figures=pairs(metrics, truth, answers, spec),
        roc={who: curves.roc(truth, answer) for who, answer in answers.items()} if spec.task == "binary" else {},
        slices=tuple(slice_pairs(spec, whole, used, truth, answers)),
        fairness=fairness(spec, frame, truth, answers["champion"]),
    )


def _common_rows(spec: ModelSpec, store: Store, candidate: Candidate, other: Candidate) -> tuple[Split | None, str]:
    """The candidate's rows with the columns of both; or None and why there can be none."""
    mine, theirs = candidate.training, other.training
    if (mine.task, mine.target) != (theirs.task, theirs.target):
        return None, f"it does {theirs.task} of {theirs.target!r}, the candidate {mine.task} of {mine.target!r}"
    if mine.task == "binary" and mine.classes != theirs.classes:
        return None, f"it tells {theirs.classes} apart, the candidate {mine.classes}"
    try:
        columns = [*other.inputs, *spec.evaluate.sensitive, *_decides(spec, store, candidate, other)]
        return reopen(spec, store, candidate.trained.dataset, mine.boundaries, columns), ""
    except DataError as error:
        return None, str(error)


def _decides(spec: ModelSpec, store: Store, candidate: Candidate, other: Candidate) -> list[str]:
    """The columns by which the champion was split, as far as the candidate's data has them."""
    loaded = load_dataset(store.objects, store.ledger.state(), spec.name, candidate.trained.dataset)
    bounds = other.training.boundaries
    return [name for name in (*bounds.key, *bounds.group) if name in dict(loaded.columns)]


def _unseen(spec: ModelSpec, cut: Split, other: Candidate, rows: int) -> tuple[Any, int, str]:
    """Mask of the rows to use (None: all), how many the champion had seen, and what to say of it."""
    if other.training.imported:
        return None, 0, "The champion was fitted elsewhere; it may have been fitted on these rows, which flatters it."
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
