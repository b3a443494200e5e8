"""A process that promotes one version, or goes back, whenever it is told to. Imports little: one is started often."""

from __future__ import annotations

from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from slipstream.errors import SlipstreamError
from slipstream.slots import Rollout
from slipstream.spec.loader import load_spec
from slipstream.stages.deploy import deploy, roll_back
from slipstream.store import Store


@dataclass(frozen=True)
class AtOnce:
    """A target that takes every version at once: what races is the ledger."""

    def roll_out(self, rollout: Rollout) -> None:
        """Nothing is left to do."""


def race(folder: str, url: str, version: int, orders: Connection) -> None:
    """Do what is ordered, and say what came of it, until nothing more is."""
    spec, store = load_spec(Path(folder), allow_code=True), Store.open(url)
    store.ledger.state()
    orders.send("ready")
    while order := orders.recv():
        try:
            if order == "back":
                orders.send(("back", roll_back(spec, store, endpoint="", reason="a race.").version))
            else:
                orders.send(("served", deploy(spec, store, version, endpoint="").version))
        except SlipstreamError as error:
            orders.send((error.code, version))
