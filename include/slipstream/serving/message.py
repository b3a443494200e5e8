"""One request and its reply, as the parts of the front hand them on."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import msgspec

from slipstream.errors import RequestError, ValueProblem

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON = b"application/json"


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        name: What captures and logs call it; ``anonymous`` where no key is asked for.
        id: The id of its key; "" without one.
        scopes: What it may do.
    """

    name: str
    id: str = ""
    scopes: frozenset[str] = frozenset()


ANONYMOUS = Caller("anonymous")


class Request:
    """A request on its way through the front.

    Attributes:
        scope: ASGI's.
        headers: Lower-case name -> value; of a header sent twice, the last.
        receive: ASGI's.
        id: The request's id.
        started: ``time.perf_counter()`` when it came.
        caller: Who asks.
        model: The model that the path names; "" where it names none.
        version: The version that the path names; "" where it names none.
        item: What else the path names, such as a prediction's id.
        size: Bytes of its body, once it has come.
    """

    __slots__ = ("caller", "headers", "id", "item", "model", "receive", "scope", "size", "started", "version")

    def __init__(self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, request_id: str) -> None:
        self.scope = scope
        self.headers = headers
        self.receive = receive
        self.id = request_id
        self.started = 0.0
        self.caller = ANONYMOUS
        self.model = ""
        self.version = ""
        self.item = ""
        self.size = 0


class Response(msgspec.Struct):
    """What goes back."""

    status: int
    body: bytes
    kind: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


def refusal(error: ValueProblem, request_id: str) -> Response:
    """The reply to a request that is refused, for one of its values or for more than that."""
    if not isinstance(error, RequestError):
        return failure(400, error.code, str(error), error.field, request_id)
    response = failure(error.status, error.code, str(error), error.field, request_id)
    if error.status == 401:
        response.headers = ((b"www-authenticate", b'Bearer realm="slipstream"'),)
    if error.status == 405:
        response.headers = ((b"allow", str(error.field).encode()),)
    if error.status in {429, 503}:
        response.headers = ((b"retry-after", str(error.retry_after).encode()),)
    if error.status in {408, 413, 431}:
        response.headers = ((b"connection", b"close"),)
    return response


def failure(status: int, code: str, message: str, field: str | None, request_id: str) -> Response:
    """An error in the one shape that errors have."""
    body = {"error": {"code": code, "message": message, "field": field, "request_id": request_id}}
    try:
        return Response(status, msgspec.json.encode(body))
    except UnicodeEncodeError:  # a name with half a surrogate pair, echoed
        return Response(status, json.dumps(body).encode())
