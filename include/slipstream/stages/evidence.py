"""The evidence for and against a version, in plain sentences: what a person should know before saying yes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from slipstream.scoring.metrics import Figure
from slipstream.spec import ModelSpec
from slipstream.stages.evaluate import Evaluation, load_evaluation
from slipstream.stages.fairness import sentence as fairness_sentence
from slipstream.stages.slices import SlicePair, worst_first
from slipstream.store import Store
from slipstream.store.state import Event

SHOWN = 3


@dataclass(frozen=True)
class Part:
    """Some sentences under one heading."""

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """What is known of a version.

    Attributes:
        version: Its number.
        parts: In the order in which they should be read; none is empty.
        reports: Name -> digest of each HTML report about it.
    """

    version: int
    parts: tuple[Part, ...]
    reports: dict[str, str]


def evidence(spec: ModelSpec, store: Store, version: int, *, reason: str = "", requester: str = "") -> Evidence:
    """All that speaks for and against *version*.

    Args:
        spec: The model.
        store: The store.
        version: A registered version.
        reason: Why somebody asked for the training; without it the newest request that the training answered tells.
        requester: Who asked for the training; "" when the policy did.
    """
    events = store.ledger.read(model=spec.name)
    packaged = store.ledger.state().model(spec.name).versions[version].data["result"]
    found = _Found(events, version, packaged)
    evaluated, evaluation = load_evaluation(spec, store, packaged["evaluation"])
    parts = (
        Part("Why", tuple(_why(spec, found, reason, requester))),
        Part(f"Scores on {evaluation.rows:,} held-out rows", tuple(_scores(evaluation))),
        Part("Gates", tuple(found.gates())),
        Part("Slices that got worse", tuple(_slices(evaluation))),
        Part("Fairness", tuple(_fairness(evaluation))),
        Part("Replay of captured traffic", tuple(found.told("replay", "sentence"))),
        Part("Newest drift", tuple(_drift(events))),
    )
    reports = {
        "evaluation": evaluated.report,
        "explanation": found.result_of(packaged["explanation"]).get("report", ""),
        "replay": next(found.told("replay", "report"), ""),
        "card": packaged.get("card", ""),
        "drift": _drift_report(events),
    }
    shown = {name: digest for name, digest in reports.items() if digest}
    return Evidence(version, tuple(part for part in parts if part.lines), shown)


def asked_because(events: list[Event], candidate: str) -> Event | None:
    """The newest request for retraining that the training of *candidate* answered."""
    trained = next((event for event in events if event.data.get("run") == candidate), None)
    if trained is None:
        return None
    for event in reversed(events[: events.index(trained)]):
        if event.kind == "retrain.requested":
            return event
        if event.data.get("stage") == "train":
            return None
    return None


def slice_sentence(part: SlicePair, metric: str) -> str:
    """How much worse a slice got than the champion has it."""
    pair = part.pair
    worse = f"{_n(pair.champion)} to {_n(pair.candidate)}"
    return f"{part.column} is {part.value} ({part.rows:,} rows): {metric} went from {worse}{_unsure(pair.gain)}."


@dataclass(frozen=True)
class _Found:
    """The events about one version."""

    events: list[Event]
    version: int
    packaged: dict[str, Any]

    def told(self, stage: str, word: str) -> Iterator[str]:
        """What the newest run of *stage* about the version says under that *word*, if there is one."""
        newest = self._newest(stage)
        if newest and newest.get(word):
            yield str(newest[word])

    def gates(self) -> Iterator[str]:
        """Each gate, passed or refused, with its sentence."""
        for verdict in (self._newest("gate") or {"verdicts": []})["verdicts"]:
            yield f"{'passed' if verdict['passed'] else 'REFUSED'}: {verdict['sentence']}"

    def result_of(self, run: str) -> dict[str, Any]:
        """The result of the run of that id."""
        found = next((event for event in reversed(self.events) if event.data.get("run") == run), None)
        return dict(found.data["result"]) if found else {}

    def _newest(self, stage: str) -> dict[str, Any] | None:
        for event in reversed(self.events):
            if event.data.get("stage") == stage and event.data["result"].get("version") == self.version:
                return dict(event.data["result"])
        return None


def _why(spec: ModelSpec, found: _Found, reason: str, requester: str) -> Iterator[str]:
    if spec.description:
        yield spec.description
    request = asked_because(found.events, found.packaged["candidate"])
    if reason:
        yield f"Asked for because: {reason}"
    elif request is not None:
        yield f"Asked for because: {request.data['reason']}"
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
    for found in evaluation.fairness:
        for measure in found.differences or (evaluation.metric,):
            yield fairness_sentence(found, measure)


def _drift(events: list[Event]) -> Iterator[str]:
    newest = next((event for event in reversed(events) if event.kind == "drift.measured"), None)
    if newest is not None and newest.data.get("verdict"):
        yield str(newest.data["verdict"])


def _drift_report(events: list[Event]) -> str:
    newest = next((event for event in reversed(events) if event.kind == "drift.measured"), None)
    return str(newest.data.get("result", {}).get("report", "")) if newest else ""


def _span(figure: Figure) -> str:
    said = f"; {figure.note}" if figure.note else ""
    return f" ({_n(figure.low)} to {_n(figure.high)}{said})" if figure.low is not None else ""


def _unsure(gain: Figure) -> str:
    return "" if gain.high is not None and gain.high < 0 else ", which may be chance"


def _n(value: float | None) -> str:
    if value is None:
        return "not defined"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
