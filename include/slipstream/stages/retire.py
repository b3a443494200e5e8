"""Retire: takes a model out of service, and keeps all that is known of it. Deploying with ``again`` brings it back."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from slipstream.runs import Result
from slipstream.spec.model import ModelSpec
from slipstream.store import Store
from slipstream.store.faultpoints import faultpoint
from slipstream.store.state import ModelState, State
from slipstream.targets.endpoint import await_dropped


@dataclass(frozen=True)
class Retired(Result):
    """A model out of service.

    Attributes:
        champion: The version that served until then; None when none did.
        deployment: The version that was being rolled out; None when none was.
        seconds: Until the endpoint answered that it is retired, or that nothing runs there.
    """

    champion: int | None
    deployment: int | None
    seconds: float


def retire(
    spec: ModelSpec,
    store: Store,
    *,
    endpoint: str,
    endpoint_key: str = "",
    reason: str = "",
    actor: str = "",
) -> Retired:
    """Take the model out of service: the endpoint drops it, a deployment that is under way is closed, and neither a
    deployment nor the retraining policy brings it back by itself. Data, versions, reports and history stay.

    Retired already, it is shown as reused. Ends when the endpoint answers so, or when none runs.

    Args:
        spec: The model.
        store: The store.
        endpoint: URL of the installation's endpoint.
        endpoint_key: The API key to ask it with; "" for none.
        reason: Why, in one sentence.
        actor: Who asked for it.

    Raises:
        DeployError: the endpoint still answers with a version, or refuses the key; the model is retired all the same.
    """
    began = time.monotonic()
    seen = replace(store.ledger.state().model(spec.name))
    reused = seen.retired is not None and seen.deployment is None
    if not reused:
        taken: list[ModelState] = []

        def served(state: State) -> None:
            taken[:] = [replace(state.model(spec.name))]

        payload = {"reason": reason or f"by {actor or 'hand'}."}
        store.ledger.append("model.retired", spec.name, payload, actor=actor, check=served)
        faultpoint("retire.recorded")
        seen = taken[0]
    if spec.deploy.target["type"] == "endpoint":
        await_dropped(endpoint, endpoint_key, spec.name, spec.deploy.timeout.total_seconds())
    seconds = round(time.monotonic() - began, 3)
    return Retired(None if reused else seen.champion, None if reused else seen.deployment, seconds, reused=reused)
