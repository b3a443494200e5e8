"""Takes a version out of service: the deployment that is open, or the champion for one that served before."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from slipstream.errors import StageError, Superseded
from slipstream.rollout.admission import attempt_of
from slipstream.rollout.attempt import RolloutPlace, Share
from slipstream.runs import Result
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.faultpoints import faultpoint
from slipstream.store.payloads import (
    DeploymentFinished,
    DeploymentRolledBack,
    DeploymentShifted,
    DeploymentStarted,
)
from slipstream.store.state import Event, ModelState

CLOSING = {"deployment.finished", "deployment.rolled_back"}
_LOOKS = 10


@dataclass(frozen=True)
class RolledBack(Result):
    """A version taken out of service.

    Attributes:
        version: The version that answers everything now; None when nothing was in production yet.
        left: The version that was left.
        seconds: Until the target answered with it.
    """

    version: int | None
    left: int
    seconds: float


def rolled_back(spec: ModelSpec, store: Store, place: RolloutPlace, *, reason: str, request: str) -> RolledBack:
    """As :func:`slipstream.stages.deploy.roll_back`."""
    known = _done_before(store, spec, request)
    if known is not None:
        return known
    state = replace(store.ledger.state().model(spec.name))
    note = {"reason": reason or f"taken back by {place.actor or 'hand'}.", "evidence": {}, "request": request}
    left, back = _way_back(store, spec, state)
    if left is None:
        return _close(spec, store, state, place, note)
    attempt = replace(attempt_of(spec, store, state, back, place, Share()), note={**note, "left": left})
    deployed = attempt.finish()
    return RolledBack(back, left, deployed.seconds, run=deployed.run, reused=deployed.reused)


def withdrawn(
    spec: ModelSpec, store: Store, place: RolloutPlace, mine: Callable[[str], bool], reason: str
) -> int | None:
    """As :func:`slipstream.stages.deploy.take_back`."""
    for _ in range(_LOOKS):
        seen = replace(store.ledger.state().model(spec.name))
        version, request = seen.deployment, mover(store, seen)
        if version is None or not request or not mine(request):
            return None
        attempt = replace(attempt_of(spec, store, seen, version, place, Share()), mine=seen.moved)
        # It may have moved since it was seen, by the very call whose work this is: then it is looked at again.
        with suppress(Superseded):
            attempt.end("rolled_back", reason, seen.champion, check=attempt.check_mine)
            return version
    raise Superseded(f"{spec.name}: its deployment goes on moving; look at the history.")


def mover(store: Store, state: ModelState) -> str:
    """The ``request`` that began or moved the open deployment last; "" where none is open, or none was given."""
    if state.deployment is None:
        return ""
    return store.ledger.at(state.moved).content_as(DeploymentShifted).request


def _way_back(store: Store, spec: ModelSpec, state: ModelState) -> tuple[int | None, int]:
    """The version to leave and the one to go back to. A deployment that is under way is left for the champion: then the
    first is None. But a rollback that is under way is finished.
    """
    if state.deployment is not None:
        return store.ledger.at(state.attempt).content_as(DeploymentStarted).left, state.deployment
    served = (version for _, version in reversed(state.served))
    back = next((one for one in served if one != state.champion and one not in state.left), None)
    if state.retired is not None:
        message = f"{spec.name} is retired: nothing serves; deploy a version with --again to bring it back."
        raise StageError(message, code="model_retired")
    if state.champion is None or back is None:
        message = f"{spec.name}: no version served before this one; deploy another version."
        raise StageError(message, code="rollback_impossible")
    return state.champion, back


def _done_before(store: Store, spec: ModelSpec, request: str) -> RolledBack | None:
    """What an earlier call for the same *request* did."""
    model = store.ledger.state().model(spec.name)
    ends = [event for kind in CLOSING for event in model.on(kind)] if request else []
    for event in sorted(ends, key=lambda event: -event.seq):
        end = event.content
        if isinstance(end, DeploymentFinished) and end.request == request and end.left is not None:
            return RolledBack(end.version, end.left, 0.0, run=_run_of(event), reused=True)
        if isinstance(end, DeploymentRolledBack) and end.request == request:
            return RolledBack(end.previous, end.version, 0.0, run=_run_of(event), reused=True)
    return None


def _run_of(event: Event) -> str:
    return event.content.run or f"rollback-{event.id[:16]}"


def _close(
    spec: ModelSpec, store: Store, state: ModelState, place: RolloutPlace, note: Mapping[str, Any]
) -> RolledBack:
    """Close the open deployment and wait until the champion answers everything."""
    version = state.deployment
    assert version is not None  # noqa: S101 - the caller saw it
    attempt = attempt_of(spec, store, state, version, place, Share())
    event = attempt.end("rolled_back", str(note["reason"]), state.champion, note)
    faultpoint("rollback.closed")
    seconds = await_champion(spec, store, place, event)
    return RolledBack(state.champion, version, seconds, run=_run_of(event))


def await_champion(spec: ModelSpec, store: Store, place: RolloutPlace, event: Event) -> float:
    """Wait until the target answers with the champion alone, as the closing *event* asks; returns the seconds.

    Raises:
        Superseded: another deployment began meanwhile.
    """
    began = time.monotonic()
    closed = event.content_as(DeploymentRolledBack)
    champion = closed.previous

    def still() -> None:
        if store.ledger.state().model(spec.name).moved != event.seq:
            left = f"{spec.name}: version {closed.version} was taken back"
            raise Superseded(f"{left}, and another deployment is in flight since; look at the history.")

    if champion is not None:
        attempt_of(spec, store, store.ledger.state().model(spec.name), champion, place, Share()).wait(event.seq, still)
    return round(time.monotonic() - began, 3)
