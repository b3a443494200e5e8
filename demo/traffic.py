"""Real requests to the endpoint: rows of flights that the model has not seen, over HTTP."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

import httpx

from slipstream.duck import duck
from slipstream.project import load_function
from slipstream.slots import SOURCE
from slipstream.spec import ModelSpec

PAUSE = 0.05


def rows_after(spec: ModelSpec, watermark: str, count: int) -> list[dict[str, Any]]:
    """Inputs of the first *count* rows that the source has after *watermark*, spread over the whole delivery."""
    source = SOURCE.build(spec.data.source)
    features = load_function(spec, str(spec.data.features))
    with TemporaryDirectory() as folder, duck() as connection:
        delivered = source.deliver(spec, watermark, Path(folder))
        relation = features(connection.read_parquet(str(delivered.path)))
        columns = ", ".join(f'"{name}"' for name in spec.inputs)
        relation = relation.order(f"hash({', '.join(spec.data.key)})").project(columns).limit(count)
        return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


@dataclass
class Answers:
    """What came back: one entry per request."""

    rows: int = 0
    failures: list[str] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    versions: dict[Any, int] = field(default_factory=dict)
    last: dict[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """Median milliseconds of the requests that were answered."""
        return median(self.milliseconds) if self.milliseconds else float("nan")


class Client:
    """Sends rows to one model's predict route."""

    def __init__(self, endpoint: str, model: str) -> None:
        self.url = f"{endpoint}/models/{model}/predict"
        self._http = httpx.Client(timeout=10, trust_env=False)

    def send(self, rows: list[dict[str, Any]], into: Answers) -> None:
        """Send *rows* in one request and note what came back."""
        body = json.dumps({"rows": rows})
        begin = time.perf_counter()
        try:
            reply = self._http.post(self.url, content=body, headers={"Content-Type": "application/json"})
        except httpx.HTTPError as error:
            into.failures.append(f"{type(error).__name__}: {error}")
            return
        if reply.status_code != httpx.codes.OK:
            into.failures.append(f"HTTP {reply.status_code}: {reply.text[:200]}")
            return
        into.milliseconds.append((time.perf_counter() - begin) * 1000)
        into.last = reply.json()
        into.rows += len(rows)
        into.versions[into.last["version"]] = into.versions.get(into.last["version"], 0) + 1

    def close(self) -> None:
        """Close the connection."""
        self._http.close()


class SteadyClient:
    """Sends one row every 50 ms in the background, as long as the ``with`` block lasts."""

    def __init__(self, endpoint: str, model: str, rows: list[dict[str, Any]]) -> None:
        self.answers = Answers()
        self._client = Client(endpoint, model)
        self._rows = rows
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> SteadyClient:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=15)
        self._client.close()

    def _work(self) -> None:
        number = 0
        while not self._stop.wait(PAUSE):
            self._client.send([self._rows[number % len(self._rows)]], self.answers)
            number += 1
