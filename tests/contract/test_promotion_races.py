"""Eight processes race to promote different versions, or to go back, and a fifth of them is killed: one linear history.

``SLIPSTREAM_RACE_ROUNDS=500`` runs the long race.
"""

from __future__ import annotations

import json
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import pytest

from slipstream.spec.model import ModelSpec
from slipstream.stages.deploy import deploy
from slipstream.store import Store
from tests.contract.racer import race
from tests.contract.running_endpoint import forge
from tests.forked import FORKED

RACERS = 8
ROUNDS = int(os.environ.get("SLIPSTREAM_RACE_ROUNDS") or 12)
KILLED, BACK = 0.2, 0.15
"""Shares of the racers that are killed in each round, and that go back instead of promoting."""
LATEST = 0.1
"""A racer is killed at any time up to so many seconds after its start; a deployment takes about as long."""


@dataclass(eq=False)
class Racer:
    """A racer, as its starter sees it."""

    version: int
    process: Any
    orders: Connection
    ready: bool = False


class Race:
    """The racers of one model."""

    def __init__(self, spec: ModelSpec, store: Store) -> None:
        self.spec, self.store = spec, store
        self.racers = [self._start(version) for version in range(1, RACERS + 1)]
        self.told: Counter[str] = Counter()
        self.killed = 0
        self.random = random.Random(4)

    def round(self) -> list[tuple[str, int]]:
        """All start at once; what those said that were not killed."""
        timers, doomed = [], []
        for racer in self.racers:
            if not racer.ready:
                assert racer.orders.recv() == "ready"
                racer.ready = True
        for racer in self.racers:
            racer.orders.send("back" if self.random.random() < BACK else "deploy")
            if self.random.random() < KILLED:
                timers.append(threading.Timer(self.random.uniform(0, LATEST), self._kill, [racer]))
                timers[-1].start()
                doomed.append(racer)
        said = []
        for racer in list(self.racers):
            assert wait([racer.orders, racer.process.sentinel], 60), "a racer hangs"
            try:
                said.append(racer.orders.recv() if racer.orders.poll() else None)
            except (EOFError, ConnectionResetError):
                said.append(None)
        for timer in timers:
            timer.join()
        self._replace(doomed)
        answers = [one for one in said if one is not None]
        self.told.update(code for code, _ in answers)
        return answers

    def stop(self) -> None:
        for racer in self.racers:
            racer.orders.send("")
            racer.process.join(10)

    def _kill(self, racer: Racer) -> None:
        os.kill(racer.process.pid, signal.SIGKILL)

    def _replace(self, doomed: list[Racer]) -> None:
        for place, racer in enumerate(self.racers):
            if racer in doomed:
                racer.process.join(30)
                assert racer.process.exitcode == -signal.SIGKILL
                self.killed += 1
                self.racers[place] = self._start(racer.version)
            else:
                assert racer.process.exitcode is None, "a racer died by itself"

    def _start(self, version: int) -> Racer:
        mine, theirs = FORKED.Pipe()
        words = str(self.spec.folder), self.store.url, version, theirs
        process = FORKED.Process(target=race, args=words, daemon=True)
        process.start()
        theirs.close()
        return Racer(version, process, mine)


def check(store: Store, model: str) -> list[int]:
    """The versions that took over, in order; never were two deployments open, and none was closed twice."""
    under_way: int | None = None
    champions: list[int] = []
    for event in store.ledger.read(model=model):
        kind, version = event.kind, int(event.data.get("version") or 0)
        if kind == "deployment.started":
            assert under_way is None, event
            under_way = version
        elif kind in {"deployment.shifted", "deployment.finished", "deployment.rolled_back"}:
            assert under_way == version, event
            if kind != "deployment.shifted":
                under_way = None
            if kind == "deployment.finished" and champions[-1:] != [version]:
                champions.append(version)
    return champions


@pytest.mark.timeout(120 + 10 * ROUNDS)
def test_one_linear_history_whoever_is_killed(
    make_spec: Callable[..., ModelSpec], store: Store, release: Callable[..., Any], tmp_path: Path
) -> None:
    proved = make_spec(deploy={"target": {"type": "local"}})
    release(proved)
    deploy(proved, store, 1, endpoint="")
    for _ in range(RACERS - 1):  # each has served once: what it was compared with is no reason to refuse it
        deploy(proved, store, forge(store, proved.name, tmp_path / "keys", {"card.json": b"{}"}), endpoint="")
    spec = make_spec(allow_code=True, deploy={"target": {"type": "tests.contract.racer:AtOnce"}})
    race = Race(spec, Store.open(store.url))
    for _ in range(ROUNDS):
        before = len(check(store, spec.name))
        answers = race.round()
        champions = check(store, spec.name)
        state = store.ledger.state().model(spec.name)
        assert state.champion == champions[-1]
        assert state.champion in {event.data["version"] for event in store.ledger.read(kind="deployment.finished")}
        served = {version for word, version in answers if word == "served"}
        assert served <= {*champions[before - 1 :]}, "who was told that it serves, did"
    race.stop()
    assert store.ledger.verify() == len(store.ledger.read())
    runs = [event.data["run"] for event in store.ledger.read(kind="deployment.finished")]
    assert len(runs) == len(set(runs)), "no deployment was finished twice"
    assert race.told["served"] > ROUNDS / 2
    assert race.killed > ROUNDS / 2
    assert set(race.told) <= {"served", "back", "deployment_in_flight", "rollback_impossible", "conflict"}, race.told
    figures = {"rounds": ROUNDS, "killed": race.killed, "promotions": len(runs), "told": dict(race.told)}
    (tmp_path / "race.json").write_text(json.dumps(figures))
