"""The loop while its processes are killed in the middle of its steps: it ends right, and everything happens once.

By default tasks are killed in three steps; with SLIPSTREAM_CHAOS=all every kind of process in every step.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from demo.airflow_client.client import AirflowError
from slipstream.duck import duck, first_row
from slipstream.store import Store
from slipstream.store.datasets import load_dataset, read_dataset
from slipstream_stack.processes import members

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

EVERYTHING = os.environ.get("SLIPSTREAM_CHAOS") == "all"
NAME, ROWS = "chaos", 300
MODEL: dict[str, Any] = {
    "name": NAME,
    "task": "binary",
    "target": "large",
    "inputs": ["a", "b"],
    "data": {"source": {"type": "files", "path": "data/*.csv"}, "time": "day", "key": ["id"]},
    "train": {
        "trainer": {"type": "sklearn", "estimator": "sklearn.linear_model.LogisticRegression"},
        "window": "26d",
        "holdout": 0.3,
        "min_rows": 50,
    },
    "evaluate": {"metric": "roc_auc", "bootstrap": 20},
    "gates": [{"type": "metric", "bound": 0.7}],
    "deploy": {"rollout": {"steps": [0.5], "bake": "2s"}},
    "monitor": {"min_rows": 50, "evidently": False},
    "retrain": {"cooldown": None},
    "schedule": {"monitor": ["data"]},
}


def write_batch(folder: Path, month: int) -> None:
    """One month, moved away from the month before."""
    draw, shift = random.Random(month), 3.0 * month
    lines = ["id,day,a,b,large"]
    for number in range(ROWS):
        a, b = draw.gauss(shift, 1), draw.gauss(shift, 1)
        large = str(a + b + draw.gauss(0, 0.5) > 2 * shift).lower()
        lines.append(f"{month}-{number},2026-{month:02d}-{1 + number // 12:02d},{a:.4f},{b:.4f},{large}")
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / f"{month:02d}.csv").write_text("\n".join(lines) + "\n")


def said(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def named(*words: str) -> Callable[[Stack], list[psutil.Process]]:
    """Processes of the stack whose command line has all these words."""

    def find(stack: Stack) -> list[psutil.Process]:
        return [one for one in members(stack.layout.run) if all(word in said(one) for word in words)]

    return find


def supervisors(stack: Stack) -> list[psutil.Process]:
    """Processes of the executor that look after a running task."""
    (server,) = named("multiprocessing.forkserver")(stack)
    return [child for child in server.children() if child.children()]


def tasks(stack: Stack) -> list[psutil.Process]:
    """Processes that run a task."""
    return [child for one in supervisors(stack) for child in one.children()]


VICTIMS = {
    "task": tasks,
    "supervisor": supervisors,
    "scheduler": named("quick_start scheduler"),
    "api-server": named("airflow api_server"),
    "endpoint": named("_bentoml_impl.worker"),
}
STEPS = {
    "ingest": ("ingest", "validate"),
    "monitor": ("join", "monitor", "decide"),
    "train": ("train", "evaluate", "explain", "package", "gate", "deploy"),
}
FEW = ("monitor", "train", "deploy")


@dataclass
class Haunting:
    """Kills once in each step that is seen running."""

    stack: Stack
    victims: Callable[[Stack], list[psutil.Process]]
    steps: tuple[str, ...]
    hit: list[str] = field(default_factory=list)

    def haunt(self, stop: threading.Event) -> None:
        while not stop.wait(0.1):
            for dag in STEPS:
                with contextlib.suppress(AirflowError):
                    self._look(f"{NAME}__{dag}")

    def _look(self, dag: str) -> None:
        for run in self.stack.airflow.runs(dag, limit=1):
            for task in self.stack.airflow.run(dag, run.id).tasks if run.state == "running" else ():
                if task.state == "running" and task.name in self.steps and task.name not in self.hit:
                    self._kill(task.name)

    def _kill(self, step: str) -> None:
        for process in self.victims(self.stack):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
                if step not in self.hit:
                    self.hit.append(step)


@contextmanager
def haunted(haunting: Haunting) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=haunting.haunt, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)


def counted(store: Store) -> dict[str, int]:
    """How often each thing happened that must happen once a loop."""
    events = store.ledger.read(model=NAME)
    trained = sum(event.kind == "run.finished" and event.data["stage"] == "train" for event in events)
    kinds = ("dataset.committed", "retrain.requested", "version.registered", "deployment.finished")
    return {"train": trained} | {kind: sum(event.kind == kind for event in events) for kind in kinds}


def until(true: Callable[[], bool], seconds: float, why: Callable[[], str]) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, why()
        time.sleep(0.5)


def running(stack: Stack) -> bool:
    with contextlib.suppress(AirflowError):
        return any(run.state == "running" for dag in STEPS for run in stack.airflow.runs(f"{NAME}__{dag}"))
    return True


def told(stack: Stack, store: Store) -> str:
    lines = [
        f"{e.seq} {e.kind} {e.data.get('stage', '')} {e.data.get('reason', '')}" for e in store.ledger.read(model=NAME)
    ]
    with contextlib.suppress(AirflowError):
        for dag in STEPS:
            for run in stack.airflow.runs(f"{NAME}__{dag}", limit=2):
                whole = stack.airflow.run(run.dag, run.id)
                lines.append(
                    f"{run.id} {run.state} {[(task.name, task.state, task.try_number) for task in whole.tasks]}"
                )
    return "\n".join(lines)


@pytest.fixture(scope="module")
def chaos(stack: Stack) -> Store:
    """A model with a champion, whose DAGs run by themselves; each test brings the next month."""
    folder = stack.layout.models / NAME
    folder.mkdir()
    write_batch(folder, 1)
    (folder / "model.yaml").write_text(json.dumps(MODEL))
    for verb in ("ingest", "train"):
        stack.airflow.unpause(f"{NAME}__{verb}", seconds=90)
        run = stack.airflow.wait(f"{NAME}__{verb}", stack.airflow.trigger(f"{NAME}__{verb}"), seconds=180)
        assert run.ended_well, stack.airflow.why_failed(run)
    stack.airflow.unpause(f"{NAME}__monitor", seconds=90)
    return Store.open(stack.layout.store)


@pytest.mark.parametrize("victim", list(VICTIMS))
def test_the_loop_ends_right_and_once(stack: Stack, chaos: Store, victim: str, record_property: Any) -> None:
    if victim != "task" and not EVERYTHING:
        pytest.skip("takes minutes: SLIPSTREAM_CHAOS=all kills every kind of process")
    before = counted(chaos)
    month = before["dataset.committed"] + 1
    write_batch(stack.layout.models / NAME, month)
    steps = tuple(step for found in STEPS.values() for step in found) if EVERYTHING else FEW
    haunting, began = Haunting(stack, VICTIMS[victim], steps), time.monotonic()
    with haunted(haunting):
        stack.airflow.trigger(f"{NAME}__ingest")

        def ended() -> bool:
            return chaos.ledger.state().model(NAME).champion == month

        until(ended, 1200, lambda: told(stack, chaos))
    record_property(f"{victim} killed in", f"{', '.join(haunting.hit)} ({time.monotonic() - began:.0f} s)")
    # An endpoint that was killed is back after ten seconds, by when some steps have passed.
    assert len(haunting.hit) >= (6 if EVERYTHING and victim != "endpoint" else 2), haunting.hit
    until(lambda: not running(stack), 300, lambda: told(stack, chaos))
    assert counted(chaos) == {name: count + 1 for name, count in before.items()}, told(stack, chaos)
    assert chaos.ledger.read(model=NAME, kind="deployment.rolled_back") == []
    chaos.ledger.verify()
    state = chaos.ledger.state()
    newest = load_dataset(chaos.objects, state, NAME, str(state.model(NAME).dataset))
    with duck() as connection:
        rows = read_dataset(chaos.tables, newest, connection)
        assert first_row(rows.aggregate("count(*), count(DISTINCT id)")) == (ROWS * month, ROWS * month)
