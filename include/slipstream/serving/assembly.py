"""What one process of an endpoint consists of, and how it starts and stops with its server."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from slipstream.errors import SlipstreamError
from slipstream.serving.http.app import Front
from slipstream.serving.message import App, Receive, Scope, Send

SECONDS = 20.0
SWITCH_SECONDS = 0.001
"""Every answer lets go of the interpreter while its trees run, and waits up to so long for it if another thread took
it. By Python's own 5 ms, what waits behind a batch that is being captured would wait for tenths of a second."""
_PAUSE = 0.02

_log = logging.getLogger("slipstream")


class Assembly:
    """A front with what must be started and stopped beside it."""

    def __init__(self, front: Front, *parts: Any) -> None:
        self.front = front
        self.parts = parts

    def start(self) -> None:
        """Start the parts."""
        sys.setswitchinterval(SWITCH_SECONDS)
        for part in self.parts:
            part.start()

    async def ready(self) -> None:
        """Return when every model is loaded; after :data:`SECONDS` in any case: then what is there answers."""
        deadline = time.monotonic() + SECONDS
        while not self.front.context.models.ready() and time.monotonic() < deadline:
            await asyncio.sleep(_PAUSE)
        # What is there now stays: without it a full collection takes a tenth of a second less.
        gc.collect()
        gc.freeze()

    def stop(self) -> None:
        """Stop in reverse order, the front last: requests that are being answered are finished by then."""
        for part in reversed(self.parts):
            part.stop()
        self.front.close()


async def started(assemble: Callable[[], Assembly]) -> Assembly:
    """What *assemble* makes, at work. If it cannot be, the process ends: servers take that for a missing lifespan."""
    try:
        assembly = assemble()
        assembly.start()
    except Exception as error:
        _log.critical("the endpoint cannot start: %s", error, exc_info=not isinstance(error, SlipstreamError))
        logging.shutdown()
        os._exit(3)
    await assembly.ready()
    return assembly


def behind_front(bento: App, assemble: Callable[[], Assembly]) -> App:
    """An application that answers by the front that *assemble* makes, and leaves the lifespan to *bento*."""
    assemblies: list[Assembly] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await assemblies[0].front(scope, receive, send)
        elif scope["type"] == "lifespan":
            await bento(scope, _watched(receive), send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    def _watched(receive: Receive) -> Receive:
        async def watched() -> Any:
            message = await receive()
            if message["type"] == "lifespan.startup":
                # The server takes requests only after this.
                assemblies.append(await started(assemble))
            if message["type"] == "lifespan.shutdown":
                assemblies[0].stop()
            return message

        return watched

    return app
