"""The endpoint as `slipstream serve --workers 2` runs it, under load: swaps, canaries, a killed worker, a full disk."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx
import psutil
import pytest

from slipstream.spec.model import ModelSpec
from slipstream.stages.deploy import deploy, roll_back
from slipstream.store import Store
from slipstream.store.predictions import TABLE
from tests.contract.running_endpoint import ROW, answer_of, bundle_of, forge, shifted, wait_until
from tests.contract.test_targets import free_port

pytestmark = pytest.mark.e2e

SENDERS = 3


@dataclass
class Asked:
    """One request: when it was sent, what answered, or what went wrong."""

    at: float
    took: float
    status: int
    version: int = 0
    answer: float = 0.0


@dataclass
class Load:
    """Requests all the time, each sender over one connection that is kept open; a broken one is opened again."""

    port: int
    model: str
    seen: list[Asked] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Load:
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(SENDERS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _send(self, number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        body, count = json.dumps({"rows": [ROW]}), 0
        while not self._stop.is_set():
            began, count = time.monotonic(), count + 1
            headers = {"content-type": "application/json", "x-user": f"{number}-{count}"}
            try:
                connection.request("POST", f"/models/{self.model}/predict", body, headers)
                reply = connection.getresponse()
                said = json.loads(reply.read())
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(type(error).__name__)
                connection.close()
                continue
            took = time.monotonic() - began
            answer = said.get("probabilities", [0.0])[0]
            self.seen.append(Asked(began, took, reply.status, said.get("version", 0), answer))
        connection.close()

    @property
    def slowest(self) -> float:
        """Seconds of the slowest request."""
        return max(asked.took for asked in self.seen)


@dataclass
class Served:
    """A real endpoint with a champion, and a second version that answers otherwise."""

    spec: ModelSpec
    store: Store
    port: int
    process: subprocess.Popen[bytes]
    log: Path
    answers: dict[int, float]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def known(self) -> dict[str, Any]:
        said: dict[str, Any] = httpx.get(f"{self.url}/models/{self.spec.name}").json()
        return said

    def workers(self) -> list[psutil.Process]:
        """The processes that answer."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        return [one for one in found if "_bentoml_impl.worker.service" in " ".join(_words(one))]

    def count(self, name: str) -> float:
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own for the store, where this user may mount one; else a folder."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], check=False)
    yield folder
    if mounted.returncode == 0:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def store(disk: Path) -> Store:
    return Store.open((disk / "store").as_uri())


@pytest.fixture
def served(
    make_spec: Callable[..., ModelSpec], store: Store, release: Any, disk: Path, tmp_path: Path
) -> Iterator[Served]:
    spec = make_spec(deploy={"sticky": "header:x-user", "timeout": "1m"})
    release(spec)
    with serving(store, disk, tmp_path, workers=2) as (port, process, log):
        deploy(spec, store, 1, endpoint=f"http://127.0.0.1:{port}")
        forge(store, spec.name, tmp_path / "keys", shifted(bundle_of(store, spec.name, 1), 1.0))
        answers = {version: answer_of(store, spec.name, version) for version in (1, 2)}
        yield Served(spec, store, port, process, log, answers)


@contextmanager
def serving(
    store: Store, disk: Path, folder: Path, workers: int, **settings: str
) -> Iterator[tuple[int, subprocess.Popen[bytes], Path]]:
    """`slipstream serve`, ready: its port, its process and its log."""
    port, log = free_port(), folder / "log"
    places = {"SLIPSTREAM_STORE": store.url, "BENTOML_HOME": str(disk / "bentos"), "SLIPSTREAM_ACCESS_LOG": "0"}
    words = [sys.executable, "-m", "slipstream.cli", "serve", "--port", str(port), "--workers", str(workers)]
    environment = {**os.environ, **places, **settings}
    with log.open("wb") as out:
        process = subprocess.Popen(words, cwd=folder, env=environment, stdout=out, stderr=out)
        try:
            wait_until(lambda: _ready(port), seconds=90)
            yield port, process, log
        finally:
            process.terminate()
            process.wait(30)


def _ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def report(record: Any, **figures: Any) -> None:
    for name, value in figures.items():
        record(name, value)
    sys.stdout.write(f"\n{json.dumps(figures)}\n")


def test_survives_swaps_canaries_a_killed_worker_and_a_full_disk(
    served: Served, disk: Path, record_property: Any
) -> None:
    swaps_and_canaries(served, record_property)
    a_killed_worker(served, record_property)
    a_full_disk(served, disk, record_property)


