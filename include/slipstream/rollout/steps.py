"""One run of a delivery: starts or takes over a deployment, shifts it step by step, and ends it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from slipstream.errors import DeployError, Superseded, TakenBack
from slipstream.number_formats import counted, percent
from slipstream.rollout.alarms import FEWEST_TIMED, Alarm, ServedFigure, VersionSide, alarm, judged
from slipstream.rollout.attempt import Attempt, Deployed, Share
from slipstream.rollout.rollback import await_champion
from slipstream.rollout.traffic import TrafficWatch, served_qualities
from slipstream.slots import Watchable
from slipstream.spec.model import ModelSpec
from slipstream.spec.values import written
from slipstream.store import Store
from slipstream.store.faultpoints import faultpoint
from slipstream.store.payloads import DeploymentShifted
from slipstream.store.state import Event, State

if TYPE_CHECKING:
    from slipstream.spec.loop import RolloutSpec

ALL_KEYS = math.nextafter(1.0, 0.0)
"""The weight of a challenger that every key goes to: less than that of a champion, and no key lies between."""
POLL_SECONDS, QUALITY_SECONDS, REPORT_SECONDS = 1.0, 10.0, 10.0
_AGAIN = {"endpoint_unreachable", "deploy_timeout"}
"""Codes of an endpoint that is being started again, or has no time."""

Progress = Callable[[str], None]


@dataclass
class SteppedRollout:
    """One run of one delivery.

    Attributes:
        attempt: The deployment.
        target: What is watched.
        champion: The version that the new one is held against.
        progress: Told of the progress.
        mine: Number of the last event of the deployment that this run committed.
        steps: The evidence of each step that has passed, those of an earlier run among them.
    """

    attempt: Attempt
    target: Watchable
    progress: Progress
    champion: int = 0
    watch: TrafficWatch = field(default_factory=TrafficWatch)
    mine: int = 0
    steps: list[dict[str, Any]] = field(default_factory=list)
    quality: dict[int, ServedFigure] = field(default_factory=dict)
    looked: float = -math.inf
    reported: float = -math.inf
    judged: float = -math.inf

    @property
    def version(self) -> int:
        """The version that is delivered."""
        return self.attempt.version

    def run(self) -> Deployed:
        """Go through the steps that are left and let the version take over.

        Raises:
            Superseded: the deployment is another's now.
            DeployError: ``rolled_back``, or it did not come into service.
        """
        self._look(-math.inf)
        for weight in self._begin():
            if self.attempt.state().weight != weight:
                self._shift(weight)
            self._bake(weight)
        return self._promote()

    def _begin(self) -> list[float]:
        """The weights that are left of a deployment that is started, or taken over."""
        before, weights = self.attempt.state(), [*self._rollout.steps, ALL_KEYS]
        if before.deployment != self.version:
            first = replace(self.attempt, share=Share(weights[0]))
            event = first.start()
            faultpoint("delivery.started")
        else:
            weights = [one for one in weights if before.shadow or one >= before.weight]
            if not weights:  # since this run looked, somebody put it into service in full
                raise self.attempt.lost()
            self.mine = before.moved
            self.steps = self._store.ledger.at(before.moved).content_as(DeploymentShifted).steps
            event = self._shifted(weights[0], "Another run goes on with the rollout.")
        self.mine = event.seq
        self.champion = self.attempt.state().champion or 0
        self._settle(event, weights[0])
        return weights

    def _shift(self, weight: float) -> None:
        done = self.steps[-1]
        text = f"Version {self.version} went through {percent(done['weight'])} of the keys for {_while(done)}"
        self._settle(self._shifted(weight, f"{text}: {counted(done['requests'], 'request')}, no alarm."), weight)

    def _shifted(self, weight: float, reason: str) -> Event:
        note = {"reason": reason, "evidence": {"steps": self.steps}}
        payload = {"version": self.version, "weight": weight, "shadow": False, **note}
        event = self.attempt.append("deployment.shifted", payload, "", self._check_mine)
        faultpoint("delivery.shifted")
        self.mine = event.seq
        return event

    def _settle(self, event: Event, weight: float) -> None:
        """Wait until the target answers as the *event* asks; an endpoint that is being started again is waited for."""
        attempt = replace(self.attempt, share=Share(weight))
        deadline = time.monotonic() + self._spec.deploy.timeout.total_seconds()
        while True:
            try:
                return attempt.wait(event.seq, self._check_mine_now)
            except DeployError as error:
                if error.code != "endpoint_unreachable" or time.monotonic() >= deadline:
                    self._end(error.code, str(error), {})
                    raise
            time.sleep(POLL_SECONDS)

    def _bake(self, weight: float) -> None:
        """Watch one step; return when it has passed.

        Raises:
            Superseded, DeployError: as :meth:`run`.
        """
        rollout = self._rollout
        bake, patience = rollout.bake.total_seconds(), rollout.patience.total_seconds()
        pause = min(POLL_SECONDS, max(bake / 5, 0.05))
        self.watch.begin_step()
        self.reported, began = -math.inf, time.monotonic()
        while True:
            waited = time.monotonic() - began
            self._look(began)
            if raised := self._alarm(last=waited >= bake):
                self._take_back(weight, waited, raised)
            requests = self.watch.step(self.version).received
            self._tell(weight, waited)
            if waited >= bake and requests >= rollout.min_requests and self.looked >= began:
                self.steps.append(self._evidence(weight, waited))
                return
            if waited >= max(bake, patience):
                self._give_up(weight, waited, requests)
            time.sleep(pause)

    def _look(self, began: float) -> None:
        """Take the newest figures. An endpoint that says nothing for long takes the version back."""
        self.attempt.place.still()
        self._check_mine_now()
        known = silent = None
        try:
            known = self.target.look(self.attempt.as_rollout(self.mine))
        except DeployError as error:
            silent = error
        if known is not None:
            self.looked = time.monotonic()
            self.watch.take(known)
            return
        silent = silent or DeployError(f"{self._spec.name}: the endpoint tells nothing of it.", code="deploy_timeout")
        long = time.monotonic() - max(self.looked, began) > self._spec.deploy.timeout.total_seconds()
        if long or silent.code not in _AGAIN:
            if self.mine:
                self._end(silent.code, str(silent), {})
            raise silent

    def _alarm(self, *, last: bool) -> Alarm | None:
        """The alarm that the step's figures raise, or those of the whole rollout."""
        if self._rollout.alarms.quality is not None and (last or time.monotonic() - self.judged > QUALITY_SECONDS):
            self.judged = time.monotonic()
            began = self._store.ledger.at(self.attempt.state().attempt).time
            self.quality = served_qualities(self._spec, self._store, self.champion, self.version, began)
        other = self._champion_side()
        quality = self.quality.get(self.version)
        for figures in (self.watch.step(self.version), self.watch.rollout(self.version)):
            raised = alarm(self._rollout.alarms, other, VersionSide(self.version, figures, quality))
            if raised is not None:
                return raised
        return None

    def _champion_side(self) -> VersionSide:
        """The champion as the challenger is held against it."""
        figures = self.watch.rollout(self.champion)
        if figures.requests < FEWEST_TIMED:
            figures = self.watch.ever(self.champion)
        return VersionSide(self.champion, figures, self.quality.get(self.champion))

    def _take_back(self, weight: float, waited: float, raised: Alarm) -> NoReturn:
        evidence = {**self._evidence(weight, waited), "value": raised.value, "limit": raised.limit, "steps": self.steps}
        event = self._end("rolled_back", raised.sentence, {"alarm": raised.name, "evidence": evidence})
        faultpoint("delivery.rolled_back")
        self._out(event, raised.sentence)

    def _give_up(self, weight: float, waited: float, count: int) -> NoReturn:
        least = self._rollout.min_requests
        text = f"Version {self.version} was asked {count:,} times in {waited:.0f} s, of {least:,} that its step needs."
        event = self._end("rolled_back", text, {"evidence": {**self._evidence(weight, waited), "steps": self.steps}})
        self._out(event, text)

    def _out(self, event: Event, reason: str) -> NoReturn:
        """Wait until the champion alone answers, then fail: a delivery that ends like this brought nothing."""
        self.progress(reason)
        with suppress(Superseded):  # what another one begins meanwhile changes nothing of this end
            await_champion(self._spec, self._store, self.attempt.place, event)
        raise TakenBack(f"{self._spec.name}/{self.version} was taken back: {reason}")

    def _end(self, code: str, reason: str, note: dict[str, Any]) -> Event:
        closed = {"version": self.version, "previous": self.champion, "code": code, "reason": reason, "evidence": {}}
        return self.attempt.append("deployment.rolled_back", {**closed, **note}, self.attempt.key, self._check_mine)

    def _promote(self) -> Deployed:
        note = {"reason": self._passed(), "evidence": {"steps": self.steps}}
        payload = {"version": self.version, "weight": 1.0, "shadow": False, **note}
        event = self.attempt.append("deployment.shifted", payload, "", self._check_mine)
        faultpoint("delivery.promoting")
        self.progress(str(note["reason"]))
        return replace(self.attempt, note=note, mine=event.seq).finish()

    def _passed(self) -> str:
        """Why it takes over, in one sentence."""
        requests = sum(step["requests"] for step in self.steps)
        shares = [percent(step["weight"]) for step in self.steps]
        listed = " and ".join([*([", ".join(shares[:-1])] if shares[1:] else []), shares[-1]])
        ours = VersionSide(self.version, self.watch.rollout(self.version), self.quality.get(self.version))
        able, unable = judged(self._rollout.alarms, self._champion_side(), ours)
        little = f" (too little to judge {', '.join(unable)})" if unable else ""
        seen = f"{counted(requests, 'request')}, no alarm of {', '.join(able)}{little}"
        seen = seen if able else "no request came, so nothing was judged"
        each = f"{written(self._rollout.bake)}{' each' if shares[1:] else ''}"
        who = f"Version {self.version} took over from version {self.champion}"
        return f"{who} after {listed} of the keys for {each}: {seen}."

    def _evidence(self, weight: float, waited: float) -> dict[str, Any]:
        ours = self.watch.step(self.version)
        evidence: dict[str, Any] = {
            "weight": weight,
            "seconds": round(waited, 1),
            "requests": ours.received,
            "challenger": ours.payload(),
            "champion": self.watch.rollout(self.champion).payload(),
        }
        for name, version in (("quality", self.version), ("champion_quality", self.champion)):
            if version in self.quality:
                evidence[name] = {"value": self.quality[version].value, "labelled": self.quality[version].labelled}
        return evidence

    def _tell(self, weight: float, waited: float) -> None:
        if time.monotonic() - self.reported < REPORT_SECONDS:
            return
        self.reported = time.monotonic()
        ours, theirs = self.watch.step(self.version), self.watch.rollout(self.champion)
        self.progress(
            f"{percent(weight)} of the keys, {waited:.0f} s of {written(self._rollout.bake)}: "
            f"{counted(ours.received, 'request')}, {ours.failures:,} failed, "
            f"p95 {_ms(ours.p95_ms)} (champion {_ms(theirs.p95_ms)})"
        )

    def _check_mine_now(self) -> None:
        if self.mine:
            self._check_mine(self._store.ledger.state())

    def _check_mine(self, state: State) -> None:
        """Refuse to go on with a deployment that somebody else closed, shifted or took over."""
        model = state.model(self._spec.name)
        if (model.deployment, model.moved) == (self.version, self.mine):
            return
        what = "was closed" if model.deployment != self.version else "is in the hands of another run"
        raise Superseded(f"{self._spec.name}: the delivery of version {self.version} {what}; look at the history.")

    @property
    def _spec(self) -> ModelSpec:
        return self.attempt.spec

    @property
    def _store(self) -> Store:
        return self.attempt.store

    @property
    def _rollout(self) -> RolloutSpec:
        return self._spec.deploy.rollout


def _while(step: dict[str, Any]) -> str:
    return written(timedelta(seconds=max(1, round(step["seconds"]))))


def _ms(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g} ms"
