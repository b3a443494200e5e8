"""Whether the components of a stack answer: asked over HTTP, as a load balancer would."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from slipstream_stack.settings import Ports

HEALTHY = "healthy"
_TIMEOUT = 5.0
_PARTS = {"scheduler": "scheduler", "dag-processor": "dag_processor", "triggerer": "triggerer"}


def health(ports: Ports, started: Mapping[str, float]) -> dict[str, str]:
    """What each component says of itself.

    Args:
        ports: The ports of the stack.
        started: The components to ask, with the Unix time at which the process of each was started: a heartbeat from
            before it is another process's.

    Returns:
        ``healthy`` or the reason why not, by component.
    """
    report = _airflow(ports) if started.keys() - {"endpoint"} else None
    states: dict[str, str] = {}
    for name, since in started.items():
        if name == "endpoint":
            states[name] = _endpoint(ports)
        elif report is None:
            states[name] = "no answer yet" if name == "api-server" else "not known before the api-server answers"
        elif name == "api-server":
            states[name] = _api_server(report, ports)
        else:
            states[name] = _part(report[_PARTS[name]], _PARTS[name], since)
    return states


def _airflow(ports: Ports) -> dict[str, Any] | None:
    status, body = _get(f"{ports.airflow_url}/api/v2/monitor/health")
    return json.loads(body) if status == 200 else None


def _api_server(report: dict[str, Any], ports: Ports) -> str:
    if report["metadatabase"]["status"] != HEALTHY:
        return "its database does not answer"
    # The API that tasks talk to is built at its first request, which takes seconds: better here than in the first task.
    status, _ = _get(f"{ports.airflow_url}/execution/health")
    return HEALTHY if status == 200 else "its API for tasks does not answer yet"


def _part(report: dict[str, Any], part: str, since: float) -> str:
    beat = report.get(f"latest_{part}_heartbeat")
    if not beat or datetime.fromisoformat(beat).timestamp() < since:
        return "no heartbeat yet"
    return HEALTHY if report["status"] == HEALTHY else f"last heartbeat at {beat}"


def _endpoint(ports: Ports) -> str:
    status, _ = _get(f"{ports.endpoint_url}/readyz")
    if status == 200:
        return HEALTHY
    return f"/readyz answers {status}" if status else "no answer yet"


def _get(url: str) -> tuple[int, bytes]:
    """Status and body; status 0 if nobody answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never by a proxy: it is this machine
    try:
        with opener.open(url, timeout=_TIMEOUT) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""
    except (OSError, ValueError):
        return 0, b""