def swaps_and_canaries(served: Served, record: Any) -> None:
    """20 of each, and more requests than 10,000: none fails, none names a version that it is not from."""
    spec, store, url = served.spec, served.store, served.url
    whole: list[tuple[float, float, int]] = []
    with Load(served.port, spec.name) as load:
        for number in range(20):
            version = 1 + (number + 1) % 2
            began = time.monotonic()
            assert deploy(spec, store, version, endpoint=url).version == version
            whole.append((began, time.monotonic(), version))
            time.sleep(0.05)
        swapped = len(load.seen)
        other = 3 - version
        for number in range(20):
            assert deploy(spec, store, other, endpoint=url, weight=0.1 + 0.04 * number).weight < 1
            time.sleep(0.05)
            roll_back(spec, store, endpoint=url)
        wait_until(lambda: len(load.seen) > 10_000, seconds=60)
    assert load.failed == []
    assert {asked.status for asked in load.seen} == {200}
    wrong = [asked for asked in load.seen if asked.answer != served.answers[asked.version]]
    assert wrong == []
    # Once a deployment has returned no worker answers by another version.
    ends = [*(began for began, _, _ in whole[1:]), whole[-1][1] + 0.05]
    for (_, done, version), until in zip(whole, ends, strict=True):
        assert {asked.version for asked in load.seen if done < asked.at and asked.at + asked.took < until} <= {version}
    share = sum(asked.version == other for asked in load.seen[swapped:]) / len(load.seen[swapped:])
    assert 0.01 < share < 0.9
    taken = sorted(done - began for began, done, _ in whole)
    report(
        record,
        requests=len(load.seen),
        failed=len(load.failed),
        slowest_ms=round(load.slowest * 1000),
        median_swap_s=round(taken[len(taken) // 2], 3),
        canary_share=round(share, 3),
    )


def a_killed_worker(served: Served, record: Any) -> None:
    """Only what it was answering is lost; the other worker serves on, and a new one is there in seconds."""
    before = served.workers()
    assert len(before) == 2
    with Load(served.port, served.spec.name) as load:
        time.sleep(0.5)
        before[0].send_signal(signal.SIGKILL)
        killed = time.monotonic()
        # A deployment, which waits for all workers, does not wait for a dead one.
        first = 3 - served.known()["version"]
        swap = deploy(served.spec, served.store, first, endpoint=served.url).seconds
        wait_until(lambda: len(served.workers()) == 2 and before[0].pid not in {one.pid for one in served.workers()})
        back = time.monotonic() - killed
        opened: list[http.client.HTTPConnection] = []
        wait_until(lambda: {one.pid for one in served.workers()} <= answering(served.port, opened), seconds=40)
        serving = time.monotonic() - killed
        for connection in opened:
            connection.close()
        deploy(served.spec, served.store, 3 - first, endpoint=served.url)
        time.sleep(0.5)
    late = [asked for asked in load.seen if asked.at > killed]
    assert len(load.failed) <= 2 * SENDERS
    assert {asked.status for asked in load.seen} == {200}
    assert all(asked.answer == served.answers[asked.version] for asked in load.seen)
    gap = max(asked.took for asked in late)
    assert swap < 8
    assert serving < 40
    report(
        record,
        lost=len(load.failed),
        of=len(load.seen),
        swap_beside_the_dead_s=swap,
        new_process_s=round(back, 2),
        new_worker_answers_s=round(serving, 2),
        longest_gap_s=round(gap, 3),
    )


def answering(port: int, opened: list[http.client.HTTPConnection]) -> set[int]:
    """The processes that hold a client's connection, after one more was *opened*: any worker may take it."""
    opened.append(http.client.HTTPConnection("127.0.0.1", port, timeout=10))
    opened[-1].request("GET", "/livez")
    opened[-1].getresponse().read()
    time.sleep(0.1)
    found = (one for one in psutil.net_connections("tcp") if one.laddr and one.laddr.port == port)
    return {one.pid for one in found if one.pid and one.status == psutil.CONN_ESTABLISHED}


def fill(file: IO[bytes]) -> None:
    """Write until there is no room."""
    while True:
        file.write(bytes(1 << 16))


def a_full_disk(served: Served, disk: Path, record: Any) -> None:
    """Predictions go on, capture counts what it drops, and all is well when there is room again."""
    if not os.path.ismount(disk):
        pytest.skip("no right to mount a small disk")
    model = served.spec.name
    ballast = disk / "ballast"
    workers = {one.pid for one in served.workers()}
    with Load(served.port, model) as load:
        time.sleep(0.5)
        with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            fill(file)
        full = len(load.seen)
        wait_until(lambda: served.count("slipstream_capture_dropped_total") > 0, seconds=30)
        time.sleep(0.5)
        during = len(load.seen) - full
        ballast.unlink()
        before = served.count("slipstream_captured_total")
        wait_until(lambda: served.count("slipstream_captured_total") > before, seconds=30)
    assert load.failed == []
    assert {asked.status for asked in load.seen} == {200}
    assert during > 100
    assert {one.pid for one in served.workers()} == workers, "no worker was lost"
    assert served.store.tables.sound(model, TABLE).files
    dropped = served.count("slipstream_capture_dropped_total")
    report(record, answered_while_full=during, dropped_rows=dropped, failed_while_full=len(load.failed))


def test_mounted_the_public_way_it_answers_the_same(
    make_spec: Callable[..., ModelSpec], store: Store, release: Any, disk: Path, tmp_path: Path
) -> None:
    """What BentoML would leave if its private hook went: slower, not otherwise."""
    spec = make_spec()
    release(spec)
    with serving(store, disk, tmp_path, workers=1, SLIPSTREAM_BENTOML_MOUNT="1") as (port, _, log):
        url = f"http://127.0.0.1:{port}"
        deploy(spec, store, 1, endpoint=url)
        said = httpx.post(f"{url}/models/{spec.name}/predict", json={"rows": [ROW]})
        assert said.status_code == 200, log.read_text()
        assert said.json()["probabilities"] == [answer_of(store, spec.name, 1)]
        wrong = httpx.post(f"{url}/models/{spec.name}/predict", json={"rows": [{}]})
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "field_missing")
        pickle = {"content-type": "application/vnd.bentoml+pickle"}
        assert httpx.post(f"{url}/models/{spec.name}/predict", content=b"x", headers=pickle).status_code == 415
