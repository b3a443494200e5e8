"""What the events add up to: who is champion, which versions there are, what was in production when."""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from slipstream.store.events import RUN, Event
from slipstream.store.figures import VersionFigures
from slipstream.store.payloads import (
    DatasetCommitted,
    DeploymentFinished,
    DeploymentShifted,
    DeploymentStarted,
    JoinedCommitted,
    KeyIssued,
    KeyRevoked,
    VersionRegistered,
)

__all__ = ["Event", "IssuedKey", "ModelState", "State", "fold", "position"]


@dataclass
class ModelState:
    """One model, as the events so far have made it.

    Attributes:
        datasets: Id of each dataset version -> the event that committed it, oldest first.
        joined: Name of a joined table -> id of each of its versions -> the newest event of it, newest version last.
        watermark: What the last committed batch says the next delivery starts after.
        versions: Version number -> result of the packaging that registered it.
        champion: The version in production; None before the first deployment.
        previous: The version in production before it.
        deployment: The version that is being rolled out; None when none is.
        weight: The share of the keys that it answers meanwhile; 1: everything.
        shadow: Whether it only listens.
        sticky: What keeps a caller with one version.
        schema_change: Whether the last deployment may change the inputs or the classes.
        attempt: Number of the event that last named a version to serve; a refusal holds until there is a newer one.
        moved: Number of the last event of a deployment.
        closed: Number of the event that closed the last deployment, one way or the other.
        served: ``(seq, version)`` of every time that a version took over, oldest first.
        left: Versions that were taken out of service by a rollback and not deployed again since.
        retired: The event that took the model out of service; None unless nothing served since.
        retrain: The newest request for retraining that no training has answered yet.
        latest: Stage -> newest event that finished it.
        spec: Digest of the model file of the newest run that recorded one; "" for none.
        events: All events of the model, in order.
        topics: Topic (:attr:`Event.topic`) -> its events, in order.
        versioned: Topic and version -> the events of that topic about that version, in order.
        runs: Id of a run -> newest event of it.
    """

    datasets: dict[str, Event] = field(default_factory=dict)
    joined: dict[str, dict[str, Event]] = field(default_factory=dict)
    watermark: str = ""
    versions: dict[int, Event] = field(default_factory=dict)
    champion: int | None = None
    previous: int | None = None
    deployment: int | None = None
    weight: float = 1.0
    shadow: bool = False
    sticky: str = ""
    schema_change: bool = False
    attempt: int = 0
    moved: int = 0
    closed: int = 0
    served: list[tuple[int, int]] = field(default_factory=list)
    left: set[int] = field(default_factory=set)
    retired: Event | None = None
    retrain: Event | None = None
    latest: dict[str, Event] = field(default_factory=dict)
    spec: str = ""
    events: list[Event] = field(default_factory=list, repr=False)
    topics: dict[str, list[Event]] = field(default_factory=dict, repr=False)
    versioned: dict[tuple[str, int], list[Event]] = field(default_factory=dict, repr=False)
    runs: dict[str, Event] = field(default_factory=dict, repr=False)

    @property
    def dataset(self) -> str | None:
        """The newest dataset version."""
        return next(reversed(self.datasets), None)

    def committed(self, dataset: str) -> DatasetCommitted:
        """What the event that committed that dataset version says; raises KeyError if none did."""
        return self.datasets[dataset].content_as(DatasetCommitted)

    def packaged(self, version: int) -> VersionFigures:
        """What the packaging of that registered *version* left; raises KeyError if there is no such version."""
        return self.versions[version].content_as(VersionRegistered).result

    def on(self, topic: str, version: int | None = None, *, after: int = 0) -> Sequence[Event]:
        """The events of that *topic* with ``seq > after``, oldest first; of one *version* if that is named."""
        events = self.topics.get(topic, ()) if version is None else self.versioned.get((topic, version), ())
        return events[position(events, after) :] if after else events

    def newest(self, topic: str, version: int | None = None) -> Event | None:
        """The newest event of that *topic*, of one *version* if that is named; None if there is none."""
        events = self.on(topic, version)
        return events[-1] if events else None

    def number_of(self, event: Event) -> int:
        """The version number that the registering *event* got."""
        return next(number for number, registered in self.versions.items() if registered.id == event.id)


@dataclass(frozen=True)
class IssuedKey:
    """An API key of the endpoint; of the key itself only its digest is known.

    Attributes:
        id: The part of the key that names it.
        digest: sha256 of the whole key, hexadecimal.
        caller: Whose it is.
        scopes: What it allows.
        expires: When it ends, UTC, ISO 8601; "" for never.
        revoked: Whether it was taken back.
    """

    id: str
    digest: str
    caller: str
    scopes: tuple[str, ...]
    expires: str = ""
    revoked: bool = False


