"""Deployments and `slipstream predict` show the endpoint a key, and never tell it to anybody else."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from typer.testing import CliRunner

from slipstream.cli.main import app
from slipstream.errors import DeployError, RequestError
from slipstream.slots import Rollout
from slipstream.targets.endpoint import EndpointTarget

KEY = "slipstream_0123456789ab_" + "s" * 43
SERVES = {"state": "serving", "version": 3, "bundle": "b", "refused": None}
NOT_GOOD = {"error": {"code": "key_invalid", "message": "this key is not good here"}}


class _Endpoint(BaseHTTPRequestHandler):
    """An endpoint that asks for a key; the first request comes too soon for it."""

    asked = 0

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        good = self.headers.get("Authorization") == f"Bearer {KEY}"
        _Endpoint.asked += 1
        busy = good and _Endpoint.asked == 1
        body: Any = {"error": {"code": "overloaded", "message": "wait"}} if busy else SERVES if good else NOT_GOOD
        text = json.dumps(body).encode()
        self.send_response(503 if busy else 200 if good else 401)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = _answer

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[str]:
    _Endpoint.asked = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def roll_out(endpoint: str, key: str) -> None:
    EndpointTarget().roll_out(Rollout("m", 3, "b", "file:///s", endpoint, 1, 10.0, endpoint_key=key))


def test_a_rollout_shows_its_key_and_waits_where_it_is_told_to(endpoint: str) -> None:
    roll_out(endpoint, KEY)
    assert _Endpoint.asked == 2


@pytest.mark.parametrize("key", ["", KEY + "x"])
def test_without_the_right_key_it_fails_at_once(endpoint: str, key: str) -> None:
    with pytest.raises(DeployError, match="this key is not good here; set SLIPSTREAM_ENDPOINT_KEY") as caught:
        roll_out(endpoint, key)
    assert caught.value.code == "endpoint_key_refused"
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize("key", ["slipstream_\nx", "slipstream_é", "slipstream_\x7f"])
def test_a_key_that_no_header_carries_is_not_echoed(endpoint: str, key: str) -> None:
    with pytest.raises(DeployError) as caught:
        roll_out(endpoint, key)
    assert caught.value.code == "endpoint_key_refused"
    assert key not in str(caught.value)


def test_predict_shows_it(endpoint: str) -> None:
    _Endpoint.asked = 1
    env = os.environ | {"SLIPSTREAM_ENDPOINT": endpoint, "SLIPSTREAM_ENDPOINT_KEY": KEY}
    done = CliRunner().invoke(app, ["predict", "m", "{}", "--json"], env=env)
    assert json.loads(done.stdout) == SERVES
    done = CliRunner().invoke(app, ["predict", "m", "{}"], env=env | {"SLIPSTREAM_ENDPOINT_KEY": ""})
    assert isinstance(done.exception, RequestError)
    assert done.exception.code == "key_invalid"
