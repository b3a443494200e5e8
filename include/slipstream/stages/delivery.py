"""Delivers a version: step by step to more of the keys, watched at each, until it takes over or is taken back.

Everything lies in the ledger: a run that was killed is run again and goes on with the step that it finds, its bake
begun anew. Of two runs at once the later one goes on; the other is told so when it next looks. Each of a run's events
is committed only if nothing happened to the deployment since its last one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from slipstream.errors import StageError
from slipstream.slots import TARGET, Watchable
from slipstream.spec import ModelSpec
from slipstream.stages.deploy import CLOSING, admitted, put
from slipstream.stages.retire import check_wanted
from slipstream.stages.rollouts.attempt import Deployed, Place, Share, event_at
from slipstream.stages.rollouts.steps import Delivery, Said
from slipstream.store import Store
from slipstream.store.state import ModelState


def deliver(  # noqa: PLR0913 - what by position, where and how by name
    spec: ModelSpec,
    store: Store,
    version: int,
    *,
    endpoint: str,
    endpoint_key: str = "",
    actor: str = "",
    said: Said | None = None,
    again: bool = False,
) -> Deployed:
    """Bring *version* into service by ``deploy.rollout``: each step is watched for its bake, and an alarm takes the
    version back. The first version, and one for a target that cannot be watched, is put into service in full at once.

    Args:
        spec: The model.
        store: The store.
        version: The version's number.
        endpoint: URL of the installation's endpoint.
        endpoint_key: The API key to ask it with; "" for none.
        actor: Who asked for it.
        said: Told of the progress, a line at a time.
        again: Whether a version that an alarm took back before is tried again, and a retired model is brought back.

    Raises:
        NotFound: ``version_not_found``.
        StageError: ``gate_not_passed``, ``approval_missing``, ``approval_refused``, ``version_rolled_back``,
            ``model_retired`` or ``alarm_without_labels``.
        Conflict: ``promotion_stale`` or ``deployment_in_flight``.
        DeployError: ``rolled_back``, with the alarm; or the version did not come into service.
    """
    place = Place(endpoint, endpoint_key, actor)
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
    return Delivery(attempt, target, said or (lambda _: None)).run()


def _in_full(spec: ModelSpec, store: Store, state: ModelState, version: int) -> dict[str, Any] | None:
    """Why nothing is left to watch; None if there is."""
    if state.champion is None:
        why = "the model was retired, and nothing serves" if state.retired else "it is the first"
        return {"reason": f"Version {version} serves in full at once: {why}.", "evidence": {}}
    if state.champion == version and state.deployment is None:
        return {}
    if state.deployment == version and state.weight >= 1 and not state.shadow:
        # It passed all its steps, or somebody put it into service in full: what is left is to finish that.
        moved = event_at(store, spec, state.moved).data
        reason = moved.get("reason") or f"Version {version} was put into service in full, by itself."
        return {"reason": reason, "evidence": moved.get("evidence", {})}
    return None


def _check_labels(spec: ModelSpec) -> None:
    """Refuse a rollout that only labels could stop, where none can come."""
    limits, kept = spec.deploy.rollout.alarms, spec.deploy.capture.sample > 0
    others = (limits.errors, limits.latency, limits.missing, limits.disagreement)
    if not kept and all(limit is None for limit in others):
        message = (
            f"{spec.name}: quality is the only alarm of deploy.rollout, and deploy.capture keeps no predictions for "
            "labels to join; set another alarm, or keep predictions."
        )
        raise StageError(message, code="alarm_without_labels")


def _check_not_taken_back(spec: ModelSpec, store: Store, version: int) -> None:
    """Refuse a version that an alarm took back, if nothing put it into service since."""
    closed = [e for e in store.ledger.read(model=spec.name) if e.kind in CLOSING and e.data["version"] == version]
    if closed and closed[-1].data.get("alarm"):
        when, reason = closed[-1].time[:16].replace("T", " "), closed[-1].data["reason"]
        message = (
            f"{spec.name}/{version} was taken back by an alarm on {when} UTC: {reason} Deliver another version, or "
            "this one once more with --again."
        )
        raise StageError(message, code="version_rolled_back")
