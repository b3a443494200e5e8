"""Real requests to the endpoint: flights that the model has not seen, over HTTP, and later what became of them."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

import httpx

from slipstream.duck import duck
from slipstream.slots import SOURCE
from slipstream.spec.model import ModelSpec
from slipstream.spec.project import load_function

PAUSE = 0.05
LABELS_EACH = 500


@dataclass(frozen=True)
class Asked:
    """A row to ask about, and the truth that comes later."""

    row: dict[str, Any]
    truth: Any


def rows_after(spec: ModelSpec, watermark: str, count: int) -> list[Asked]:
    """*count* rows that the source has after *watermark*, spread over the whole delivery."""
    source = SOURCE.build(spec.data.source)
    features = load_function(spec, str(spec.data.features))
    with TemporaryDirectory() as folder, duck() as connection:
        delivered = source.deliver(spec, watermark, Path(folder))
        relation = features(connection.read_parquet([str(path) for path in delivered.files]))
        columns = ", ".join(f'"{name}"' for name in (*spec.inputs, spec.target))
        relation = relation.order(f"hash({', '.join(spec.data.key)})").project(columns).limit(count)
        found = [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]
    return [Asked(row, row.pop(spec.target)) for row in found]


@dataclass
class Answers:
    """What came back.

    Attributes:
        rows: Rows that were answered.
        failures: What went wrong, one text for each request that failed.
        milliseconds: How long each answered request took.
        versions: Version -> requests that it answered.
        truths: Prediction id -> truth, for answers whose truth has not been told yet.
        last: The last reply.
    """

    rows: int = 0
    failures: list[str] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    versions: Counter[Any] = field(default_factory=Counter)
    truths: dict[str, Any] = field(default_factory=dict)
    last: dict[str, Any] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        """All requests."""
        return len(self.milliseconds) + len(self.failures)

    @property
    def median(self) -> float:
        """Median milliseconds of the requests that were answered."""
        return median(self.milliseconds) if self.milliseconds else float("nan")


class Client:
    """Sends rows to one model's predict route, and labels to its labels route."""

    def __init__(self, endpoint: str, model: str) -> None:
        self.url = f"{endpoint}/models/{model}"
        self._http = httpx.Client(timeout=10, trust_env=False)

    def send(self, asked: list[Asked], into: Answers) -> None:
        """Send the rows in one request and note what came back."""
        begin = time.perf_counter()
        reply = self._post("predict", {"rows": [one.row for one in asked]}, into.failures)
        if reply is None:
            return
        into.milliseconds.append((time.perf_counter() - begin) * 1000)
        into.rows += len(asked)
        into.versions[reply["version"]] += 1
        into.truths |= {one: row.truth for one, row in zip(reply["ids"], asked, strict=True)}
        into.last = reply

    def tell(self, labels: list[tuple[str, Any]], failures: list[str]) -> int:
        """Send labels, given as ``(prediction id, truth)``; returns how many were new."""
        new = 0
        for first in range(0, len(labels), LABELS_EACH):
            told = [{"id": one, "label": truth} for one, truth in labels[first : first + LABELS_EACH]]
            reply = self._post("labels", {"labels": told}, failures)
            new += reply["new"] if reply else 0
        return new

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _post(self, route: str, body: dict[str, Any], failures: list[str]) -> dict[str, Any] | None:
        headers = {"Content-Type": "application/json"}
        try:
            reply = self._http.post(f"{self.url}/{route}", content=json.dumps(body), headers=headers)
        except httpx.HTTPError as error:
            failures.append(f"{type(error).__name__}: {error}")
            return None
        if reply.status_code != httpx.codes.OK:
            failures.append(f"HTTP {reply.status_code}: {reply.text[:200]}")
            return None
        found: dict[str, Any] = reply.json()
        return found


class SteadyClient:
    """Sends one row every 50 ms in the background, from the first ``with`` to its end, whatever happens meanwhile."""

    def __init__(self, endpoint: str, model: str, asked: list[Asked]) -> None:
        self.answers = Answers()
        self.asked = asked
        self._client = Client(endpoint, model)
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
            asked = self.asked
            self._client.send([asked[number % len(asked)]], self.answers)
            number += 1
