"""How much one request may ask of the endpoint."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of the front.

    Attributes:
        body: Bytes of a request's body.
        rows: Rows of a request.
        seconds: Within which the whole body must have come.
        header: Bytes of all headers together.
        waiting: Requests that are being answered at once; one more gets 503.
        hosts: Names by which the endpoint may be called (the Host header, without port).
    """

    body: int = 1 << 20
    rows: int = 1000
    seconds: float = 10.0
    header: int = 32 << 10
    waiting: int = 64
    hosts: frozenset[str] = frozenset({"127.0.0.1", "localhost", "[::1]"})
