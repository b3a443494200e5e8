"""What happened to a model, in plain words: each event of the ledger as one sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slipstream.spec import ModelSpec
from slipstream.stages.approve import FOUR_EYES, POLICY
from slipstream.store import Store
from slipstream.store.state import Event

DECISIONS = ("retrain.requested", "retrain.skipped", "deployment.finished", "deployment.rolled_back")
"""Kinds of events that are decisions where they say why; so are a gate's result and an approval by the policy."""


@dataclass(frozen=True)
class Entry:
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
class Decision:
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


def history(spec: ModelSpec, store: Store, *, newest: int = 50) -> list[Entry]:
    """The last *newest* events of a model, newest first."""
    model = store.ledger.state().model(spec.name)
    numbers = {event.id: number for number, event in model.versions.items()}
    events = store.ledger.read(model=spec.name)[-newest:]
    return [_entry(event, numbers.get(event.id)) for event in reversed(events)]


def decisions(spec: ModelSpec, store: Store, *, newest: int = 50) -> list[Decision]:
    """The last *newest* decisions that nobody took in person, newest first."""
    taken = [event for event in store.ledger.read(model=spec.name) if _decides(event)][-newest:]
    return [
        Decision(event.seq, event.time, event.kind, sentence(event), dict(event.data.get("evidence") or {}))
        for event in reversed(taken)
    ]


def _decides(event: Event) -> bool:
    if event.kind == "approval.decided":
        return event.actor.startswith(POLICY)
    if event.kind == "run.finished":
        return event.data.get("stage") == "gate"
    return event.kind in DECISIONS and bool(event.data.get("reason"))


def _entry(event: Event, number: int | None) -> Entry:
    data = event.data
    result = data.get("result", {})
    version = number or data.get("version") or result.get("version") or None
    reports = tuple((name, result[name]) for name in ("report", "evidently", "card") if result.get(name))
    return Entry(
        event.seq, event.time, event.actor, event.kind, sentence(event, number), data.get("run", ""), version, reports
    )


def sentence(event: Event, number: int | None = None) -> str:
    """The event in one sentence; *number* is the version number that it registered, if it did."""
    data = event.data
    result = data.get("result", {})
    words = _BY_STAGE.get(data.get("stage", "")) if event.kind == "run.finished" else _BY_KIND.get(event.kind)
    try:
        return words({**result, **data, "number": number}) if words else event.kind
    except KeyError:
        # An event of another release may lack a field; its kind still says what happened.
        return event.kind


def _count(value: Any, word: str) -> str:
    return f"{value:,} {word}{'' if value == 1 else 's'}"


def _validation(data: dict[str, Any]) -> str:
    if not data["success"]:
        return f"The batch of {_count(data['rows'], 'row')} broke the contract: {', '.join(data['failed'])}."
    aside = f", {data['quarantined']:,} quarantined" if data.get("quarantined") else ""
    return f"The batch of {_count(data['rows'], 'row')} passed: {data['good']:,} good{aside}."


def _gate(data: dict[str, Any]) -> str:
    if data.get("reason"):
        return str(data["reason"])
    refused = [verdict["sentence"] for verdict in data["verdicts"] if not verdict["passed"]]
    if not refused:
        return f"Version {data['version']} passed {_count(len(data['verdicts']), 'gate')}."
    return f"Version {data['version']} was refused: {' '.join(refused)}"


def _approved(data: dict[str, Any]) -> str:
    said = data.get("reason") or f"Version {data['version']} was {'approved' if data['approved'] else 'rejected'}."
    if said == FOUR_EYES:
        said = f"The approval of version {data['version']} does not count: {said}."
    return f'{said} They wrote: "{data["comment"]}"' if data.get("comment") else str(said)


def _asked(data: dict[str, Any]) -> str:
    who = f"; {data['requester']} had asked for its training" if data.get("requester") else ""
    return f"Approval of version {data['version']} was asked for{who}."


def _evaluation(data: dict[str, Any]) -> str:
    scores = {data["metric"]: data["scores"].get(data["metric"]), **data["scores"]}
    figures = ", ".join(f"{name} {value:.4g}" for name, value in scores.items() if value is not None)
    if data.get("gain") is None:
        return f"The candidate was evaluated: {figures}."
    better = "better" if data["gain"] >= 0 else "worse"
    return f"The candidate is {abs(data['gain']):.4g} {better} than champion {data['champion']}: {figures}."


def _deployed(data: dict[str, Any]) -> str:
    if data.get("reason") and not data.get("left"):
        return str(data["reason"])
    again = " again" if data.get("left") else ""
    before = data.get("left") or data.get("previous")
    place = f" in place of version {before}" if before else ""
    return f"Version {data['version']} serves{again}{place}{_because(data)}"


def _because(data: dict[str, Any]) -> str:
    return f": {str(data['reason']).rstrip('.')}." if data.get("reason") else "."


def _part(data: dict[str, Any]) -> str:
    """What a version does meanwhile, said of ``is being rolled out`` or ``is now``."""
    if data.get("shadow"):
        return " as a shadow: it answers too, to nobody"
    weight = data.get("weight", 1.0)
    return f" to {100 * weight:.3g} % of the keys" if weight < 1 else ""


def _shifted(data: dict[str, Any]) -> str:
    return f"Version {data['version']} is now rolled out{_part(data) or ' to everybody'}{_because(data)}"


def _rolled_back(data: dict[str, Any]) -> str:
    if data.get("code") == "rolled_back":
        return f"Version {data['version']} was rolled back: {data['reason']}"
    return f"Version {data['version']} did not reach the endpoint: {data['reason']}"


_BY_STAGE: dict[str, Callable[[dict[str, Any]], str]] = {
    "ingest": lambda d: f"A batch of {_count(d['rows'], 'row')} arrived.",
    "train": lambda d: f"A candidate was trained on {_count(d['rows_train'], 'row')}{_because(d)}",
    "evaluate": _evaluation,
    "explain": lambda d: (
        f"The candidate was explained; most important: {', '.join(n for n, _ in d['importance'][:3])}."
    ),
    "replay": lambda d: d["sentence"],
    "labels": lambda d: (
        f"{_count(d['rows'], 'label')} came, {d['new']:,} new{f', {bad:,} unusable' if (bad := d['bad']) else ''}."
    ),
    "gate": _gate,
}
_BY_KIND: dict[str, Callable[[dict[str, Any]], str]] = {
    "validation.finished": _validation,
    "dataset.committed": lambda d: (
        f"Dataset version {d['dataset'][:12]} was committed with {_count(d['rows'], 'row')}."
    ),
    "version.registered": lambda d: f"Version {d['number']} was packaged and signed ({d['size_bytes'] / 1e6:.1f} MB).",
    "key.published": lambda d: f"Signing key {d['key'][:12]} is trusted from now on.",
    "approval.requested": _asked,
    "approval.decided": _approved,
    "deployment.started": lambda d: f"Version {d['version']} is being rolled out{_part(d)}.",
    "deployment.shifted": _shifted,
    "deployment.finished": _deployed,
    "deployment.rolled_back": _rolled_back,
    "model.retired": lambda d: f"The model was retired{_because(d)}",
    "drift.measured": lambda d: d.get("verdict") or "A window was compared with the training reference.",
    "labels.joined": lambda d: d["sentence"],
    "retrain.requested": lambda d: f"Retraining was asked for: {d['reason']}",
    "retrain.skipped": lambda d: d["reason"] if d.get("why") == "quiet" else f"No retraining: {d['reason']}",
}
