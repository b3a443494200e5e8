"""A deployment that bakes waits in the triggerer: takes no worker, outlives the triggerer, ends with its task."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from slipstream.store import Store
from slipstream.store.state import Event, ModelState
from slipstream_stack.processes import members

from .test_loop_faults import tasks

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

NAME = "baked"
DAG = f"{NAME}__train"
MODEL: dict[str, Any] = {
    "name": NAME,
    "task": "binary",
    "target": "large",
    "inputs": ["a", "b"],
    "data": {"source": {"type": "files", "path": "data/*.csv"}, "time": "day", "key": ["id"]},
    "train": {
        "trainer": {"type": "sklearn", "estimator": "sklearn.linear_model.LogisticRegression"},
        "holdout": 0.3,
        "min_rows": 50,
    },
    "evaluate": {"metric": "roc_auc", "bootstrap": 20},
    "gates": [{"type": "metric", "bound": 0.7}],
    "deploy": {"rollout": {"steps": [0.5], "bake": "4s"}},
    "monitor": {"min_rows": 50, "evidently": False},
}


def write_batch(folder: Path, month: int) -> None:
    draw = random.Random(month)
    lines = ["id,day,a,b,large"]
    for number in range(300):
        a, b = draw.gauss(0, 1), draw.gauss(0, 1)
        large = str(a + b + draw.gauss(0, 0.5) > 0).lower()
        lines.append(f"{month}-{number},2026-{month:02d}-{1 + number // 12:02d},{a:.4f},{b:.4f},{large}")
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / f"{month:02d}.csv").write_text("\n".join(lines) + "\n")


@dataclass
class Baking:
    """The training of version 2, whose deployment the tests kill and let go on."""

    stack: Stack
    store: Store
    run_id: str

    @property
    def model(self) -> ModelState:
        return self.store.ledger.state().model(NAME)

    def events(self, kind: str) -> list[Event]:
        return [event for event in self.store.ledger.read(model=NAME, kind=kind) if event.data["version"] == 2]

    def state(self) -> str:
        run = self.stack.airflow.run(DAG, self.run_id)
        assert run.state != "failed", self.stack.airflow.why_failed(run)
        return next(task.state for task in run.tasks if task.name == "deploy")

    def bakes(self) -> bool:
        """Whether the deployment is open and its task waits."""
        return self.model.deployment == 2 and self.state() == "deferred"

    def until(self, true: Callable[[], bool], seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not true():
            run = self.stack.airflow.run(DAG, self.run_id)
            states = [(task.name, task.state, task.try_number) for task in run.tasks]
            assert time.monotonic() < end, f"{run.state}: {states}; {self.stack.airflow.log(DAG, run.id, 'deploy')}"
            time.sleep(0.1)

    def answers(self) -> tuple[int, bool]:
        """The version that answers, and whether another one does too."""
        known = httpx.get(f"{self.stack.endpoint_url}/models/{NAME}", trust_env=False, timeout=10).json()
        return known["version"], bool(known.get("challenger"))


def by_hand(stack: Stack, verb: str) -> None:
    command = [sys.executable, "-m", "slipstream.cli", verb, NAME]
    done = subprocess.run(command, env=stack.env, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def baking(stack: Stack) -> Baking:
    folder = stack.layout.models / NAME
    folder.mkdir()
    write_batch(folder, 1)
    (folder / "model.yaml").write_text(json.dumps(MODEL))
    by_hand(stack, "run")
    write_batch(folder, 2)
    by_hand(stack, "ingest")
    by_hand(stack, "validate")
    stack.airflow.unpause(DAG, seconds=90)
    return Baking(stack, Store.open(stack.layout.store), stack.airflow.trigger(DAG))


def test_a_deployment_that_bakes_takes_no_worker(baking: Baking) -> None:
    baking.until(baking.bakes)
    # The supervisor of the process that has deferred the task may need a second to end.
    baking.until(lambda: not tasks(baking.stack), 3)
    assert baking.bakes()


def test_a_task_marked_failed_leaves_nothing_in_flight(baking: Baking) -> None:
    baking.until(baking.bakes)
    baking.stack.airflow.mark(DAG, baking.run_id, "deploy", "failed")
    baking.until(lambda: baking.model.deployment is None, 60)
    (taken_back,) = baking.events("deployment.rolled_back")
    assert baking.run_id in taken_back.data["reason"]
    assert taken_back.data["code"] == "rolled_back"
    assert baking.model.champion == 1
    baking.until(lambda: baking.answers() == (1, False), 60)
    time.sleep(5)
    assert baking.events("deployment.finished") == [], "nobody went on with it"


def test_a_triggerer_that_is_killed_goes_on_with_it(baking: Baking) -> None:
    baking.stack.airflow.clear(DAG, baking.run_id, "deploy")
    baking.until(baking.bakes)
    for process in members(baking.stack.layout.run, "triggerer"):
        process.kill()
    assert baking.model.deployment == 2
    run = baking.stack.airflow.wait(DAG, baking.run_id, seconds=180)
    assert run.ended_well, baking.stack.airflow.why_failed(run)
    assert len(baking.events("deployment.rolled_back")) == 1, "what happened to the triggerer took nothing back"
    assert len(baking.events("deployment.finished")) == 1
    assert any("Another run goes on" in str(event.data.get("reason")) for event in baking.events("deployment.shifted"))
    assert baking.answers() == (2, False)
    given = baking.stack.airflow.xcom(DAG, baking.run_id, "deploy")
    assert (given["version"], given["previous"], given["reused"]) == (2, 1, False)
