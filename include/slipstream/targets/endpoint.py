"""Waits for the running endpoint, which follows the ledger, to answer with the version."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from slipstream.errors import DeployError
from slipstream.slots import Rollout

_FIRST, _LONGEST = 0.05, 1.0
_ANSWER = 5.0


@dataclass(frozen=True)
class EndpointTarget:
    """The endpoint that `make up` and `slipstream serve` start."""

    def roll_out(self, rollout: Rollout) -> None:
        """Return when the endpoint answers with the version.

        Raises:
            DeployError: ``endpoint_unreachable``, ``version_refused`` with its reason, or ``deploy_timeout``.
        """
        import httpx

        name = f"{rollout.model}/{rollout.version}"
        deadline = time.monotonic() + rollout.timeout
        pause, said = _FIRST, "it has not answered"
        with httpx.Client(timeout=_ANSWER, trust_env=False) as client:
            while time.monotonic() < deadline:
                known = _asked(client, rollout)
                if known is None:
                    said = "the endpoint does not know the model yet"
                elif _serves(known, rollout):
                    return
                else:
                    _check_refusal(known, rollout)
                    said = f"the endpoint serves version {known['version']}, state {known['state']}"
                time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
                pause = min(pause * 1.5, _LONGEST)
        waited = f"not in service at {rollout.endpoint} within {rollout.timeout:g} s"
        message = f"{name}: {waited}: {said}; see the endpoint's log."
        raise DeployError(message, code="deploy_timeout")


def _serves(known: dict[str, Any], rollout: Rollout) -> bool:
    return bool(known["version"] == rollout.version and known["bundle"] == rollout.bundle)


def _check_refusal(known: dict[str, Any], rollout: Rollout) -> None:
    """Raise if the endpoint refused this rollout; a refusal of an earlier one says nothing."""
    refused = known["refused"]
    if refused and refused["bundle"] == rollout.bundle and refused["seq"] >= rollout.seq:
        message = f"{rollout.model}/{rollout.version}: the endpoint refused it [{refused['code']}]: {refused['reason']}"
        raise DeployError(message, code="version_refused")


def _asked(client: Any, rollout: Rollout) -> dict[str, Any] | None:
    """What the endpoint says of the model; None if it does not know it.

    Raises:
        DeployError: ``endpoint_unreachable`` if nothing listens, or something else does.
    """
    import httpx

    url = f"{rollout.endpoint}/models/{rollout.model}"
    hint = "start the endpoint with `make up` or `slipstream serve`"
    try:
        reply = client.get(url)
        known: dict[str, Any] = reply.json()
    except httpx.TimeoutException:
        return None
    except httpx.HTTPError as error:
        raise DeployError(f"{url}: no endpoint answers ({error}); {hint}.", code="endpoint_unreachable") from error
    except ValueError as error:
        raise DeployError(f"{url}: something else answers there; {hint}.", code="endpoint_unreachable") from error
    if reply.status_code == 404 and known.get("error", {}).get("code") == "model_not_found":
        return None
    if reply.status_code != 200 or "state" not in known:
        message = f"{url}: answers {reply.status_code}, as no Slipstream endpoint does; {hint}."
        raise DeployError(message, code="endpoint_unreachable")
    return known
