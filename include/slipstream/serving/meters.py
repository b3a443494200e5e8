"""What the endpoint counts, in Prometheus' text format. Every label comes from a bounded set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
MOST_CLASSES = 50


class Meters:
    """The counters of one endpoint."""

    content_type = b"text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "slipstream_requests_total", "Requests answered.", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "slipstream_request_seconds", "Time to answer.", ["route"], buckets=_SECONDS, registry=registry
        )
        self.in_flight = Gauge("slipstream_requests_in_flight", "Requests being answered.", registry=registry)
        self.predictions = Counter(
            "slipstream_predictions_total", "Rows answered.", ["model", "version", "label"], registry=registry
        )
        self.rejected = Counter(
            "slipstream_rejected_total", "Requests refused, by error code.", ["code"], registry=registry
        )
        self.unlike = Counter(
            "slipstream_inputs_unlike_training_total",
            "Values with an unseen category or outside the training range.",
            ["model"],
            registry=registry,
        )
        self.swaps = Counter("slipstream_swaps_total", "Versions taken into service.", ["model"], registry=registry)
        self.refusals = Counter("slipstream_refusals_total", "Versions refused.", ["model"], registry=registry)
        self.captured = Counter(
            "slipstream_captured_total", "Predictions written to the store.", ["model"], registry=registry
        )
        self.dropped = Counter(
            "slipstream_capture_dropped_total", "Predictions not captured.", ["model"], registry=registry
        )

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Report what *read* returns as a gauge."""
        Gauge(name, text, registry=self.registry).set_function(read)

    def count_answers(self, model: str, version: str, task: str, classes: int, labels: list[Any]) -> None:
        """Count answered rows, by label where there are few."""
        if task == "regression" or classes > MOST_CLASSES:
            self.predictions.labels(model, version, "").inc(len(labels))
            return
        for label in set(labels):
            self.predictions.labels(model, version, str(label)).inc(labels.count(label))

    def text(self) -> bytes:
        """All figures as Prometheus reads them."""
        return generate_latest(self.registry)
