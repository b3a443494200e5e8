"""One small model whose answers are easy to tell, behind the endpoint's front: asked in process, or over a socket."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import uvicorn

from slipstream.bundle.scorer import Engine, Scorer
from slipstream.input_warnings import InputMonitor
from slipstream.model_schema import Field, Schema
from slipstream.serving.capture.labels import LabelKeeper
from slipstream.serving.http.access_log import AccessLog
from slipstream.serving.http.app import Front, Guards
from slipstream.serving.http.auth import Access
from slipstream.serving.http.request_limits import RequestLimits
from slipstream.serving.http.router import Router
from slipstream.serving.http.routes import OWN
from slipstream.serving.metrics.metrics import Metrics
from slipstream.serving.models.traffic_split import TrafficSplit
from slipstream.serving.version.answer import Answered
from slipstream.serving.version.json_body import Decoder
from slipstream.serving.version.loaded import LoadedVersion

SCHEMA = Schema(
    "regression",
    "delay",
    (
        Field("dep delay", "number", nullable=True, low=0.0, high=9.0),
        Field("seats", "integer", nullable=False, low=1.0, high=400.0),
        Field("carrier", "string", nullable=False, categories=("AA", "UA")),
        Field("night", "boolean", nullable=True, low=0.0, high=1.0),
    ),
)
NUMBERS = Schema(
    "binary", "late", (Field("x", "number", nullable=True), Field("n", "integer", nullable=False)), ("no", "yes"), "yes"
)
LETTERS = Schema("multiclass", "kind", (Field("word", "string", nullable=True),), ("a", "b", "c"))
ROW = '{"dep delay": 1.5, "seats": 2, "carrier": "AA", "night": null}'
LIMITS = RequestLimits(body=20_000, rows=5, seconds=0.3)

Ask = Callable[..., httpx.Response]


class Sum:
    """An engine that answers the number of seats; 400 of them are too many for it, and 13 are unlucky."""

    name = "compiled"

    def run(self, columns: Any) -> Any:
        if 13 in columns["seats"]:
            raise ValueError("secret")
        return np.array([float("nan") if seats == 400 else float(seats) for seats in columns["seats"]])


class Third:
    """An engine whose first class has a third, whatever is asked; the second has what the last leaves."""

    name = "compiled"

    def __init__(self, classes: int) -> None:
        self.classes = classes

    def run(self, columns: Any) -> Any:
        rows = len(next(iter(columns.values())))
        shares = [1 / 3, 2 / 3] if self.classes == 2 else [0.25, 0.5, 0.25]
        return np.array([shares] * rows)


def served(name: str = "m", schema: Schema = SCHEMA, engine: Engine | None = None, **changes: Any) -> LoadedVersion:
    """A version of a model called *name*."""
    engine = engine or (Sum() if schema is SCHEMA else Third(len(schema.classes)))
    decoder = Decoder(schema, changes.pop("rows", 5))
    return replace(
        LoadedVersion(name, 3, "b" * 64, Scorer(schema, (), engine), decoder, InputMonitor(schema)), **changes
    )


class Few:
    """Some models, and what would be captured of their answers."""

    def __init__(self, *models: LoadedVersion) -> None:
        self.kept: list[Answered] = []
        self.known = {one.model: TrafficSplit(one) for one in models or (served(),)}
        self.is_ready = True
        self.labels: LabelKeeper | None = None

    def ready(self) -> bool:
        return self.is_ready

    def unread_since(self) -> float | None:
        return None

    def split(self, model: str) -> TrafficSplit | None:
        return self.known.get(model)

    def describe(self, model: str) -> dict[str, Any] | None:
        split = self.known.get(model)
        return {"model": model, "version": split.champion.version} if split is not None else None

    def names(self) -> list[str]:
        return sorted(self.known)

    def keep(self, answered: Answered, split: TrafficSplit) -> None:
        self.kept.append(answered)

    @property
    def lookup(self) -> None:
        return None


def guards(limits: RequestLimits = LIMITS, access: Access | None = None, **changes: Any) -> Guards:
    return replace(Guards(limits, access or Access(), AccessLog(0)), **changes)


@contextmanager
def asking(models: Few, guarded: Guards | None = None, paths: Router = OWN) -> Iterator[Ask]:
    """A function that asks a front over *models*, in this process."""
    front = Front(models, Metrics(), guarded or guards(), paths)

    def send(method: str, path: str, **options: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(app=front)  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.request(method, path, **options)

        return asyncio.run(once())

    yield send
    front.close()


@contextmanager
def listening(models: Few, guarded: Guards | None = None, paths: Router = OWN) -> Iterator[str]:
    """The URL of a front over *models* that listens on a port of this machine."""
    front = Front(models, Metrics(), guarded or guards(), paths)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(front, log_config=None, lifespan="off"))  # type: ignore[arg-type]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
    front.close()
