"""The verified files of a version, shown or written out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipstream.errors import NotFound, StageError
from slipstream.spec.model import ModelSpec
from slipstream.store import Store

if TYPE_CHECKING:
    from slipstream.bundle.bundle import Bundle

PARTS = {"card": "card.json", "lineage": "lineage.json", "schema": "schema.json", "manifest": "manifest.json"}


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
    return _bundle(spec, store, version).write(into)


def _bundle(spec: ModelSpec, store: Store, version: int) -> Bundle:
    from slipstream.bundle.bundle import open_bundle

    model = store.ledger.state().model(spec.name)
    if version not in model.versions:
        raise NotFound(f"{spec.name} has no version {version}.", code="version_not_found")
    return open_bundle(store, model.packaged(version).bundle)
