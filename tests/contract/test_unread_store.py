"""An endpoint whose store cannot be read: not ready before a first good read, it says so later, and keys grow old."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slipstream.errors import StoreError
from slipstream.serving.capture.writer import Capture
from slipstream.serving.http.access_log import AccessLog
from slipstream.serving.http.app import Front, Guards
from slipstream.serving.http.auth import REQUIRED, Access
from slipstream.serving.http.request_limits import RequestLimits
from slipstream.serving.metrics.metrics import Metrics
from slipstream.serving.models.follower import Follower
from slipstream.serving.models.store_catalogue import StoreCatalogue
from slipstream.store import Store, api_keys


class Endpoint:
    """What one worker has, looking at the ledger when told to."""

    def __init__(self, url: str) -> None:
        self.store, meters = Store.open(url), Metrics()
        self.follower = Follower(self.store, meters, max_rows=10)
        self.access = Access(self.store.ledger.known.keys, REQUIRED, most_age=60)
        self.access.age = self.follower.age
        models = StoreCatalogue(self.follower, Capture(self.store, meters))
        self.front = Front(models, meters, Guards(RequestLimits(), self.access, AccessLog(0.0)))

    def get(self, path: str, key: str = "") -> tuple[int, Any]:
        sent: list[Any] = []
        headers = [(b"host", b"127.0.0.1"), *([(b"x-api-key", key.encode())] if key else [])]
        scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b""}
        scope |= {"headers": headers, "server": ("127.0.0.1", 1), "client": ("127.0.0.1", 2)}

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self.front(scope, receive, send))
        return sent[0]["status"], json.loads(sent[1]["body"])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    Store.open(tmp_path.as_uri()).ledger.append("deployment.rolled_back", "m", {"version": 1})
    return tmp_path


@pytest.fixture
def endpoint(root: Path) -> Iterator[Endpoint]:
    made = Endpoint(root.as_uri())
    yield made
    made.front.close()


def damage(root: Path) -> dict[Path, bytes]:
    """Cut every file of events; returns what they were."""
    files = {file: file.read_bytes() for file in (root / "ledger").glob("*.parquet")}
    for file in files:
        file.write_bytes(b"")
    return files


def test_it_is_not_ready_before_it_has_read_the_ledger(root: Path, endpoint: Endpoint) -> None:
    whole = damage(root)
    for _ in range(3):
        with pytest.raises(StoreError):
            endpoint.follower.poll()
        status, said = endpoint.get("/readyz")
        assert (status, said["ready"]) == (503, False)
        assert said["unread_since"].endswith("+00:00")
    for file, data in whole.items():
        file.write_bytes(data)
    endpoint.follower.poll()
    assert endpoint.get("/readyz") == (200, {"ready": True, "unread_since": None})


def test_it_serves_on_and_says_since_when_it_reads_nothing(root: Path, endpoint: Endpoint) -> None:
    endpoint.follower.poll()
    Store.open(root.as_uri()).ledger.append("a", "m", {})
    whole = damage(root)
    with pytest.raises(StoreError):
        endpoint.follower.poll()
    status, said = endpoint.get("/readyz")
    assert (status, said["ready"]) == (200, True)
    since = said["unread_since"]
    assert since is not None
    with pytest.raises(StoreError):
        endpoint.follower.poll()
    assert endpoint.get("/readyz")[1]["unread_since"] == since
    for file, data in whole.items():
        file.write_bytes(data)
    endpoint.follower.poll()
    assert endpoint.get("/readyz")[1]["unread_since"] is None


def test_keys_are_believed_for_a_bounded_time(root: Path, endpoint: Endpoint) -> None:
    made = api_keys.create(Store.open(root.as_uri()), "shop", ["predict", "admin"])
    endpoint.follower.poll()
    assert endpoint.get("/models", made.key)[0] == 200
    endpoint.access.most_age = 1e-9
    status, said = endpoint.get("/models", made.key)
    assert (status, said["error"]["code"]) == (503, "keys_stale")
    endpoint.access.most_age = 0
    assert endpoint.get("/models", made.key)[0] == 200
