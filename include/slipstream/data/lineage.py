"""Which deliveries a dataset version is made of, also after the table was derived anew from them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from slipstream.data.batch import load_batch
from slipstream.store import Store
from slipstream.store.objects import canonical_json
from slipstream.store.payloads import DatasetCommitted
from slipstream.store.state import Event

COMMITTED = "dataset.committed"


def batches_of(events: Iterable[Event]) -> tuple[str, ...]:
    """The batches that the newest of these ``dataset.committed`` *events* is made of, in order."""
    batches: tuple[str, ...] = ()
    for event in events:
        committed = event.content_as(DatasetCommitted)
        batches = committed.batches if committed.batches is not None else (*batches, committed.batch or "")
    return batches


def origin(store: Store, model: str, batch: str) -> str:
    """What tells a delivery, whatever was derived from it: a digest of its files; "" if they were not kept."""
    record = load_batch(store, model, batch).delivered if batch else None
    return hashlib.sha256(canonical_json([record["files"]])).hexdigest() if record else ""


def batches_until(store: Store, model: str, dataset: str) -> tuple[str, ...]:
    """The batches that that dataset version is made of, in order."""
    events = []
    for event in store.ledger.read(model=model, kind=COMMITTED):
        events.append(event)
        if event.content_as(DatasetCommitted).dataset == dataset:
            break
    return batches_of(events)


def joined_until(store: Store, model: str, dataset: str) -> dict[str, list[str]]:
    """Name of each joined table -> the versions of it that the rows of that dataset version were joined with."""
    versions: dict[str, dict[str, None]] = {}
    for batch in filter(None, batches_until(store, model, dataset)):
        for name, version in load_batch(store, model, batch).joined.items():
            versions.setdefault(name, {})[version] = None
    return {name: list(known) for name, known in versions.items()}


def origins(store: Store, model: str, dataset: str) -> frozenset[str]:
    """What tells the deliveries of that dataset version."""
    return frozenset(filter(None, (origin(store, model, batch) for batch in batches_until(store, model, dataset))))


def derived_files(store: Store, model: str) -> Mapping[str, str]:
    """File of the data table that a rebuild wrote -> what tells the delivery that it was derived from."""
    origins: dict[str, str] = {}
    for event in store.ledger.read(model=model, kind=COMMITTED):
        origins |= event.content_as(DatasetCommitted).derived or {}
    return origins
