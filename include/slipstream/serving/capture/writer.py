"""Keeps answered rows: a bounded queue that requests never wait for, and a thread that writes batches to the store."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from itertools import chain
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from slipstream.bundle.answer_difference import comparable, difference
from slipstream.bundle.scorer import Answers
from slipstream.errors import BundleError
from slipstream.input_warnings import SMALL
from slipstream.serving.capture.rows import (
    CaptureBatch,
    CapturedRequest,
    as_shadow,
    as_table,
    plain,
    slices,
    warm,
    write,
)
from slipstream.serving.metrics.metrics import Metrics
from slipstream.serving.version.answer import Answered
from slipstream.serving.version.loaded import LoadedVersion
from slipstream.store import Store
from slipstream.store.delta.stream import Stream
from slipstream.store.predictions import TABLE

if TYPE_CHECKING:
    import pyarrow as pa

MOST_ROWS = 100_000
FILE_ROWS = 50_000
WAKE_ROWS = MOST_ROWS // 2
"""With more rows the writer starts at once."""
SECONDS = 5.0
WARN_SECONDS = 60.0
ROW_BYTES = 1000
"""A body counts in the queue as its rows and one more for each so many bytes, which bounds the queue's memory."""
PAUSE = 0.0005
"""After each slice of rows the writer sleeps this long, so that requests get the interpreter."""

_log = logging.getLogger("slipstream")


