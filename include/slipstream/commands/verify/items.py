"""What there is to verify: each file of a store with the check that it must pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from slipstream.errors import SlipstreamError
from slipstream.store import Store
from slipstream.store.bucket import Listed
from slipstream.store.delta.checksums import named_digest

LEDGER, OBJECTS, TABLES, VERSIONS, BENTOS = "ledger", "objects", "tables", "versions", "bentos"


@dataclass(frozen=True)
class Item:
    """One file.

    Attributes:
        part: Of the store: one of the words above.
        name: Where it is, below the part.
        size: Its bytes.
        stamp: What changes when it is written anew; "" where it must be checked every time.
        check: Raises SlipstreamError if it is not what was written.
    """

    part: str
    name: str
    size: int
    stamp: str
    check: Callable[[], object]


def objects(store: Store) -> Iterator[Item]:
    """Every object, against the digest that is its name."""
    for listed in store.objects.listed():
        yield Item(OBJECTS, listed.name, listed.size, listed.stamp, _object(store, listed.name))


def data_files(store: Store, model: str, table: str) -> Iterator[Item]:
    """Every data file that the table's folder holds, of older versions too, against the checksum in its name."""
    files = (file for file in store.tables.listed(model, table) if named_digest(file.name))
    return (data_file(store, model, table, file) for file in files)


def data_file(store: Store, model: str, table: str, file: Listed) -> Item:
    """One data file."""

    def check() -> None:
        store.tables.check(model, table, file.name)

    return Item(TABLES, f"{model}/{table}/{file.name}", file.size, file.stamp, check)


def bentos(home: Path) -> Iterator[Item]:
    """Every Bento's bundle, against its signature."""
    for manifest in sorted((home / "bentos").glob("*/*/src/bundle/manifest.json")):
        folder = manifest.parent
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        yield Item(BENTOS, "/".join(folder.parts[-4:-2]), size, "", _bento(folder))


def _object(store: Store, digest: str) -> Callable[[], object]:
    return lambda: store.objects.check(digest)


def _bento(folder: Path) -> Callable[[], object]:
    def check() -> None:
        from slipstream.bundle.bundle import read_bundle

        read_bundle(folder)

    return check


def failure(item: Item) -> SlipstreamError | None:
    """What the item's check says; None if all is well."""
    try:
        item.check()
    except SlipstreamError as error:
        return error
    return None
