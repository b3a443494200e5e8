"""What each version has answered so far, in figures that add up over the workers of an endpoint.

So two versions that answer side by side can be compared by whoever watches a rollout.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec

from slipstream.serving.version.loaded import LoadedVersion
from slipstream.statistics.latency import BOUNDS, quantile
from slipstream.store.predictions import Role

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter
    from prometheus_client.samples import Sample

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_PREFIX = "slipstream_version_"


_Count = Annotated[int, msgspec.Meta(ge=0)]


class Traffic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a version has answered since the endpoint started, over all its workers.

    Attributes:
        role: ``champion``, ``challenger`` or ``shadow``.
        requests: Requests that it answered.
        failures: Requests that it could not answer.
        p95_ms: Within so many milliseconds it answered 95 % of them; None before the first.
        missing_share: Share of the values asked about that were null or unlike its training; None before the first.
        compared: Rows that it, on trial, and the champion answered both.
        disagreed: Those that the two answered otherwise.
        values: Values asked about.
        missing: Those that were null or unlike its training.
        latency: Requests by the bucket of their time, of :data:`slipstream.statistics.latency.BOUNDS`.
    """

    version: int | str
    role: Role
    requests: _Count
    failures: _Count
    p95_ms: Annotated[float, msgspec.Meta(ge=0)] | None
    missing_share: Annotated[float, msgspec.Meta(ge=0, le=1)] | None
    compared: _Count
    disagreed: _Count
    values: _Count
    missing: _Count
    latency: Annotated[tuple[_Count, ...], msgspec.Meta(min_length=len(BOUNDS) + 1, max_length=len(BOUNDS) + 1)]


class VersionMetrics:
    """What is counted of each version, so that two that answer side by side can be compared.

    Args:
        counter: Makes a counter of that name, text and labels.
    """

    def __init__(self, counter: Callable[..., Counter]) -> None:
        labels = "model", "version"
        self.requests = counter("version_requests", "Requests that a version answered.", *labels)
        self.failures = counter("version_failures", "Requests that a version could not answer.", *labels)
        self.values = counter("version_values", "Values that a version was asked about.", *labels)
        self.missing = counter("version_values_missing", "Those that were null or unlike training.", *labels)
        self.seconds = counter(
            "version_answers_within", "Requests that a version took at most le seconds to answer.", *labels, "le"
        )
        self.compared = counter("version_compared", "Rows of a challenger or shadow that both answered.", *labels)
        self.disagreed = counter("version_disagreed", "Those that the two answered otherwise.", *labels)

    def work(self, model: str, version: int | str, place: int) -> Work:
        """Requests whose time lies in that *bucket of :data:`~slipstream.statistics.latency.BOUNDS`."""
        within = [self.seconds.labels(model, version, bound) for bound in (*BOUNDS, "+Inf")[place:]]
        return Work((self.requests.labels(model, version), *within))

    def compare(self, model: str, version: int | str, rows: int, disagreed: int) -> None:
        """Count rows that two versions answered; *version* is the one on trial."""
        self.compared.labels(model, version).inc(rows)
        self.disagreed.labels(model, version).inc(disagreed)


class Work(NamedTuple):
    """Counters that count together: the buckets of a histogram add up from below."""

    counters: tuple[Counter, ...]

    def inc(self, count: int) -> None:
        """Count in each."""
        for counter in self.counters:
            counter.inc(count)


def traffic(registry: CollectorRegistry, answering: Sequence[tuple[Role, LoadedVersion]]) -> list[Traffic]:
    """One record for each (role, version) of *answering*, as of when each worker last settled."""
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for sample in _samples(registry):
        name = sample.name.removeprefix(_PREFIX).removesuffix("_total") + sample.labels.get("le", "")
        counts.setdefault((sample.labels["model"], sample.labels["version"]), {})[name] = int(sample.value)
    return [_record(one.version, role, counts.get((one.model, str(one.version)), {})) for role, one in answering]


def instance_id(folder: str | None) -> str:
    """A word for this start of this endpoint, the same in all its workers where they count in a *folder* together."""
    mine = os.urandom(6).hex()
    if not folder:
        return mine
    place = Path(folder) / "instance"
    try:
        place.symlink_to(mine)  # made with what it says at one stroke: no worker can read half of it
    except FileExistsError:
        return str(place.readlink())
    except OSError:
        return mine
    return mine


def _samples(registry: CollectorRegistry) -> Iterator[Sample]:
    families: Any
    if folder := os.environ.get(FOLDER):
        from prometheus_client.multiprocess import MultiProcessCollector

        files = [str(path) for path in Path(folder).glob("counter_*.db")]
        families = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
    else:
        families = registry.collect()
    for family in families:
        if family.name.startswith(_PREFIX):
            yield from family.samples


def _record(version: int | str, role: Role, counts: dict[str, int]) -> Traffic:
    within = [0, *(counts.get(f"answers_within{bound}", 0) for bound in (*BOUNDS, "+Inf"))]
    latency = tuple(high - low for low, high in pairwise(within))
    values, missing, p95 = counts.get("values", 0), counts.get("values_missing", 0), quantile(latency, 0.95)
    return Traffic(
        version,
        role,
        counts.get("requests", 0),
        counts.get("failures", 0),
        None if p95 is None else round(p95 * 1e3, 3),
        round(missing / values, 6) if values else None,
        counts.get("compared", 0),
        counts.get("disagreed", 0),
        values,
        missing,
        latency,
    )
