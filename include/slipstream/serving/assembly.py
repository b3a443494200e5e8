"""What one process of an endpoint consists of, and how it starts and stops with its server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slipstream.serving.front import App, Front, Receive, Scope, Send


class Assembly:
    """A front with what must be started and stopped beside it."""

    def __init__(self, front: Front, *parts: Any) -> None:
        self.front = front
        self.parts = parts

    def start(self) -> None:
        """Start the parts."""
        for part in self.parts:
            part.start()

    def stop(self) -> None:
        """Stop in reverse order, the front last: requests that are being answered are finished by then."""
        for part in reversed(self.parts):
            part.stop()
        self.front.close()


def behind_front(bento: App, assemble: Callable[[], Assembly]) -> App:
    """An application that answers by the front that *assemble* makes, and leaves the lifespan to *bento*."""
    made: list[Assembly] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await made[0].front(scope, receive, send)
        elif scope["type"] == "lifespan":
            await bento(scope, _watched(receive), send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    def _watched(receive: Receive) -> Receive:
        async def watched() -> Any:
            message = await receive()
            if message["type"] == "lifespan.startup":
                made.append(assemble())
                made[0].start()
            if message["type"] == "lifespan.shutdown":
                made[0].stop()
            return message

        return watched

    return app
