"""What the endpoint counts, in Prometheus' text format. Every label comes from a bounded set.

Below BentoML ``PROMETHEUS_MULTIPROC_DIR`` is set: each worker counts in files there, and whichever is asked adds them
up.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

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

_SECONDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
MOST_CLASSES, MOST_FEATURES = 50, 200
OTHER = "other"

Ages = Callable[[], Mapping[tuple[str, str], float]]


class Meters:
    """The counters of one worker of an endpoint."""

    content_type = b"text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.requests = self._counter("requests", "Requests answered.", "route", "status")
        self.seconds = Histogram(
            "slipstream_request_seconds", "Time to answer.", ["route"], buckets=_SECONDS, registry=self.registry
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
        # Looking up a child takes locks and string work; the same few are asked for with every request.
        self._request = cache(self.requests.labels)
        self._second = cache(self.seconds.labels)
        self._prediction = cache(self.predictions.labels)
        self._tally: dict[tuple[Any, ...], int] = defaultdict(int)
        self._ages: Ages = dict

    def watch_ages(self, ages: Ages) -> None:
        """Report what *ages* returns: (model, version) -> seconds since the version was registered."""
        self._ages = ages

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._tally[self._request, route, status] += 1
        self._second(route).observe(seconds)

    def count_answers(self, model: str, version: int | str, classes: int, labels: list[Any]) -> None:
        """Count answered rows, by label where there are few classes (0: a regression)."""
        if not 0 < classes <= MOST_CLASSES:
            self._tally[self._prediction, model, version, ""] += len(labels)
        elif len(labels) == 1:
            self._tally[self._prediction, model, version, labels[0]] += 1
        else:
            for label in set(labels):
                self._tally[self._prediction, model, version, label] += labels.count(label)

    def settle(self) -> None:
        """Hand on what was counted since the last time; a dictionary costs a tenth of a counter that processes share.

        Called, as the counting is, on the event loop alone.
        """
        tally, self._tally = self._tally, defaultdict(int)
        for (child, *labels), count in tally.items():
            child(*labels).inc(count)

    def count_inputs(self, model: str, unlike: Mapping[str, int], nulls: Mapping[str, int], places: list[str]) -> None:
        """Count what is strange among the inputs; *places* are the model's inputs in order."""
        for counter, found in ((self.unlike, unlike), (self.nulls, nulls)):
            for feature, count in found.items():
                named = feature if len(places) <= MOST_FEATURES or feature in places[:MOST_FEATURES] else OTHER
                counter.labels(model, named).inc(count)

    def text(self) -> bytes:
        """All figures of all workers as Prometheus reads them, as of when each last settled."""
        asked = CollectorRegistry()
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        if folder:
            from prometheus_client.multiprocess import MultiProcessCollector

            MultiProcessCollector(asked, folder)  # type: ignore[no-untyped-call]
        asked.register(_ModelAges(self._ages))
        return (b"" if folder else generate_latest(self.registry)) + generate_latest(asked)

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
