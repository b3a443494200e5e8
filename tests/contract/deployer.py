"""A process that puts one version into service, in one of five ways, whenever it is told to. Imports little."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from slipstream.errors import DeployError, SlipstreamError
from slipstream.slots import Rollout
from slipstream.spec.loader import load_spec
from slipstream.spec.model import ModelSpec
from slipstream.stages.deploy import deploy, roll_back
from slipstream.store import Store
from slipstream.store.state import ModelState

VERSION = 2
TAKES = 0.1
"""Seconds from an event until the target answers as it asks."""

WAYS: Mapping[str, Callable[[ModelSpec, Store], object]] = {
    "full": lambda spec, store: deploy(spec, store, VERSION, endpoint=""),
    "steps": lambda spec, store: deploy(spec, store, VERSION, endpoint="", how="steps"),
    "weight": lambda spec, store: deploy(spec, store, VERSION, endpoint="", weight=0.3),
    "shadow": lambda spec, store: deploy(spec, store, VERSION, endpoint="", how="shadow"),
    "rollback": lambda spec, store: roll_back(spec, store, endpoint="", reason="a race."),
}


@dataclass(frozen=True)
class Behind:
    """A target that answers as the ledger asks a moment later, like an endpoint; nobody asks it anything."""

    def roll_out(self, rollout: Rollout) -> None:
        """Wait until the ledger has asked for that share for a moment."""
        store, deadline, since = Store.open(rollout.store), time.monotonic() + rollout.timeout, 0.0
        while time.monotonic() < deadline:
            asked = asks(store.ledger.state().model(rollout.model), rollout)
            since = (since or time.monotonic()) if asked else 0.0
            if since and time.monotonic() - since >= TAKES:
                return
            rollout.still()
            time.sleep(0.02)
        raise DeployError(f"{rollout.model}/{rollout.version}: not in service in time.", code="deploy_timeout")

    def look(self, rollout: Rollout) -> Mapping[str, Any]:
        """What its versions have answered."""
        return {"instance": "one", "traffic": []}


def asks(model: ModelState, rollout: Rollout) -> bool:
    """Whether the ledger asks for what the *rollout* wants."""
    share = (rollout.weight, rollout.shadow)
    if model.deployment is None:
        return (model.champion, 1.0, False) == (rollout.version, *share)
    return (model.deployment, model.weight, model.shadow) == (rollout.version, *share)


def work(folder: str, orders: Connection) -> None:
    """Do what is ordered on the store that is named, killed at a point if one is, and say what came of it."""
    spec = load_spec(Path(folder), allow_code=True)
    quick = spec.deploy.rollout.model_copy(update={"bake": timedelta(seconds=0.1)})
    spec = spec.model_copy(update={"deploy": spec.deploy.model_copy(update={"rollout": quick})}).at(
        spec.folder, allow_code=True
    )
    orders.send("ready")
    while order := orders.recv():
        way, url, point = order
        os.environ["SLIPSTREAM_FAULTPOINT"] = point
        try:
            WAYS[way](spec, Store.open(url))
            orders.send("done")
        except SlipstreamError as error:
            orders.send(error.code)
