"""Events, and how their payloads are read: nothing else in the library reads a payload by its keys.

A field that this release does not know is passed over, and one that an older release did not write has a default where
a default tells the truth. What does not fit the type of its kind is not lost: of a result that does not fit the rest
is read, and of a payload that lacks what its kind needs, or of a kind that is not known, what every event may say.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from slipstream.store.payloads import (
    ApprovalDecided,
    ApprovalRequested,
    DatasetCommitted,
    DeploymentFinished,
    DeploymentRolledBack,
    DeploymentShifted,
    DeploymentStarted,
    DriftMeasured,
    EvaluateFinished,
    ExplainFinished,
    GateFinished,
    ImportFinished,
    IngestFinished,
    JoinedCommitted,
    KeyIssued,
    KeyPublished,
    KeyRevoked,
    LabelsFinished,
    LabelsJoined,
    ModelRetired,
    Payload,
    ReplayFinished,
    RetrainDecided,
    SchemaAccepted,
    ScoreFinished,
    TrainFinished,
    ValidationFinished,
    VersionRegistered,
)

T = TypeVar("T")
P = TypeVar("P", bound=Payload)

RUN = "run.finished"
"""The kind of the events of stages that change no state: their stage tells what they are."""
_BY_STAGE: dict[str, type[Payload]] = {
    "ingest": IngestFinished,
    "train": TrainFinished,
    "import": ImportFinished,
    "evaluate": EvaluateFinished,
    "explain": ExplainFinished,
    "gate": GateFinished,
    "replay": ReplayFinished,
    "labels": LabelsFinished,
    "score": ScoreFinished,
}
_BY_KIND: dict[str, type[Payload]] = {
    "validation.finished": ValidationFinished,
    "dataset.committed": DatasetCommitted,
    "schema.accepted": SchemaAccepted,
    "joined.committed": JoinedCommitted,
    "version.registered": VersionRegistered,
    "deployment.started": DeploymentStarted,
    "deployment.shifted": DeploymentShifted,
    "deployment.finished": DeploymentFinished,
    "deployment.rolled_back": DeploymentRolledBack,
    "model.retired": ModelRetired,
    "retrain.requested": RetrainDecided,
    "retrain.skipped": RetrainDecided,
    "approval.requested": ApprovalRequested,
    "approval.decided": ApprovalDecided,
    "drift.measured": DriftMeasured,
    "labels.joined": LabelsJoined,
    "key.published": KeyPublished,
    "key.issued": KeyIssued,
    "key.revoked": KeyRevoked,
}


class _Decoded:
    """Where an event leaves what its payload says; no field of it."""

    __slots__ = ("_content",)
    _content: Payload


@dataclass(frozen=True, slots=True)
class Event(_Decoded):
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

    @property
    def content(self) -> Payload:
        """What the payload says, as the type of the event's kind (:mod:`slipstream.store.events`); read once.

        Raises:
            ValueError: the payload is no JSON object.
        """
        try:
            return self._content
        except AttributeError:
            content = decode(self.kind, self.payload)
            object.__setattr__(self, "_content", content)
            return content

    def content_as(self, wanted: type[P]) -> P:
        """The content, which is of that type.

        Raises:
            ValueError: it is not, because the payload lacks what events of its kind say.
        """
        content = self.content
        if not isinstance(content, wanted):
            raise ValueError(f"event {self.seq} ({self.kind}) says too little to be read as {wanted.__name__}")
        return content

    def result_as(self, result: type[T]) -> T:
        """The whole result that a stage left in the event.

        Args:
            result: The stage's class of results.

        Raises:
            KeyError, ValueError: there is none, or it does not fit.
        """
        return decode_result(self.payload, result)

    @property
    def topic(self) -> str:
        """What the event is about: its kind or, where that says only that a stage has finished, the stage."""
        return (self.content.stage or self.kind) if self.kind == RUN else self.kind

    @property
    def data(self) -> dict[str, Any]:
        """The raw payload, parsed anew; for those who look at all of it, whatever it means."""
        parsed: dict[str, Any] = json.loads(self.payload)
        return parsed

    def with_hash(self, value: str) -> Event:
        """The same event with its hash filled in."""
        return dataclasses.replace(self, hash=value)


def events_of(rows: Iterable[tuple[Any, ...]]) -> list[Event]:
    """The events of rows of the table, in order; a text that stands in many rows is held in memory once."""
    events: list[Event] = []
    last = ""
    for seq, name, time, actor, model, kind, key, payload, prev_hash, own_hash in rows:
        before = last if prev_hash == last else prev_hash
        shared = (sys.intern(actor), sys.intern(model), sys.intern(kind))
        events.append(Event(seq, name, time, *shared, key, payload, before, own_hash))
        last = own_hash
    return events


class _StageOnly(msgspec.Struct, gc=False):
    stage: str = ""


# All of them at once, when this is imported: msgspec crashes where two threads look at a new type at the same time.
_STAGE = msgspec.json.Decoder(_StageOnly)
_DECODERS = {kind: msgspec.json.Decoder(kind) for kind in {Payload, *_BY_KIND.values(), *_BY_STAGE.values()}}


def decode(kind: str, text: str) -> Payload:
    """The payload of an event of that *kind*, as the type of its kind or, if it does not fit that, as :class:`Payload`.

    Raises:
        ValueError: the *text* is no JSON object.
    """
    try:
        content: Payload = _DECODERS[_type_of(kind, text)].decode(text)
    except msgspec.DecodeError:
        return _as_far_as_it_fits(kind, text)
    return content


def decode_result(text: str, kind: type[T]) -> T:
    """The result in the payload *text*, whole, as its room's class.

    Raises:
        KeyError, ValueError: there is none, or it does not fit.
    """
    try:
        return msgspec.convert(json.loads(text)["result"], kind)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error


def _type_of(kind: str, text: str) -> type[Payload]:
    if kind == RUN:
        return _BY_STAGE.get(_STAGE.decode(text).stage, Payload)
    return _BY_KIND.get(kind, Payload)


def _as_far_as_it_fits(kind: str, text: str) -> Payload:
    plain = json.loads(text)
    if not isinstance(plain, dict):
        raise ValueError(f"the payload is {type(plain).__name__}, no object")
    stage = plain.get("stage")
    wanted = _BY_STAGE.get(str(stage), Payload) if kind == RUN else _BY_KIND.get(kind, Payload)
    for values in (plain, {name: value for name, value in plain.items() if name != "result"}):
        try:
            content: Payload = msgspec.convert(values, wanted)
        except msgspec.ValidationError:
            continue
        return content
    fitting = {name: plain[name] for name in Payload.__struct_fields__ if _fits(name, plain)}
    return msgspec.convert(fitting, Payload)


def _fits(name: str, plain: dict[str, Any]) -> bool:
    """Whether the field of that *name* is there and of its type in :class:`Payload`."""
    try:
        msgspec.convert({name: plain[name]}, Payload)
    except (KeyError, msgspec.ValidationError):
        return False
    return True