class Capture:
    """Writes answers to each model's :mod:`~slipstream.store.predictions` table.

    Args:
        store: Where the tables are.
        metrics: Where rows are counted.
        seconds: How often what waits is written.
        most_rows: So many rows wait at most; more are dropped.
    """

    def __init__(self, store: Store, metrics: Metrics, *, seconds: float = SECONDS, most_rows: int = MOST_ROWS) -> None:
        self.store = store
        self.metrics = metrics
        self.seconds = seconds
        self.most_rows = most_rows
        self._queue: deque[CapturedRequest] = deque()
        self._pick: dict[str, Callable[[Mapping[str, Any]], tuple[Any, ...]]] = {}
        self._schemas: set[tuple[str, pa.Schema]] = set()
        self._streams: dict[str, Stream] = {}
        # Each is written by one side only, so no request ever waits for a lock.
        self._offered = 0
        self._taken = 0
        self._refused = 0
        self._reported = 0
        self._writing = threading.Lock()
        self._stop = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._quiet_until = 0.0

    @property
    def waiting(self) -> int:
        """Rows that wait to be written, large ones counted several times."""
        return self._offered - self._taken

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write what waits and end."""
        self._stop = True
        self._wake.set()
        self._thread.join(timeout=30)

    def offer(self, answered: Answered, shadow: LoadedVersion | None) -> None:
        """Take one answered request, which *shadow* answers too, to nobody.

        It is dropped and counted when the queue is full. Called from one thread.
        """
        served, ids = answered.served, answered.ids
        recorded = served.policy.keeps(ids[0])
        if not recorded and shadow is None:
            return
        rows, request = len(ids), answered.request
        weight = rows + request.size // ROW_BYTES
        if self._offered - self._taken + weight > self.most_rows:
            self._refused += rows
            self.metrics.dropped.labels(served.model).inc(rows)
            return
        pick = self._pick.get(served.bundle) or self._picker(served)
        values = pick(answered.decoded.columns)
        if rows == 1:
            values = (tuple([column[0] for column in values]),)
        elif rows <= SMALL:
            values = tuple(zip(*values, strict=True))
        self._offered += weight
        if self._offered - self._taken > WAKE_ROWS and not self._wake.is_set():
            self._wake.set()
        self._queue.append(
            CapturedRequest(
                served,
                shadow,
                recorded,
                values,
                ids,
                answered.answers,
                answered.time,
                answered.latency,
                answered.role,
                request.id,
                request.caller.name,
                weight,
            )
        )

    def flush(self) -> None:
        """Write everything that waits now."""
        with self._writing:
            self.metrics.waiting.set(self.waiting)
            # What comes meanwhile waits for the next time: files of a few rows each would cost more than they hold.
            left = len(self._queue)
            while left > 0:
                warm()
                kinds, weight, count = self._portion(left)
                left -= count
                for served in {id(same[0].served): same[0].served for same in kinds}.values():
                    self._write(served, [same for same in kinds if same[0].served is served])
                self._taken += weight
                self.metrics.waiting.set(self.waiting)
            if self._refused > self._reported:
                self._warn("the capture queue was full: %d predictions were dropped", self._refused - self._reported)
                self._reported = self._refused

    def _run(self) -> None:
        while not self._stop:
            self._wake.wait(self.seconds)
            self._wake.clear()
            self.flush()
        self.flush()

    def _portion(self, most: int) -> tuple[list[list[CapturedRequest]], int, int]:
        """The next of *most* entries, as many as make one file, those of one kind together; their weight and number."""
        kinds: dict[tuple[int, str, int, bool, bool], list[CapturedRequest]] = {}
        rows = weight = number = 0
        while number < most and rows < FILE_ROWS:
            entry = self._queue.popleft()
            count = len(entry.ids)
            kind = id(entry.served), entry.role, id(entry.shadow), entry.recorded, count <= SMALL
            kinds.setdefault(kind, []).append(entry)
            rows += count
            weight += entry.weight
            number += 1
        return list(kinds.values()), weight, number

    def _write(self, served: LoadedVersion, kinds: list[list[CapturedRequest]]) -> None:
        """Write what one version answered. Whatever goes wrong, serving goes on and the next portion is tried."""
        rows = sum(len(entry.ids) for same in kinds if same[0].recorded for entry in same)
        try:
            tables = []
            for piece in chain.from_iterable(map(slices, kinds)):
                tables += self._tables(piece)
                time.sleep(PAUSE)
            if tables:
                self._append(served.model, tables)
                self.metrics.captured.labels(served.model).inc(rows)
        except Exception as error:
            self.metrics.dropped.labels(served.model).inc(rows)
            self._warn("%s: %d predictions were not captured: %s", served.model, rows, error)

    def _append(self, model: str, tables: list[pa.Table]) -> None:
        """Append to the model's table; the first time for each schema in a way that can widen the table."""
        import pyarrow as pa

        table = pa.concat_tables(tables)
        stream = self._streams.setdefault(model, self.store.tables.stream(model, TABLE))
        if (model, table.schema) not in self._schemas and stream.newest() is not None:
            self.store.tables.append(model, TABLE, plain(table), key=uuid4().hex)
        else:
            with TemporaryDirectory(prefix="slipstream-") as folder:
                file = Path(folder) / "rows.parquet"
                write(table, file)
                stream.add(file)
        self._schemas.add((model, table.schema))

    def _tables(self, piece: CaptureBatch) -> list[pa.Table]:
        """The rows of *piece* that are kept: those of the answering version, and those of a shadow."""
        tables = [as_table(piece)] if piece.recorded else []
        shadow = piece.shadow
        if shadow is None:
            return tables
        try:
            answers = self._ask(shadow, piece)
        except Exception as error:  # its trouble is nobody's else
            self._warn("%s: version %s did not answer for comparison: %s", shadow.model, shadow.version, error)
            return tables
        # What the champion would have said instead of a challenger is only counted.
        return tables if piece.on_trial else tables + [as_shadow(table, shadow, answers) for table in tables]

    def _ask(self, shadow: LoadedVersion, piece: CaptureBatch) -> Answers:
        """What *shadow* answers to the rows of *piece*; the two are compared and counted."""
        if not comparable(piece.served.scorer.schema, shadow.scorer.schema):
            raise BundleError(
                f"its inputs or its answers are not those of version {piece.served.version}.", code="shadow_differs"
            )
        answers = shadow.scorer.predict({name: piece.columns[name] for name in shadow.scorer.schema.names})
        if piece.on_trial:
            compared = difference(answers, piece.answers)
        else:
            compared = difference(piece.answers, answers)
            labels = shadow.model, shadow.version
            self.metrics.shadowed.labels(*labels).inc(len(piece.ids))
            self.metrics.disagreed.labels(*labels).inc(compared.disagreed)
            self.metrics.shadow_distance.labels(*labels).inc(compared.distance)
        tried = piece.served if piece.on_trial else shadow
        self.metrics.versions.compare(tried.model, tried.version, len(piece.ids), compared.disagreed)
        return answers

    def _warn(self, text: str, *values: Any) -> None:
        """Say it in the log, unless something was said within the last minute."""
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + WARN_SECONDS
            _log.warning(text, *values)

    def _picker(self, served: LoadedVersion) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
        names = served.scorer.schema.names
        many: Callable[[Mapping[str, Any]], tuple[Any, ...]] = itemgetter(*names)
        pick = many if len(names) > 1 else lambda columns: (columns[names[0]],)
        return self._pick.setdefault(served.bundle, pick)
