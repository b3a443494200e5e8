"""Vertex AI tells a container its paths by environment variables; bodies are those of KServe's V1."""

from __future__ import annotations

import re
from collections.abc import Mapping

from slipstream.errors import BackendError, shown

HEALTH, PREDICT = "AIP_HEALTH_ROUTE", "AIP_PREDICT_ROUTE"
_ROUTE = re.compile(r"(?:/[A-Za-z0-9_-][A-Za-z0-9_.:-]*)+", re.ASCII)
_MOST = 512


def route(environment: Mapping[str, str], name: str) -> str:
    """The path that the variable *name* says; "" if it says none.

    Raises:
        BackendError: ``setting_invalid``.
    """
    path = environment.get(name) or ""
    if path and (len(path) > _MOST or not _ROUTE.fullmatch(path)):
        message = f"{name}: {shown(path)} is no plain path such as /v1/endpoints/1/deployedModels/2; mend it."
        raise BackendError(message, code="setting_invalid")
    return path
