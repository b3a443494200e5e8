"""One attempt to put a version into service: the events that ask for it, and the wait for what they ask for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from slipstream.errors import Conflict, DeployError, Outdated, Superseded
from slipstream.evaluation.record import Evaluated
from slipstream.runs import Result, Stage, find_result, once
from slipstream.slots import TARGET, Rollout
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.faultpoints import faultpoint
from slipstream.store.figures import VersionFigures
from slipstream.store.payloads import DeploymentStarted, VersionRegistered
from slipstream.store.state import Event, ModelState, State

STAGE = Stage("deploy", version=1, event="deployment.finished")
_MOVING = {"deployment.started", "deployment.shifted"}


@dataclass(frozen=True)
class Deployed(Result):
    """A version in service.

    Attributes:
        version: Its number.
        previous: The champion before it; None when there was none.
        bundle: Id of its bundle.
        seconds: From the start of the rollout until the target answered with it.
        weight: The share of the keys that it answers; 1: everything.
        shadow: Whether it only listens.
    """

    version: int
    previous: int | None
    bundle: str
    seconds: float
    weight: float = 1.0
    shadow: bool = False


@dataclass(frozen=True)
class Share:
    """How much of the requests a version answers."""

    weight: float = 1.0
    shadow: bool = False

    @property
    def full(self) -> bool:
        """Whether it takes the champion's place."""
        return self.weight >= 1 and not self.shadow


@dataclass(frozen=True)
class RolloutPlace:
    """Where a version is put into service, and who asks for it.

    Attributes:
        request: The caller's word for what it asked for; stands in what begins or moves the deployment.
        still: Called now and then while waiting; raises if the caller wants no more of it.
    """

    endpoint: str
    endpoint_key: str = field(repr=False)
    actor: str
    request: str = ""
    still: Callable[[], object] = field(default=bool, repr=False)


