"""Puts the front before BentoML: `bentoml serve` starts, binds, supervises and stops; the front answers.

BentoML lets a service name its class (``service_class``), whose ``to_asgi`` gives the application that its worker runs.
The class is private to BentoML, so the version is pinned and the hook is checked when this module is imported.
"""

from __future__ import annotations

import inspect
from typing import Any

import bentoml  # noqa: TID253 - only services import this module
from _bentoml_sdk.service.factory import Service

from slipstream.errors import BackendError
from slipstream.serving.assembly import behind_front
from slipstream.serving.front import App

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
