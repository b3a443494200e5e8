"""The stack with real processes: it starts, tells its health, heals, stops, and leaves nothing behind."""

from __future__ import annotations

import os
import random
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from demo.airflow_client.client import Airflow, AirflowError
from slipstream_stack import processes
from slipstream_stack.lifecycle import StackError, down, up
from slipstream_stack.logs import BYTES
from slipstream_stack.settings import Layout, Ports
from slipstream_stack.state import read_notes
from slipstream_stack.status import running_stack, status
from tests.e2e.conftest import REPO, Stack, free_ports

pytestmark = pytest.mark.e2e

ENDPOINT = ("endpoint",)


def eventually(true: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Whether *true* holds before *seconds* have passed."""
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.2)
    return true()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layout]:
    """A layout of its own for stacks that run the endpoint only."""
    layout = Layout.under(REPO, tmp_path_factory.mktemp("small stack") / "var")
    yield layout
    down(layout)


@pytest.fixture
def ports() -> Ports:
    return Ports(*free_ports(2))


def test_a_stack_starts_once_heals_and_leaves_nothing(small: Layout, ports: Ports) -> None:
    told: list[str] = []
    small.run.mkdir(parents=True)
    (small.run / "stack.json").write_text('{"ports": torn')  # of a stack that lost its power

    up(small, ports, names=ENDPOINT, say=told.append)
    assert any("made the user admin with password" in line for line in told)
    assert running_stack(small) is not None
    assert status(small)["healthy"]

    first = {process.pid for process in processes.members(small.run)}
    again = up(small, Ports(*free_ports(2)), names=ENDPOINT, say=told.append)
    assert again.ports == ports
    assert first == {process.pid for process in processes.members(small.run)}
    assert f"port = {ports.airflow}" in (small.airflow_home / "airflow.cfg").read_text()
    assert sum("made the user" in line for line in told) == 1

    assert down(small, say=told.append) > 0
    assert processes.members(small.run) == []
    assert not (small.run / "stack.json").exists()
    assert down(small, say=told.append) == 0


def kill(victims: list[psutil.Process]) -> None:
    processes.signal_all(victims, force=True)
    assert eventually(lambda: not any(map(processes.alive, victims)), 5)


def endpoint_of(layout: Layout) -> list[psutil.Process]:
    """The processes of the endpoint, its head first."""
    return processes.members(layout.run, "endpoint")


def test_up_mends_what_has_lost_its_supervisor(small: Layout, ports: Ports) -> None:
    told: list[str] = []
    up(small, ports, names=ENDPOINT, say=told.append)
    before = endpoint_of(small)
    kill(processes.supervisors(small.run))
    now = status(small)
    assert (now["healthy"], now["supervisor"]["state"]) == (False, "gone")
    assert now["components"]["endpoint"]["state"] == "healthy"

    assert up(small, Ports(*free_ports(2)), names=ENDPOINT, say=told.append).ports == ports
    assert told[-1] == "its supervisor is gone"
    assert status(small)["healthy"]
    assert set(before) <= set(endpoint_of(small)), "what ran, runs on"

    for process in processes.supervisors(small.run):
        process.suspend()
    assert eventually(lambda: status(small)["supervisor"]["state"].startswith("silent for"), 20)
    up(small, ports, names=ENDPOINT, say=told.append)
    kill([*processes.supervisors(small.run), *endpoint_of(small)[:1]])
    assert status(small)["components"]["endpoint"]["state"] == "ended, not started again yet"
    up(small, ports, names=ENDPOINT, say=told.append)
    assert status(small)["healthy"]
    assert not set(before) & set(endpoint_of(small))
    down(small, say=told.append)


def test_a_worker_that_outlives_its_endpoint_does_not_keep_the_port(small: Layout, ports: Ports) -> None:
    up(small, ports, names=ENDPOINT, say=lambda _: None)
    gone: set[int | None] = {None}
    for ends in range(3):
        head, *workers = endpoint_of(small)
        assert workers or ends
        kill([head])
        gone.add(head.pid)
        assert eventually(lambda: read_notes(small.run)["endpoint"].pid not in gone)
        assert not {head, *workers} & set(endpoint_of(small))
    up(small, ports, names=ENDPOINT, say=lambda _: None)  # three ends in its life are no reason to give up
    assert status(small)["components"]["endpoint"] == {"state": "healthy", "restarts": 3}
    down(small, say=lambda _: None)


def test_what_only_its_user_may_read(small: Layout, ports: Ports) -> None:
    up(small, ports, names=ENDPOINT, say=lambda _: None)
    down(small, say=lambda _: None)
    secrets = [*small.keys.iterdir(), small.airflow_home / "airflow.cfg"]
    assert len(secrets) >= 5
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (small.keys, small.run, small.airflow_home)} == {0o700}
    fernet = (small.keys / "airflow_fernet_key").read_text().strip()
    assert fernet in (small.airflow_home / "airflow.cfg").read_text()
    assert not [log for log in small.logs.glob("*.log") if fernet in log.read_text(errors="replace")]


def test_a_component_that_cannot_start_is_named_with_its_log(small: Layout, ports: Ports) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", ports.endpoint))
        other.listen()
        with pytest.raises(StackError, match=r"(?s)endpoint ended 3 times; the end of .*endpoint\.log") as caught:
            up(small, ports, names=ENDPOINT, say=lambda _: None)
    assert caught.value.code == "stack_failed"
    assert down(small, say=lambda _: None) > 0


def test_the_command_line_says_what_runs(tmp_path: Path) -> None:
    env = {**os.environ, "SLIPSTREAM_VAR": str(tmp_path)}
    command = [sys.executable, "-m", "slipstream_stack"]
    shown = subprocess.run([*command, "status"], env=env, capture_output=True, text=True, check=False)
    assert (shown.returncode, shown.stdout) == (1, "nothing runs: make up\n")
    stopped = subprocess.run([*command, "down"], env=env, capture_output=True, text=True, check=False)
    assert (stopped.returncode, stopped.stdout) == (0, "nothing was running\n")
    (tmp_path / "file").touch()
    nowhere = env | {"SLIPSTREAM_VAR": str(tmp_path / "file")}
    failed = subprocess.run([*command, "up"], env=nowhere, capture_output=True, text=True, check=False)
    assert (failed.returncode, "make it a folder that can be written" in failed.stderr) == (1, True)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = env | {"SLIPSTREAM_AIRFLOW_PORT": str(other.getsockname()[1])}
        refused = subprocess.run([*command, "up"], env=taken, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "is taken; set it to a free one" in refused.stderr


def test_all_components_are_healthy(stack: Stack) -> None:
    now = status(stack.layout)
    assert now["healthy"]
    assert set(now["components"]) == {"api-server", "scheduler", "dag-processor", "triggerer", "endpoint"}
    assert stack.airflow.health()["metadatabase"]["status"] == "healthy"


def listening(process: psutil.Process) -> set[tuple[str, int]]:
    """The addresses on which a process listens; none if it has ended meanwhile."""
    try:
        links = process.net_connections("inet")
    except psutil.NoSuchProcess:
        return set()
    return {tuple(link.laddr) for link in links if link.status == psutil.CONN_LISTEN}


def test_it_listens_on_this_machine_only(stack: Stack) -> None:
    found = set().union(*map(listening, processes.members(stack.layout.run)))
    assert {stack.ports.airflow, stack.ports.endpoint} <= {port for _, port in found}
    assert {address for address, _ in found} == {"127.0.0.1"}


def test_a_wrong_password_does_not_get_in(stack: Stack) -> None:
    stranger = Airflow(stack.api_url, stack.user, "wrong")
    with pytest.raises(AirflowError, match="password is wrong"):
        stranger.dags()
    stranger.close()


def test_the_dags_of_the_models_are_there_and_paused(stack: Stack) -> None:
    stack.airflow.wait_for_dag("flights__train")
    assert stack.airflow.import_errors() == {}
    assert stack.airflow.get("/dags/flights__train")["is_paused"]
    assert stack.airflow.runs("flights__train") == []


def test_an_airflow_command_in_its_environment_means_this_stack(stack: Stack) -> None:
    command = [sys.executable, "-m", "airflow", "config", "get-value", "core", "dags_folder"]
    bare = {**os.environ, "AIRFLOW_HOME": str(stack.layout.airflow_home)}
    for env in (stack.env, bare):
        told = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
        assert told.strip().endswith(str(REPO / "dags"))


def test_a_component_that_dies_comes_back(stack: Stack) -> None:
    named = {
        process.environ().get("SLIPSTREAM_COMPONENT"): process for process in processes.members(stack.layout.run)[::-1]
    }
    kill([named["dag-processor"]])
    assert stack.airflow.health()["dag_processor"]["status"] == "healthy", "Airflow goes by the last heartbeat alone"
    assert status(stack.layout)["components"]["dag-processor"]["state"] != "healthy"
    assert eventually(
        lambda: status(stack.layout)["components"]["dag-processor"] == {"state": "healthy", "restarts": 1}
    )


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_whatever_is_killed_comes_back(stack: Stack) -> None:
    draw, run = random.Random(10), stack.layout.run
    for _ in range(100):
        kill([draw.choice(processes.members(run))])
        time.sleep(6 * draw.random())
        # Without both nobody is left to heal: that is what `up` is for.
        assert eventually(lambda: len(processes.supervisors(run)) == 2), status(stack.layout)
    assert eventually(lambda: status(stack.layout).get("healthy") is True, 30), status(stack.layout)
    orphans = {
        processes.role(process)
        for process in processes.members(run)
        if process.ppid() == 1 and process.pid not in {note.pid for note in read_notes(run).values()}
    }
    assert orphans == {"supervisor"}
    assert all(log.stat().st_size < 2 * BYTES for log in stack.layout.logs.glob("*.log*"))
