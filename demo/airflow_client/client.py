"""A small client of Airflow's REST API, version 2: what the demo, the tests and the benchmarks do with a running stack.

Every call has a timeout, the token is renewed when it has expired, and an error names the request and what to do.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from slipstream_stack.settings import USER, Layout

from .runs import DagRun, Task, log_line, run_of
from .session import AirflowError, Session

__all__ = ["Airflow", "AirflowError", "DagRun", "Task"]

_SERVER_ERROR = 500
_FINAL = ("success", "failed")
_PAGE = 100


class Airflow:
    """A session with one Airflow.

    Args:
        url: Base URL of the api-server, with its path prefix if it has one.
        user: Name of the user.
        password: Password of the user.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url.rstrip("/")
        self._session = Session(url, user, password)

    @classmethod
    def of(cls, layout: Layout, url: str) -> Airflow:
        """A session with the stack of *layout* as its own user.

        Raises:
            AirflowError: If the stack has no password file yet.
        """
        try:
            password = json.loads(layout.passwords.read_text())[USER]
        except (OSError, ValueError, KeyError) as error:
            raise AirflowError(f"{layout.passwords}: holds no password of {USER}; run make setup") from error
        return cls(url, USER, password)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def health(self) -> dict[str, Any]:
        """The health of the components, as Airflow tells it; needs no login."""
        answer: dict[str, Any] = self._session.send("GET", "/api/v2/monitor/health", login=False).json()
        return answer

    def dags(self) -> list[str]:
        """The ids of all DAGs, sorted."""
        found: list[str] = []
        while True:
            page = self.get("/dags", limit=_PAGE, offset=len(found), order_by="dag_id")["dags"]
            found += [dag["dag_id"] for dag in page]
            if len(page) < _PAGE:
                return sorted(found)

    def import_errors(self) -> dict[str, str]:
        """The DAG files that could not be parsed, with the error."""
        errors = self.get("/importErrors", limit=_PAGE)["import_errors"]
        return {error["filename"]: error["stack_trace"] for error in errors}

    def wait_for_dag(self, dag: str, seconds: float = 60.0) -> None:
        """Wait until the DAG has been parsed.

        Raises:
            AirflowError: If it does not appear in *seconds*; the text holds the import errors.
        """
        end = time.monotonic() + seconds
        while True:
            try:
                self.get(f"/dags/{dag}")
                return
            except AirflowError as error:
                if error.status != 404:
                    raise
                if time.monotonic() > end:
                    errors = "; ".join(self.import_errors().values()) or "no import errors"
                    raise AirflowError(f"DAG {dag} has not appeared in {seconds:.0f} s: {errors}") from error
            time.sleep(0.5)

    def unpause(self, dag: str, *, seconds: float = 60.0) -> None:
        """Let the DAG run: by its schedule, and what is triggered."""
        self.wait_for_dag(dag, seconds)
        self._patch(f"/dags/{dag}", {"is_paused": False})

    def pause(self, dag: str) -> None:
        """Start no further run of the DAG."""
        self._patch(f"/dags/{dag}", {"is_paused": True})

    def trigger(self, dag: str, conf: Mapping[str, Any] | None = None, run_id: str | None = None) -> str:
        """Start a run and return its id; a run that has *run_id* already is not started again.

        Raises:
            AirflowError: If there is no such DAG or *conf* is not what its form takes.
        """
        body = {"logical_date": None, "conf": dict(conf or {}), **({"dag_run_id": run_id} if run_id else {})}
        try:
            return str(self._post(f"/dags/{dag}/dagRuns", body)["dag_run_id"])
        except AirflowError as error:
            if error.status == 409 and run_id:
                return run_id
            raise

    def run(self, dag: str, run_id: str) -> DagRun:
        """The run with its tasks as they are now."""
        path = _run_path(dag, run_id)
        tasks = self.get(f"{path}/taskInstances", limit=_PAGE)["task_instances"]
        return run_of(self.get(path), tasks)

    def runs(self, dag: str, limit: int = 20) -> list[DagRun]:
        """The latest runs of the DAG, without their tasks, newest first."""
        found = self.get(f"/dags/{dag}/dagRuns", limit=limit, order_by="-run_after")["dag_runs"]
        return [run_of(run, []) for run in found]

    def wait(
        self,
        dag: str,
        run_id: str,
        *,
        seconds: float = 600.0,
        on_progress: Callable[[DagRun], None] | None = None,
        poll: float = 0.5,
    ) -> DagRun:
        """Wait until the run has ended, well or not, and return it.

        An api-server that restarts meanwhile is waited for.

        Args:
            dag: Id of the DAG.
            run_id: Id of the run.
            seconds: How long to wait at most.
            on_progress: Called with the run whenever a state in it has changed.
            poll: Seconds between two looks.

        Raises:
            AirflowError: If it has not ended after *seconds*; the text tells the states of its tasks.
        """
        end, seen = time.monotonic() + seconds, ""
        while True:
            run = self._run_or_none(dag, run_id, end, on_progress is not None)
            states = repr(run and (run.state, [(task.name, task.state, task.try_number) for task in run.tasks]))
            if run is not None and states != seen and on_progress is not None:
                on_progress(run)
            seen = states
            if run is not None and run.state in _FINAL:
                return run if run.tasks else self.run(dag, run_id)
            if time.monotonic() > end:
                raise AirflowError(f"run {run_id} of {dag} has not ended in {seconds:.0f} s; it stands at {states}")
            time.sleep(poll)

    def xcom(self, dag: str, run_id: str, task: str, key: str = "return_value", map_index: int = -1) -> Any:
        """What a task left for the tasks after it.

        Raises:
            AirflowError: With status 404 if it left nothing.
        """
        path = f"{_task_path(dag, run_id, task)}/xcomEntries/{quote(key, safe='')}"
        return self.get(path, deserialize="true", map_index=map_index)["value"]

    def log(self, dag: str, run_id: str, task: str, *, try_number: int = 1, lines: int = 40) -> list[str]:
        """The last lines of a task's log."""
        answer = self.get(f"{_task_path(dag, run_id, task)}/logs/{try_number}", full_content="true", map_index=-1)
        told = [log_line(entry) for entry in answer["content"]]
        return [line for text in told for line in text.splitlines()][-lines:]

    def why_failed(self, run: DagRun, lines: int = 25) -> str:
        """For each failed task of *run* its name and the end of its log, ready to be printed."""
        parts = []
        for task in run.tasks:
            if task.state == "failed":
                log = "\n    ".join(self.log(run.dag, run.id, task.name, try_number=task.try_number, lines=lines))
                parts.append(f"task {task.name} of {run.dag} failed (try {task.try_number}):\n    {log}")
        return "\n".join(parts) or f"run {run.id} of {run.dag} is {run.state}, and none of its tasks failed"

    def asset_events(self, uri: str | None = None, limit: int = 20) -> list[dict[str, Any]]:
        """The latest events of the asset *uri*, or of all assets, newest first: ``extra``, ``created_dagruns`` ..."""
        params: dict[str, Any] = {}
        if uri is not None:
            assets = self.get("/assets", uri_pattern=uri, limit=_PAGE)["assets"]
            ids = [asset["id"] for asset in assets if asset["uri"] == uri]
            if not ids:
                return []
            params["asset_id"] = ids[0]
        events: list[dict[str, Any]] = self.get("/assets/events", limit=limit, order_by="-timestamp", **params)[
            "asset_events"
        ]
        return events

    def questions(self, dag: str = "~", run_id: str = "~") -> list[dict[str, Any]]:
        """The questions to a person that are not answered yet: ``subject``, ``options``, ``task_instance`` ..."""
        path = f"/dags/{dag}/dagRuns/{quote(run_id, safe='~')}/hitlDetails"
        found: list[dict[str, Any]] = self.get(path, response_received="false", limit=_PAGE)["hitl_details"]
        return found

    def answer(
        self,
        dag: str,
        run_id: str,
        task: str,
        chosen: list[str],
        params: Mapping[str, Any] | None = None,
    ) -> None:
        """Answer a question, as the user of this session.

        Raises:
            AirflowError: If it is answered already or *chosen* is none of its options.
        """
        body = {"chosen_options": chosen, "params_input": dict(params or {})}
        self._patch(f"{_task_path(dag, run_id, task)}/-1/hitlDetails", body)

    def mark(self, dag: str, run_id: str, task: str, state: str) -> None:
        """Set the state of a task, as a person does in the UI: ``failed`` or ``success``."""
        self._patch(_task_path(dag, run_id, task), {"new_state": state})

    def clear(self, dag: str, run_id: str, task: str) -> None:
        """Let a task run again, whatever became of it."""
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": [task],
            "only_failed": False,
            "reset_dag_runs": True,
        }
        self._post(f"/dags/{dag}/clearTaskInstances", body)

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """The JSON answer to ``GET /api/v2<path>``, for what this class has no method for."""
        answer: dict[str, Any] = self._session.send("GET", f"/api/v2{path}", params=params).json()
        return answer

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._session.send("POST", f"/api/v2{path}", json=dict(body)).json()
        return answer

    def _patch(self, path: str, body: Mapping[str, Any]) -> None:
        self._session.send("PATCH", f"/api/v2{path}", json=dict(body))

    def _run_or_none(self, dag: str, run_id: str, end: float, with_tasks: bool) -> DagRun | None:
        try:
            return self.run(dag, run_id) if with_tasks else run_of(self.get(_run_path(dag, run_id)), [])
        except AirflowError as error:
            if (error.status and error.status < _SERVER_ERROR) or time.monotonic() > end:
                raise
            return None


def _run_path(dag: str, run_id: str) -> str:
    return f"/dags/{dag}/dagRuns/{quote(run_id, safe='')}"


def _task_path(dag: str, run_id: str, task: str) -> str:
    return f"{_run_path(dag, run_id)}/taskInstances/{quote(task, safe='')}"
