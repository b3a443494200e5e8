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

from slipstream_stack.settings import MARKER, ROLE

SUPERVISOR = "supervisor"
_KILL_SECONDS = 5.0
_LOOK = 0.1


def mark(run: Path) -> str:
    """The value of the marker for the stack whose run folder is *run*."""
    return str(run.resolve())


def members(run: Path, component: str = "") -> list[psutil.Process]:
    """Every living process of the stack, oldest first: those that carry its mark and all their descendants.

    Args:
        run: The run folder of the stack.
        component: Take only what belongs to this component.
    """
    value = mark(run)
    kin = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    processes: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        if process.pid in kin or _variable(process, MARKER) != value:
            continue
        if not component or role(process) == component:
            processes[process.pid] = process
            with contextlib.suppress(psutil.Error):
                processes.update((child.pid, child) for child in process.children(recursive=True))
    return sorted((one for one in processes.values() if one.pid not in kin and alive(one)), key=_started)


def supervisors(run: Path) -> list[psutil.Process]:
    """The living supervisor of the stack and its stand-by, as far as they are there."""
    return [process for process in members(run) if role(process) == SUPERVISOR]


def role(process: psutil.Process) -> str:
    """The component of a stack that *process* belongs to; empty if that cannot be told."""
    return _variable(process, ROLE)


def alive(process: psutil.Process) -> bool:
    """Whether *process* runs; one that has ended and was not reaped does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def signal_all(processes: list[psutil.Process], *, force: bool) -> None:
    """Send SIGTERM, or SIGKILL by *force*, to those of *processes* that are still there."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if force:
                process.kill()
            else:
                process.terminate()


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

    The supervisor and its stand-by are asked first. What is left when they have gone, or has no supervisor any more,
    gets SIGTERM, and SIGKILL soon after.

    Args:
        run: The run folder of the stack.
        grace: Seconds that the supervisor has for stopping its components.
        left: Seconds that the others have after SIGTERM.

    Yields:
        The number of living processes, about five times a second.

    Raises:
        RuntimeError: If processes survive SIGKILL (they hang in the kernel).
    """
    parents = supervisors(run)
    signal_all(parents, force=False)
    yield from _until(lambda: not any(map(alive, parents)), run, grace)
    signal_all(members(run), force=False)
    yield from _until(lambda: not members(run), run, left)
    end = time.monotonic() + _KILL_SECONDS
    while remaining := members(run):
        if time.monotonic() > end:
            pids = [process.pid for process in remaining]
            raise RuntimeError(f"processes {pids} survive SIGKILL; look at them with ps")
        signal_all(remaining, force=True)
        yield len(remaining)
        time.sleep(_LOOK)


def _until(done: Callable[[], bool], run: Path, seconds: float) -> Iterator[int]:
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        yield len(members(run))
        time.sleep(_LOOK)


def _variable(process: psutil.Process, name: str) -> str:
    """A variable of the environment that *process* was started with; empty if it has none or may not be asked."""
    try:
        return str(process.environ().get(name, ""))
    except (psutil.Error, OSError):  # another user's, or gone
        return ""


def _started(process: psutil.Process) -> float:
    try:
        return float(process.create_time())
    except psutil.Error:
        return 0.0