@dataclass(frozen=True)
class Attempt:
    """One try to bring a version into service.

    Attributes:
        after: Number of the event that closed the model's last deployment before it; once there is a newer one, this
            attempt is over, or its reasons are.
        mine: Number of the event that asks for its share; once the deployment has moved on, it is another's. 0: nothing
            has asked yet.
        joined: Whether that event was there before this attempt.
        note: What its last event tells beside: ``reason``, ``evidence`` and, of a rollback, ``left`` and ``request``.
    """

    spec: ModelSpec
    store: Store
    version: int
    registered: Event
    after: int
    key: str
    place: RolloutPlace
    share: Share
    mine: int = 0
    joined: bool = False
    note: Mapping[str, Any] = field(default_factory=dict)

    @property
    def packaged(self) -> VersionFigures:
        """What its packaging left."""
        return self.registered.content_as(VersionRegistered).result

    @property
    def bundle(self) -> str:
        """Id of the version's bundle."""
        return self.packaged.bundle

    def finish(self) -> Deployed:
        """Bring it into service in full, once."""
        done = self.store.ledger.find(STAGE.event, self.spec.name, self.key)
        attempt = self if done else self.begun()
        return once(
            STAGE,
            self.spec,
            self.store,
            self.key,
            attempt.work,
            result=Deployed,
            actor=self.place.actor,
            check=attempt.check_mine,
            record=lambda deployed, _: {"version": deployed.version, "previous": deployed.previous, **self.note},
        )

    def begun(self) -> Attempt:
        """This attempt with the event that asks for its share: that of an equal call, or one that this commits.

        Raises:
            Conflict: ``deployment_in_flight``; as Outdated: ``promotion_stale``.
        """
        now = self.state()
        if self.mine or (now.deployment == self.version and self._shared(now)):
            return replace(self, mine=self.mine or now.moved, joined=True)
        if now.deployment == self.version:
            event = self._shift(now)
            faultpoint("deploy.shifted")
        else:
            event = self.start()
            faultpoint("deploy.started")
        return replace(self, mine=event.seq)

    def start(self) -> Event:
        """Commit the event that starts the deployment, or find that of an equal call.

        Raises:
            Conflict: ``deployment_in_flight``; as Outdated: ``promotion_stale``.
        """
        event = self.append("deployment.started", self.payload(), self.key, self.check)
        begun = event.content_as(DeploymentStarted)
        wanted = Share() if self.share.full else self.share
        if (begun.weight, begun.shadow, begun.left) != (wanted.weight, wanted.shadow, self.note.get("left") or None):
            # Begun at the same time by a call that asks for something else.
            raise self.lost()
        return event

    def _shift(self, seen: ModelState) -> Event:
        """Give the deployment, as it was *seen*, another share; the same shift asked for twice at once is one."""
        shift = {"version": self.version, "weight": self.share.weight, "shadow": self.share.shadow}
        key = f"{self.key}:{seen.moved}:{self.share.weight:g}:{self.share.shadow}"
        return self.append("deployment.shifted", shift, key, replace(self, mine=seen.moved).check_mine)

    def work(self, run: str) -> Deployed:
        """Wait for the target to answer as the event asks, and close the deployment if it fails.

        Raises:
            Superseded: it is another's now, who goes on undisturbed.
            DeployError: the version did not come into service.
        """
        now = self.state()
        began = time.monotonic()
        try:
            self.wait(now.attempt, lambda: self.check_mine(self.store.ledger.state()))
        except DeployError as error:
            self.end(error.code, str(error), now.champion, check=self.check_mine)
            raise
        seconds = round(time.monotonic() - began, 3)
        share, reused = self.share, self.joined and not self.share.full
        return Deployed(
            self.version, now.champion, self.bundle, seconds, share.weight, share.shadow, run=run, reused=reused
        )

    def wait(self, seq: int, still: Callable[[], object] = bool) -> None:
        """Return when the target answers as it should; *seq* is the event that asks for it.

        *still* is called meanwhile, and raises if nobody wants it any more.
        """
        target = TARGET.build(self.spec.deploy.target, allow_code=self.spec.allow_code)
        target.roll_out(replace(self.as_rollout(seq), still=lambda: (self.place.still(), still())))

    def as_rollout(self, seq: int) -> Rollout:
        """What the target is asked for; *seq* is the event that does."""
        return Rollout(
            self.spec.name,
            self.version,
            self.bundle,
            self.store.url,
            self.place.endpoint,
            seq,
            self.spec.deploy.timeout.total_seconds(),
            self.place.endpoint_key,
            self.share.weight,
            self.share.shadow,
        )

    def end(
        self,
        code: str,
        reason: str,
        previous: int | None,
        note: Mapping[str, Any] | None = None,
        *,
        check: Callable[[State], None] | None = None,
    ) -> Event:
        """Close the deployment without a new champion; *check* says whether this may, by default whatever its share is.

        Raises:
            Superseded: it is not this attempt's to close.
        """
        closed: dict[str, Any] = {
            "version": self.version,
            "previous": previous,
            "code": code,
            "reason": reason,
            "evidence": {},
        }
        payload = {**closed, **(note or {})}
        return self.append("deployment.rolled_back", payload, self.key, check or self.check_open)

    def state(self) -> ModelState:
        """The model as it is now."""
        # A copy: the ledger's own goes on changing.
        return replace(self.store.ledger.state().model(self.spec.name))

    def _shared(self, state: ModelState) -> bool:
        return (state.weight, state.shadow) == (self.share.weight, self.share.shadow)

    def payload(self) -> dict[str, Any]:
        """What the event that starts it says."""
        payload: dict[str, Any] = {"version": self.version, "bundle": self.bundle}
        if not self.share.full:
            payload |= {"weight": self.share.weight, "shadow": self.share.shadow}
        if self.spec.deploy.sticky:
            payload["sticky"] = self.spec.deploy.sticky
        served = self.version in {version for _, version in self.state().served}
        if served or self.spec.deploy.on_schema_change == "allow":
            payload["schema_change"] = True
        if self.note.get("left"):
            payload["left"] = self.note["left"]
        return payload

    def append(
        self, kind: str, payload: dict[str, Any], key: str, check: Callable[[State], None] | None = None
    ) -> Event:
        """Commit one event about it; what moves it says who asked."""
        if self.place.request and kind in _MOVING:
            payload = {**payload, "request": self.place.request}
        return self.store.ledger.append(kind, self.spec.name, payload, key=key, actor=self.place.actor, check=check)

    def check_mine(self, state: State) -> None:
        """Refuse to go on with a deployment that somebody else has closed, or moved since."""
        self.check_open(state)
        if state.model(self.spec.name).moved != self.mine:
            raise self.lost()

    def lost(self) -> Superseded:
        """What is raised when it is another's."""
        name = self.spec.name
        return Superseded(f"{name}: another deployment of version {self.version} is in flight; look at the history.")

    def check_open(self, state: State) -> None:
        """Refuse to change what somebody else has closed."""
        model = state.model(self.spec.name)
        if (model.deployment, model.closed) != (self.version, self.after):
            raise Superseded(
                f"{self.spec.name}: the deployment of version {self.version} was closed; look at the history."
            )

    def check(self, state: State) -> None:
        """Refuse to start beside another deployment, or on a comparison with another champion."""
        name, model = self.spec.name, state.model(self.spec.name)
        if model.deployment not in {None, self.version}:
            message = (
                f"{name}: version {model.deployment} is being rolled out; deploy it again to finish that, or roll it "
                f"back, then deploy {self.version}."
            )
            raise Conflict(message, code="deployment_in_flight")
        if model.closed != self.after:
            message = f"{name}: another deployment was made meanwhile; look at the history, then decide again."
            raise Conflict(message, code="deployment_in_flight")
        if self.version in {served for _, served in model.served}:
            return
        compared = find_result(self.store, self.spec, self.packaged.evaluation, Evaluated).champion
        if model.champion != compared:
            now, then = model.champion or "none", compared or "none"
            message = f"{name}: champion is {now}, you compared with {then}; evaluate again."
            raise Outdated(message)
