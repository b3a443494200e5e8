"""Verify: is everything that the ledger names there, and is it what was written?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipstream.errors import NotFound, SlipstreamError, StageError, StoreError
from slipstream.spec import ModelSpec
from slipstream.store import Store
from slipstream.store.datasets import DATA, load_dataset
from slipstream.store.state import State

PARTS = {"card": "card.json", "lineage": "lineage.json", "schema": "schema.json", "manifest": "manifest.json"}


@dataclass(frozen=True)
class Verified:
    """What was checked; all of it was right.

    Attributes:
        events: Events of the ledger, whose chain is whole.
        datasets: Dataset versions, every data file of which has its checksum.
        versions: Versions, whose bundles have their signature and every file.
    """

    events: int
    datasets: int
    versions: int


def verify(store: Store) -> Verified:
    """Check the chain of the ledger, every dataset version and every bundle.

    Raises:
        StoreError: ``verification_failed``, one line for each thing that is wrong; or ``ledger_broken``.
    """
    events = store.ledger.verify()
    state = store.ledger.state()
    problems = [*_dataset_problems(store, state), *_version_problems(store, state)]
    if problems:
        raise StoreError("\n".join(problems), code="verification_failed")
    models = state.models.values()
    return Verified(events, sum(len(model.datasets) for model in models), sum(len(model.versions) for model in models))


def read_bundle(spec: ModelSpec, store: Store, version: int, part: str) -> Any:
    """The JSON file of the version's verified bundle that *part* names: manifest, card, lineage or schema."""
    bundle = _bundle(spec, store, version)
    return json.loads(bundle.manifest) if part == "manifest" else bundle.json(PARTS[part])


def export_bundle(spec: ModelSpec, store: Store, version: int, into: Path) -> int:
    """Write the version's verified bundle to the new folder *into*; returns the number of files.

    Raises:
        StageError: ``folder_exists``.
    """
    if into.exists():
        raise StageError(f"{into}: already exists; name a new folder.", code="folder_exists")
    written: int = _bundle(spec, store, version).write(into)
    return written


def _bundle(spec: ModelSpec, store: Store, version: int) -> Any:
    from slipstream.scoring.bundle import open_bundle

    event = store.ledger.state().model(spec.name).versions.get(version)
    if event is None:
        raise NotFound(f"{spec.name} has no version {version}.", code="version_not_found")
    return open_bundle(store, event.data["result"]["bundle"])


def _dataset_problems(store: Store, state: State) -> Iterator[str]:
    for name, model in state.models.items():
        checked: set[str] = set()
        for dataset in model.datasets:
            try:
                files = load_dataset(store.objects, state, name, dataset).files
                store.tables.local_files(name, DATA, [file for file in files if file.path not in checked])
                checked |= {file.path for file in files}
            except SlipstreamError as error:
                yield f"{name}, dataset {dataset[:12]}: {error}"


def _version_problems(store: Store, state: State) -> Iterator[str]:
    from slipstream.scoring.bundle import open_bundle

    for name, model in state.models.items():
        for number, event in model.versions.items():
            try:
                open_bundle(store, event.data["result"]["bundle"])
            except SlipstreamError as error:
                yield f"{name}/{number}: {error}"
