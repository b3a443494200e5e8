"""Deploy: makes a version the champion, once its target answers with it. What served before serves on until then.

The rollout stands between two events: ``deployment.started``, which the endpoint follows, and ``deployment.finished``
or ``deployment.rolled_back``. A task killed anywhere between is simply run again: until a deployment is closed, its key
is the same, so that the rerun finds what was begun and finishes it. A canary or a shadow stays between the two events
until somebody deploys the version in full or rolls it back.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from slipstream.errors import NotFound, StageError, Superseded
from slipstream.spec import ModelSpec
from slipstream.stages.approve import require_approval
from slipstream.stages.contract import Result, run_key
from slipstream.stages.retire import check_wanted
from slipstream.stages.rollouts.attempt import STAGE, Attempt, Deployed, Place, Share
from slipstream.store import Store
from slipstream.store.faultpoints import faultpoint
from slipstream.store.state import Event, ModelState

READS = ("deploy",)
CLOSING = {"deployment.finished", "deployment.rolled_back"}


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
    again: bool = False,
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
        again: Whether a retired model is brought back.
        actor: Who asked for it.

    Raises:
        NotFound: ``version_not_found``.
        StageError: ``gate_not_passed``, ``approval_missing``, ``approval_refused``, ``weight_invalid``,
            ``champion_missing``, ``model_retired`` or, for a share of the champion itself, ``already_champion``.
        Conflict: ``promotion_stale`` or ``deployment_in_flight``. As Superseded: another call moved or closed the same
            deployment meanwhile, and goes on undisturbed.
        DeployError: the version did not come into service; the event ``deployment.rolled_back`` says why.
    """
    state = store.ledger.state().model(spec.name)
    _registered(spec, state, version)
    check_wanted(spec, state, again=again)
    share = _share(spec, state, version, weight, shadow)
    note = {"reason": f"Version {version} was put into service in full, by itself.", "evidence": {}}
    return put(spec, store, version, Place(endpoint, endpoint_key, actor), share, note)


def put(spec: ModelSpec, store: Store, version: int, place: Place, share: Share, note: Mapping[str, Any]) -> Deployed:
    """Put *version* into service with that *share*; *note* is what the event that makes it the champion tells beside.

    Raises:
        NotFound, StageError, Conflict, DeployError: as :func:`deploy`.
    """
    state = store.ledger.state().model(spec.name)
    if state.champion == version and state.deployment in {None, version}:
        return _again(store, spec, version)
    attempt = replace(admitted(spec, store, version, place, share), note=note)
    return attempt.finish() if share.full else attempt.begun().work(f"{STAGE.name}-{attempt.key[:16]}")


def admitted(spec: ModelSpec, store: Store, version: int, place: Place, share: Share) -> Attempt:
    """An attempt with a version that may be deployed: it passed its gates and, if anybody sees its answers, approval.

    Raises:
        NotFound: ``version_not_found``.
        StageError: ``gate_not_passed``, ``approval_missing`` or ``approval_refused``.
    """
    state = replace(store.ledger.state().model(spec.name))
    registered = _registered(spec, state, version)
    _require_gate(spec, store, registered, version)
    if not share.shadow:
        require_approval(spec, store, version)
    return attempt_of(spec, store, state, version, place, share)


def attempt_of(spec: ModelSpec, store: Store, state: ModelState, version: int, place: Place, share: Share) -> Attempt:
    """The attempt with *version* since the last deployment before *state* was closed: asked for twice, it is one."""
    key = run_key(STAGE, {}, {"version": version, "after": state.closed})
    return Attempt(spec, store, version, state.versions[version], state.closed, key, place, share)


