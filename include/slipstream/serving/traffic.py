"""What each version has answered so far, in figures that add up over the workers of an endpoint.

So two versions that answer side by side can be compared by whoever watches a rollout.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from slipstream.scoring.latency import BOUNDS, quantile
from slipstream.serving.routes import Routes
from slipstream.serving.served import CHALLENGER, CHAMPION, SHADOW

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter
    from prometheus_client.samples import Sample

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_PREFIX = "slipstream_version_"


class Traffic(msgspec.Struct, frozen=True):
    """What a version has answered since the endpoint started, over all its workers.

    Attributes:
        route: ``champion``, ``challenger`` or ``shadow``.
        requests: Requests that it answered.
        failures: Requests that it could not answer.
        p95_ms: Within so many milliseconds it answered 95 % of them; None before the first.
        missing_share: Share of the values asked about that were null or unlike its training; None before the first.
        compared: Rows that it, on trial, and the champion answered both.
        disagreed: Those that the two answered otherwise.
        values: Values asked about.
        missing: Those that were null or unlike its training.
        latency: Requests by the bucket of their time, of :data:`slipstream.scoring.latency.BOUNDS`.
    """

    version: int | str
    route: str
    requests: int
    failures: int
    p95_ms: float | None
    missing_share: float | None
    compared: int
    disagreed: int
    values: int
    missing: int
    latency: tuple[int, ...]


class VersionMeters:
    """What is counted of each version, so that two that answer side by side can be compared.

    Args:
        counter: Makes a counter of that name, text and labels.
    """

    def __init__(self, counter: Callable[..., Counter]) -> None:
        named = "model", "version"
        self.requests = counter("version_requests", "Requests that a version answered.", *named)
        self.failures = counter("version_failures", "Requests that a version could not answer.", *named)
        self.values = counter("version_values", "Values that a version was asked about.", *named)
        self.missing = counter("version_values_missing", "Those that were null or unlike training.", *named)
        self.seconds = counter(
            "version_answers_within", "Requests that a version took at most le seconds to answer.", *named, "le"
        )
        self.compared = counter("version_compared", "Rows of a challenger or shadow that both answered.", *named)
        self.disagreed = counter("version_disagreed", "Those that the two answered otherwise.", *named)

    def work(self, model: str, version: int | str, place: int) -> Work:
        """Requests whose time lies in that *bucket of :data:`~slipstream.scoring.latency.BOUNDS`."""
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


def traffic(registry: CollectorRegistry, routes: Routes) -> list[Traffic]:
    """One record for each version that answers now, as of when each worker last settled."""
    answering = ((CHAMPION, routes.champion), (CHALLENGER, routes.challenger), (SHADOW, routes.shadow))
    found: dict[tuple[str, str], dict[str, int]] = {}
    for sample in _samples(registry):
        name = sample.name.removeprefix(_PREFIX).removesuffix("_total") + sample.labels.get("le", "")
        found.setdefault((sample.labels["model"], sample.labels["version"]), {})[name] = int(sample.value)
    return [
        _record(one.version, route, found.get((one.model, str(one.version)), {}))
        for route, one in answering
        if one is not None
    ]


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


def _record(version: int | str, route: str, told: dict[str, int]) -> Traffic:
    within = [0, *(told.get(f"answers_within{bound}", 0) for bound in (*BOUNDS, "+Inf"))]
    latency = tuple(high - low for low, high in pairwise(within))
    values, missing, p95 = told.get("values", 0), told.get("values_missing", 0), quantile(latency, 0.95)
    return Traffic(
        version,
        route,
        told.get("requests", 0),
        told.get("failures", 0),
        None if p95 is None else round(p95 * 1e3, 3),
        round(missing / values, 6) if values else None,
        told.get("compared", 0),
        told.get("disagreed", 0),
        values,
        missing,
        latency,
    )
