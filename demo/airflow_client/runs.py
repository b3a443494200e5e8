"""What Airflow's REST API says of runs, tasks and logs, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Task:
    """One task of a run; ``seconds`` is None until it has ended."""

    name: str
    state: str
    map_index: int
    try_number: int
    started: str | None
    ended: str | None
    seconds: float | None


@dataclass(frozen=True)
class DagRun:
    """One run of a DAG with its tasks, in the order in which they started."""

    dag: str
    id: str
    state: str
    started: str | None
    ended: str | None
    conf: Mapping[str, Any]
    tasks: tuple[Task, ...] = ()

    @property
    def ended_well(self) -> bool:
        """Whether the run has succeeded."""
        return self.state == "success"


def run_of(run: Mapping[str, Any], tasks: list[dict[str, Any]]) -> DagRun:
    """The run from the JSON of a DAG run and of its task instances."""
    ordered = sorted(tasks, key=lambda task: (task["start_date"] is None, task["start_date"] or "", task["task_id"]))
    return DagRun(
        dag=run["dag_id"],
        id=run["dag_run_id"],
        state=run["state"],
        started=run["start_date"],
        ended=run["end_date"],
        conf=run["conf"] or {},
        tasks=tuple(_task_of(task) for task in ordered),
    )


def _task_of(task: Mapping[str, Any]) -> Task:
    return Task(
        name=task["task_id"],
        state=task["state"] or "none",
        map_index=task["map_index"],
        try_number=task["try_number"],
        started=task["start_date"],
        ended=task["end_date"],
        seconds=task["duration"] if task["end_date"] else None,
    )


def log_line(entry: Any) -> str:
    """One entry of a task log as text: the event and, of an exception, its type and text."""
    if not isinstance(entry, dict):
        return str(entry)
    details = entry.get("error_detail") or []
    causes = [f"{detail.get('exc_type')}: {detail.get('exc_value')}" for detail in details if isinstance(detail, dict)]
    return "\n".join([str(entry.get("event", "")), *causes])
