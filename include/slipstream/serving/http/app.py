"""The one ASGI front: every request passes its guards, and every reply has its error shape and request id."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from slipstream.errors import RequestError, SlipstreamError, ValueProblem
from slipstream.serving.http.access_log import AccessLog
from slipstream.serving.http.auth import Access
from slipstream.serving.http.context import Context
from slipstream.serving.http.request_limits import Rate, RequestLimits
from slipstream.serving.http.router import Route, Router
from slipstream.serving.http.routes import OWN
from slipstream.serving.message import Receive, Request, Response, Scope, Send, failure, refusal
from slipstream.serving.metrics.metrics import Metrics
from slipstream.serving.models.catalogue import Catalogue

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

    limits: RequestLimits
    access: Access
    log: AccessLog
    default_model: str = ""


class Front:
    """The ASGI application.

    Args:
        models: What is served.
        metrics: Where requests are counted.
        guards: What every request passes.
        paths: What can be asked.
    """

    def __init__(self, models: Catalogue, metrics: Metrics, guards: Guards, paths: Router = OWN) -> None:
        self.context = Context(models, metrics, guards.limits, guards.access.mode, guards.default_model, paths)
        self.metrics = metrics
        self.limits = guards.limits
        self.access = guards.access
        self.log = guards.log
        self.paths = paths
        self.rate = Rate(self.limits.rate) if self.limits.rate else None
        self.busy = 0
        self._known: dict[bytes, tuple[Route, dict[str, str]]] = {}
        self._hosts: set[bytes] = set()
        self._worker, self._counter = os.urandom(12).hex(), 0
        self._tick: asyncio.TimerHandle | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        started = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = self._request_id(headers)
        request = Request(scope, headers, receive, request_id)
        request.started = started
        self.busy += 1
        if self._tick is None:
            self._show_busy()
        path: Route | None = None
        try:
            path = self._path(request)
            self._guard(request, path)
            response = await path.handle(self.context, request)
        except ValueProblem as error:
            self.metrics.rejected.labels(error.code).inc()
            response = refusal(error, request_id)
        except SlipstreamError as error:
            _log.error("request %s: [%s] %s", request_id, error.code, error)
            response = failure(
                500, error.code, "the model could not answer; the endpoint's log says why", None, request_id
            )
        except Exception:  # the last place that can still give the reply its shape
            _log.exception("request %s", request_id)
            response = failure(500, "internal", "something went wrong; the endpoint's log says what", None, request_id)
        finally:
            self.busy -= 1
        if path is not None and response.status >= 400:
            response = path.failed(response)
        await _send(send, response, request)
        name = path.name if path is not None else "other"
        took = time.perf_counter() - started
        self.metrics.count_request(name, response.status, took)
        self.log.note(request, name, response.status, took)

    def close(self) -> None:
        """Let go of the threads."""
        self.context.close()

    def _show_busy(self) -> None:
        """Bring the metrics up to date, now and every second as long as there are requests."""
        self.metrics.settle()
        self.metrics.in_flight.set(self.busy)
        self._tick = asyncio.get_running_loop().call_later(1.0, self._show_busy) if self.busy else None

    def _request_id(self, headers: Mapping[bytes, bytes]) -> str:
        requested = headers.get(b"x-request-id")
        if requested is not None and _REQUEST_ID.match(requested):
            return requested.decode("ascii")
        self._counter += 1
        return f"{self._worker}{self._counter:08x}"

    def _path(self, request: Request) -> Route:
        """The path that is asked for, looked up once for each way to write it."""
        raw = request.scope.get("raw_path") or request.scope["path"].encode()
        resolved = self._known.get(raw)
        if resolved is None:
            resolved = self.paths.find(raw.partition(b"?")[0])
            if len(self._known) < MOST_PATHS:
                self._known[raw] = resolved
        path, fields = resolved
        for field, value in fields.items():
            setattr(request, field, value)
        return path

    def _guard(self, request: Request, path: Route) -> None:
        scope, limits = request.scope, self.limits
        size = 0
        for name, value in scope["headers"]:
            size += len(name) + len(value)
        if size > limits.header:
            raise RequestError(f"headers larger than {limits.header} bytes", code="headers_too_large", status=431)
        if scope["method"] != path.method and not (path.method == "GET" and scope["method"] == "HEAD"):
            raise RequestError(f"use {path.method}", code="method_not_allowed", status=405, field=path.method)
        if path.scope is None:  # probes come by a container's address, and tell nothing
            return
        if request.headers.get(b"host") not in self._hosts:
            self._check_host(request.headers.get(b"host", b""))
        request.caller = self.access.check(request, path.scope)
        if self.rate is not None:
            self.rate.take(request.caller.id or (scope.get("client") or ("",))[0])
        if self.busy > limits.concurrency:
            raise RequestError("too many requests at once; try again", code="overloaded", status=503)

    def _check_host(self, header: bytes) -> None:
        host = _PORT.sub("", header.decode("latin-1")).lower()
        if host not in self.limits.hosts and "*" not in self.limits.hosts:
            raise RequestError("this host name is not served here", code="host_not_allowed", status=421)
        if len(self._hosts) < MOST_HOSTS:
            self._hosts.add(header)


async def _send(send: Send, response: Response, request: Request) -> None:
    headers = [
        (b"content-type", response.kind),
        (b"content-length", str(len(response.body)).encode()),
        (b"x-request-id", request.id.encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *response.headers,
    ]
    trace = request.headers.get(b"traceparent")
    if trace is not None and len(trace) <= 64:
        headers.append((b"traceparent", trace))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if request.scope["method"] == "HEAD" else response.body})
