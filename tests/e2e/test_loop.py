"""The closed loop, unattended and under load: drift and late truth, a retraining, a canary, and what takes over.

After the first champion nobody presses a button: the endpoint is asked without a pause, labels come by HTTP, a new
batch arrives, and Airflow does the rest.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from slipstream.commands.history import sentence
from slipstream.store import Store
from slipstream.store.state import Event, ModelState
from tests.contract.running_endpoint import bundle_of, forge, shifted

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

NAME = "loop"
MODEL: dict[str, Any] = {
    "name": NAME,
    "task": "binary",
    "target": "large",
    "inputs": ["a", "b", "kind"],
    "data": {"source": {"type": "files", "path": "data/*.csv"}, "time": "day", "key": ["id"]},
    "train": {
        "trainer": {"type": "sklearn", "estimator": "sklearn.linear_model.LogisticRegression"},
        "window": "26d",
        "holdout": 0.3,
        "min_rows": 50,
    },
    "evaluate": {"metric": "accuracy", "bootstrap": 20, "sensitive": ["kind"], "min_slice": 10},
    "gates": [{"type": "metric", "bound": 0.7}, {"type": "fairness", "bound": 0.5}, {"type": "replay", "bound": 1.0}],
    "deploy": {
        "rollout": {
            "steps": [0.3],
            "bake": "3s",
            "min_requests": 10,
            "patience": "1m",
            # The champion is wrong on most of the new rows, so a good challenger disagrees with it: no alarm on that.
            "alarms": {"errors": 0.01, "latency": 5, "missing": 0.2, "quality": 0.1},
        }
    },
    "monitor": {"source": "predictions", "min_rows": 200, "evidently": False, "quality": {"max_loss": 0.1}},
    "retrain": {"cooldown": "10m"},
    "schedule": {"monitor": ["predictions"]},
}


def drawn(draw: random.Random, shift: float) -> tuple[dict[str, Any], bool]:
    """A row of a world moved by *shift*, and its truth."""
    a, b = draw.gauss(shift, 1), draw.gauss(shift, 1)
    truth = a + b + draw.gauss(0, 0.5) > 2 * shift
    return {"a": round(a, 4), "b": round(b, 4), "kind": draw.choice("xyz")}, truth


def write_batch(folder: Path, month: int, shift: float) -> None:
    """600 rows of one month of 2026."""
    draw = random.Random(month)
    lines = ["id,day,a,b,kind,large"]
    for number in range(600):
        row, truth = drawn(draw, shift)
        day = f"2026-{month:02d}-{1 + number // 25:02d}"
        lines.append(f"{month}-{number},{day},{row['a']},{row['b']},{row['kind']},{str(truth).lower()}")
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / f"{month:02d}.csv").write_text("\n".join(lines) + "\n")


@dataclass
class World:
    """Asks for predictions without a pause, and tells the truth of most of them after a while."""

    url: str
    shift: float = 0.0
    failures: list[str] = field(default_factory=list)
    versions: Counter[int] = field(default_factory=Counter)
    last_request: float = 0.0
    told: int = 0

    def live(self, stop: threading.Event) -> None:
        draw, truths = random.Random(1), {}
        with httpx.Client(trust_env=False, timeout=15) as client:
            while not stop.wait(0.03):
                asked = [drawn(draw, self.shift) for _ in range(3)]
                reply = self._post(client, "predict", {"rows": [row for row, _ in asked]})
                if reply:
                    self.versions[reply["version"]] += 1
                    truths |= {one: truth for one, (_, truth) in zip(reply["ids"], asked, strict=True)}
                self.last_request = time.time()
                if len(truths) >= 120:
                    labels = [{"id": one, "label": truth} for one, truth in list(truths.items())[:100]]
                    self.told += len(labels) if self._post(client, "labels", {"labels": labels}) else 0
                    truths = {}

    def _post(self, client: httpx.Client, route: str, body: dict[str, Any]) -> Any:
        try:
            reply = client.post(f"{self.url}/{route}", json=body)
        except httpx.HTTPError as error:
            self.failures.append(repr(error))
            return None
        if reply.status_code != 200:
            self.failures.append(f"{reply.status_code} {reply.text[:200]}")
            return None
        return reply.json()


@contextmanager
def living(world: World) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=world.live, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)


@dataclass
class Watcher:
    """Reads the ledger of the stack."""

    stack: Stack
    store: Store

    @property
    def state(self) -> ModelState:
        return self.store.ledger.state().model(NAME)

    def events(self, kind: str) -> list[Event]:
        return self.store.ledger.read(model=NAME, kind=kind)

    def until(self, true: Callable[[], Any], seconds: float) -> Any:
        end = time.monotonic() + seconds
        while not (found := true()):
            assert time.monotonic() < end, self.told()
            time.sleep(0.3)
        return found

    def told(self) -> str:
        """What happened so far, and why runs failed: what a failed test shows."""
        lines = [f"{e.seq} {e.time[11:19]} {e.kind}: {sentence(e, 1)}" for e in self.store.ledger.read(model=NAME)]
        for dag in ("ingest", "train", "monitor"):
            for run in self.stack.airflow.runs(f"{NAME}__{dag}", limit=3):
                if run.state == "failed":
                    lines.append(self.stack.airflow.why_failed(self.stack.airflow.run(run.dag, run.id)))
        return "\n".join(lines)


@pytest.fixture(scope="module")
def watcher(stack: Stack) -> Watcher:
    folder = stack.layout.models / NAME
    folder.mkdir()
    write_batch(folder, 1, 0.0)
    (folder / "model.yaml").write_text(json.dumps(MODEL))
    for verb in ("ingest", "train", "monitor"):
        stack.airflow.unpause(f"{NAME}__{verb}", seconds=90)
    found = Watcher(stack, Store.open(stack.layout.store))
    for verb in ("ingest", "train"):
        run = stack.airflow.wait(f"{NAME}__{verb}", stack.airflow.trigger(f"{NAME}__{verb}"), seconds=180)
        assert run.ended_well, stack.airflow.why_failed(run)
    assert found.state.champion == 1
    return found


@pytest.fixture(scope="module")
def world(stack: Stack, watcher: Watcher) -> Iterator[World]:
    """Lives as long as the tests of this module."""
    found = World(f"{stack.endpoint_url}/models/{NAME}")
    with living(found):
        yield found


def test_drift_becomes_a_new_champion_and_nobody_does_anything(
    stack: Stack, watcher: Watcher, world: World, record_property: Callable[[str, object], None]
) -> None:
    watcher.until(lambda: watcher.events("drift.measured") or watcher.events("retrain.skipped"), 120)
    assert watcher.events("retrain.requested") == [], watcher.told()
    write_batch(stack.layout.models / NAME, 2, 3.0)
    run = stack.airflow.wait(f"{NAME}__ingest", stack.airflow.trigger(f"{NAME}__ingest"), seconds=120)
    assert run.ended_well, stack.airflow.why_failed(run)
    world.shift, moved = 3.0, time.time()
    (asked,) = watcher.until(lambda: watcher.events("retrain.requested"), 180)
    assert "drifted" in asked.data["reason"] or "accuracy" in asked.data["reason"]
    watcher.until(lambda: watcher.state.champion == 2, 240)
    started = [run.started for run in stack.airflow.runs(f"{NAME}__train") if run.id.startswith("asset_triggered")]
    begun = datetime.fromisoformat(str(min(filter(None, started)))).timestamp()
    record_property("seconds from the shift to the training", round(begun - moved, 1))
    assert world.failures == []
    assert set(world.versions) == {1, 2}, "both answered during the rollout"
    shares = [event.data.get("weight") for event in watcher.events("deployment.started") if event.data["version"] == 2]
    assert shares == [0.3]
    (finished,) = [event for event in watcher.events("deployment.finished") if event.data["version"] == 2]
    assert "no alarm" in finished.data["reason"]
    joined = watcher.events("labels.joined")
    assert joined, watcher.told()
    assert 0.5 < joined[-1].data["result"]["coverage"] < 1
    for event in watcher.store.ledger.read(model=NAME):
        assert sentence(event, 1) != event.kind, f"{event.kind} has no sentence"


def test_a_bad_challenger_is_taken_back_by_itself(
    stack: Stack, watcher: Watcher, world: World, record_property: Callable[[str, object], None]
) -> None:
    champion = watcher.state.champion
    bundle = bundle_of(watcher.store, NAME, 1)
    bad = forge(watcher.store, NAME, stack.layout.keys, shifted(bundle, 12.0))
    command = [sys.executable, "-m", "slipstream.cli", "deploy", NAME, "--version", str(bad)]
    found = subprocess.run(command, env=stack.env, capture_output=True, text=True, timeout=180, check=False)
    assert found.returncode == 1, found.stdout
    (back,) = [event for event in watcher.events("deployment.rolled_back") if event.data["version"] == bad]
    # It was trained on the world before, so most values are unlike its training: that is seen before the first label.
    assert back.data["alarm"] == "missing", back.data["reason"]
    assert back.data["reason"] in found.stderr.replace("\n", " ")
    assert (watcher.state.champion, watcher.state.deployment) == (champion, None)
    answered = httpx.get(f"{stack.endpoint_url}/models/{NAME}", trust_env=False).json()
    assert (answered["version"], answered.get("challenger")) == (champion, None)
    assert world.failures == []
    record_property("answers by the bad challenger", world.versions[bad])
