"""What the events add up to: who is champion, which versions there are, what was in production when."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Event:
    """One row of the ledger."""

    seq: int
    id: str
    time: str
    actor: str
    model: str
    kind: str
    key: str
    payload: str
    prev_hash: str
    hash: str

    @cached_property
    def data(self) -> dict[str, Any]:
        """The payload, parsed."""
        parsed: dict[str, Any] = json.loads(self.payload)
        return parsed

    def with_hash(self, value: str) -> Event:
        """The same event with its hash filled in."""
        return dataclasses.replace(self, hash=value)


@dataclass
class ModelState:
    """One model, as the events so far have made it.

    Attributes:
        datasets: Id of each dataset version -> the event that committed it, oldest first.
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
    """

    datasets: dict[str, Event] = field(default_factory=dict)
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

    @property
    def dataset(self) -> str | None:
        """The newest dataset version."""
        return next(reversed(self.datasets), None)

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
    """Take *event* into *state*. Kinds that change no state are only indexed."""
    state.seq = event.seq
    state.by_id[event.id] = event
    if event.key:
        state.by_key[(event.kind, event.model, event.key)] = event
    if not event.model:
        _fold_key(state.keys, event)
        return
    model = state.models.setdefault(event.model, ModelState())
    stage = event.data.get("stage")
    if stage:
        model.latest[stage] = event
    change = _CHANGES.get(event.kind)
    if change:
        change(model, event)


def _fold_key(keys: dict[str, IssuedKey], event: Event) -> None:
    """Take an event about an API key, which belongs to no model."""
    data = event.data
    if event.kind == "key.issued":
        issued = IssuedKey(data["id"], data["digest"], data["caller"], tuple(data["scopes"]), data["expires"])
        keys.setdefault(issued.id, issued)
    elif event.kind == "key.revoked" and data["id"] in keys:
        keys[data["id"]] = dataclasses.replace(keys[data["id"]], revoked=True)


def _dataset_committed(model: ModelState, event: Event) -> None:
    model.watermark = event.data["watermark"]
    if event.data.get("batches") is not None:
        # Derived anew, it may be what an earlier version was, and is the newest all the same.
        model.datasets.pop(event.data["dataset"], None)
    model.datasets.setdefault(event.data["dataset"], event)


def _version_registered(model: ModelState, event: Event) -> None:
    # Numbered by the fold, so that two registrations at once need no agreement on who is next.
    model.versions[len(model.versions) + 1] = event


def _deployment_started(model: ModelState, event: Event) -> None:
    model.deployment = event.data["version"]
    model.sticky = str(event.data.get("sticky", ""))
    model.schema_change = bool(event.data.get("schema_change", False))
    model.attempt = event.seq
    _share(model, event)


def _deployment_shifted(model: ModelState, event: Event) -> None:
    if event.data["version"] == model.deployment:
        _share(model, event)


def _share(model: ModelState, event: Event) -> None:
    model.weight = float(event.data.get("weight", 1.0))
    model.shadow = bool(event.data.get("shadow", False))
    model.moved = event.seq


def _deployment_finished(model: ModelState, event: Event) -> None:
    version = event.data["version"]
    model.attempt = model.moved = model.closed = event.seq
    left = event.data.get("left")
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
    if event.data.get("stage") == "train":
        model.retrain = None


_CHANGES = {
    "dataset.committed": _dataset_committed,
    "version.registered": _version_registered,
    "deployment.started": _deployment_started,
    "deployment.shifted": _deployment_shifted,
    "deployment.finished": _deployment_finished,
    "deployment.rolled_back": _deployment_rolled_back,
    "model.retired": _model_retired,
    "retrain.requested": _retrain_requested,
    "run.finished": _run_finished,
}
