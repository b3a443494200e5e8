"""Puts the front before BentoML: `bentoml serve` starts, binds, supervises and stops; the front answers.

BentoML lets a service name its class (``service_class``), whose ``to_asgi`` gives the application that its worker runs.
The class is private to BentoML, so the version is pinned and the hook is checked when this module is imported.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import bentoml  # noqa: TID253 - only services import this module
from _bentoml_sdk.service.factory import Service

from slipstream.errors import BackendError
from slipstream.serving.front import App, Front, Receive, Scope, Send

if "service_class" not in inspect.signature(bentoml.service).parameters or not hasattr(Service, "to_asgi"):
    raise BackendError(
        f"bentoml {bentoml.__version__} has no service_class; install the version of requirements.txt.",
        code="bentoml_version",
    )


class FrontService(Service):  # type: ignore[misc]
    """A BentoML service whose class has ``assemble() -> Assembly``."""

    def to_asgi(self, is_main: bool = False, **options: Any) -> App:
        """The application that BentoML's worker runs: the front for requests, BentoML for the lifespan."""
        return behind_front(super().to_asgi(is_main=is_main, **options), self.inner.assemble)


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
