"""What happened to a model, in plain words: each event of the ledger as one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

from slipstream.commands.event_sentences import sentence
from slipstream.rollout.approval import POLICY
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.state import Event

DECISIONS = ("retrain.requested", "retrain.skipped", "deployment.finished", "deployment.rolled_back")
"""Kinds of events that are decisions where they say why; so are a gate's result and an approval by the policy."""


@dataclass(frozen=True)
class HistoryEntry:
    """One line of a model's history.

    Attributes:
        seq: Number of the event in the ledger.
        time: When it was committed, UTC, ISO 8601.
        actor: Who asked for it.
        kind: The event's kind.
        text: What happened, in one sentence.
        run: Id of the run, if a stage did it.
        version: The version it concerns, if any.
        reports: Name -> digest of each HTML report that it made.
    """

    seq: int
    time: str
    actor: str
    kind: str
    text: str
    run: str = ""
    version: int | None = None
    reports: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class DecisionEntry:
    """One automatic decision.

    Attributes:
        seq: Number of the event in the ledger.
        time: When it was committed, UTC, ISO 8601.
        kind: The event's kind.
        text: What was decided and why, in one sentence.
        evidence: Ids and figures that it rests on.
    """

    seq: int
    time: str
    kind: str
    text: str
    evidence: dict[str, Any]


def history(spec: ModelSpec, store: Store, *, newest: int = 50) -> list[HistoryEntry]:
    """The last *newest* events of a model, newest first."""
    model = store.ledger.state().model(spec.name)
    numbers = {event.id: number for number, event in model.versions.items()}
    events = model.events[-newest:]
    return [_entry(event, numbers.get(event.id)) for event in reversed(events)]


def decisions(spec: ModelSpec, store: Store, *, newest: int = 50) -> list[DecisionEntry]:
    """The last *newest* decisions that nobody took in person, newest first."""
    events = reversed(store.ledger.state().model(spec.name).events)
    return [
        DecisionEntry(event.seq, event.time, event.kind, sentence(event), dict(event.content.evidence or {}))
        for event in islice(filter(_decides, events), newest)
    ]


def _decides(event: Event) -> bool:
    if event.kind == "approval.decided":
        return event.actor.startswith(POLICY)
    if event.kind == "run.finished":
        return event.content.stage == "gate"
    return event.kind in DECISIONS and bool(event.content.reason)


def _entry(event: Event, number: int | None) -> HistoryEntry:
    content = event.content
    reports = tuple(content.result.reports().items())
    return HistoryEntry(
        event.seq,
        event.time,
        event.actor,
        event.kind,
        sentence(event, number),
        content.run,
        number or content.about,
        reports,
    )
