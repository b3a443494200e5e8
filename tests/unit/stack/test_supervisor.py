"""The supervisor of a stack heals whatever is killed, itself included, and leaves neither orphans nor long logs."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from slipstream_stack import processes
from slipstream_stack.logs import BYTES, FILES
from slipstream_stack.settings import MARKER, ROLE
from slipstream_stack.state import ComponentState, read_notes

NAMES = ("first", "second", "third")
# The child holds the log open, and whatever else it was given, when its parent is killed.
PARENT = "sleep 3000 & echo started; wait"
BACK_SECONDS = 30.0

Start = Callable[..., Path]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """``start(name=script)``: the run folder of a stack whose components are these bash scripts."""
    run = tmp_path / "run"

    def begin(left: float = 0.0, **scripts: str) -> Path:
        run.mkdir(exist_ok=True)
        components = [
            {"name": name, "args": ["/bin/bash", "-c", script], "grace": 1.0, "left": left}
            for name, script in scripts.items()
        ]
        plan = {"logs": str(tmp_path), "directory": str(tmp_path), "components": components}
        (run / "stack.json").write_text(json.dumps(plan))
        supervise(run)
        return run

    yield begin
    for _ in processes.stop(run, grace=5):
        pass


def supervise(run: Path) -> None:
    """Start a supervisor as `up` does."""
    env = {**os.environ, MARKER: processes.mark(run), ROLE: processes.SUPERVISOR}
    command = [sys.executable, "-m", "slipstream_stack.supervisor", str(run)]
    with (run.parent / "supervisor.log").open("ab") as log:
        subprocess.run(command, env=env, stdout=log, stderr=log, start_new_session=True, check=True)


def role(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return str(process.environ().get(ROLE, ""))
    return ""


def roles(run: Path) -> Counter[str]:
    """How many processes of each role live."""
    return Counter(map(role, processes.members(run)))


def heads(run: Path, name: str) -> list[psutil.Process]:
    """The processes of a component that lead a session: one, if all is well."""
    return [one for one in processes.members(run) if role(one) == name and os.getsid(one.pid) == one.pid]


def eventually(true: Callable[[], bool], seconds: float = BACK_SECONDS) -> bool:
    end = time.monotonic() + seconds
    while not (held := true()) and time.monotonic() < end:
        time.sleep(0.1)
    return held


def kill(*victims: psutil.Process) -> None:
    """Kill them, and wait until they have gone."""
    processes.signal_all(list(victims), force=True)
    assert eventually(lambda: not any(map(processes.alive, victims)), 5)


def whole(run: Path, names: tuple[str, ...] = NAMES) -> bool:
    """Whether each component is there once, parent and child, and the supervisor with its stand-by; nothing else."""
    return roles(run) == dict.fromkeys((*names, "supervisor"), 2)


def told(run: Path) -> str:
    """What a failed test shows."""
    return f"{roles(run)}\n{(run.parent / 'supervisor.log').read_text()[-3000:]}"


def test_components_killed_in_turn_all_come_back(start: Start) -> None:
    run = start(**dict.fromkeys(NAMES, PARENT))
    for name in (*NAMES, *NAMES):
        assert eventually(lambda: whole(run)), told(run)
        (head,) = heads(run, name)
        kill(head)
    assert eventually(lambda: whole(run)), told(run)


@pytest.mark.parametrize("kills", [12, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_whatever_is_killed_comes_back(start: Start, kills: int) -> None:
    draw = random.Random(kills)
    run = start(**dict.fromkeys(NAMES, PARENT))
    assert eventually(lambda: whole(run)), told(run)
    for _ in range(kills):
        kill(draw.choice(processes.members(run)))
        time.sleep(draw.random())
        # Without both nobody is left to heal: that is what `up` is for.
        assert eventually(lambda: len(processes.supervisors(run)) == 2), told(run)
    assert eventually(lambda: whole(run)), told(run)
    notes = read_notes(run)
    assert sum(note.ended for note in notes.values()) > kills / 4
    assert all(heads(run, name)[0].pid == notes[name].pid for name in NAMES)


def test_the_next_supervisor_goes_on_with_the_same_processes(start: Start) -> None:
    run = start(first=PARENT)
    assert eventually(lambda: whole(run, ("first",))), told(run)
    before = heads(run, "first")
    kill(processes.supervisors(run)[0])
    assert eventually(lambda: whole(run, ("first",))), told(run)
    assert heads(run, "first") == before
    kill(*processes.supervisors(run))
    supervise(run)
    assert eventually(lambda: whole(run, ("first",))), told(run)
    assert heads(run, "first") == before
    kill(*before)  # no child of this supervisor
    assert eventually(lambda: whole(run, ("first",)) and heads(run, "first") != before), told(run)


def test_a_component_that_keeps_ending_is_tried_for_ever_but_less_often(start: Start) -> None:
    run = start(first="exit 3")
    assert eventually(lambda: read_notes(run).get("first", ComponentState()).ended == 4, 12), told(run)
    assert read_notes(run)["first"].code == 3
    lines = (run.parent / "supervisor.log").read_text().splitlines()
    assert [line.rsplit("again in ")[1] for line in lines if "again in" in line] == ["1 s", "2 s", "4 s", "8 s"]


def test_what_a_dead_component_left_has_time_to_end_then_is_killed(start: Start) -> None:
    run = start(
        first="(trap 'echo bye; exit' TERM; sleep 3000 & wait) & wait",
        second="(trap '' TERM; sleep 3000) & wait",
        left=2.0,
    )
    assert eventually(lambda: roles(run)["first"] == 3 and roles(run)["second"] == 2), told(run)
    before = {process.pid for name in ("first", "second") for process in processes.members(run, name)}
    for name in ("first", "second"):
        kill(*heads(run, name))
    assert eventually(lambda: roles(run)["first"] == 3 and roles(run)["second"] == 2), told(run)
    assert not before & {process.pid for process in processes.members(run)}
    assert "bye" in (run.parent / "first.log").read_text()


def test_a_command_that_is_missing_stops_nobody_else(start: Start) -> None:
    run = start(first=PARENT)
    plan = json.loads((run / "stack.json").read_text())
    plan["components"].insert(0, {"name": "second", "args": ["/no/such/program"]})
    list(processes.stop(run, grace=5))
    (run / "stack.json").write_text(json.dumps(plan))
    supervise(run)
    assert eventually(lambda: whole(run, ("first",))), told(run)
    assert "second: cannot be started" in told(run)


def test_no_log_grows_beyond_its_bound(start: Start) -> None:
    flood = "while true; do head -c 2000000 /dev/zero; echo; sleep 0.05; done"
    run = start(first=f"{flood} & echo started; wait")
    log = run.parent / "first.log"
    assert eventually(lambda: log.with_name("first.log.4").exists(), 60), told(run)
    kill(*heads(run, "first"))
    assert eventually(lambda: len(heads(run, "first")) == 1), told(run)
    sizes = {path.name: path.stat().st_size for path in sorted(run.parent.glob("first.log*"))}
    assert len(sizes) == FILES
    assert {size for name, size in sizes.items() if name != log.name} == {BYTES}
    assert sizes[log.name] < 8 * BYTES, "what was written within a second is still in it"


def test_down_ends_all_also_while_something_is_dead(start: Start) -> None:
    run = start(first=PARENT, second="exit 1", third="trap '' TERM; sleep 3000 & wait; wait")
    assert eventually(lambda: roles(run)["first"] == roles(run)["third"] == 2), told(run)
    begin = time.monotonic()
    list(processes.stop(run, grace=5))
    assert processes.members(run) == []
    assert time.monotonic() - begin < 5
    assert "ending all" in told(run)
