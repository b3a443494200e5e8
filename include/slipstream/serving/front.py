"""The one ASGI front: every request passes its limits, and every reply has its error shape and request id."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes
from uuid import uuid4

import msgspec

from slipstream.errors import RequestError, SlipstreamError
from slipstream.serving.limits import Limits
from slipstream.serving.meters import Meters
from slipstream.serving.served import Answered, Served, answer

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_NAME = re.compile(r"^[a-z0-9][a-z0-9._-]{0,63}$")
_REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")
_JSON = b"application/json"

_log = logging.getLogger("slipstream")


class Models(Protocol):
    """What the front serves."""

    def ready(self) -> bool:
        """Whether every model that should serve does, or was refused."""
        ...

    def served(self, model: str) -> Served | None:
        """The version that answers for *model*."""
        ...

    def describe(self, model: str) -> dict[str, Any] | None:
        """What is known of *model*; None if nothing."""
        ...

    def names(self) -> list[str]:
        """All models, sorted."""
        ...

    def keep(self, answered: Answered, request: str) -> None:
        """Take an answered request for capture; returns at once."""
        ...


class Reply(msgspec.Struct):
    """What goes back."""

    status: int
    body: bytes
    kind: bytes = _JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Front:
    """The ASGI application.

    Args:
        models: What is served.
        meters: Where requests are counted.
        limits: What a request may ask.
    """

    def __init__(self, models: Models, meters: Meters, limits: Limits) -> None:
        self.models = models
        self.meters = meters
        self.limits = limits
        self._busy = 0
        # Scoring leaves the event loop free, so that probes answer; a second thread helps where NumPy frees the lock.
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="score")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        started = time.perf_counter()
        headers = dict(scope["headers"])
        asked = headers.get(b"x-request-id", b"").decode("latin-1")
        request = asked if _REQUEST_ID.match(asked) else uuid4().hex
        self.meters.in_flight.inc()
        route = "other"
        try:
            route, handler = self._route(scope, headers)
            reply = await handler(scope, headers, receive, request)
        except RequestError as error:
            self.meters.rejected.labels(error.code).inc()
            reply = _refusal(error, request)
        except SlipstreamError as error:
            _log.error("request %s: [%s] %s", request, error.code, error)
            reply = _error(500, error.code, "the model could not answer; the endpoint's log says why", None, request)
        except Exception:  # the last place that can still give the reply its shape
            _log.exception("request %s", request)
            reply = _error(500, "internal", "something went wrong; the endpoint's log says what", None, request)
        finally:
            self.meters.in_flight.dec()
        await _send(send, reply, request)
        self.meters.requests.labels(route, str(reply.status)).inc()
        self.meters.seconds.labels(route).observe(time.perf_counter() - started)

    def close(self) -> None:
        """Let go of the threads."""
        self._pool.shutdown(wait=True)

    def _route(self, scope: Scope, headers: dict[bytes, bytes]) -> tuple[str, Any]:
        if sum(len(name) + len(value) for name, value in scope["headers"]) > self.limits.header:
            raise RequestError(f"headers larger than {self.limits.header} bytes", code="headers_too_large", status=431)
        host = headers.get(b"host", b"").decode("latin-1")
        if re.sub(r":\d*$", "", host) not in self.limits.hosts:
            raise RequestError("this host name is not served here", code="host_not_allowed", status=421)
        path = scope.get("raw_path") or scope["path"].encode()
        parts = [unquote_to_bytes(part).decode("utf-8", "replace") for part in path.partition(b"?")[0][1:].split(b"/")]
        name: str
        match parts:
            case ["livez" | "readyz" | "metrics" | "models" as name]:
                handler, method = getattr(self, f"_{name}"), "GET"
            case ["models", model]:
                name, handler, method = "model", self._model, "GET"
                self._check_name(model)
            case ["models", model, "predict"]:
                name, handler, method = "predict", self._predict, "POST"
                self._check_name(model)
            case _:
                raise RequestError("there is no such route", code="route_not_found", status=404)
        if scope["method"] != method and not (method == "GET" and scope["method"] == "HEAD"):
            raise RequestError(f"use {method}", code="method_not_allowed", status=405, field=method)
        scope["slipstream.model"] = parts[1] if len(parts) > 1 else ""
        return name, handler

    def _check_name(self, model: str) -> None:
        if not _NAME.match(model):
            raise RequestError(
                "a model's name is lower case, digits, '.', '_' and '-'", code="name_invalid", status=404
            )

    async def _livez(self, *_: Any) -> Reply:
        return Reply(200, b"{}")

    async def _readyz(self, *_: Any) -> Reply:
        ready = self.models.ready()
        return Reply(200 if ready else 503, msgspec.json.encode({"ready": ready}))

    async def _metrics(self, *_: Any) -> Reply:
        return Reply(200, self.meters.text(), self.meters.content_type)

    async def _models(self, *_: Any) -> Reply:
        known = [self.models.describe(name) or {} for name in self.models.names()]
        return Reply(200, msgspec.json.encode({"models": [{**one, "schema": None} for one in known]}))

    async def _model(self, scope: Scope, *_: Any) -> Reply:
        known = self.models.describe(scope["slipstream.model"])
        if known is None:
            raise self._not_found(scope["slipstream.model"])
        return Reply(200, msgspec.json.encode(known))

    async def _predict(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, request: str) -> Reply:
        _check_content(headers)
        body = await self._body(headers, receive)
        served = self.models.served(scope["slipstream.model"])
        if served is None:
            raise self._not_found(scope["slipstream.model"])
        if self._busy >= self.limits.waiting:
            raise RequestError("too many requests at once; try again", code="overloaded", status=503)
        self._busy += 1
        try:
            answered = await asyncio.get_running_loop().run_in_executor(self._pool, answer, served, body)
        finally:
            self._busy -= 1
        self._count(answered)
        self.models.keep(answered, request)
        return Reply(200, answered.body)

    def _count(self, answered: Answered) -> None:
        served, schema = answered.served, answered.served.scorer.schema
        labels = answered.answers.predictions
        self.meters.count_answers(served.model, str(served.version), schema.task, len(schema.classes), labels)
        if answered.unlike:
            self.meters.unlike.labels(served.model).inc(answered.unlike)

    def _not_found(self, model: str) -> RequestError:
        names = self.models.names()
        message = f"no model {model!r} serves here; known: {', '.join(names[:20]) or 'none'}"
        return RequestError(message, code="model_not_found", status=404)

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """The whole body; refused as soon as it is known to be too large or too slow."""
        limit = self.limits.body
        too_large = RequestError(f"body too large; limit {limit} bytes", code="body_too_large", status=413)
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length[:12]) > limit:
            raise too_large
        taken = bytearray()
        try:
            async with asyncio.timeout(self.limits.seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise RequestError("the client went away", code="client_gone", status=499)
                    taken += message.get("body", b"")
                    if len(taken) > limit:
                        raise too_large
                    if not message.get("more_body"):
                        return bytes(taken)
        except TimeoutError as error:
            message_ = f"the body did not come within {self.limits.seconds:g} s"
            raise RequestError(message_, code="body_too_slow", status=408) from error


def _check_content(headers: dict[bytes, bytes]) -> None:
    kind, _, parameters = headers.get(b"content-type", b"").lower().partition(b";")
    charset = parameters.strip().removeprefix(b"charset=").strip(b'"')
    if kind.strip() != _JSON or charset not in {b"", b"utf-8"}:
        raise RequestError("send content-type: application/json", code="content_type", status=415)
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise RequestError("send the body without content-encoding", code="content_encoding", status=415)


def _refusal(error: RequestError, request: str) -> Reply:
    reply = _error(error.status, error.code, str(error), error.field, request)
    if error.status == 405:
        reply.headers = ((b"allow", str(error.field).encode()),)
    if error.status == 503:
        reply.headers = ((b"retry-after", b"1"),)
    if error.status in {408, 413, 431}:
        reply.headers = ((b"connection", b"close"),)
    return reply


def _error(status: int, code: str, message: str, field: str | None, request: str) -> Reply:
    body = {"error": {"code": code, "message": message, "field": field, "request_id": request}}
    return Reply(status, msgspec.json.encode(body))


async def _send(send: Send, reply: Reply, request: str) -> None:
    headers = [
        (b"content-type", reply.kind),
        (b"content-length", str(len(reply.body)).encode()),
        (b"x-request-id", request.encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *reply.headers,
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
