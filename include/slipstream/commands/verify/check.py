"""Looks at everything in a store, with all processors, and names what is not as it was written."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from slipstream.commands.verify import items, links
from slipstream.commands.verify.items import Item, failure
from slipstream.errors import SlipstreamError
from slipstream.store import Store
from slipstream.store.state import State

Progress = Callable[[int, int, int], object]
"""Called with files done, bytes done, and bytes in all."""


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was written.

    Attributes:
        part: ``ledger``, ``objects``, ``tables``, ``versions`` or ``bentos``.
        name: What it is.
        code: The kind of fault.
        message: What is wrong and what to do, one sentence.
        mended: What was done about it; "" for nothing.
    """

    part: str
    name: str
    code: str
    message: str
    mended: str = ""


@dataclass(frozen=True)
class Verified:
    """What was looked at, and what was found.

    Attributes:
        events: Events of the ledger.
        objects: Objects.
        tables: Tables of models.
        files: Data files of these.
        datasets: Dataset versions.
        versions: Versions, with their bundles.
        bentos: Bentos.
        bytes: Of everything that was read.
        skipped: Files that were left out, because they are as they were when they were last looked at.
        findings: What is wrong; empty if all is well.
    """

    events: int
    objects: int
    tables: int
    files: int
    datasets: int
    versions: int
    bentos: int
    bytes: int
    skipped: int = 0
    findings: tuple[Finding, ...] = ()
    stamps: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def open(self) -> tuple[Finding, ...]:
        """The findings that were not mended."""
        return tuple(one for one in self.findings if not one.mended)


def verify(
    store: Store,
    *,
    bentos: Path | None = None,
    known: Mapping[str, str] | None = None,
    progress: Progress = lambda *_: None,
) -> Verified:
    """Check the ledger with its head, every object, every table's log and files, every version and every Bento.

    Args:
        store: The store.
        bentos: BentoML's home, if its Bentos are to be looked at.
        known: ``stamps`` of an earlier run: what has not been written anew since is left out.
        progress: Told how far it is.
    """
    problems = list(links.ledger(store))
    events, state = ([], State()) if problems else (store.ledger.read(), store.ledger.state())
    tables = sorted(store.tables.names())
    every = [*items.objects(store), *(one for name in tables for one in items.data_files(store, *name))]
    every += items.bentos(bentos) if bentos else []
    unchanged = {_name(one) for one in every if one.stamp and (known or {}).get(_name(one)) == one.stamp}
    to_check = [one for one in every if _name(one) not in unchanged]
    failed = list(_checked(to_check, progress))
    bad = {_name(item) for item, _ in failed}
    problems += [(item.part, item.name, error) for item, error in failed]
    there = {one.name for one in every if one.part == items.OBJECTS}
    problems += links.missing_objects(store, events, there)
    problems += links.logs(store, tables, {one.name for one in every if one.part == items.TABLES})
    for name, model in state.models.items():
        problems += [*links.datasets(store, state, name, model, unchanged), *links.versions(store, name, model)]
    models = state.models.values()
    count = Counter(one.part for one in every)
    return Verified(
        events=len(events),
        objects=count[items.OBJECTS],
        tables=len(tables),
        files=count[items.TABLES],
        datasets=sum(len(model.datasets) for model in models),
        versions=sum(len(model.versions) for model in models),
        bentos=count[items.BENTOS],
        bytes=sum(one.size for one in to_check),
        skipped=len(every) - len(to_check),
        findings=tuple(_once(problems)),
        stamps={_name(one): one.stamp for one in every if one.stamp and _name(one) not in bad},
    )


def _name(item: Item) -> str:
    return f"{item.part}/{item.name}"


def _checked(to_check: list[Item], progress: Progress) -> Iterator[tuple[Item, SlipstreamError]]:
    """The items that fail; hashing leaves the interpreter to others, so threads are enough for all processors."""
    total, done = sum(item.size for item in to_check), 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, (item, error) in enumerate(zip(to_check, pool.map(failure, to_check), strict=True), start=1):
            done += item.size
            progress(number, done, total)
            if error is not None:
                yield item, error


def _once(problems: Iterable[links.Found]) -> Iterator[Finding]:
    """The findings, each sentence once: a damaged file is met as itself and by whatever names it."""
    seen = set()
    for part, name, error in problems:
        if str(error) not in seen:
            seen.add(str(error))
            yield Finding(part, name, error.code, str(error))
