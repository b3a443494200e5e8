"""Takes labels: what turned out to be true of predictions. They are in the store before the reply says so."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from slipstream.errors import RequestError, StoreError, shown
from slipstream.label_types import checked_label, moment
from slipstream.serving.capture.rows import warm
from slipstream.serving.version.json_body import parse
from slipstream.serving.version.loaded import LoadedVersion
from slipstream.store import Store
from slipstream.store.delta.stream import Stream
from slipstream.store.labels import TABLE, Label, deliver_newest, in_order

_ID = re.compile(r"^[0-9a-f]{32}$", re.ASCII)
_FIELDS = ("id", "label", "time")

_log = logging.getLogger("slipstream")


class LabelKeeper:
    """Writes labels to the tables of a store.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._streams: dict[str, Stream] = {}
        # Two threads of one process would only lose races against each other.
        self._lock = threading.Lock()

    def keep(self, model: str, labels: Sequence[Label], source: str) -> int:
        """Write *labels*; returns how many were not there before: all, or none if this very delivery was there.

        Raises:
            RequestError: 503 with the code of what is wrong with the store.
        """
        warm()
        whole = in_order(labels)
        try:
            with self._lock:
                stream = self._streams.setdefault(model, self.store.tables.stream(model, TABLE))
                files = partial(self.store.tables.paths, model, TABLE)
                return len(whole) if deliver_newest(stream, [whole], source, files) else 0
        except (StoreError, OSError) as error:
            code = getattr(error, "code", StoreError.code)
            _log.error("%s: %d labels were not kept: [%s] %s", model, len(whole), code, error)
            message = "the labels could not be written; send them again (the endpoint's log says what is wrong)"
            raise RequestError(message, code=code, status=503) from error


@dataclass(frozen=True)
class Labelling:
    """One request that brings labels.

    Attributes:
        served: The version whose answers say what a label can be.
        most: Labels that may come at once.
        keeper: Where they go; None where none are kept.
    """

    served: LoadedVersion
    most: int
    keeper: LabelKeeper | None

    def answer(self, body: bytes, source: str) -> bytes:
        """The reply.

        Raises:
            RequestError: the request is wrong, or the store is in trouble.
        """
        labels = self._labels(body)
        if self.keeper is None:
            message = "this server keeps no labels; send them to the endpoint that follows the store"
            raise RequestError(message, code="labels_not_kept", status=409)
        new = self.keeper.keep(self.served.model, labels, source)
        return msgspec.json.encode({"model": self.served.model, "received": len(labels), "new": new})

    def _labels(self, body: bytes) -> list[Label]:
        document = parse(body, "'labels'")
        if not isinstance(document, dict) or "labels" not in document:
            raise RequestError("expected a JSON object with 'labels'", code="body_shape")
        _check_known(document, ("labels",), "")
        entries = document["labels"]
        if not isinstance(entries, list):
            raise RequestError("labels: expected an array of objects", code="type", field="labels")
        if not entries:
            raise RequestError("labels: at least one label is needed", code="rows_empty", field="labels")
        if len(entries) > self.most:
            message = f"{len(entries)} > {self.most} labels; send several requests"
            raise RequestError(message, code="too_many_rows", status=413, field="labels")
        return [self._label(entry, f"labels[{number}]") for number, entry in enumerate(entries)]

    def _label(self, entry: Any, place: str) -> Label:
        if not isinstance(entry, dict):
            raise RequestError(f"{place}: expected an object with id and label", code="type", field=place)
        _check_known(entry, _FIELDS, f"{place}.")
        for name in ("id", "label"):
            if name not in entry:
                message = f"{place}.{name}: this field is missing"
                raise RequestError(message, code="field_missing", field=f"{place}.{name}")
        if not isinstance(entry["id"], str) or not _ID.match(entry["id"]):
            message = f"{place}.id: {shown(entry['id'])} is no id, which has 32 hexadecimal digits"
            raise RequestError(message, code="type", field=f"{place}.id")
        label = checked_label(self.served.scorer.schema, entry["label"], f"{place}.label")
        return Label(entry["id"], "", label, _time(entry, f"{place}.time"))


def _time(entry: dict[str, Any], place: str) -> int | None:
    """When the label became true, as given; None: now."""
    if "time" not in entry:
        return None
    if not isinstance(entry["time"], str):
        message = f"{place}: expected a time such as 2026-11-24T21:45:00Z; leave it out for now"
        raise RequestError(message, code="type", field=place)
    return moment(entry["time"], place)


def _check_known(fields: dict[str, Any], known: tuple[str, ...], prefix: str) -> None:
    for name in fields:
        if name not in known:
            place = f"{prefix}{name[:80]}"
            message = f"{place}: unknown field; known: {', '.join(known)}"
            raise RequestError(message, code="field_unknown", field=place)
