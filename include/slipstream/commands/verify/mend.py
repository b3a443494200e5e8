"""Mends what can be mended without losing anything: from another copy of the same bytes, or from what is whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from slipstream.commands.verify.check import Finding, Verified
from slipstream.commands.verify.items import LEDGER, OBJECTS, TABLES
from slipstream.errors import SlipstreamError
from slipstream.store import Store
from slipstream.store.delta.checksums import named_digest
from slipstream.store.objects import sha256_file

HEAD = "head_damaged"


def mend(store: Store, verified: Verified, bentos: Path | None = None) -> Verified:
    """What was verified, with what could be mended now mended; every finding says which it is.

    Args:
        store: The store.
        verified: What was found.
        bentos: BentoML's home: its Bentos hold copies of bundles.
    """
    copies = _Copies(store, bentos)
    findings = tuple(replace(one, mended=_mended(store, one, copies)) for one in verified.findings)
    return replace(verified, findings=findings)


def _mended(store: Store, finding: Finding, copies: _Copies) -> str:
    """How the finding was mended; "" if it was not."""
    try:
        if finding.code == HEAD:
            return _head(store, finding)
        if finding.part == OBJECTS:
            copy = copies.of(finding.name)
            if copy is not None:
                store.objects.restore(finding.name, copy)
                return f"restored from {copy}"
        if finding.part == TABLES and named_digest(finding.name):
            model, table, path = finding.name.split("/", 2)
            copy = copies.of(named_digest(finding.name))
            if copy is not None:
                store.tables.restore(model, table, path, copy)
                return f"restored from {copy}"
    except SlipstreamError:  # it stays a finding
        pass
    return ""


def _head(store: Store, finding: Finding) -> str:
    if finding.part == LEDGER:
        return f"its head was written anew, after event {store.ledger.mend_head()}"
    model, table = finding.name.split("/")
    return f"its head was written anew, at version {store.tables.mend_head(model, table)}"


class _Copies:
    """Where the same bytes lie a second time."""

    def __init__(self, store: Store, bentos: Path | None) -> None:
        self.store = store
        self.bentos = bentos

    def of(self, digest: str) -> Path | None:
        """A file whose sha256 begins with *digest*; None if there is none, or it is damaged too."""
        path: Path
        for path in (*self._in_objects(digest), *self._in_tables(digest), *self._bundles.get(digest, ())):
            if sha256_file(path).startswith(digest):
                return path
        return None

    def _in_objects(self, digest: str) -> Iterator[Path]:
        for name in self._objects:
            if name.startswith(digest) and name != digest:
                yield self.store.objects.path(name)

    def _in_tables(self, digest: str) -> Iterator[Path]:
        for model, table, path in self._files:
            if digest.startswith(named_digest(path)) and len(digest) > len(named_digest(path)):
                (local,) = self.store.tables.paths_of(model, table, [path])
                yield Path(local)

    @cached_property
    def _objects(self) -> list[str]:
        return [file.name for file in self.store.objects.listed()]

    @cached_property
    def _files(self) -> list[tuple[str, str, str]]:
        tables = sorted(self.store.tables.names())
        every = [(*one, file.name) for one in tables for file in self.store.tables.listed(*one)]
        return [one for one in every if named_digest(one[2])]

    @cached_property
    def _bundles(self) -> dict[str, list[Path]]:
        copies: dict[str, list[Path]] = {}
        folders = (self.bentos / "bentos").glob("*/*/src/bundle") if self.bentos else ()
        for file in (file for folder in folders for file in folder.rglob("*") if file.is_file()):
            copies.setdefault(sha256_file(file), []).append(file)
        return copies
