"""An endpoint that serves HTTP from a thread of the test's process, and versions that no packaging would make."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvicorn

from slipstream.bundle.bundle import Bundle, open_bundle, save_bundle
from slipstream.bundle.scorer import load_scorer
from slipstream.bundle.signing import signing_key
from slipstream.serving.assembly import Assembly, behind_front
from slipstream.serving.capture.writer import Capture
from slipstream.serving.http.access_log import AccessLog
from slipstream.serving.http.app import Front, Guards
from slipstream.serving.http.auth import Access
from slipstream.serving.http.request_limits import RequestLimits
from slipstream.serving.metrics.metrics import Metrics
from slipstream.serving.models.follower import Follower
from slipstream.serving.models.model_limits import ModelLimits
from slipstream.serving.models.store_catalogue import StoreCatalogue
from slipstream.store import Store

ROW = {"distance": 1.0, "hour": 3, "carrier": "A"}


async def lifespan(scope: Any, receive: Any, send: Any) -> None:
    """Stands where BentoML's application stands in its worker."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


@dataclass
class Running:
    """An endpoint that serves HTTP from a thread of this process."""

    url: str
    follower: Follower
    metrics: Metrics
    server: uvicorn.Server
    thread: threading.Thread

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(20)


def run_endpoint(store: Store, model_limits: ModelLimits | None = None, barrier: Path | None = None) -> Running:
    metrics, limits = Metrics(), RequestLimits()
    follower = Follower(store, metrics, max_rows=limits.rows, limits=model_limits, barrier=barrier, seconds=0.02)
    capture = Capture(store, metrics, seconds=0.1)
    guards = Guards(limits, Access(), AccessLog(0.0))
    front = Front(StoreCatalogue(follower, capture), metrics, guards)
    app = behind_front(lifespan, lambda: Assembly(front, capture, follower))
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))  # type: ignore[arg-type]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    running = Running(f"http://127.0.0.1:{listener.getsockname()[1]}", follower, metrics, server, thread)
    wait_until(lambda: server.started)
    return running


def wait_until(true: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


class Client:
    """One connection that is kept open."""

    def __init__(self, url: str, model: str) -> None:
        self.connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
        self.path = f"/models/{model}/predict"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def ask(self, row: dict[str, Any] | None = None, **headers: str) -> dict[str, Any]:
        """The answer to one row, with its ``status``."""
        said = {
            "content-type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        self.connection.request("POST", self.path, json.dumps({"rows": [row or ROW]}), said)
        reply = self.connection.getresponse()
        return {"status": reply.status, **json.loads(reply.read())}


def bundle_of(store: Store, model: str, version: int) -> Bundle:
    return open_bundle(store, store.ledger.state().model(model).versions[version].data["result"]["bundle"])


def forge(store: Store, model: str, keys: Path, changed: dict[str, bytes | None]) -> int:
    """A version like the first but for some files, signed and held to have passed the gates; None drops a file."""
    state = store.ledger.state().model(model)
    like = state.versions[1]
    number = max(state.versions) + 1
    files: dict[str, bytes | None] = {**open_bundle(store, like.data["result"]["bundle"]).files, **changed}
    whole = {name: data for name, data in files.items() if data is not None}
    digest = save_bundle(store, model, whole, signing_key(keys)).digest
    evaluations = [one for one in store.ledger.read(model=model) if one.data.get("stage") == "evaluate"]
    evaluated = {**evaluations[-1].data["result"], "champion": state.champion}
    append(store, model, "run.finished", stage="evaluate", run=f"evaluate-{number}", result=evaluated)
    result = {**like.data["result"], "bundle": digest, "evaluation": f"evaluate-{number}"}
    append(store, model, "version.registered", **{**like.data, "result": result})
    passed = {"version": number, "passed": True, "verdicts": []}
    append(store, model, "run.finished", stage="gate", run=f"gate-{number}", result=passed)
    return number


def append(store: Store, model: str, kind: str, **payload: Any) -> int:
    return store.ledger.append(kind, model, payload).seq


def shifted(bundle: Bundle, by: float) -> dict[str, bytes | None]:
    """The files of a version that answers otherwise than *bundle*, a compiled linear model, and says so."""
    plan = json.loads(bundle.files["scorer/plan.json"])
    plan["head"]["base"][0] += by
    files = {**bundle.files, "scorer/plan.json": json.dumps(plan).encode()}
    scorer = load_scorer(replace(bundle, files=files))
    rows = [entry["row"] for entry in scorer.golden]
    said = scorer.predict({name: [row[name] for row in rows] for name in scorer.schema.names})
    assert said.probabilities is not None
    golden = [
        json.dumps({"row": row, "prediction": label, "probability": chance}).encode()
        for row, label, chance in zip(rows, said.predictions, said.probabilities, strict=True)
    ]
    return {"scorer/plan.json": files["scorer/plan.json"], "golden.jsonl": b"\n".join(golden) + b"\n"}


def answer_of(store: Store, model: str, version: int, row: dict[str, Any] = ROW) -> float:
    """What that version answers to one row, by its bundle."""
    said = load_scorer(bundle_of(store, model, version)).predict({name: [value] for name, value in row.items()})
    assert said.probabilities is not None
    return float(said.probabilities[0])


@contextlib.contextmanager
def traffic(url: str, model: str, seen: list[dict[str, Any]], senders: int = 1) -> Any:
    """Ask all the time, over *senders* connections, as long as the block runs."""
    stop = threading.Event()

    def send() -> None:
        with Client(url, model) as client:
            while not stop.is_set():
                seen.append(client.ask())
                time.sleep(0.002)  # the endpoint shares this process

    threads = [threading.Thread(target=send) for _ in range(senders)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
