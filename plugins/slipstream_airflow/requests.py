"""By what word the ledger knows a task that asked for something, so that it takes back its own alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Context


def task_word(context: Context) -> str:
    """The word of the task, the same at each of its tries: ``airflow:<dag_id>/<run_id>/<task_id>``, of a mapped task
    with ``[<index>]``; "" outside a run."""
    ti: Any = context.get("ti")
    if ti is None:
        return ""
    index = getattr(ti, "map_index", -1)
    return f"airflow:{ti.dag_id}/{ti.run_id}/{ti.task_id}{f'[{index}]' if index >= 0 else ''}"


def try_number(context: Context) -> int:
    """The try that the task is at, from 1."""
    return int(getattr(context.get("ti"), "try_number", None) or 1)


def try_word(task: str, number: int, instance: str = "") -> str:
    """The word of one try of the *task* of that word, or of an *instance* of it, as several triggerers may run one."""
    return f"{task}#{number}{instance and f':{instance}'}" if task else ""


def of_tries_up_to(task: str, number: int) -> Callable[[str], bool]:
    """Whether a word is of that try, of an instance of it, or of one before it; what a later one began is not."""
    words = {try_word(task, one) for one in range(1, number + 1)} - {""}
    return lambda word: word.rpartition(":")[0] in words or word in words
