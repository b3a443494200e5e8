"""What names what: everything that the ledger names is there, and everything that this names in turn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from slipstream.commands.verify.items import LEDGER, TABLES, VERSIONS, data_file, failure
from slipstream.errors import NotFound, SlipstreamError
from slipstream.store import Store
from slipstream.store.bucket import Listed
from slipstream.store.datasets import DATA, load_dataset
from slipstream.store.delta.checksums import named_digest
from slipstream.store.state import Event, ModelState, State
from slipstream.store.tables import TableFile

_DIGEST = re.compile(r"(?:object:)?([0-9a-f]{64})")
_OBJECTS = frozenset(
    {"batch", "bundle", "card", "dataset", "details", "evidently", "key", "manifest"}
    | {"joined", "model", "rejected", "report", "spec", "watermark"}
)
"""The fields of events that name objects; the others with a digest, such as the key of a run, do not."""

Found = tuple[str, str, SlipstreamError]
"""Part, name, and what is wrong."""


def named_objects(events: list[Event]) -> dict[str, str]:
    """Digest of each object that an event names -> which event that is, in words."""
    named_by: dict[str, str] = {}
    for event in events:
        for digest in _digests(event.data):
            named_by.setdefault(digest, f"event {event.seq} ({event.kind} of {event.model})")
    return named_by


def _digests(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, entry in value.items():
            if isinstance(entry, dict | list) or name in _OBJECTS:
                yield from _digests(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _digests(entry)
    elif isinstance(value, str) and (match := _DIGEST.fullmatch(value)):
        yield match[1]


def missing_objects(store: Store, events: list[Event], there: set[str]) -> Iterator[Found]:
    """The objects that events, and the batches that they name, name and that are not *there*."""
    named_by = named_objects(events)
    for event in events:
        batch = event.content.result.batch
        if batch in there:
            named_by |= dict.fromkeys(_of_batch(store, batch), f"batch {batch[:12]}") | named_by
    for digest, by in named_by.items():
        if digest not in there:
            yield "objects", digest, NotFound(f"objects/{digest}: is gone; {by} names it; restore it from a backup.")


def _of_batch(store: Store, batch: str) -> Iterator[str]:
    try:
        content = store.objects.get_json(batch)
    except (SlipstreamError, ValueError):  # a finding of its own
        return
    yield from (content[name] for name in ("file", "aside") if content.get(name))
    yield from (file[1] for file in (content.get("delivered") or {}).get("files", ()))


def datasets(store: Store, state: State, name: str, model: ModelState, unchanged: set[str]) -> Iterator[Found]:
    """Each dataset version of a model: its manifest, and that its files are there and are what the manifest says.

    Of a file that is *unchanged* (``tables/model/data/file``) it is enough that its name has the manifest's checksum.
    """
    checked: set[str] = set()
    for dataset in model.datasets:
        try:
            files = load_dataset(store.objects, state, name, dataset).files
            left = [file for file in files if file.path not in checked]
            store.tables.local_files(name, DATA, [file for file in left if not _stands(file, name, unchanged)])
            checked |= {file.path for file in files}
        except SlipstreamError as error:
            yield TABLES, f"{name}, dataset {dataset[:12]}", error


def _stands(file: TableFile, model: str, unchanged: set[str]) -> bool:
    return f"{TABLES}/{model}/{DATA}/{file.path}" in unchanged and file.sha256.startswith(named_digest(file.path))


def versions(store: Store, name: str, model: ModelState) -> Iterator[Found]:
    """Each version of a model: its bundle's signature and files."""
    from slipstream.bundle.bundle import open_bundle

    for number in model.versions:
        try:
            open_bundle(store, model.packaged(number).bundle)
        except SlipstreamError as error:
            yield VERSIONS, f"{name}/{number}", error


def logs(store: Store, tables: list[tuple[str, str]], checked: set[str]) -> Iterator[Found]:
    """Each table: its log, against its head, and the files that it names, but those that are *checked* anyway."""
    for model, table in tables:
        try:
            logged = store.tables.logged(model, table)
        except SlipstreamError as error:
            yield TABLES, f"{model}/{table}", error
            continue
        for path in (path for path in logged if f"{model}/{table}/{path}" not in checked):
            damage = failure(data_file(store, model, table, Listed(path, 0, "")))
            if damage is not None:
                yield TABLES, f"{model}/{table}/{path}", damage


def ledger(store: Store) -> Iterator[Found]:
    """The ledger: its chain and its end."""
    try:
        store.ledger.verify()
    except SlipstreamError as error:
        yield LEDGER, "ledger", error
