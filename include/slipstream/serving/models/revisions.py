"""What a worker has prepared for one model, revision by revision, and which of them is in force."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from slipstream.serving.models.cutover import ModelSlot
from slipstream.serving.models.desired import DesiredState, DesiredVersion
from slipstream.serving.models.traffic_split import TrafficSplit
from slipstream.serving.version.loaded import LoadedVersion


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
class Revision:
    """A model as of one event.

    Attributes:
        desired: What the ledger asked for.
        split: Who answers; None if nobody can.
        refused: The last version that was refused since one was taken.
    """

    desired: DesiredState
    split: TrafficSplit | None
    refused: Refusal | None = None


@dataclass(frozen=True)
class RevisionChange:
    """One revision after another."""

    before: Revision | None
    now: Revision

    @property
    def swapped(self) -> bool:
        """Whether another version became the champion."""
        champion, old = (
            revision.split.champion if revision and revision.split else None for revision in (self.now, self.before)
        )
        return champion is not None and champion is not old

    @property
    def refused(self) -> bool:
        """Whether a version was refused."""
        return self.now.refused is not None and self.now.refused != (self.before and self.before.refused)


@dataclass
class ServedModel:
    """One model at the endpoint.

    Attributes:
        desired: The newest one, which may not be prepared yet.
        row: Where the workers agree; None for a single worker.
        revisions: What is prepared: the revision in force, and those after it that other workers are not ready for.
        refusals: Version -> why it was refused, until it is asked for anew.
        tried: Whether preparing it was tried at all: readiness waits no longer than that.
        retry: When what could not be read is tried again, by the monotonic clock.
        spare: The version to go back to that was tried last.
        logged: The revision that was last logged.
    """

    desired: DesiredState
    row: ModelSlot | None = None
    revisions: tuple[Revision, ...] = ()
    refusals: dict[int, Refusal] = field(default_factory=dict)
    tried: bool = False
    retry: float = 0.0
    spare: DesiredVersion | None = None
    logged: Revision | None = None

    @property
    def now(self) -> Revision | None:
        """The revision in force: the newest that every worker has prepared."""
        revisions = self.revisions
        if not revisions:
            return None
        if self.row is None or len(revisions) == 1:
            return revisions[-1]
        return _as_of(revisions, self.row.common) or revisions[0]

    @property
    def newest(self) -> Revision | None:
        """What was prepared last."""
        return self.revisions[-1] if self.revisions else None

    @property
    def behind(self) -> bool:
        """Whether something is asked for that is not prepared."""
        return not self.revisions or self.revisions[-1].desired.seq != self.desired.seq

    @property
    def agreed(self) -> bool:
        """Whether the newest revision is in force everywhere."""
        return self.row is None or not self.revisions or self.revisions[-1].desired.seq <= self.row.common

    def add(self, revision: Revision) -> None:
        """Take a prepared revision."""
        self.revisions = (revision,) if self.row is None else (*self.revisions, revision)
        if self.row is not None:
            self.row.prepared(revision.desired.seq)

    def settle(self) -> RevisionChange | None:
        """Bring into force what every worker has, and forget what is past.

        Returns:
            What this worker, of all, brought into force.
        """
        before = self.logged
        brought = self.row is None
        if self.row is not None and not self.agreed:
            common = self.row.advance()
            brought = common is not None
            before = _as_of(self.revisions, common) if common is not None else None
        now = self.now
        if now is not None and self.revisions[0] is not now:
            self.revisions = self.revisions[self.revisions.index(now) :]
        return RevisionChange(before, now) if brought and now is not None and now is not before else None

    def keep_spare(self, served: LoadedVersion) -> None:
        """Keep *served* loaded, to go back to."""
        newest = self.revisions[-1]
        if newest.split is not None:
            split = replace(newest.split, previous=served)
            self.revisions = (*self.revisions[:-1], replace(newest, split=split))

    def loaded(self) -> Iterator[LoadedVersion]:
        """Every version that is loaded."""
        for revision in self.revisions:
            split = revision.split
            if split is not None:
                yield from filter(None, (split.champion, split.challenger, split.shadow, split.previous))

    def find(self, version: DesiredVersion) -> LoadedVersion | None:
        """The loaded version of that number."""
        return next((one for one in self.loaded() if one.version == version.number), None)


def _as_of(revisions: tuple[Revision, ...], seq: int) -> Revision | None:
    return next((revision for revision in reversed(revisions) if revision.desired.seq <= seq), None)
