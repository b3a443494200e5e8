"""What it costs a request that its body must come in time: our sweep, asyncio.timeout, and no bound at all.

``python bench/scripts/body_timeout.py``: microseconds of processor time for one body that has come already, the median
of eleven interleaved rounds.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

import uvloop

from slipstream.serving.http.body_timeout import BodyTimeout

SECONDS, ROUNDS, BODIES = 10.0, 11, 20_000


async def body() -> bytes:
    """A body that is there."""
    return b"x" * 200


async def measure() -> None:
    """Print a line for each way."""
    sweep = BodyTimeout(SECONDS)

    async def by_timeout() -> bytes:
        async with asyncio.timeout(SECONDS):
            return await body()

    ways: dict[str, Callable[[], Awaitable[bytes]]] = {
        "one sweep for all": lambda: sweep.wait(body()),
        "asyncio.timeout": by_timeout,
        "no bound": body,
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            start = time.process_time()
            for _ in range(BODIES):
                await way()
            spent[name].append((time.process_time() - start) / BODIES * 1e6)
    for name, figures in spent.items():
        sys.stdout.write(f"{name:20} {statistics.median(figures):6.2f} µs\n")


if __name__ == "__main__":
    uvloop.run(measure())
