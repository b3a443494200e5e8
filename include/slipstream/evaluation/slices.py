"""Slices: how good the answers are in each part of the held-out rows that the model file names a column for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slipstream.spec.model import ModelSpec
from slipstream.statistics.intervals import figures
from slipstream.statistics.metrics import Figure, loss, measure, resample, resampled

MOST_SLICES = 50
"""Of a column with more values the largest are judged."""
BANDS = 5
"""A number with more than :data:`DISCRETE` values is cut into so many bands of equal count."""
DISCRETE = 24


@dataclass(frozen=True)
class Slice:
    """The rows with one value of a column; no figures when there are too few to judge (``evaluate.min_slice``)."""

    column: str
    value: str
    rows: int
    figures: dict[str, Figure]


@dataclass(frozen=True)
class Pair:
    """One metric of champion and candidate on the same rows.

    Attributes:
        champion: The champion's figure.
        candidate: The candidate's.
        gain: By how much the candidate is better (negative: worse), with a paired bootstrap interval.
    """

    champion: float | None
    candidate: float | None
    gain: Figure


@dataclass(frozen=True)
class SlicePair:
    """The deciding metric of both in one slice of the rows that both were judged on.

    The gain has an interval where it is negative.
    """

    column: str
    value: str
    rows: int
    pair: Pair


def slice_metrics(spec: ModelSpec) -> list[str]:
    """The metrics that slices are judged by: the deciding one, and what slice gates ask for."""
    of_gates = [gate.metric for gate in spec.gates if gate.type == "slice" and gate.metric]
    return list(dict.fromkeys((spec.evaluate.metric, *of_gates)))


def slices(spec: ModelSpec, frame: Any, truth: Any, answer: Any) -> Iterator[Slice]:
    """The figures by each value of each slice column, largest first."""
    for column, value, chosen in _parts(spec, frame):
        rows = int(chosen.sum())
        judged = slice_metrics(spec) if rows >= spec.evaluate.min_slice else []
        by_metric = figures(judged, truth[chosen], answer[chosen])
        yield Slice(column, value, rows, by_metric)


def slice_pairs(spec: ModelSpec, frame: Any, used: Any, truth: Any, answers: Mapping[str, Any]) -> Iterator[SlicePair]:
    """Both versions in each slice that has rows enough to be judged.

    Args:
        spec: The model.
        frame: All held-out rows, of which the slices are cut as :func:`slices` cuts them.
        used: Mask of those that both are judged on, shape ``(n,)``; None: all.
        truth: The truth of those used.
        answers: ``candidate`` and ``champion`` -> the answers on those used.
    """
    for column, value, chosen in _parts(spec, frame):
        mask = chosen if used is None else chosen[used]
        rows = int(mask.sum())
        if rows >= spec.evaluate.min_slice:
            part = {who: answer[mask] for who, answer in answers.items()}
            yield SlicePair(column, value, rows, _pair(spec, truth[mask], part))


def _pair(spec: ModelSpec, truth: Any, answers: Mapping[str, Any]) -> Pair:
    """The deciding metric of both; resampling costs, so there is an interval only where the candidate is worse."""
    metric = spec.evaluate.metric
    mine, theirs = (measure(metric, truth, answers[who]) for who in ("candidate", "champion"))
    if loss(metric, better=theirs, worse=mine) > 0:
        return pairs([metric], truth, answers, spec)[metric]
    return Pair(plain(theirs), plain(mine), Figure(plain(loss(metric, better=mine, worse=theirs)), None, None))


def worst_first(pairs_of_slices: tuple[SlicePair, ...]) -> list[SlicePair]:
    """The slices in which the candidate is worse than the champion, the largest loss first."""
    worse = [part for part in pairs_of_slices if part.pair.gain.value is not None and part.pair.gain.value < 0]
    return sorted(worse, key=lambda part: part.pair.gain.value or 0.0)


def pairs(metrics: Sequence[str], truth: Any, answers: Mapping[str, Any], spec: ModelSpec) -> dict[str, Pair]:
    """Each metric of ``candidate`` and ``champion`` among *answers*, on the rows of *truth*."""
    draws, seed = spec.evaluate.bootstrap, spec.seed
    values = {who: {m: measure(m, truth, answer) for m in metrics} for who, answer in answers.items()}
    drawn = {who: resample(metrics, truth, answer, draws=draws, seed=seed) for who, answer in answers.items()}
    by_metric = {}
    for metric in metrics:
        mine, theirs = values["candidate"][metric], values["champion"][metric]
        sign = loss(metric, better=1.0, worse=0.0)
        gain = resampled(sign * (mine - theirs), sign * (drawn["candidate"][metric] - drawn["champion"][metric]))
        by_metric[metric] = Pair(plain(theirs), plain(mine), gain)
    return by_metric


def plain(value: float) -> float | None:
    """A figure as JSON, which knows no NaN, takes it."""
    return value if abs(value) < float("inf") else None


def words(column: Any) -> Any:
    """The values of a column as words, missing ones too."""
    return column.map(_word, na_action="ignore").astype(object).where(column.notna(), "(missing)")


def _parts(spec: ModelSpec, frame: Any) -> Iterator[tuple[str, str, Any]]:
    """Column, value and mask of each slice, the largest of a column first."""
    for column in spec.evaluate.slices:
        values = _banded(frame[column])
        counts = sorted(values.value_counts().items(), key=lambda item: (-item[1], item[0]))
        for value, _ in counts[:MOST_SLICES]:
            yield column, value, (values == value).to_numpy()


def _banded(column: Any) -> Any:
    """The column's values as words; many numbers become bands."""
    import pandas as pd

    if column.dtype.kind == "f" and column.nunique() > DISCRETE:
        bands = pd.qcut(column, BANDS, duplicates="drop")
        labels = bands.map(lambda band: f"{band.left:.4g} to {band.right:.4g}", na_action="ignore").astype(object)
        return labels.where(column.notna(), "(missing)")
    return words(column)


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
