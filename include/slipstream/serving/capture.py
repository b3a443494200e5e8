"""Keeps answered rows: a bounded queue that requests never wait for, and a thread that writes batches to the store."""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from slipstream.errors import SlipstreamError
from slipstream.scoring.schema import Schema
from slipstream.serving.meters import Meters
from slipstream.serving.served import Answered
from slipstream.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

TABLE = "predictions"
MOST_ROWS = 100_000
SECONDS = 2.0

_log = logging.getLogger("slipstream")


class Capture:
    """Writes answers to each model's ``predictions`` table.

    Its columns: ``prediction_id``, ``time`` (UTC), ``version``, ``request_id``, ``inputs`` (a struct;
    numbers as double), ``prediction`` (double for regression, else the label as text), ``probability`` (of the
    positive label), ``probabilities`` (multiclass, in the order of the version's classes).
    """

    def __init__(self, store: Store, meters: Meters, *, seconds: float = SECONDS, most_rows: int = MOST_ROWS) -> None:
        self.store = store
        self.meters = meters
        self.seconds = seconds
        self.most_rows = most_rows
        self.waiting = 0
        self._queue: deque[tuple[Answered, str]] = deque()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        meters.watch("slipstream_capture_queue_rows", "Predictions that wait to be written.", lambda: self.waiting)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write what waits and end."""
        self._stop.set()
        self._thread.join(timeout=30)

    def offer(self, answered: Answered, request: str) -> None:
        """Take one answered request; it is dropped and counted when the queue is full."""
        rows = len(answered.ids)
        with self._lock:
            if self.waiting + rows <= self.most_rows:
                self.waiting += rows
                self._queue.append((answered, request))
                return
        self.meters.dropped.labels(answered.served.model).inc(rows)

    def _run(self) -> None:
        while not self._stop.wait(self.seconds):
            self.flush()
        self.flush()

    def flush(self) -> None:
        """Write everything that waits now."""
        with self._lock:
            taken = list(self._queue)
            self._queue.clear()
        for model in dict.fromkeys(answered.served.model for answered, _ in taken):
            # Versions can differ in their inputs, so each has its own append.
            mine = [entry for entry in taken if entry[0].served.model == model]
            for bundle in dict.fromkeys(answered.served.bundle for answered, _ in mine):
                self._write(model, [entry for entry in mine if entry[0].served.bundle == bundle])

    def _write(self, model: str, entries: list[tuple[Answered, str]]) -> None:
        rows = sum(len(answered.ids) for answered, _ in entries)
        try:
            self.store.tables.append(model, TABLE, as_table(entries), key=uuid4().hex)
            self.meters.captured.labels(model).inc(rows)
        except SlipstreamError as error:
            _log.warning("%s: %d predictions were not captured: %s", model, rows, error)
            self.meters.dropped.labels(model).inc(rows)
        finally:
            with self._lock:
                self.waiting -= rows


def as_table(entries: list[tuple[Answered, str]]) -> pa.Table:
    """The rows of *entries*, which one version answered."""
    import pyarrow as pa

    schema = entries[0][0].served.scorer.schema
    inputs = [_column(schema, name, number, entries) for number, name in enumerate(schema.names)]
    columns: dict[str, Any] = {
        "prediction_id": pa.array([one for answered, _ in entries for one in answered.ids]),
        "time": pa.array([a.time for a, _ in entries for _ in a.ids], pa.timestamp("us", tz="UTC")),
        "version": pa.array([a.served.version for a, _ in entries for _ in a.ids], pa.int64()),
        "request_id": pa.array([request for answered, request in entries for _ in answered.ids]),
        "inputs": pa.StructArray.from_arrays(inputs, names=list(schema.names)),
    }
    said = [value for answered, _ in entries for value in answered.answers.predictions]
    if schema.task == "regression":
        return pa.table(columns | {"prediction": pa.array(said, pa.float64())})
    likely = [value for answered, _ in entries for value in answered.answers.probabilities or ()]
    words = pa.array([str(label).lower() if isinstance(label, bool) else str(label) for label in said])
    if schema.task == "binary":
        return pa.table(columns | {"prediction": words, "probability": pa.array(likely, pa.float64())})
    return pa.table(columns | {"prediction": words, "probabilities": pa.array(likely, pa.list_(pa.float64()))})


def _column(schema: Schema, name: str, number: int, entries: list[tuple[Answered, str]]) -> pa.Array:
    import pyarrow as pa

    values = [value for answered, _ in entries for value in answered.columns[name]]
    if schema.inputs[number].type == "string":
        return pa.array(values, pa.string())
    return pa.array([None if value is None else float(value) for value in values], pa.float64())
