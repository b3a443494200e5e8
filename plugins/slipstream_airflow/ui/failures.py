"""Tasks of a model that failed, from Airflow's database: the ledger knows only what was done."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import quote

from slipstream_airflow.links import prefix
from slipstream_airflow.operators.base import REASON

_NEWEST = 8


@dataclass(frozen=True)
class Failure:
    """A task that failed for good.

    Attributes:
        dag: Its DAG.
        task: Its id.
        time: When it failed, ISO 8601.
        reason: Why, if it said so.
        address: Of the task in Airflow.
    """

    dag: str
    task: str
    time: str
    reason: str
    address: str


def failures(model: str) -> list[Failure]:
    """The newest failed tasks of the model's DAGs, newest first."""
    from airflow.models.taskinstance import TaskInstance as Task
    from airflow.models.xcom import XComModel as XCom
    from airflow.utils.session import create_session
    from sqlalchemy import and_, select

    same = [getattr(XCom, name) == getattr(Task, name) for name in ("dag_id", "run_id", "task_id", "map_index")]
    query = (
        select(Task.dag_id, Task.run_id, Task.task_id, Task.end_date, XCom.value)
        .outerjoin(XCom, and_(*same, XCom.key == REASON))
        .where(
            Task.dag_id.startswith(f"{model}__", autoescape=True), Task.state == "failed", Task.end_date.is_not(None)
        )
        .order_by(Task.end_date.desc())
        .limit(_NEWEST)
    )
    with create_session(scoped=False) as session:
        rows = session.execute(query).all()
    return [
        Failure(
            dag, task, end.isoformat(), _text(reason), f"{prefix()}/dags/{dag}/runs/{quote(run, safe='')}/tasks/{task}"
        )
        for dag, run, task, end, reason in rows
        if dag.rpartition("__")[0] == model
    ]


def _text(value: object) -> str:
    """The reason, which Airflow may keep as JSON in JSON."""
    text = str(value or "")
    return str(json.loads(text)) if text.startswith('"') else text
