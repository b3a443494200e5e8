"""Dry run: replays a retraining policy over the measurements of the past. It changes nothing in the store."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from slipstream.errors import SpecError, shown
from slipstream.number_formats import counted
from slipstream.retraining.facts import DECISIONS, Situation
from slipstream.retraining.policy import Mark, Measurement, PolicyDecision, decide_on
from slipstream.retraining.rejudge import REPLAYABLE, Judge
from slipstream.spec import strict_yaml
from slipstream.spec.loader import parse_spec
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.payloads import DriftMeasured, RetrainDecided
from slipstream.store.state import Event

_HOW = {
    "windows": "because it had not lasted",
    "rollout": "during a rollout",
    "approval": "while a version waited for approval",
    "trained": "because nothing new was committed",
    "cooldown": "by the cooldown",
}


@dataclass(frozen=True)
class ReplayedDecision:
    """One measurement of the past, and what would have been decided on it.

    Attributes:
        seq: Number of its event.
        time: When it was measured, UTC, ISO 8601.
        window: The rows, in words.
        verdict: What the changed model file says of it.
        action: ``retrain`` or ``skip``.
        why: As :class:`~slipstream.retraining.policy.PolicyDecision` has it.
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
    windows: tuple[ReplayedDecision, ...]
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
    judge, situation, decisions = Judge(tried, store), Situation(), []
    for event in events:
        if event.kind in DECISIONS:
            continue
        if event.kind != "drift.measured":
            situation.take(event)
            continue
        measured = judge.judged(event)
        situation.measure(event, measured)
        decisions.append(_replayed(event, measured, _decision(tried, situation, event), then.get(event.content.run)))
    requests = [one for one in decisions if one.action == "retrain"]
    requests_then = sum(one.then == "retrain" for one in decisions)
    sentence = _sentence(changes, decisions, requests, requests_then)
    return DryRun(spec.name, dict(changes), len(requests), requests_then, tuple(decisions), sentence)


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
    decisions: dict[str, Event] = {}
    for event in events:
        if event.kind not in DECISIONS:
            continue
        run = event.content_as(RetrainDecided).measured
        if event.kind == "retrain.requested" or run not in decisions:
            decisions[run] = event
    return decisions


def _decision(spec: ModelSpec, situation: Situation, event: Event) -> PolicyDecision:
    """What the policy says at the time of *event*; the situation takes it in."""
    now = Mark(event.seq, datetime.fromisoformat(event.time))
    decision = decide_on(spec.retrain, situation.facts(spec, now.time))
    situation.decide(now, retrain=decision.action == "retrain")
    if decision.action == "retrain":
        situation.assume_trained(now)
    return decision


def _replayed(event: Event, measured: Measurement, decision: PolicyDecision, then: Event | None) -> ReplayedDecision:
    word = {"retrain.requested": "retrain", "retrain.skipped": "skip"}[then.kind] if then else ""
    return ReplayedDecision(
        seq=event.seq,
        time=event.time,
        window=event.content_as(DriftMeasured).result.window,
        verdict=measured.verdict,
        action=decision.action,
        why=decision.why,
        reason=decision.reason,
        then=word,
        then_reason=(then.content.reason or "") if then else "",
    )


def _sentence(
    changes: Mapping[str, str],
    decisions: Sequence[ReplayedDecision],
    requests: Sequence[ReplayedDecision],
    requests_then: int,
) -> str:
    with_ = ", ".join(f"{key} {value}" for key, value in changes.items()) or "the model file as it is"
    count = f"{counted(len(requests), 'request')} instead of {requests_then}"
    first = f", the first on {requests[0].time[:16].replace('T', ' ')} UTC" if requests else ""
    whys = Counter(one.why for one in decisions)
    skipped = [f"{whys[why]} skipped {how}" for why, how in _HOW.items() if whys[why]]
    return "; ".join([f"With {with_}: {count} in {counted(len(decisions), 'window')}{first}", *skipped]) + "."