def roll_back(  # noqa: PLR0913 - where by name, why, and for whom
    spec: ModelSpec,
    store: Store,
    *,
    endpoint: str,
    endpoint_key: str = "",
    reason: str = "",
    actor: str = "",
    request: str = "",
) -> RolledBack:
    """Close the open deployment, so that the champion answers everything again; without one, put the newest version
    back into service that was champion and was not itself left by a rollback. It did serve, so it needs no gate and no
    approval. Rolled back again, the model goes further back.

    Args:
        spec: The model.
        store: The store.
        endpoint: URL of the installation's endpoint.
        endpoint_key: The API key to ask it with; "" for none.
        reason: Why, in one sentence.
        actor: Who asked for it.
        request: A word of the caller for this one request; repeated, it finds what it did. "": each call is a new one.

    Raises:
        StageError: ``rollback_impossible``: there is nothing to go back to; ``model_retired``.
        Conflict: ``deployment_in_flight``: somebody else deploys just now. As Superseded: what was open is taken back,
            and another deployment began before the target said so.
        DeployError: the target does not answer as it should.
    """
    known = _done_before(store, spec, request)
    if known is not None:
        return known
    state = replace(store.ledger.state().model(spec.name))
    place = Place(endpoint, endpoint_key, actor)
    note = {"reason": reason or f"taken back by {actor or 'hand'}.", "evidence": {}, "request": request}
    left, back = _way_back(store, spec, state)
    if left is None:
        return _close(spec, store, state, place, note)
    attempt = replace(attempt_of(spec, store, state, back, place, Share()), note={**note, "left": left})
    made = attempt.finish()
    return RolledBack(back, left, made.seconds, run=made.run, reused=made.reused)


def _way_back(store: Store, spec: ModelSpec, state: ModelState) -> tuple[int | None, int]:
    """The version to leave and the one to go back to. A deployment that is under way is left for the champion: then the
    first is None. But a rollback that is under way is finished.
    """
    if state.deployment is not None:
        started = store.ledger.read(after=state.attempt - 1, model=spec.name)[0]
        return started.data.get("left"), state.deployment
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
    for event in reversed(store.ledger.read(model=spec.name)):
        data = event.data
        if not request or event.kind not in CLOSING or data.get("request") != request:
            continue
        back, left = (data["version"], data["left"]) if "left" in data else (data["previous"], data["version"])
        return RolledBack(back, left, 0.0, run=_run_of(event), reused=True)
    return None


def _run_of(event: Event) -> str:
    return str(event.data.get("run") or f"rollback-{event.id[:16]}")


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


def _close(spec: ModelSpec, store: Store, state: ModelState, place: Place, note: Mapping[str, Any]) -> RolledBack:
    """Close the open deployment and wait until the champion answers everything."""
    version = state.deployment
    assert version is not None  # noqa: S101 - the caller saw it
    attempt = attempt_of(spec, store, state, version, place, Share())
    event = attempt.end("rolled_back", str(note["reason"]), state.champion, note)
    faultpoint("rollback.closed")
    seconds = await_champion(spec, store, place, event)
    return RolledBack(state.champion, version, seconds, run=_run_of(event))


def await_champion(spec: ModelSpec, store: Store, place: Place, event: Event) -> float:
    """Wait until the target answers with the champion alone, as the closing *event* asks; returns the seconds.

    Raises:
        Superseded: another deployment began meanwhile.
    """
    began = time.monotonic()
    champion = event.data["previous"]

    def still() -> None:
        if store.ledger.state().model(spec.name).moved != event.seq:
            left = f"{spec.name}: version {event.data['version']} was taken back"
            raise Superseded(f"{left}, and another deployment is in flight since; look at the history.")

    if champion is not None:
        attempt_of(spec, store, store.ledger.state().model(spec.name), champion, place, Share()).wait(event.seq, still)
    return round(time.monotonic() - began, 3)


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


def _again(store: Store, spec: ModelSpec, version: int) -> Deployed:
    """The deployment that made *version* the champion."""
    events = store.ledger.read(model=spec.name, kind=STAGE.event)
    event = next(event for event in reversed(events) if event.data["version"] == version)
    return replace(msgspec.convert(event.data["result"], Deployed), reused=True)
