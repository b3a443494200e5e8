"""Delivers a version: step by step to more of the keys, watched at each, until it takes over or is taken back.

Everything lies in the ledger: a run that was killed is run again and goes on with the step that it finds, its bake
begun anew. Of two runs at once the later one goes on; the other is told so when it next looks. Each of a run's events
is committed only if nothing happened to the deployment since its last one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from slipstream.errors import StageError
from slipstream.rollout.admission import admitted, check_wanted
from slipstream.rollout.at_once import put
from slipstream.rollout.attempt import Deployed, RolloutPlace, Share
from slipstream.rollout.rollback import CLOSING
from slipstream.rollout.steps import Progress, SteppedRollout
from slipstream.slots import TARGET, Watchable
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.payloads import DeploymentRolledBack
from slipstream.store.state import ModelState


def deliver(
    spec: ModelSpec,
    store: Store,
    version: int,
    place: RolloutPlace,
    *,
    progress: Progress | None = None,
    again: bool = False,
) -> Deployed:
    """As :func:`slipstream.stages.deploy.deploy` by steps."""
    target = TARGET.build(spec.deploy.target, allow_code=spec.allow_code)
    state = replace(store.ledger.state().model(spec.name))
    check_wanted(spec, state, again=again)
    note = _in_full(spec, store, state, version)
    if note is not None or not isinstance(target, Watchable):
        kind = spec.deploy.target["type"]
        text = f"Version {version} serves in full at once: of a target of type {kind} no answers can be watched."
        return put(spec, store, version, place, Share(), note or {"reason": text, "evidence": {}})
    _check_labels(spec)
    if not again and state.deployment != version:
        _check_not_taken_back(spec, store, version)
    attempt = admitted(spec, store, version, place, Share())
    return SteppedRollout(attempt, target, progress or (lambda _: None)).run()


def is_watched(spec: ModelSpec, store: Store, version: int) -> bool:
    """Whether :func:`deliver` goes through steps, which takes as long as their bakes, or is done in seconds."""
    state = replace(store.ledger.state().model(spec.name))
    watchable = isinstance(TARGET.build(spec.deploy.target, allow_code=spec.allow_code), Watchable)
    return watchable and _in_full(spec, store, state, version) is None


def _in_full(spec: ModelSpec, store: Store, state: ModelState, version: int) -> dict[str, Any] | None:
    """Why nothing is left to watch; None if there is."""
    if state.champion is None:
        why = "the model was retired, and nothing serves" if state.retired else "it is the first"
        return {"reason": f"Version {version} serves in full at once: {why}.", "evidence": {}}
    if state.champion == version and state.deployment is None:
        return {}
    if state.deployment == version and state.weight >= 1 and not state.shadow:
        # It passed all its steps, or somebody put it into service in full: what is left is to finish that.
        moved = store.ledger.at(state.moved).content
        reason = moved.reason or f"Version {version} was put into service in full, by itself."
        return {"reason": reason, "evidence": moved.evidence or {}}
    return None


def _check_labels(spec: ModelSpec) -> None:
    """Refuse a rollout that only labels could stop, where none can come."""
    limits, captures = spec.deploy.rollout.alarms, spec.deploy.capture.sample > 0
    others = (limits.errors, limits.latency, limits.missing, limits.disagreement)
    if not captures and all(limit is None for limit in others):
        message = (
            f"{spec.name}: quality is the only alarm of deploy.rollout, and deploy.capture keeps no predictions for "
            "labels to join; set another alarm, or keep predictions."
        )
        raise StageError(message, code="alarm_without_labels")


def _check_not_taken_back(spec: ModelSpec, store: Store, version: int) -> None:
    """Refuse a version that an alarm took back, if nothing put it into service since."""
    model = store.ledger.state().model(spec.name)
    ends = [event for event in (model.newest(kind, version) for kind in CLOSING) if event is not None]
    closed = max(ends, key=lambda event: event.seq, default=None)
    content = closed.content if closed is not None else None
    if closed is not None and isinstance(content, DeploymentRolledBack) and content.alarm:
        when = closed.time[:16].replace("T", " ")
        back = f"{spec.name}/{version} was taken back by an alarm on {when} UTC: {content.reason}"
        message = f"{back} Deliver another version, or this one once more with --again."
        raise StageError(message, code="version_rolled_back")
