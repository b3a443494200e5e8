"""Airflow's LocalExecutor, for one machine: warm from the first task on, and without a log server.

It keeps its name, by which Airflow tells local set-ups from production.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
from typing import TYPE_CHECKING

from airflow.executors.local_executor import LocalExecutor as AirflowLocalExecutor

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance


class LocalExecutor(AirflowLocalExecutor):
    """Runs tasks in processes forked from a server that has imported what they need."""

    # The log server would listen on every interface, whatever [logging] worker_log_server_host says.
    serve_logs = False

    def start(self) -> None:
        """Start the executor, and begin with the imports of ``[core] mp_forkserver_preload``.

        Python would start the fork server for the first task only, which then waits for all of them (8 s of CPU).
        """
        super().start()
        if multiprocessing.get_start_method() == "forkserver":
            multiprocessing.forkserver.ensure_running()

    def get_task_log(self, ti: TaskInstance, try_number: int) -> tuple[list[str], list[str]]:
        """Say where the log of a running task is, so that the api-server does not ask a log server for it as well."""
        return ["The task runs on this machine: its log file is read as it grows."], []
