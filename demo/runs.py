"""Runs of the model's DAGs: started by hand or by an asset event, and followed to their end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_client.client import Airflow, DagRun, Task
from slipstream.store.state import Event

if TYPE_CHECKING:
    from screen import Screen

ASSET_RUN, ASSET_SECONDS = "asset_triggered__", 60.0
_BUSY = {"running", "queued", "scheduled", "up_for_retry"}


class Trouble(Exception):
    """The story cannot go on; the text holds the end of the failed task's log."""


class Runs:
    """Starts runs and waits for them, telling of each task as it ends."""

    def __init__(self, airflow: Airflow, screen: Screen) -> None:
        self.airflow = airflow
        self.screen = screen

    def run(self, dag: str, conf: dict[str, Any] | None = None, told: Callable[[Task], str] | None = None) -> DagRun:
        """The finished run of *dag* that is started now; each ended task is printed with what *told* says of it."""
        return self._ended(dag, self.airflow.trigger(dag, conf), told)

    def started_by_asset(self, dag: str, cause: Event, told: Callable[[Task], str] | None = None) -> DagRun:
        """The finished run of *dag* that an asset event after the ledger's event *cause* has started."""
        end = time.monotonic() + ASSET_SECONDS
        with self.screen.doing(f"waiting for the asset event to start {dag}"):
            while time.monotonic() < end:
                # The id holds the time: asset_triggered__2026-01-31T12:00:00.000000+00:00_xxxxxxxx
                ids = [run.id for run in self.airflow.runs(dag) if run.id.startswith(ASSET_RUN)]
                ids = [run_id for run_id in ids if run_id.removeprefix(ASSET_RUN)[:23] >= cause.time[:23]]
                if ids:
                    return self._ended(dag, min(ids), told)
                time.sleep(0.25)
        raise Trouble(f"no asset event has started {dag} in {ASSET_SECONDS:.0f} s")

    def _ended(self, dag: str, run_id: str, told: Callable[[Task], str] | None) -> DagRun:
        tries: dict[str, int] = {}
        seen: set[str] = set()

        def show(run: DagRun) -> None:
            busy = [task.name for task in run.tasks if task.state in _BUSY]
            self.screen.now(f"{dag}: {', '.join(busy) or run.state}")
            for task in run.tasks:
                if told is not None and task.state in {"success", "skipped"} and task.name not in seen:
                    seen.add(task.name)
                    self.screen.step(task.name, told(task))
                if task.state == "up_for_retry" and tries.get(task.name) != task.try_number:
                    tries[task.name] = task.try_number
                    last = self.airflow.log(dag, run_id, task.name, try_number=task.try_number, lines=3)
                    self.screen.note(f"{dag}: try {task.try_number} of {task.name} failed, another follows: {last}")

        with self.screen.doing(dag):
            run = self.airflow.wait(dag, run_id, on_progress=show, poll=0.25)
        if not run.ended_well:
            raise Trouble(self.airflow.why_failed(run))
        return run
