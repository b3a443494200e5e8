"""Start, stop and look at the stack of one machine: Airflow's four components and the endpoint."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from slipstream.errors import SlipstreamError
from slipstream_airflow import stack_processes
from slipstream_airflow.stack_health import HEALTHY, health
from slipstream_airflow.stack_home import prepare
from slipstream_airflow.stack_settings import (
    LONGEST_GRACE,
    MARKER,
    ROLE,
    USER,
    Layout,
    Ports,
    airflow_environment,
    components,
    process_environment,
    slipstream_environment,
)
from slipstream_airflow.stack_supervisor import STARTS

UP_SECONDS = 180.0
_STARTS_ALLOWED = 3
_TAIL_LINES = 15


class StackError(SlipstreamError):
    """The stack cannot be started or stopped; the text says why and what to do."""

    code = "stack_failed"


@dataclass(frozen=True)
class Running:
    """What ``stack.json`` says of the stack that was started last.

    Attributes:
        ports: Where it listens.
        names: Its components.
        since: Unix time of its start.
        environment: The settings that it was started with, without secrets.
    """

    ports: Ports
    names: tuple[str, ...]
    since: float
    environment: Mapping[str, str]


Say = Callable[[str], None]


def up(layout: Layout, ports: Ports, *, names: tuple[str, ...] = (), say: Say = print) -> Running:
    """Start the stack, unless it runs already, and wait until every component is healthy.

    Args:
        layout: Where its things are.
        ports: Where it shall listen.
        names: Components to start; none means all.
        say: Takes the lines of progress.

    Returns:
        The running stack; its ports may be others than *ports* if it ran already.

    Raises:
        StackError: If the supervisor ends, a component ends again and again, or is not healthy after ``UP_SECONDS``.
    """
    with _alone(layout):
        running = running_stack(layout)
        if running is not None:
            _warn_of_changes(running, layout, say)
            say = _nothing
        else:
            _clear(layout, say)
            tell_password(layout, prepare(layout, ports), say)
            running = _start(layout, ports, names)
    _wait(layout, running, say)
    return running


def tell_password(layout: Layout, password: str | None, say: Say) -> None:
    """Tell the password of the stack's user, if it was made just now."""
    if password:
        say(f"made the user {USER} with password {password}   (told once; kept in {layout.passwords})")


def down(layout: Layout, *, say: Say = print) -> int:
    """Stop every process of the stack, also those that lost their supervisor, and verify that none is left.

    Returns:
        How many processes there were.

    Raises:
        StackError: If processes survive SIGKILL.
    """
    with _alone(layout):
        return _clear(layout, say)


