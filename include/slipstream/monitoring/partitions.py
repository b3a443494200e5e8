"""A window's profile from the profiles of its data files: what was counted once is added up, not read again.

Files that lie whole inside the window are counted some at a time, as *partitions*, which are remembered; the next
measurement of the same champion adds up those that are still whole, and reads only new files and those that the
window's edge cuts. Equal counts come out as of one scan of everything.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from slipstream.duck import literal
from slipstream.errors import NotFound
from slipstream.monitoring.window import FILE, FilePart, Window
from slipstream.profiling.parquet import from_parquet, to_parquet
from slipstream.profiling.profile import Profile
from slipstream.store import Store

if TYPE_CHECKING:
    import duckdb

ROWS, FILES = 250_000, 500
"""A partition ends at about so many rows, or so many files."""


@dataclass(frozen=True)
class Partition:
    """Data files that were counted together.

    Attributes:
        files: The sha256 of each; one that lies there twice stands there twice.
        rows: Their rows.
        profile: Digest of their profile.
        scheme: Digest of how they were read, and in which bins.
    """

    files: tuple[str, ...]
    rows: int
    profile: str
    scheme: str


@dataclass(frozen=True)
class Added:
    """The profile of a window.

    Attributes:
        profile: The sum.
        partitions: What to remember for the next window.
        files: Data files of the window.
        reused: How many of them were not read, because their counts were remembered.
    """

    profile: Profile
    partitions: tuple[Partition, ...]
    files: int
    reused: int


def added_up(store: Store, reference: Profile, bins: str, window: Window, known: Iterable[Partition]) -> Added:
    """The profile of *window* in the bins of *reference*.

    Args:
        store: Where partitions are kept.
        reference: Gives the bins.
        bins: Digest of the reference.
        window: The rows.
        known: Partitions of earlier windows.
    """
    scheme = hashlib.sha256(f"{bins} {window.scheme}".encode()).hexdigest()
    left = Counter(file.sha256 for file in window.files if file.whole)
    parts, reused = [], 0
    for partition in known:
        files = Counter(partition.files)
        loaded = _loaded(store, partition) if partition.scheme == scheme and files <= left else None
        if loaded is not None:
            left -= files
            reused += len(partition.files)
            parts.append((partition, loaded))
    for some in _groups(_wanted_files(window.files, left)):
        profile = reference.on(_of(window.relation, some))
        parts.append((_stored(store, profile, [file.sha256 for file in some], scheme), profile))
    cut = [file for file in window.files if not file.whole]
    profiles = [profile for _, profile in parts] + ([reference.on(_of(window.relation, cut))] if cut else [])
    if not profiles or any(column.other for one in profiles for column in one.columns.values()):
        # Words beyond the most frequent of a partition are not told apart, so their sum would not be exact.
        return Added(reference.on(window.relation), (), len(window.files), 0)
    return Added(reduce(Profile.merge, profiles), _packed(store, parts, scheme), len(window.files), reused)


def _loaded(store: Store, partition: Partition) -> Profile | None:
    """The profile of a remembered partition; None if it is gone."""
    try:
        return from_parquet(store.objects.get(partition.profile))
    except NotFound:
        return None


def _stored(store: Store, profile: Profile, files: Sequence[str], scheme: str) -> Partition:
    return Partition(tuple(sorted(files)), profile.rows, store.objects.put(to_parquet(profile)), scheme)


def _wanted_files(files: Iterable[FilePart], wanted: Counter[str]) -> list[FilePart]:
    """As many whole files of each content as are *wanted*."""
    left, taken = Counter(wanted), []
    for file in files:
        if file.whole and left[file.sha256]:
            left[file.sha256] -= 1
            taken.append(file)
    return taken


def _groups(files: Iterable[FilePart]) -> Iterable[list[FilePart]]:
    """The files, some at a time."""
    some: list[FilePart] = []
    for file in files:
        if some and (len(some) >= FILES or sum(one.rows for one in some) + file.rows > ROWS):
            yield some
            some = []
        some.append(file)
    if some:
        yield some


def _packed(store: Store, parts: Sequence[tuple[Partition, Profile]], scheme: str) -> tuple[Partition, ...]:
    """The partitions, small neighbours as one, so that there are never many."""
    packed: list[tuple[Partition, Profile]] = []
    for partition, profile in parts:
        if packed and packed[-1][0].rows + partition.rows <= ROWS:
            before, earlier = packed.pop()
            both, files = earlier.merge(profile), [*before.files, *partition.files]
            packed.append((_stored(store, both, files, scheme), both))
        else:
            packed.append((partition, profile))
    return tuple(partition for partition, _ in packed)


def _of(rows: duckdb.DuckDBPyRelation, files: Sequence[FilePart]) -> duckdb.DuckDBPyRelation:
    return rows.filter(f"{FILE} IN ({', '.join(literal(file.place) for file in files)})")
