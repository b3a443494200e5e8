"""The evidence for and against a version, in plain sentences: what a person should know before saying yes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from slipstream.evaluation.fairness import sentence as fairness_sentence
from slipstream.evaluation.record import Evaluation, load_evaluation
from slipstream.evaluation.slices import SlicePair, worst_first
from slipstream.spec.model import ModelSpec
from slipstream.statistics.metrics import Figure
from slipstream.store import Store
from slipstream.store.figures import ReplayFigures
from slipstream.store.payloads import DriftMeasured, GateFinished, ReplayFinished
from slipstream.store.state import Event, ModelState, position

SHOWN = 3


@dataclass(frozen=True)
class EvidencePart:
    """Some sentences under one heading."""

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class ApprovalEvidence:
    """What is known of a version.

    Attributes:
        version: Its number.
        parts: In the order in which they should be read; none is empty.
        reports: Name -> digest of each HTML report about it.
    """

    version: int
    parts: tuple[EvidencePart, ...]
    reports: dict[str, str]


def evidence(spec: ModelSpec, store: Store, version: int, *, reason: str = "", requester: str = "") -> ApprovalEvidence:
    """All that speaks for and against *version*.

    Args:
        spec: The model.
        store: The store.
        version: A registered version.
        reason: Why somebody asked for the training; without it the newest request that the training answered tells.
        requester: Who asked for the training; "" when the policy did.
    """
    model = store.ledger.state().model(spec.name)
    packaged, replayed = model.packaged(version), _replayed(model, version)
    explained = model.runs.get(packaged.explanation)
    drift = model.newest("drift.measured")
    evaluated, evaluation = load_evaluation(spec, store, packaged.evaluation)
    parts = (
        EvidencePart("Why", tuple(_why(spec, retrain_request(model, packaged.candidate), reason, requester))),
        EvidencePart(f"Scores on {evaluation.rows:,} held-out rows", tuple(_scores(evaluation))),
        EvidencePart("Gates", tuple(_gates(model, version))),
        EvidencePart("Slices that got worse", tuple(_slices(evaluation))),
        EvidencePart("Fairness", tuple(_fairness(evaluation))),
        EvidencePart("Replay of captured traffic", (replayed.sentence,) if replayed and replayed.sentence else ()),
        EvidencePart("Newest drift", tuple(_drift(drift))),
    )
    reports = {
        "evaluation": evaluated.report,
        "explanation": explained.content.result.report if explained is not None else "",
        "replay": replayed.report if replayed else "",
        "card": packaged.card,
        "drift": drift.content.result.report if drift is not None else "",
    }
    shown = {name: digest for name, digest in reports.items() if digest}
    return ApprovalEvidence(version, tuple(part for part in parts if part.lines), shown)


def retrain_request(model: ModelState, candidate: str) -> Event | None:
    """The newest request for retraining that the training of *candidate* answered."""
    trained = model.runs.get(candidate)
    if trained is None or trained.topic != "train":
        return None
    request = _last_before(model.on("retrain.requested"), trained)
    earlier = _last_before(model.on("train"), trained)
    return request if request is not None and (earlier is None or earlier.seq < request.seq) else None


def _last_before(events: Sequence[Event], event: Event) -> Event | None:
    count = position(events, event.seq - 1)
    return events[count - 1] if count else None


def slice_sentence(part: SlicePair, metric: str) -> str:
    """How much worse a slice got than the champion has it."""
    pair = part.pair
    worse = f"{_n(pair.champion)} to {_n(pair.candidate)}"
    return f"{part.column} is {part.value} ({part.rows:,} rows): {metric} went from {worse}{_unsure(pair.gain)}."


def _replayed(model: ModelState, version: int) -> ReplayFigures | None:
    """What the newest replay of *version* found; None if there was none."""
    newest = model.newest("replay", version)
    return newest.content_as(ReplayFinished).result if newest is not None else None


def _gates(model: ModelState, version: int) -> Iterator[str]:
    """Each gate, passed or refused, with its sentence."""
    newest = model.newest("gate", version)
    for verdict in newest.content_as(GateFinished).result.verdicts if newest is not None else ():
        yield f"{'passed' if verdict.passed else 'REFUSED'}: {verdict.sentence}"


def _why(spec: ModelSpec, request: Event | None, reason: str, requester: str) -> Iterator[str]:
    if spec.description:
        yield spec.description
    if reason:
        yield f"Asked for because: {reason}"
    elif request is not None:
        yield f"Asked for because: {request.content.reason}"
    yield f"Asked for by {requester}." if requester else "Asked for by no person."


def _scores(evaluation: Evaluation) -> Iterator[str]:
    against = evaluation.comparison
    for metric, score in evaluation.scores.items():
        decides = " (decides)" if metric == evaluation.metric else ""
        yield f"{metric}{decides}: {_n(score.value)}{_span(score)}."
    if against is None:
        yield "There is no champion to compare with."
    elif against.refused:
        yield f"Not comparable with champion version {against.version}: {against.refused}"
    else:
        for metric, pair in against.figures.items():
            both = f"champion version {against.version} {_n(pair.champion)}, challenger {_n(pair.candidate)}"
            yield f"{metric} on the same {against.rows:,} rows: {both}, gain {_n(pair.gain.value)}{_span(pair.gain)}."
        if against.note:
            yield against.note


def _slices(evaluation: Evaluation) -> Iterator[str]:
    if evaluation.comparison is not None:
        for part in worst_first(evaluation.comparison.slices)[:SHOWN]:
            yield slice_sentence(part, evaluation.metric)


def _fairness(evaluation: Evaluation) -> Iterator[str]:
    for part in evaluation.fairness:
        for measure in part.differences or (evaluation.metric,):
            yield fairness_sentence(part, measure)


def _drift(newest: Event | None) -> Iterator[str]:
    drift = newest.content if newest is not None else None
    if isinstance(drift, DriftMeasured) and drift.verdict:
        yield drift.verdict


def _span(figure: Figure) -> str:
    note = f"; {figure.note}" if figure.note else ""
    return f" ({_n(figure.low)} to {_n(figure.high)}{note})" if figure.low is not None else ""


def _unsure(gain: Figure) -> str:
    return "" if gain.high is not None and gain.high < 0 else ", which may be chance"


def _n(value: float | None) -> str:
    if value is None:
        return "not defined"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
