"""Processes of a stack are found by their mark, wherever they have gone, and all of them are stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from slipstream_stack import processes
from slipstream_stack.settings import MARKER, ROLE

SLEEP = "import time; time.sleep(60)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
# Its child lives in a session of its own, without the mark, when the parent is killed.
PARENT = (
    "import os, subprocess, sys, time; env = {k: v for k, v in os.environ.items() if not k.startswith('SLIPSTREAM')};"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], env=env, start_new_session=True);"
    "print('started', flush=True); time.sleep(60)"
)

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """``start(code, **environment)``: a process of the stack whose run folder is ``tmp_path``."""
    started = []

    def run(code: str, **environment: str) -> subprocess.Popen[str]:
        env = {**os.environ, MARKER: str(tmp_path), **environment}
        process = subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield run
    for process in started:
        for child in psutil.Process(process.pid).children() if process.poll() is None else []:
            child.kill()
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_only_processes_with_the_mark_are_members(tmp_path: Path, start: Start) -> None:
    ours, other = start(SLEEP), start(SLEEP, **{MARKER: str(tmp_path / "other")})
    pids = {process.pid for process in processes.members(tmp_path)}
    assert ours.pid in pids
    assert other.pid not in pids
    assert os.getpid() not in pids


def test_descendants_are_members_whatever_their_environment(tmp_path: Path, start: Start) -> None:
    parent = start(PARENT)
    assert first_line(parent) == "started"
    (child,) = psutil.Process(parent.pid).children()
    assert child.pid in {process.pid for process in processes.members(tmp_path)}


def test_supervisors_are_known_by_their_role(tmp_path: Path, start: Start) -> None:
    start(SLEEP, **{ROLE: "scheduler"})
    assert processes.supervisors(tmp_path) == []
    both = {start(SLEEP, **{ROLE: "supervisor"}).pid for _ in range(2)}
    assert {process.pid for process in processes.supervisors(tmp_path)} == both


def test_a_component_is_its_processes_and_their_descendants(tmp_path: Path, start: Start) -> None:
    start(SLEEP, **{ROLE: "scheduler"})
    parent = start(PARENT, **{ROLE: "endpoint"})
    assert first_line(parent) == "started"
    (child,) = psutil.Process(parent.pid).children()
    found = {process.pid for process in processes.members(tmp_path, "endpoint")}
    assert found == {parent.pid, child.pid}


def test_the_same_folder_by_another_name_is_the_same_stack(tmp_path: Path, start: Start) -> None:
    process = start(SLEEP)
    (tmp_path / "link").symlink_to(tmp_path)
    assert [member.pid for member in processes.members(tmp_path / "link")] == [process.pid]


def test_stop_ends_all_also_those_that_do_not_listen(tmp_path: Path, start: Start) -> None:
    started = [start(SLEEP), start(SLEEP, **{ROLE: "supervisor"}), start(DEAF)]
    assert first_line(started[-1]) == "deaf"
    begin = time.monotonic()
    counts = list(processes.stop(tmp_path, grace=0.5, left=0.5))
    assert max(counts) <= len(started)
    assert time.monotonic() - begin < 5
    assert processes.members(tmp_path) == []
    assert [process.wait(timeout=5) for process in started] == [-15, -15, -9]


def test_nothing_to_stop_is_no_work(tmp_path: Path) -> None:
    assert list(processes.stop(tmp_path, grace=5)) == []


def test_memory_is_that_of_the_members(tmp_path: Path, start: Start) -> None:
    assert processes.memory(tmp_path) == 0
    process = start("x = bytearray(50_000_000); print('grown', flush=True); import time; time.sleep(60)")
    assert first_line(process) == "grown"
    assert processes.memory(tmp_path) > 50_000_000
