"""The one ASGI front: every request passes its guards, and every reply has its error shape and request id."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from slipstream.errors import RequestError, SlipstreamError
from slipstream.serving.access import Access
from slipstream.serving.call import Call, Receive, Reply, Scope, Send, failure, refusal
from slipstream.serving.limits import Limits, Rate
from slipstream.serving.log import AccessLog
from slipstream.serving.meters import Meters
from slipstream.serving.models import Models
from slipstream.serving.paths import OWN, Path, Paths
from slipstream.serving.patience import Patience
from slipstream.serving.protocols.sagemaker import TARGET_MODEL, target_model
from slipstream.serving.routes import Routes
from slipstream.serving.served import Codec, answer
from slipstream.serving.traffic import FOLDER, instance_id

INLINE_BYTES = 16 << 10
"""A body up to this size is answered on the event loop, if its model is compiled: a thread would cost more than it."""
MOST_PATHS, MOST_HOSTS = 1000, 100

_REQUEST_ID = re.compile(rb"^[A-Za-z0-9._-]{1,64}\Z")
_PORT = re.compile(r":\d*$")

_log = logging.getLogger("slipstream")


@dataclass(frozen=True)
class Guards:
    """What every request passes.

    Attributes:
        limits: What a request may ask.
        access: Who may ask.
        log: Where a sample of the requests is noted.
        default_model: The model that paths without one mean; "": the only one.
    """

    limits: Limits
    access: Access
    log: AccessLog
    default_model: str = ""


class Front:
    """The ASGI application.

    Args:
        models: What is served.
        meters: Where requests are counted.
        guards: What every request passes.
        paths: What can be asked.
    """

    def __init__(self, models: Models, meters: Meters, guards: Guards, paths: Paths = OWN) -> None:
        self.models = models
        self.meters = meters
        self.limits = guards.limits
        self.access = guards.access
        self.log = guards.log
        self.default_model = guards.default_model
        self.paths = paths
        self.rate = Rate(self.limits.rate) if self.limits.rate else None
        self.patience = Patience(self.limits.seconds)
        self.busy = 0
        self.instance = instance_id(os.environ.get(FOLDER))
        self._known: dict[bytes, tuple[Path, dict[str, str]]] = {}
        self._hosts: set[bytes] = set()
        self._worker, self._counter = os.urandom(12).hex(), 0
        self._tick: asyncio.TimerHandle | None = None
        # Large batches leave the event loop free, so that probes answer.
        self.pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="score")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        started = time.perf_counter()
        headers = dict(scope["headers"])
        request = self._request_id(headers)
        call = Call(scope, headers, receive, request)
        call.started = started
        self.busy += 1
        if self._tick is None:
            self._show_busy()
        path: Path | None = None
        try:
            path = self._path(call)
            self._guard(call, path)
            reply = await path.handle(self, call)
        except RequestError as error:
            self.meters.rejected.labels(error.code).inc()
            reply = refusal(error, request)
        except SlipstreamError as error:
            _log.error("request %s: [%s] %s", request, error.code, error)
            reply = failure(500, error.code, "the model could not answer; the endpoint's log says why", None, request)
        except Exception:  # the last place that can still give the reply its shape
            _log.exception("request %s", request)
            reply = failure(500, "internal", "something went wrong; the endpoint's log says what", None, request)
        finally:
            self.busy -= 1
        if path is not None and reply.status >= 400:
            reply = path.failed(reply)
        await _send(send, reply, call)
        name = path.name if path is not None else "other"
        took = time.perf_counter() - started
        self.meters.count_request(name, reply.status, took)
        self.log.note(call, name, reply.status, took)

    def close(self) -> None:
        """Let go of the threads."""
        self.pool.shutdown(wait=True)

    def _show_busy(self) -> None:
        """Bring the meters up to date, now and every second as long as there are requests."""
        self.meters.settle()
        self.meters.in_flight.set(self.busy)
        self._tick = asyncio.get_running_loop().call_later(1.0, self._show_busy) if self.busy else None

    def _request_id(self, headers: Mapping[bytes, bytes]) -> str:
        asked = headers.get(b"x-request-id")
        if asked is not None and _REQUEST_ID.match(asked):
            return asked.decode("ascii")
        self._counter += 1
        return f"{self._worker}{self._counter:08x}"

    def _path(self, call: Call) -> Path:
        """The path that is asked for, looked up once for each way to write it."""
        raw = call.scope.get("raw_path") or call.scope["path"].encode()
        found = self._known.get(raw)
        if found is None:
            found = self.paths.find(raw.partition(b"?")[0])
            if len(self._known) < MOST_PATHS:
                self._known[raw] = found
        path, named = found
        for field, value in named.items():
            setattr(call, field, value)
        return path

    def _guard(self, call: Call, path: Path) -> None:
        scope, limits = call.scope, self.limits
        size = 0
        for name, value in scope["headers"]:
            size += len(name) + len(value)
        if size > limits.header:
            raise RequestError(f"headers larger than {limits.header} bytes", code="headers_too_large", status=431)
        if scope["method"] != path.method and not (path.method == "GET" and scope["method"] == "HEAD"):
            raise RequestError(f"use {path.method}", code="method_not_allowed", status=405, field=path.method)
        if path.scope is None:  # probes come by a container's address, and tell nothing
            return
        if call.headers.get(b"host") not in self._hosts:
            self._check_host(call.headers.get(b"host", b""))
        call.caller = self.access.check(call, path.scope)
        if self.rate is not None:
            self.rate.take(call.caller.id or (scope.get("client") or ("",))[0])
        if self.busy > limits.concurrency:
            raise RequestError("too many requests at once; try again", code="overloaded", status=503)

    def _check_host(self, given: bytes) -> None:
        host = _PORT.sub("", given.decode("latin-1")).lower()
        if host not in self.limits.hosts and "*" not in self.limits.hosts:
            raise RequestError("this host name is not served here", code="host_not_allowed", status=421)
        if len(self._hosts) < MOST_HOSTS:
            self._hosts.add(given)

    # What the paths do with a call.

    async def predict(self, call: Call, codec: Codec) -> Reply:
        """Answer rows."""
        routes = self.routes(call)
        body = await self.body(call)
        call.size = len(body)
        try:
            if len(body) <= INLINE_BYTES and routes.quick:
                answered = answer(routes, codec, call, body)
            else:
                answered = await self.apart(answer, routes, codec, call, body)
        except RequestError:
            raise
        except Exception:  # what no version could answer says nothing against the challenger
            self.meters.count_failure(routes.champion.model, routes.champion.version)
            raise
        self.meters.count(answered)
        self.models.keep(answered, routes)
        return Reply(200, answered.body, answered.kind)

    async def apart(self, work: Any, *arguments: Any) -> Any:
        """What *work* returns, done in a thread, so that the event loop stays free."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, work, *arguments)

    def routes(self, call: Call) -> Routes:
        """The versions of the model that the call names; if it names none, of the only one.

        Raises:
            RequestError: ``model_not_found``, ``model_retired`` or ``model_ambiguous``.
        """
        found = self.models.routes(call.model or self._only(call))
        if found is None:
            names = self.models.names()
            message = f"no model {call.model!r} serves here; known: {', '.join(names[:20]) or 'none'}"
            raise RequestError(message, code="model_not_found", status=404)
        if not call.version:
            return found
        loaded = found.loaded(call.version)
        if loaded is None:
            message = f"version {call.version[:20]!r} of {call.model!r} is not loaded; {found.champion.version} serves"
            raise RequestError(message, code="version_not_found", status=404)
        return Routes(loaded)

    def _only(self, call: Call) -> str:
        chosen = call.headers.get(b"x-slipstream-model", b"").decode("latin-1")
        chosen = chosen or target_model(call.headers.get(TARGET_MODEL, b"")) or self.default_model
        names = self.models.names()
        if not chosen and len(names) == 1:
            chosen = names[0]
        if not chosen:
            message = f"which model? send x-slipstream-model: {' or '.join(names[:20]) or '(none serves yet)'}"
            raise RequestError(message, code="model_ambiguous", status=404)
        call.model = chosen
        return chosen

    async def body(self, call: Call) -> bytes:
        """The whole body; refused as soon as it is known to be too large or too slow."""
        limit = self.limits.body
        length = call.headers.get(b"content-length", b"")
        if length.isdigit() and (len(length) > 12 or int(length) > limit):
            raise _too_large(limit)
        if call.headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise RequestError("send the body without content-encoding", code="content_encoding", status=415)
        try:
            # Nearly always the whole body has come with the headers.
            message = await self.patience.wait(call.receive())
            whole: bytes = message.get("body", b"")
            if message.get("more_body") or message["type"] != "http.request":
                return await self.patience.wait(self._rest(call, message, limit))
        except TimeoutError as error:
            text = f"the body did not come within {self.limits.seconds:g} s"
            raise RequestError(text, code="body_too_slow", status=408) from error
        if len(whole) > limit:
            raise _too_large(limit)
        return whole

    async def _rest(self, call: Call, message: Mapping[str, Any], limit: int) -> bytes:
        taken = bytearray()
        while True:
            if message["type"] == "http.disconnect":
                raise RequestError("the client went away", code="client_gone", status=499)
            taken += message.get("body", b"")
            if len(taken) > limit:
                raise _too_large(limit)
            if not message.get("more_body"):
                return bytes(taken)
            message = await call.receive()


def _too_large(limit: int) -> RequestError:
    return RequestError(f"body too large; limit {limit} bytes", code="body_too_large", status=413)


async def _send(send: Send, reply: Reply, call: Call) -> None:
    headers = [
        (b"content-type", reply.kind),
        (b"content-length", str(len(reply.body)).encode()),
        (b"x-request-id", call.request.encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *reply.headers,
    ]
    trace = call.headers.get(b"traceparent")
    if trace is not None and len(trace) <= 64:
        headers.append((b"traceparent", trace))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if call.scope["method"] == "HEAD" else reply.body})
