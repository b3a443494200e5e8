"""Deploy: makes a version the champion, once its target answers with it. What served before serves on until then.

The rollout stands between two events: ``deployment.started``, which the endpoint follows, and ``deployment.finished``
or ``deployment.rolled_back``. A task killed anywhere between is simply run again: until a deployment is closed, its key
is the same, so that the rerun finds what was begun and finishes it. A canary or a shadow stays between the two events
until somebody deploys the version in full or rolls it back.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import msgspec

from slipstream.errors import NotFound, StageError
from slipstream.spec import ModelSpec
from slipstream.stages.approve import require_approval
from slipstream.stages.contract import Result, run_key
from slipstream.stages.rollout import STAGE, Attempt, Deployed, Place, Share
from slipstream.store import Store
from slipstream.store.state import Event, ModelState

READS = ("deploy",)
_CLOSED = {"deployment.finished", "deployment.rolled_back"}


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


def deploy(  # noqa: PLR0913 - what to put into service by position, how by name
    spec: ModelSpec,
    store: Store,
    version: int,
    *,
    endpoint: str,
    endpoint_key: str = "",
    weight: float | None = None,
    shadow: bool = False,
    actor: str = "",
) -> Deployed:
    """Put *version* into service; the champion again is returned as reused.

    With a *weight* below 1 or as a *shadow* the deployment stays open: deploy the version again, with another weight or
    in full, or take it back with :func:`roll_back`.

    Args:
        spec: The model.
        store: The store.
        version: The version's number.
        endpoint: URL of the installation's endpoint.
        endpoint_key: The API key to ask it with; "" for none.
        weight: The share of the keys that it answers, from 0 to 1; None: everything, as the champion.
        shadow: Whether it only listens: it needs no approval, for nobody sees its answers.
        actor: Who asked for it.

    Raises:
        NotFound: ``version_not_found``.
        StageError: ``gate_not_passed``, ``approval_missing``, ``approval_refused``, ``weight_invalid``,
            ``champion_missing`` or, for a share of the champion itself, ``already_champion``.
        Conflict: ``promotion_stale`` or ``deployment_in_flight``.
        DeployError: the version did not come into service; the event ``deployment.rolled_back`` says why.
    """
    state = store.ledger.state().model(spec.name)
    registered = _registered(spec, state, version)
    share = _share(spec, state, version, weight, shadow)
    if state.champion == version and state.deployment in {None, version}:
        return _again(store, spec, version)
    _require_gate(spec, store, registered, version)
    if not shadow:
        require_approval(spec, store, version)
    attempt = _attempt(spec, store, registered, version, Place(endpoint, endpoint_key, actor), share)
    return attempt.finish() if share.full else attempt.work(f"{STAGE.name}-{attempt.key[:16]}")


def roll_back(
    spec: ModelSpec, store: Store, *, endpoint: str, endpoint_key: str = "", reason: str = "", actor: str = ""
) -> RolledBack:
    """Close the open deployment, so that the champion answers everything again; without one, put the champion before
    this one back into service. It did serve, so it needs no gate and no approval, and the endpoint keeps it loaded.

    Raises:
        StageError: ``rollback_impossible``: there is nothing to go back to.
        Conflict: ``deployment_in_flight``: somebody else deploys just now.
        DeployError: the target does not answer as it should.
    """
    state = store.ledger.state().model(spec.name)
    place = Place(endpoint, endpoint_key, actor)
    if state.deployment is not None:
        return _close(spec, store, state, place, reason)
    left, back = state.champion, state.previous
    if left is None or back is None:
        message = f"{spec.name}: no version served before this one; deploy another version."
        raise StageError(message, code="rollback_impossible")
    made = _attempt(spec, store, state.versions[back], back, place, Share()).finish()
    return RolledBack(back, left, made.seconds, run=made.run, reused=made.reused)


def _share(spec: ModelSpec, state: ModelState, version: int, weight: float | None, shadow: bool) -> Share:
    if weight is not None and (shadow or not 0 <= weight <= 1):
        what = "a shadow has no weight" if shadow else f"a weight lies between 0 and 1, got {weight:g}"
        raise StageError(f"{spec.name}: {what}; mend it.", code="weight_invalid")
    share = Share(0.0 if shadow else 1.0 if weight is None else weight, shadow)
    if not share.full and state.champion is None:
        message = f"{spec.name}: no version serves yet; deploy version {version} in full first."
        raise StageError(message, code="champion_missing")
    if not share.full and state.champion == version:
        message = f"{spec.name}: version {version} is the champion and answers everything already."
        raise StageError(message, code="already_champion")
    return share


def _attempt(spec: ModelSpec, store: Store, registered: Event, version: int, place: Place, share: Share) -> Attempt:
    key = run_key(STAGE, {}, {"version": version, "after": _last_closed(store, spec)})
    return Attempt(spec, store, version, registered, key, place, share)


def _close(spec: ModelSpec, store: Store, state: ModelState, place: Place, reason: str) -> RolledBack:
    """Close the open deployment and wait until the champion answers everything."""
    version = state.deployment
    assert version is not None  # noqa: S101 - the caller saw it
    attempt = _attempt(spec, store, state.versions[version], version, place, Share())
    said = reason or f"taken back by {place.actor or 'hand'}."
    event = attempt.end("rolled_back", said, state.champion)
    began = time.monotonic()
    if state.champion is not None:
        back = _attempt(spec, store, state.versions[state.champion], state.champion, place, Share())
        back.wait(event.seq)
    return RolledBack(state.champion, version, round(time.monotonic() - began, 3), run=f"rollback-{event.id[:16]}")


def _registered(spec: ModelSpec, state: ModelState, version: int) -> Event:
    if version not in state.versions:
        known = ", ".join(map(str, list(state.versions)[-5:])) or "none"
        raise NotFound(f"{spec.name} has no version {version}. Known: {known}.", code="version_not_found")
    return state.versions[version]


def _require_gate(spec: ModelSpec, store: Store, registered: Event, version: int) -> None:
    """Refuse a version whose newest gate run did not let it pass, or that was never held against the gates."""
    runs = [event for event in store.ledger.read(model=spec.name) if event.data.get("stage") == "gate"]
    newest = next((event for event in reversed(runs) if event.data["result"]["version"] == version), None)
    if newest is None:
        message = f"{spec.name}/{version} was never held against the gates; run the gate stage first."
        raise StageError(message, code="gate_not_passed")
    if not newest.data["result"]["passed"]:
        said = [verdict["sentence"] for verdict in newest.data["result"]["verdicts"] if not verdict["passed"]]
        raise StageError(f"{spec.name}/{version} did not pass its gates: {' '.join(said)}", code="gate_not_passed")


def _last_closed(store: Store, spec: ModelSpec) -> int:
    """Number of the event that closed the model's last deployment; what tells one attempt from the next."""
    return max((event.seq for event in store.ledger.read(model=spec.name) if event.kind in _CLOSED), default=0)


def _again(store: Store, spec: ModelSpec, version: int) -> Deployed:
    """The deployment that made *version* the champion."""
    events = store.ledger.read(model=spec.name, kind=STAGE.event)
    event = next(event for event in reversed(events) if event.data["version"] == version)
    return replace(msgspec.convert(event.data["result"], Deployed), reused=True)