def running_stack(layout: Layout) -> Running | None:
    """The stack that runs under a living supervisor, or None."""
    if stack_processes.supervisor(layout.run) is None:
        return None
    try:
        plan = json.loads((layout.run / "stack.json").read_text())
        names = tuple(component["name"] for component in plan["components"])
        return Running(Ports(**plan["ports"]), names, plan["since"], plan["environment"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # lost or torn: `up` clears the processes away and starts anew


@contextlib.contextmanager
def _alone(layout: Layout) -> Iterator[None]:
    """Only one `up` or `down` at a time."""
    try:
        layout.run.mkdir(parents=True, exist_ok=True)
        lock = (layout.run / "lock").open("w")
    except OSError as error:
        raise StackError(f"{layout.run}: {error.strerror}; make it a folder that can be written") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start(layout: Layout, ports: Ports, names: tuple[str, ...]) -> Running:
    wanted = components(ports, names)
    environment = airflow_environment(layout, ports) | slipstream_environment(layout, ports)
    running = Running(ports, tuple(component.name for component in wanted), time.time(), environment)
    plan = {
        "since": running.since,
        "ports": asdict(ports),
        "logs": str(layout.logs),
        "directory": str(layout.repo),
        "environment": environment,
        "components": [asdict(component) for component in wanted],
    }
    draft = layout.run / "stack.json.new"
    draft.write_text(json.dumps(plan, indent=2))
    draft.replace(layout.run / "stack.json")
    env = process_environment(layout, ports, os.environ) | {
        MARKER: stack_processes.mark(layout.run),
        ROLE: stack_processes.SUPERVISOR,
    }
    with (layout.logs / "supervisor.log").open("a") as log:
        subprocess.run(
            [sys.executable, "-m", "slipstream_airflow.stack_supervisor", str(layout.run)],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            check=True,
        )
    return running


def _nothing(_: str) -> None:
    """Say nothing."""


def _wait(layout: Layout, running: Running, say: Say) -> None:
    """Wait until all is healthy, with one line for each component that becomes so."""
    begin, told, states = time.monotonic(), set[str](), dict[str, str]()
    while time.monotonic() - begin < UP_SECONDS:
        states = health(running.ports, running.names, running.since)
        for name, state in states.items():
            if state == HEALTHY and name not in told:
                told.add(name)
                say(f"  {name:<14} healthy after {time.time() - running.since:.1f} s")
        if len(told) == len(running.names):
            return
        if time.monotonic() - begin > 2 and stack_processes.supervisor(layout.run) is None:
            raise StackError(f"up: the supervisor ended; {_tail(layout, 'supervisor')}")
        starts = _starts(layout)
        if failing := [name for name in running.names if name not in told and starts[name] > _STARTS_ALLOWED]:
            raise StackError(f"up: {failing[0]} ended {_STARTS_ALLOWED} times; {_tail(layout, failing[0])}")
        time.sleep(0.25)
    ill = [name for name in running.names if name not in told]
    reasons = "; ".join(f"{name}: {states[name]}" for name in ill)
    raise StackError(f"up: after {UP_SECONDS:.0f} s not healthy: {reasons}; {_tail(layout, ill[0])}")


def _starts(layout: Layout) -> Counter[str]:
    """How often the supervisor has started each component."""
    path = layout.run / STARTS
    return Counter(path.read_text().split() if path.exists() else ())


def _tail(layout: Layout, name: str) -> str:
    path = layout.logs / f"{name}.log"
    with contextlib.suppress(OSError):
        lines = path.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return f"the end of {path}:\n    " + "\n    ".join(lines)
    return f"{path} cannot be read"


def _clear(layout: Layout, say: Say) -> int:
    count = len(stack_processes.members(layout.run))
    if count:
        say(f"stopping {count} processes ...")
        try:
            for _ in stack_processes.stop(layout.run, LONGEST_GRACE + 2):
                pass
        except RuntimeError as error:
            raise StackError(f"down: {error}") from error
    for name in ("stack.json", "control.sock", "events.sock", STARTS):
        (layout.run / name).unlink(missing_ok=True)
    return count


def _warn_of_changes(running: Running, layout: Layout, say: Say) -> None:
    now = airflow_environment(layout, running.ports) | slipstream_environment(layout, running.ports)
    changed = sorted(name for name in now if now[name] != running.environment.get(name))
    if changed:
        say(f"it runs already, with another {', '.join(changed)}; `make down` first to change that")


def status(layout: Layout) -> dict[str, Any]:
    """The running stack as plain values: URLs, components with state and restarts, memory. Empty if nothing runs."""
    running = running_stack(layout)
    if running is None:
        return {}
    states = health(running.ports, running.names, running.since)
    starts = _starts(layout)
    return {
        "airflow": running.ports.airflow_url,
        "endpoint": running.ports.endpoint_url,
        "user": USER,
        "password_file": str(layout.passwords),
        "logs": str(layout.logs),
        "components": {name: {"state": states[name], "restarts": max(0, starts[name] - 1)} for name in running.names},
        "memory_mb": round(stack_processes.memory(layout.run) / 1e6),
        "healthy": all(state == HEALTHY for state in states.values()),
    }
