"""Gives up bodies that do not come in time. One sweep for all costs each request less than a timer of its own.

``python bench/scripts/body_timeout.py`` says by how much: `asyncio.timeout` takes some ten microseconds of a
request, which as a whole takes a quarter of a millisecond; this takes two.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")

SWEEPS = 10
"""So many sweeps fall into the time that a body has: it is given up at most a tenth late."""


class BodyTimeout:
    """Waits for what comes over the network, for a bounded time.

    Args:
        seconds: How long.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._waiting: dict[asyncio.Task[object], float] = {}
        self._given_up: set[asyncio.Task[object]] = set()
        self._sweep: asyncio.TimerHandle | None = None

    async def wait(self, coming: Awaitable[T]) -> T:
        """What *coming* gives.

        Raises:
            TimeoutError: it did not come in time.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - servers run every request in a task
        self._waiting[task] = time.monotonic() + self.seconds
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(self.seconds / SWEEPS, self._look)
        try:
            return await coming
        except asyncio.CancelledError:
            if task not in self._given_up or task.uncancel():
                raise
            raise TimeoutError from None
        finally:
            self._waiting.pop(task, None)
            self._given_up.discard(task)

    def _look(self) -> None:
        """Cancel who waits too long; look again as long as anybody waits."""
        now = time.monotonic()
        self._sweep = None
        for task, until in self._waiting.items():
            if now >= until and task not in self._given_up:
                self._given_up.add(task)
                task.cancel()
        if self._waiting:
            self._sweep = asyncio.get_running_loop().call_later(self.seconds / SWEEPS, self._look)
