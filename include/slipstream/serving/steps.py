"""What a worker has prepared for one model, step by step, and which step is in force."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from slipstream.serving.board import Row
from slipstream.serving.routes import Routes
from slipstream.serving.served import Served
from slipstream.serving.wishes import Version, Wish


@dataclass(frozen=True)
class Refusal:
    """Why a version was not taken.

    Attributes:
        version: Its number.
        bundle: Id of its bundle.
        seq: The event that asked for it.
        code: A stable word for the reason.
        reason: The reason.
    """

    version: int
    bundle: str
    seq: int
    code: str
    reason: str


@dataclass(frozen=True)
class Step:
    """A model as of one event.

    Attributes:
        wish: What the ledger asked for.
        routes: Who answers; None if nobody can.
        refused: The last version that was refused since one was taken.
    """

    wish: Wish
    routes: Routes | None
    refused: Refusal | None = None


@dataclass(frozen=True)
class Change:
    """One step after another."""

    before: Step | None
    now: Step

    @property
    def swapped(self) -> bool:
        """Whether another version became the champion."""
        champion, old = (step.routes.champion if step and step.routes else None for step in (self.now, self.before))
        return champion is not None and champion is not old

    @property
    def refused(self) -> bool:
        """Whether a version was refused."""
        return self.now.refused is not None and self.now.refused != (self.before and self.before.refused)


@dataclass
class Line:
    """One model at the endpoint.

    Attributes:
        wish: The newest one, which may not be prepared yet.
        row: Where the workers agree; None for a single worker.
        steps: What is prepared: the step in force, and those after it that other workers are not ready for.
        refusals: Version -> why it was refused, until it is asked for anew.
        tried: Whether preparing it was tried at all: readiness waits no longer than that.
        retry: When what could not be read is tried again, by the monotonic clock.
        spare: The version to go back to that was tried last.
        told: The step that was last logged.
    """

    wish: Wish
    row: Row | None = None
    steps: tuple[Step, ...] = ()
    refusals: dict[int, Refusal] = field(default_factory=dict)
    tried: bool = False
    retry: float = 0.0
    spare: Version | None = None
    told: Step | None = None

    @property
    def now(self) -> Step | None:
        """The step in force: the newest that every worker has prepared."""
        steps = self.steps
        if not steps:
            return None
        if self.row is None or len(steps) == 1:
            return steps[-1]
        return _as_of(steps, self.row.common) or steps[0]

    @property
    def newest(self) -> Step | None:
        """What was prepared last."""
        return self.steps[-1] if self.steps else None

    @property
    def behind(self) -> bool:
        """Whether something is asked for that is not prepared."""
        return not self.steps or self.steps[-1].wish.seq != self.wish.seq

    @property
    def agreed(self) -> bool:
        """Whether the newest step is in force everywhere."""
        return self.row is None or not self.steps or self.steps[-1].wish.seq <= self.row.common

    def add(self, step: Step) -> None:
        """Take a prepared step."""
        self.steps = (step,) if self.row is None else (*self.steps, step)
        if self.row is not None:
            self.row.prepared(step.wish.seq)

    def settle(self) -> Change | None:
        """Bring into force what every worker has, and forget what is past.

        Returns:
            What this worker, of all, brought into force.
        """
        before = self.told
        brought = self.row is None
        if self.row is not None and not self.agreed:
            common = self.row.advance()
            brought = common is not None
            before = _as_of(self.steps, common) if common is not None else None
        now = self.now
        if now is not None and self.steps[0] is not now:
            self.steps = self.steps[self.steps.index(now) :]
        return Change(before, now) if brought and now is not None and now is not before else None

    def keep_spare(self, served: Served) -> None:
        """Keep *served* loaded, to go back to."""
        newest = self.steps[-1]
        if newest.routes is not None:
            routes = replace(newest.routes, previous=served)
            self.steps = (*self.steps[:-1], replace(newest, routes=routes))

    def loaded(self) -> Iterator[Served]:
        """Every version that is loaded."""
        for step in self.steps:
            found = step.routes
            if found is not None:
                yield from filter(None, (found.champion, found.challenger, found.shadow, found.previous))

    def find(self, version: Version) -> Served | None:
        """The loaded version of that number."""
        return next((one for one in self.loaded() if one.version == version.number), None)


def _as_of(steps: tuple[Step, ...], seq: int) -> Step | None:
    return next((step for step in reversed(steps) if step.wish.seq <= seq), None)
