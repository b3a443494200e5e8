"""What the ledger wants in service: pure values, folded from the events of one model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from slipstream.store.payloads import VersionRegistered
from slipstream.store.state import Event, ModelState


@dataclass(frozen=True)
class DesiredVersion:
    """A registered version, as the endpoint needs to know it.

    Attributes:
        number: Its number.
        bundle: Id of its bundle.
        spec: Digest of the model file that it was packaged with; "" if not known.
        registered: Unix time, in seconds.
    """

    number: int
    bundle: str
    spec: str
    registered: float

    @classmethod
    def of(cls, number: int, event: Event) -> DesiredVersion:
        """The version that *event* registered; raises ValueError for one that names no bundle, of another release."""
        packaged = event.content_as(VersionRegistered)
        if not packaged.result.bundle:
            raise ValueError(f"event {event.seq} names no bundle")
        return cls(number, packaged.result.bundle, packaged.spec, datetime.fromisoformat(event.time).timestamp())


@dataclass(frozen=True)
class DesiredState:
    """What a model should have in service.

    Attributes:
        seq: The last event of a deployment: what is desired as of then.
        attempt: The event that last named a version to serve; what was refused before it is tried again.
        champion: The version in production.
        previous: The one before it.
        rollout: The version that is being rolled out.
        weight: The share of the keys that it answers; 1: it takes the champion's place.
        shadow: Whether it only listens.
        sticky: What keeps a caller with one version.
        schema_change: Whether it may have other inputs or classes than the version that serves.
        served: The versions that were in production at any time.
        retired: When the model was taken out of service, ISO 8601; "" while it is not.
    """

    seq: int
    attempt: int
    champion: DesiredVersion | None
    previous: DesiredVersion | None
    rollout: DesiredVersion | None
    weight: float
    shadow: bool
    sticky: str
    schema_change: bool
    served: frozenset[int]
    retired: str = ""

    @property
    def full(self) -> bool:
        """Whether what is rolled out takes everything."""
        return self.rollout is not None and not self.shadow and self.weight >= 1

    @property
    def wanted(self) -> DesiredVersion | None:
        """The version that the last event asks for."""
        return self.rollout or self.champion

    @property
    def fallback(self) -> DesiredVersion | None:
        """The version to go back to, which stays loaded."""
        return self.champion if self.full and self.champion else self.previous


def desired_state(model: ModelState) -> DesiredState | None:
    """What the events of *model* ask for, which may be nothing any more; None if they never asked for a version."""
    champion, previous, rollout = (
        _version(model.versions, number) for number in (model.champion, model.previous, model.deployment)
    )
    if not model.moved:
        return None
    return DesiredState(
        seq=model.moved,
        attempt=model.attempt,
        champion=champion,
        previous=previous,
        rollout=None if rollout == champion else rollout,
        weight=model.weight,
        shadow=model.shadow,
        sticky=model.sticky,
        schema_change=model.schema_change,
        served=frozenset(version for _, version in model.served),
        retired=model.retired.time if model.retired is not None else "",
    )


def _version(versions: Mapping[int, Event], number: int | None) -> DesiredVersion | None:
    return DesiredVersion.of(number, versions[number]) if number is not None and number in versions else None
