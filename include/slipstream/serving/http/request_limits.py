"""How much one request, and one caller, may ask of the endpoint."""

from __future__ import annotations

import ipaddress
import re
import time
from dataclasses import dataclass

from slipstream.errors import RequestError
from slipstream.settings import number, words

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
MOST_CALLERS = 10_000
_PORT = re.compile(r":\d+$")


@dataclass(frozen=True)
class RequestLimits:
    """Bounds of the front, for each worker process.

    Attributes:
        body: Bytes of a request's body.
        rows: Rows of a request.
        explained: Rows of a request for explanations.
        seconds: Within which the whole body must have come.
        header: Bytes of all headers together.
        concurrency: Requests that are being answered at once; one more gets 503.
        rate: Requests a second of one caller, with bursts of two seconds' worth; more get 429. 0: no limit.
        hosts: Names by which the endpoint may be called (the Host header, without port); ``*`` is any.
    """

    body: int = 1 << 20
    rows: int = 1000
    explained: int = 20
    seconds: float = 10.0
    header: int = 32 << 10
    concurrency: int = 256
    rate: float = 0.0
    hosts: frozenset[str] = LOOPBACK_NAMES

    @classmethod
    def from_environment(cls) -> RequestLimits:
        """Limits by ``SLIPSTREAM_MAX_BODY`` (bytes), ``_MAX_ROWS``, ``_CONCURRENCY``, ``_RATE`` and ``_HOSTS``.

        Raises:
            BackendError: ``setting_invalid``.
        """
        usual = cls()
        return cls(
            body=int(number("SLIPSTREAM_MAX_BODY", usual.body)),
            rows=int(number("SLIPSTREAM_MAX_ROWS", usual.rows)),
            concurrency=int(number("SLIPSTREAM_CONCURRENCY", usual.concurrency)),
            rate=number("SLIPSTREAM_RATE", usual.rate),
            hosts=LOOPBACK_NAMES | set(map(host_name, words("SLIPSTREAM_HOSTS"))),
        )


def host_name(text: str) -> str:
    """A name or an address as the Host header writes it, without the port."""
    name = text.strip().lower()
    try:
        address = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return _PORT.sub("", name)
    return f"[{address}]" if address.version == 6 else str(address)


class Rate:
    """A token bucket for each caller."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.burst = max(1.0, 2 * rate)
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, caller: str) -> None:
        """Count one request of *caller*.

        Raises:
            RequestError: ``rate_limited`` (429), with when to come again.
        """
        now = time.monotonic()
        tokens, at = self._buckets.get(caller, (self.burst, now))
        tokens = min(self.burst, tokens + (now - at) * self.rate)
        if tokens < 1:
            wait = max(1, -int(-(1 - tokens) // self.rate))
            message = f"more than {self.rate:g} requests a second; try again in {wait} s"
            raise RequestError(message, code="rate_limited", status=429, retry_after=wait)
        if len(self._buckets) >= MOST_CALLERS and caller not in self._buckets:
            self._forget(now)
        self._buckets[caller] = (tokens - 1, now)

    def _forget(self, now: float) -> None:
        """Drop the callers whose buckets are full again; if all are busy, all start anew."""
        refill = self.burst / self.rate
        self._buckets = {caller: bucket for caller, bucket in self._buckets.items() if now - bucket[1] < refill}
        if len(self._buckets) >= MOST_CALLERS:
            self._buckets.clear()
