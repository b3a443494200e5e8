"""Puts the front before BentoML: `bentoml serve` starts, binds, supervises and stops; the front answers.

BentoML lets a service name its class (``service_class``), whose ``to_asgi`` gives the application that its worker runs.
The class is private to BentoML, so the version is pinned. Where it is missing, or ``SLIPSTREAM_BENTOML_MOUNT=1`` asks
for it, the front is mounted the public way: the same answers, behind BentoML's own layers, which cost ten times as
much as the front; and BentoML's own routes (/livez, /readyz, /metrics) come first.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import bentoml  # noqa: TID253 - only services import this module

from slipstream.serving.assembly import Assembly, behind_front, started
from slipstream.serving.message import App, Receive, Scope, Send

try:
    from _bentoml_sdk.service.factory import Service
except ImportError:
    Service = None

MOUNT = "SLIPSTREAM_BENTOML_MOUNT"


def fronted(name: str, workers: int) -> Callable[[Any], Any]:
    """A class decorator: a BentoML service of the class, whose static ``assemble() -> Assembly`` gives the front."""

    def decorate(inner: Any) -> Any:
        options = {"name": name, "workers": workers}
        if _hooked():
            return bentoml.service(**options, service_class=_service_class())(inner)
        return bentoml.service(**options)(bentoml.asgi_app(mounted(inner.assemble))(inner))

    return decorate


def mounted(assemble: Callable[[], Assembly]) -> Any:
    """An application for BentoML to mount, which answers by the front that *assemble* makes."""
    from starlette.applications import Starlette
    from starlette.routing import Mount

    assemblies: list[Assembly] = []

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        assemblies.append(await started(assemble))
        yield
        assemblies[0].stop()

    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        await assemblies[0].front(scope, receive, send)

    return Starlette(routes=[Mount("/", app=front)], lifespan=lifespan)


def _hooked() -> bool:
    wanted = os.environ.get(MOUNT, "").lower() not in {"1", "true", "yes"}
    known = "service_class" in inspect.signature(bentoml.service).parameters
    return wanted and known and hasattr(Service, "to_asgi")


def _service_class() -> Any:
    class FrontService(Service):  # type: ignore[misc]
        """A BentoML service behind the front."""

        def to_asgi(self, is_main: bool = False, **options: Any) -> App:
            """The application that BentoML's worker runs: the front for requests, BentoML for the lifespan."""
            return behind_front(super().to_asgi(is_main=is_main, **options), self.inner.assemble)

    return FrontService
