"""Waits for the running endpoint, which follows the ledger, to answer with the version."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from slipstream.errors import DeployError
from slipstream.settings import serve_command
from slipstream.slots import Rollout

_FIRST, _LONGEST = 0.05, 0.5
_ANSWER = 5.0
_GONE = {"model_not_found", "model_retired"}
_LATER = {*_GONE, "rate_limited", "overloaded"}


@dataclass(frozen=True)
class EndpointTarget:
    """The endpoint that `make up` and `slipstream serve` start."""

    def roll_out(self, rollout: Rollout) -> None:
        """Return when the endpoint answers with the version.

        Raises:
            DeployError: ``endpoint_unreachable``, ``endpoint_key_refused``, ``version_refused`` with its reason, or
                ``deploy_timeout``.
        """
        import httpx

        name = f"{rollout.model}/{rollout.version}"
        deadline = time.monotonic() + rollout.timeout
        pause, seen = _FIRST, "it has not answered"
        with httpx.Client(timeout=_ANSWER, trust_env=False, headers=key_header(rollout.endpoint_key)) as client:
            while time.monotonic() < deadline:
                known = _model_status(client, rollout)
                if known is None:
                    seen = "the endpoint does not know the model yet"
                elif _serves(known, rollout):
                    return
                else:
                    _check_refusal(known, rollout)
                    seen = f"the endpoint serves version {known['version']}, state {known['state']}"
                rollout.still()
                time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
                pause = min(pause * 1.5, _LONGEST)
        waited = f"not in service at {rollout.endpoint} within {rollout.timeout:g} s"
        message = f"{name}: {waited}: {seen}; see the endpoint's log."
        raise DeployError(message, code="deploy_timeout")

    def look(self, rollout: Rollout) -> Mapping[str, Any] | None:
        """What the endpoint's versions have answered; None if it has no time to say.

        Raises:
            DeployError: ``endpoint_unreachable`` or ``endpoint_key_refused``.
        """
        import httpx

        with httpx.Client(timeout=_ANSWER, trust_env=False, headers=key_header(rollout.endpoint_key)) as client:
            known = _model_status(client, rollout)
        return known if known and "traffic" in known else None


def await_dropped(endpoint: str, key: str, model: str, timeout: float) -> None:
    """Return when the endpoint answers that it does not serve *model*, or when none runs there.

    Raises:
        DeployError: ``endpoint_key_refused`` or ``deploy_timeout``.
    """
    import httpx

    url, deadline = f"{endpoint}/models/{model}", time.monotonic() + timeout
    with httpx.Client(timeout=_ANSWER, trust_env=False, headers=key_header(key)) as client:
        while time.monotonic() < deadline:
            with suppress(httpx.TimeoutException):
                try:
                    reply = client.get(url)
                    body = reply.json()
                except (httpx.ConnectError, ValueError):
                    return
                if _error(body)[0] in _GONE:
                    return
                _understood(url, reply.status_code, body)
            time.sleep(_FIRST)
    message = f"{model}: is retired, but {endpoint} still answers with it after {timeout:g} s; see the endpoint's log."
    raise DeployError(message, code="deploy_timeout")


def key_header(key: str) -> dict[str, str]:
    """The header that shows *key*; none without a key.

    Raises:
        DeployError: ``endpoint_key_refused`` for what no header can carry: the HTTP library would echo it.
    """
    if not key.isascii() or not key.isprintable():
        message = (
            "SLIPSTREAM_ENDPOINT_KEY holds characters that no key has; set it to a key of `slipstream key create`."
        )
        raise DeployError(message, code="endpoint_key_refused")
    return {"authorization": f"Bearer {key}"} if key else {}


def _hint(url: str) -> str:
    return f"start the endpoint with `make up` or `{serve_command(url)}`"


def _serves(known: dict[str, Any], rollout: Rollout) -> bool:
    """Whether the version has the part that it is to have: the champion's, alone, or that of a challenger or shadow."""
    challenger, shadow = known.get("challenger"), known.get("shadow")
    part: dict[str, Any] = known
    if rollout.shadow:
        part = shadow or {}
    elif rollout.weight < 1:
        part = challenger if challenger and challenger["weight"] == rollout.weight else {}
    elif challenger or shadow:
        return False
    return (part.get("version"), part.get("bundle")) == (rollout.version, rollout.bundle)


def _check_refusal(known: dict[str, Any], rollout: Rollout) -> None:
    """Raise if the endpoint refused this rollout; a refusal of an earlier one says nothing."""
    refused = known["refused"]
    if refused and refused["bundle"] == rollout.bundle and refused["seq"] >= rollout.seq:
        message = f"{rollout.model}/{rollout.version}: the endpoint refused it [{refused['code']}]: {refused['reason']}"
        raise DeployError(message, code="version_refused")


def _model_status(client: Any, rollout: Rollout) -> dict[str, Any] | None:
    """What the endpoint says of the model; None if it does not know it, or has no time.

    Raises:
        DeployError: ``endpoint_unreachable`` if nothing listens, or something else does; ``endpoint_key_refused``.
    """
    import httpx

    url = f"{rollout.endpoint}/models/{rollout.model}"
    try:
        reply = client.get(url)
        return _understood(url, reply.status_code, reply.json())
    except httpx.TimeoutException:
        return None
    except httpx.HTTPError as error:
        raise DeployError(
            f"{url}: no endpoint answers ({error}); {_hint(url)}.", code="endpoint_unreachable"
        ) from error
    except ValueError as error:
        raise DeployError(f"{url}: something else answers there; {_hint(url)}.", code="endpoint_unreachable") from error


def _error(known: Any) -> tuple[str, str]:
    """Code and message of the error that the reply tells of, if it does."""
    error = known.get("error") if isinstance(known, dict) else None
    return (str(error.get("code")), str(error.get("message"))) if isinstance(error, dict) else ("", "")


def _understood(url: str, status: int, known: Any) -> dict[str, Any] | None:
    code, text = _error(known)
    if status == 200 and isinstance(known, dict) and "state" in known:
        return known
    if code in _LATER:
        return None
    if status in {401, 403}:
        message = f"{url}: the endpoint refuses the key [{code}]: {text}; set SLIPSTREAM_ENDPOINT_KEY."
        raise DeployError(message, code="endpoint_key_refused")
    message = f"{url}: answers {status}, as no Slipstream endpoint does; {_hint(url)}."
    raise DeployError(message, code="endpoint_unreachable")
