"""The access log: one JSON line on standard error for a sample of the requests, and for every server error."""

from __future__ import annotations

import os
import random
import sys

import msgspec

from slipstream.serving.message import Request


class AccessLog:
    """Notes requests.

    Args:
        share: Of the requests that went well, from 0 to 1; by ``SLIPSTREAM_ACCESS_LOG``, 0.001 unless set.
    """

    def __init__(self, share: float = 0.001) -> None:
        self.share = share

    @classmethod
    def from_environment(cls) -> AccessLog:
        """The share that ``SLIPSTREAM_ACCESS_LOG`` says."""
        share = os.environ.get("SLIPSTREAM_ACCESS_LOG") or ""
        try:
            return cls(min(1.0, max(0.0, float(share)))) if share else cls()
        except ValueError:
            return cls()

    def note(self, request: Request, route: str, status: int, seconds: float) -> None:
        """Note one answered request, if the draw falls on it."""
        if status < 500 and random.random() >= self.share:  # noqa: S311 - a sample, no secret
            return
        line = {
            "level": "error" if status >= 500 else "info",
            "event": "request",
            "request_id": request.id,
            "traceparent": request.headers.get(b"traceparent", b"").decode("latin-1")[:64],
            "caller": request.caller.name,
            "route": route,
            "model": request.model,
            "status": status,
            "ms": round(seconds * 1000, 3),
        }
        sys.stderr.buffer.write(msgspec.json.encode(line) + b"\n")
        sys.stderr.buffer.flush()
