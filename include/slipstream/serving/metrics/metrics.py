"""What the endpoint counts, in Prometheus' text format. Every label comes from a bounded set.

Below BentoML ``PROMETHEUS_MULTIPROC_DIR`` is set: each worker counts in files there, and whichever is asked adds them
up.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from slipstream.serving.metrics.version_metrics import FOLDER, VersionMetrics
from slipstream.statistics.latency import BOUNDS

if TYPE_CHECKING:
    from slipstream.input_warnings import InputCheck
    from slipstream.serving.version.answer import Answered

MOST_CLASSES, MOST_FEATURES = 50, 200
OTHER = "other"

Ages = Callable[[], Mapping[tuple[str, str], float]]


class Metrics:
    """The counters of one worker of an endpoint."""

    content_type = b"text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._declare_requests()
        self._declare_models()
        self.versions = VersionMetrics(self._counter)
        # Looking up a child takes locks and string work; the same few are asked for with every request.
        self._request = cache(self.requests.labels)
        self._second = cache(self.seconds.labels)
        self._prediction = cache(self.predictions.labels)
        self._work = cache(self.versions.work)
        self._values = cache(self.versions.values.labels)
        self._missing = cache(self.versions.missing.labels)
        self._tally: dict[tuple[Any, ...], int] = defaultdict(int)
        self._ages: Ages = dict

    def _declare_requests(self) -> None:
        self.requests = self._counter("requests", "Requests answered.", "route", "status")
        self.seconds = Histogram(
            "slipstream_request_seconds", "Time to answer.", ["route"], buckets=BOUNDS, registry=self.registry
        )
        self.in_flight = self._gauge("requests_in_flight", "Requests being answered.")
        self.predictions = self._counter("predictions", "Rows answered.", "model", "version", "label")
        self.rejected = self._counter("rejected", "Requests refused, by error code.", "code")
        self.unlike = self._counter(
            "inputs_unlike_training",
            "Values with an unseen category or outside the training range.",
            "model",
            "feature",
        )
        self.nulls = self._counter("input_nulls", "Nulls among the values asked about.", "model", "feature")

    def _declare_models(self) -> None:
        self.swaps = self._counter("swaps", "Versions taken into service.", "model")
        self.refusals = self._counter("refusals", "Versions refused.", "model")
        self.captured = self._counter("captured", "Predictions written to the store.", "model")
        self.dropped = self._counter("capture_dropped", "Predictions not captured.", "model")
        self.waiting = self._gauge("capture_queue_rows", "Predictions that wait to be written.")
        self.shadowed = self._counter("shadow_rows", "Rows that a shadow answered too.", "model", "version")
        self.disagreed = self._counter(
            "shadow_disagreements",
            "Rows that a shadow answered with another label or, for regression, by more than 1 % off.",
            "model",
            "version",
        )
        self.shadow_distance = self._counter(
            "shadow_distance",
            "Sum over the shadow's rows of the distance of the probabilities, or of the values.",
            "model",
            "version",
        )

    def watch_ages(self, ages: Ages) -> None:
        """Report what *ages* returns: (model, version) -> seconds since the version was registered."""
        self._ages = ages

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._tally[self._request, route, status] += 1
        self._second(route).observe(seconds)

    def count(self, answered: Answered) -> None:
        """Count one request that a version answered: its rows, its time, and what is strange among its values."""
        served, check, tally = answered.served, answered.check, self._tally
        model, version, schema = served.model, served.version, served.scorer.schema
        self._count_labels(model, version, len(schema.classes), answered.answers.predictions)
        tally[self._work, model, version, bisect_left(BOUNDS, answered.work)] += 1
        tally[self._values, model, version] += answered.decoded.rows * len(schema.inputs)
        if check.unlike or check.nulls:
            tally[self._missing, model, version] += sum(check.unlike.values()) + sum(check.nulls.values())
            self._count_inputs(model, check, list(schema.names))
        if answered.failed is not None:
            self.count_failure(model, answered.failed.version)

    def _count_labels(self, model: str, version: int | str, classes: int, labels: list[Any]) -> None:
        """Count answered rows, by label where there are few classes (0: a regression)."""
        if not 0 < classes <= MOST_CLASSES:
            self._tally[self._prediction, model, version, ""] += len(labels)
        elif len(labels) == 1:
            self._tally[self._prediction, model, version, labels[0]] += 1
        else:
            for label in set(labels):
                self._tally[self._prediction, model, version, label] += labels.count(label)

    def count_failure(self, model: str, version: int | str) -> None:
        """Count one request that a version could not answer."""
        self.versions.failures.labels(model, version).inc()

    def settle(self) -> None:
        """Hand on what was counted since the last time; a dictionary costs a tenth of a counter that processes share.

        Called, as the counting is, on the event loop alone.
        """
        tally, self._tally = self._tally, defaultdict(int)
        for (child, *labels), count in tally.items():
            child(*labels).inc(count)

    def _count_inputs(self, model: str, check: InputCheck, places: list[str]) -> None:
        """Count what is strange among the inputs; *places* are the model's inputs in order."""
        for counter, strange in ((self.unlike, check.unlike), (self.nulls, check.nulls)):
            for feature, count in strange.items():
                label = feature if len(places) <= MOST_FEATURES or feature in places[:MOST_FEATURES] else OTHER
                counter.labels(model, label).inc(count)

    def text(self) -> bytes:
        """All figures of all workers as Prometheus reads them, as of when each last settled."""
        merged = CollectorRegistry()
        folder = os.environ.get(FOLDER)
        if folder:
            from prometheus_client.multiprocess import MultiProcessCollector

            MultiProcessCollector(merged, folder)  # type: ignore[no-untyped-call]
        merged.register(_ModelAges(self._ages))
        return (b"" if folder else generate_latest(self.registry)) + generate_latest(merged)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"slipstream_{name}_total", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"slipstream_{name}", text, multiprocess_mode="livesum", registry=self.registry)


class _ModelAges(Collector):
    """Reads the ages when it is asked: nothing needs to keep them up to date."""

    def __init__(self, ages: Ages) -> None:
        self.ages = ages

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One sample for each version that serves."""
        family = GaugeMetricFamily(
            "slipstream_model_age_seconds", "Time since the version was registered.", labels=["model", "version"]
        )
        for labels, age in self.ages().items():
            family.add_metric(list(labels), age)
        yield family
