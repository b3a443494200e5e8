"""The processes of a stack, found by a mark in their environment; never by name, never by a pid file that may be stale.

Every process of a stack is started with ``SLIPSTREAM_STACK=<its run folder>`` and hands it to its children, also to
those that outlive their parent (an Airflow task survives the kill of its supervisor: that is measured).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from slipstream_airflow.stack_settings import MARKER, ROLE

SUPERVISOR = "supervisor"
_KILL_SECONDS = 5.0
_LOOK = 0.1


def mark(run: Path) -> str:
    """The value of the marker for the stack whose run folder is *run*."""
    return str(run.resolve())


def members(run: Path) -> list[psutil.Process]:
    """Every living process of the stack, oldest first: those that carry its mark and all their descendants."""
    value = mark(run)
    kin = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        if process.pid not in kin and _variable(process, MARKER) == value:
            found[process.pid] = process
            with contextlib.suppress(psutil.Error):
                found.update((child.pid, child) for child in process.children(recursive=True))
    alive = [process for process in found.values() if process.pid not in kin and _alive(process)]
    return sorted(alive, key=_started)


def supervisor(run: Path) -> psutil.Process | None:
    """The living supervisor of the stack, if it has one."""
    return next((process for process in members(run) if _variable(process, ROLE) == SUPERVISOR), None)


def memory(run: Path) -> int:
    """Bytes of memory of the stack; pages that processes share are counted once where the system can tell."""
    total = 0
    for process in members(run):
        with contextlib.suppress(psutil.Error):
            info = process.memory_full_info()
            total += getattr(info, "pss", 0) or info.uss
    return total


def stop(run: Path, grace: float, left: float = 3.0) -> Iterator[int]:
    """Stop the stack, yielding how many of its processes still live; ends when there are none.

    The supervisor is asked first. What is left when it has gone, or has no supervisor any more, gets SIGTERM, and
    SIGKILL soon after.

    Args:
        run: The run folder of the stack.
        grace: Seconds that the supervisor has for stopping its components.
        left: Seconds that the others have after SIGTERM.

    Yields:
        The number of living processes, about five times a second.

    Raises:
        RuntimeError: If processes survive SIGKILL (they hang in the kernel).
    """
    parent = supervisor(run)
    if parent is not None:
        _signal([parent], force=False)
        yield from _until(lambda: not _alive(parent), run, grace)
    _signal(members(run), force=False)
    yield from _until(lambda: not members(run), run, left)
    end = time.monotonic() + _KILL_SECONDS
    while remaining := members(run):
        if time.monotonic() > end:
            pids = [process.pid for process in remaining]
            raise RuntimeError(f"processes {pids} survive SIGKILL; look at them with ps")
        _signal(remaining, force=True)
        yield len(remaining)
        time.sleep(_LOOK)


def _until(done: Callable[[], bool], run: Path, seconds: float) -> Iterator[int]:
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        yield len(members(run))
        time.sleep(_LOOK)


def _signal(processes: list[psutil.Process], *, force: bool) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if force:
                process.kill()
            else:
                process.terminate()


def _variable(process: psutil.Process, name: str) -> str:
    """A variable of the environment that *process* was started with; empty if it has none or may not be asked."""
    try:
        return str(process.environ().get(name, ""))
    except (psutil.Error, OSError):  # another user's, or gone
        return ""


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _started(process: psutil.Process) -> float:
    try:
        return float(process.create_time())
    except psutil.Error:
        return 0.0
