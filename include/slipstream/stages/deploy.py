"""Deploy: makes a version the champion, once its target answers with it. What served before serves on until then.

The rollout stands between two events: ``deployment.started``, which the endpoint follows, and ``deployment.finished``
or ``deployment.rolled_back``. A task killed anywhere between is simply run again: until a deployment is closed, its key
is the same, so that the rerun finds what was begun and finishes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from slipstream.errors import Conflict, DeployError, NotFound, StageError
from slipstream.slots import TARGET, Rollout
from slipstream.spec import ModelSpec
from slipstream.stages.approve import require_approval
from slipstream.stages.contract import Result, Stage, find_result, once, run_key
from slipstream.stages.evaluate import Evaluated
from slipstream.store import Store
from slipstream.store.faultpoints import faultpoint
from slipstream.store.state import Event, ModelState, State

STAGE = Stage("deploy", version=1, event="deployment.finished")
READS = ("deploy",)
_CLOSED = {"deployment.finished", "deployment.rolled_back"}


@dataclass(frozen=True)
class Deployed(Result):
    """A version in service.

    Attributes:
        version: Its number.
        previous: The champion before it; None when there was none.
        bundle: Id of its bundle.
        seconds: From the start of the rollout until the target answered with it.
    """

    version: int
    previous: int | None
    bundle: str
    seconds: float


def deploy(spec: ModelSpec, store: Store, version: int, *, endpoint: str, actor: str = "") -> Deployed:
    """Put *version* into service; the champion again is returned as reused.

    Args:
        spec: The model.
        store: The store.
        version: The version's number.
        endpoint: URL of the installation's endpoint.
        actor: Who asked for it.

    Raises:
        NotFound: ``version_not_found``.
        StageError: ``gate_not_passed``, ``approval_missing`` or ``approval_refused``.
        Conflict: ``promotion_stale`` or ``deployment_in_flight``.
        DeployError: the version did not come into service; the event ``deployment.rolled_back`` says why.
    """
    state = store.ledger.state().model(spec.name)
    registered = _registered(spec, state, version)
    if state.champion == version and state.deployment in {None, version}:
        return _again(store, spec, version)
    _require_gate(spec, store, registered, version)
    require_approval(spec, store, version)
    key = run_key(STAGE, {}, {"version": version, "after": _last_closed(store, spec)})
    attempt = _Attempt(spec, store, version, registered, key, endpoint, actor)
    return once(
        STAGE,
        spec,
        store,
        key,
        lambda run: attempt.work(),
        result=Deployed,
        actor=actor,
        record=lambda made, _: {"version": made.version, "previous": made.previous},
    )


@dataclass(frozen=True)
class _Attempt:
    """One try to bring a version into service."""

    spec: ModelSpec
    store: Store
    version: int
    registered: Event
    key: str
    endpoint: str
    actor: str

    def work(self) -> Deployed:
        """Start, wait for the target, and close the deployment if it fails."""
        model, bundle = self.spec.name, str(self.registered.data["result"]["bundle"])
        target = TARGET.build(self.spec.deploy.target, allow_code=self.spec.allow_code)
        started = self._append("deployment.started", {"version": self.version, "bundle": bundle}, check=self._check)
        faultpoint("deploy.started")
        previous = self.store.ledger.state().model(model).champion
        timeout = self.spec.deploy.timeout.total_seconds()
        began = time.monotonic()
        try:
            target.roll_out(Rollout(model, self.version, bundle, self.store.url, self.endpoint, started.seq, timeout))
        except DeployError as error:
            reason = {"version": self.version, "previous": previous, "code": error.code, "reason": str(error)}
            self._append("deployment.rolled_back", reason)
            raise
        return Deployed(self.version, previous, bundle, round(time.monotonic() - began, 3))

    def _append(self, kind: str, payload: dict[str, Any], check: Callable[[State], None] | None = None) -> Event:
        return self.store.ledger.append(kind, self.spec.name, payload, key=self.key, actor=self.actor, check=check)

    def _check(self, state: State) -> None:
        """Refuse to start beside another deployment, or on a comparison with another champion."""
        name, model = self.spec.name, state.model(self.spec.name)
        if model.deployment not in {None, self.version}:
            message = (
                f"{name}: version {model.deployment} is being rolled out; deploy it again to finish or close that, "
                f"then deploy {self.version}."
            )
            raise Conflict(message, code="deployment_in_flight")
        if self.version in {served for _, served in model.served}:
            return
        compared = find_result(self.store, self.spec, self.registered.data["result"]["evaluation"], Evaluated).champion
        if model.champion != compared:
            now, then = model.champion or "none", compared or "none"
            message = f"{name}: champion is {now}, you compared with {then}; evaluate again."
            raise Conflict(message, code="promotion_stale")


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