@dataclass
class State:
    """The fold of the whole ledger."""

    seq: int = 0
    models: dict[str, ModelState] = field(default_factory=dict)
    by_key: dict[tuple[str, str, str], Event] = field(default_factory=dict)
    by_id: dict[str, Event] = field(default_factory=dict)
    keys: dict[str, IssuedKey] = field(default_factory=dict)

    def model(self, name: str) -> ModelState:
        """The state of the model called *name*; an empty one if nothing happened to it yet."""
        return self.models.get(name) or ModelState()


def fold(state: State, event: Event) -> None:
    """Take *event* into *state*. Kinds that change no state are only indexed.

    Raises:
        ValueError: the event lacks what this needs; then no model has changed.
    """
    _ = event.content
    state.seq = event.seq
    state.by_id[event.id] = event
    if event.key:
        state.by_key[(event.kind, event.model, event.key)] = event
    if not event.model:
        _fold_key(state.keys, event)
        return
    model = state.models.setdefault(event.model, ModelState())
    change = _CHANGES.get(event.kind)
    if change:
        change(model, event)
    _index(model, event)


def position(events: Sequence[Event], after: int) -> int:
    """How many of *events*, which are in order, have a ``seq`` of at most *after*."""
    return bisect_right(events, after, key=lambda event: event.seq)


def _index(model: ModelState, event: Event) -> None:
    """Put *event* where it is looked for."""
    content, topic = event.content, event.topic
    model.events.append(event)
    model.topics.setdefault(topic, []).append(event)
    if content.about:
        model.versioned.setdefault((topic, content.about), []).append(event)
    if content.run:
        model.runs[content.run] = event
    if content.stage:
        model.latest[content.stage] = event
    model.spec = content.spec or model.spec


def _fold_key(keys: dict[str, IssuedKey], event: Event) -> None:
    """Take an event about an API key, which belongs to no model."""
    if event.kind == "key.issued":
        new = event.content_as(KeyIssued)
        keys.setdefault(new.id, IssuedKey(new.id, new.digest, new.caller, new.scopes, new.expires))
    elif event.kind == "key.revoked":
        revoked = event.content_as(KeyRevoked).id
        if revoked in keys:
            keys[revoked] = dataclasses.replace(keys[revoked], revoked=True)


def _dataset_committed(model: ModelState, event: Event) -> None:
    committed = event.content_as(DatasetCommitted)
    model.watermark = committed.watermark
    if committed.batches is not None:
        # Derived anew, it may be what an earlier version was, and is the newest all the same.
        model.datasets.pop(committed.dataset, None)
    model.datasets.setdefault(committed.dataset, event)


def _joined_committed(model: ModelState, event: Event) -> None:
    committed = event.content_as(JoinedCommitted)
    versions = model.joined.setdefault(committed.table, {})
    versions.pop(committed.joined, None)
    versions[committed.joined] = event


def _version_registered(model: ModelState, event: Event) -> None:
    # Numbered by the fold, so that two registrations at once need no agreement on who is next.
    model.versions[len(model.versions) + 1] = event


def _deployment_started(model: ModelState, event: Event) -> None:
    started = event.content_as(DeploymentStarted)
    model.deployment = started.version
    model.sticky = started.sticky or ""
    model.schema_change = started.schema_change
    model.attempt = event.seq
    _share(model, event, started)


def _deployment_shifted(model: ModelState, event: Event) -> None:
    shifted = event.content_as(DeploymentShifted)
    if shifted.version == model.deployment:
        _share(model, event, shifted)


def _share(model: ModelState, event: Event, share: DeploymentShifted) -> None:
    model.weight = share.weight
    model.shadow = share.shadow
    model.moved = event.seq


def _deployment_finished(model: ModelState, event: Event) -> None:
    finished = event.content_as(DeploymentFinished)
    version, left = finished.version, finished.left
    model.attempt = model.moved = model.closed = event.seq
    model.left = (model.left | {left} if left else model.left) - {version}
    if version != model.champion:
        model.previous, model.champion = model.champion, version
        model.served.append((event.seq, version))
    model.deployment = model.retired = None


def _deployment_rolled_back(model: ModelState, event: Event) -> None:
    model.deployment = None
    model.moved = model.closed = event.seq


def _model_retired(model: ModelState, event: Event) -> None:
    model.retired = event
    model.champion = model.previous = model.deployment = model.retrain = None
    model.moved = model.closed = event.seq


def _retrain_requested(model: ModelState, event: Event) -> None:
    model.retrain = event


def _run_finished(model: ModelState, event: Event) -> None:
    if event.topic == "train":
        model.retrain = None


_CHANGES = {
    "dataset.committed": _dataset_committed,
    "joined.committed": _joined_committed,
    "version.registered": _version_registered,
    "deployment.started": _deployment_started,
    "deployment.shifted": _deployment_shifted,
    "deployment.finished": _deployment_finished,
    "deployment.rolled_back": _deployment_rolled_back,
    "model.retired": _model_retired,
    "retrain.requested": _retrain_requested,
    RUN: _run_finished,
}
