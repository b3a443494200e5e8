"""Dry run: replays a retraining policy over the measurements of the past. It changes nothing in the store."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from slipstream import strict_yaml
from slipstream.errors import SpecError, shown
from slipstream.model_file import parse_spec
from slipstream.spec import ModelSpec
from slipstream.stages.policies.policy import Decision, Mark, Measurement, decide_on
from slipstream.stages.policies.rejudge import REPLAYABLE, Judge
from slipstream.stages.policies.situation import DECISIONS, Situation
from slipstream.store import Store
from slipstream.store.state import Event

_HOW = {
    "windows": "because it had not lasted",
    "rollout": "during a rollout",
    "approval": "while a version waited for approval",
    "trained": "because nothing new was committed",
    "cooldown": "by the cooldown",
}


@dataclass(frozen=True)
class Replayed:
    """One measurement of the past, and what would have been decided on it.

    Attributes:
        seq: Number of its event.
        time: When it was measured, UTC, ISO 8601.
        window: The rows, in words.
        verdict: What the changed model file says of it.
        action: ``retrain`` or ``skip``.
        why: As :class:`~slipstream.stages.policies.policy.Decision` has it.
        reason: One sentence.
        then: What was decided then: ``retrain``, ``skip`` or "" for nothing.
        then_reason: With which sentence.
    """

    seq: int
    time: str
    window: str
    verdict: str
    action: str
    why: str
    reason: str
    then: str
    then_reason: str


@dataclass(frozen=True)
class DryRun:
    """What a policy would have done.

    Attributes:
        model: The model.
        changed: Key -> the value that was tried.
        requests: How often it would have asked for a retraining.
        requests_then: How often one was asked for.
        windows: Each measurement, oldest first.
        sentence: The outcome in one sentence.
    """

    model: str
    changed: dict[str, str]
    requests: int
    requests_then: int
    windows: tuple[Replayed, ...]
    sentence: str


def dry_run(spec: ModelSpec, store: Store, changes: Mapping[str, str]) -> DryRun:
    """Decide on every past measurement of the model as if *changes* had been live.

    A request that the policy makes counts as answered at once by a training on the data of that moment; trainings,
    rollouts and approvals that really happened stand in its way as they did.

    Args:
        spec: The model.
        store: The store; it is only read.
        changes: Key -> value as the model file would write them, such as ``retrain.windows`` -> ``2``.

    Raises:
        SpecError: a key or a value is wrong, or cannot be tried on statistics that were measured already.
    """
    tried = changed(spec, changes)
    events = store.ledger.read(model=spec.name)
    then = _decisions(events)
    judge, situation, found = Judge(tried, store), Situation(), []
    for event in events:
        if event.kind in DECISIONS:
            continue
        if event.kind != "drift.measured":
            situation.take(event)
            continue
        measured = judge.judged(event)
        situation.measure(event, measured)
        found.append(_replayed(event, measured, _decision(tried, situation, event), then.get(event.data["run"])))
    requests = [one for one in found if one.action == "retrain"]
    requests_then = sum(one.then == "retrain" for one in found)
    sentence = _sentence(changes, found, requests, requests_then)
    return DryRun(spec.name, dict(changes), len(requests), requests_then, tuple(found), sentence)


def changed(spec: ModelSpec, changes: Mapping[str, str]) -> ModelSpec:
    """*spec* with other values, checked as a model file is; raises SpecError."""
    plain = spec.model_dump(mode="json", exclude_unset=True)
    for key, text in changes.items():
        if not any(key == known or key.startswith(f"{known}.") for known in REPLAYABLE):
            message = f"{shown(key)} cannot be tried on the past: rows would have to be measured again."
            raise SpecError(f"{message} What can: {', '.join(REPLAYABLE)}.", code="dry_run_key")
        *place, last = key.split(".")
        part = plain
        for name in place:
            part[name] = part.get(name) or {}
            part = part[name]
        part[last] = strict_yaml.parse(text, f"--set {key}").value
    tried = parse_spec(json.dumps(plain), "--set", allow_code=spec.allow_code)
    return tried.at(spec.folder, allow_code=spec.allow_code)


def _decisions(events: Sequence[Event]) -> dict[str, Event]:
    """Run of the measurement -> the decision on it; of several, the request."""
    found: dict[str, Event] = {}
    for event in events:
        if event.kind not in DECISIONS:
            continue
        # A request of an older release was the monitoring's own.
        run = event.data["evidence"].get("measured") or event.data["run"]
        if event.kind == "retrain.requested" or run not in found:
            found[run] = event
    return found


def _decision(spec: ModelSpec, situation: Situation, event: Event) -> Decision:
    """What the policy says at the time of *event*; the situation takes it in."""
    now = Mark(event.seq, datetime.fromisoformat(event.time))
    decision = decide_on(spec.retrain, situation.facts(spec, now.time))
    situation.decide(now, asked=decision.action == "retrain")
    if decision.action == "retrain":
        situation.assume_trained(now)
    return decision


def _replayed(event: Event, measured: Measurement, decision: Decision, then: Event | None) -> Replayed:
    said: dict[str, Any] = then.data if then else {}
    word = {"retrain.requested": "retrain", "retrain.skipped": "skip"}[then.kind] if then else ""
    return Replayed(
        seq=event.seq,
        time=event.time,
        window=event.data["result"].get("window", ""),
        verdict=measured.verdict,
        action=decision.action,
        why=decision.why,
        reason=decision.reason,
        then=word,
        then_reason=said.get("reason", ""),
    )


def _sentence(
    changes: Mapping[str, str], found: Sequence[Replayed], requests: Sequence[Replayed], requests_then: int
) -> str:
    with_ = ", ".join(f"{key} {value}" for key, value in changes.items()) or "the model file as it is"
    count = f"{len(requests)} request{'' if len(requests) == 1 else 's'} instead of {requests_then}"
    first = f", the first on {requests[0].time[:16].replace('T', ' ')} UTC" if requests else ""
    whys = Counter(one.why for one in found)
    skipped = [f"{whys[why]} skipped {how}" for why, how in _HOW.items() if whys[why]]
    return (
        "; ".join([f"With {with_}: {count} in {len(found)} window{'' if len(found) == 1 else 's'}{first}", *skipped])
        + "."
    )
