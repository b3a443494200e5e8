"""Start, mend and stop the stack of one machine: Airflow's four components and the endpoint."""

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
from dataclasses import asdict

from slipstream.errors import SlipstreamError
from slipstream.store import Store
from slipstream_stack import processes
from slipstream_stack.health import HEALTHY
from slipstream_stack.home import prepare
from slipstream_stack.settings import (
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
from slipstream_stack.state import STATE, read_notes, silence
from slipstream_stack.status import Running, running_stack, states, supervision

UP_SECONDS = 180.0
_SUPERVISOR_SECONDS = 30.0
_ENDS_ALLOWED = 3
_TAIL_LINES = 15


class StackError(SlipstreamError):
    """The stack cannot be started or stopped; the text says why and what to do."""

    code = "stack_failed"


Say = Callable[[str], None]


def up(layout: Layout, ports: Ports, *, names: tuple[str, ...] = (), say: Say = print) -> Running:
    """Start the stack, or what is missing of it, and wait until every component is healthy.

    Args:
        layout: Where its things are.
        ports: Where it shall listen.
        names: Components to start; none means all.
        say: Takes the lines of progress.

    Returns:
        The running stack; its ports may be others than *ports* if it ran already.

    Raises:
        StoreError: If the ledger is damaged.
        StackError: If no supervisor stays, a component ends again and again, or is not healthy after ``UP_SECONDS``.
    """
    with _alone(layout):
        running = running_stack(layout)
        if running is not None:
            _warn_of_changes(running, layout, say)
            well = {name for name, state in states(layout, running).items() if state == HEALTHY}
            _mend(layout, running, say)
        else:
            well = set()
            _clear(layout, say)
            tell_password(layout, prepare(layout, ports), say)
            # A ledger that was cut or damaged is refused here, by name, and not by every task later.
            Store.open(layout.store).ledger.state()
            running = _start(layout, ports, names)
        ended = _ended(layout)
    _wait(layout, running, well, ended, say)
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
    plan = {
        "ports": asdict(ports),
        "logs": str(layout.logs),
        "directory": str(layout.repo),
        "environment": environment,
        "components": [asdict(component) for component in wanted],
    }
    draft = layout.run / "stack.json.new"
    draft.write_text(json.dumps(plan, indent=2))
    draft.replace(layout.run / "stack.json")
    _supervise(layout, ports)
    return Running(ports, tuple(component.name for component in wanted), environment)


def _mend(layout: Layout, running: Running, say: Say) -> None:
    """Give the stack a supervisor again if it has none that is awake; what runs of it runs on."""
    trouble = supervision(layout)
    if trouble != HEALTHY:
        say(f"its supervisor is {trouble}")
        processes.signal_all(processes.supervisors(layout.run), force=True)
        _supervise(layout, running.ports)


def _supervise(layout: Layout, ports: Ports) -> None:
    """Start a supervisor, and wait until it has looked at all components once."""
    begin = time.time()
    env = process_environment(layout, ports, os.environ) | {
        MARKER: processes.mark(layout.run),
        ROLE: processes.SUPERVISOR,
    }
    with (layout.logs / "supervisor.log").open("a") as log:
        subprocess.run(
            [sys.executable, "-m", "slipstream_stack.supervisor", str(layout.run)],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            check=False,
        )
    while time.time() - silence(layout.run) < begin:
        if time.time() - begin > _SUPERVISOR_SECONDS:
            raise StackError(f"up: the supervisor does not start; {_tail(layout, 'supervisor')}")
        time.sleep(0.05)


def _wait(layout: Layout, running: Running, well: set[str], ended: Mapping[str, int], say: Say) -> None:
    """Wait until all is healthy, with one line for each component that becomes so.

    Args:
        layout: Where the things of the stack are.
        running: The stack.
        well: Components that were healthy before; nothing is said of them.
        ended: How often each had ended before: what was long ago is no reason to give up now.
        say: Takes the lines.
    """
    begin, announced, now = time.monotonic(), set(well), dict[str, str]()
    while time.monotonic() - begin < UP_SECONDS:
        now = states(layout, running)
        for name, state in now.items():
            if state == HEALTHY and name not in announced:
                announced.add(name)
                say(f"  {name:<14} healthy after {time.monotonic() - begin:.1f} s")
        if all(state == HEALTHY for state in now.values()):
            return
        if not processes.supervisors(layout.run):
            raise StackError(f"up: the supervisor ended; {_tail(layout, 'supervisor')}")
        ends = _ended(layout)
        if failing := [name for name in running.names if ends[name] - ended.get(name, 0) >= _ENDS_ALLOWED]:
            raise StackError(f"up: {failing[0]} ended {_ENDS_ALLOWED} times; {_tail(layout, failing[0])}")
        time.sleep(0.25)
    ill = [name for name, state in now.items() if state != HEALTHY]
    reasons = "; ".join(f"{name}: {now[name]}" for name in ill)
    raise StackError(f"up: after {UP_SECONDS:.0f} s not healthy: {reasons}; {_tail(layout, ill[0])}")


def _ended(layout: Layout) -> Counter[str]:
    """How often each component has ended."""
    return Counter({name: note.ended for name, note in read_notes(layout.run).items()})


def _tail(layout: Layout, name: str) -> str:
    path = layout.logs / f"{name}.log"
    with contextlib.suppress(OSError):
        lines = path.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        return f"the end of {path}:\n    " + "\n    ".join(lines)
    return f"{path} cannot be read"


def _clear(layout: Layout, say: Say) -> int:
    count = len(processes.members(layout.run))
    if count:
        say(f"stopping {count} processes ...")
        try:
            for _ in processes.stop(layout.run, LONGEST_GRACE + 2):
                pass
        except RuntimeError as error:
            raise StackError(f"down: {error}") from error
    for name in ("stack.json", STATE):
        (layout.run / name).unlink(missing_ok=True)
    return count


def _warn_of_changes(running: Running, layout: Layout, say: Say) -> None:
    now = airflow_environment(layout, running.ports) | slipstream_environment(layout, running.ports)
    changed = sorted(name for name in now if now[name] != running.environment.get(name))
    if changed:
        say(f"it runs already, with another {', '.join(changed)}; `make down` first to change that")
