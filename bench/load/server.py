"""One server: how it is started, what it costs, and how it is stopped."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Self

import psutil

SECONDS_TO_START = 120
SECONDS_TO_STOP = 20

JsonRows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Server:
    """What takes part.

    Attributes:
        name: What the tables call it.
        words: The command; ``{port}`` stands for its port.
        environment: All of its variables.
        path: Where it predicts.
        ready: What answers 200 once it can.
        body: Makes the body of a request from rows.
        answers: Takes the probabilities out of a reply; None if they are made up.
        authorization: The header that it wants, if any.
        captures: Whether it keeps what it answers, and counts in its ``/metrics`` how far it is with that.
    """

    name: str
    words: Sequence[str]
    environment: Mapping[str, str]
    path: str = "/predict"
    ready: str = "/readyz"
    body: Callable[[JsonRows], Any] = lambda rows: {"rows": rows}
    answers: Callable[[Any], list[float]] | None = lambda reply: reply["probabilities"]
    authorization: str | None = None
    captures: bool = False


@dataclass(frozen=True)
class Start:
    """What a start cost. *Beyond* is what the processes below the first one cost: BentoML supervises with the first.

    Attributes:
        wall: Seconds until it was ready.
        cpu: CPU seconds of all its processes until then.
        memory: Resident megabytes of all its processes, after the requests.
        first: Milliseconds of the first request.
        hundredth: Median milliseconds of the requests 90 to 110.
    """

    wall: float
    cpu: float
    cpu_beyond: float
    memory: float
    memory_beyond: float
    first: float
    hundredth: float


@dataclass
class Running:
    """A server that runs."""

    server: Server
    port: int
    process: subprocess.Popen[bytes]
    log: Path
    _known: dict[int, psutil.Process] = field(default_factory=dict)

    @classmethod
    def of(cls, server: Server, folder: Path) -> Self:
        """Start *server* in *folder*; it need not be ready yet."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        log = folder / f"{server.name}.log"
        words = [word.replace("{port}", str(port)) for word in server.words]
        with log.open("ab") as file:
            process = subprocess.Popen(
                words, cwd=folder, env=dict(server.environment), stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )
        return cls(server, port, process, log)

    def tree(self) -> list[psutil.Process]:
        """Its processes, the first one first."""
        try:
            first = psutil.Process(self.process.pid)
            found = [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            found = []
        self._known |= {process.pid: process for process in found}
        return found

    def cpu(self, beyond: int = 0) -> float:
        """CPU seconds of its processes until now, without the first *beyond*."""
        return sum(sum(_asked(process.cpu_times)[:4]) for process in self.tree()[beyond:])

    def memory(self, beyond: int = 0) -> float:
        """Resident megabytes of its processes, without the first *beyond*."""
        return sum(sum(_asked(process.memory_info)[:1]) for process in self.tree()[beyond:]) / 1e6

    def connect(self) -> http.client.HTTPConnection:
        """A connection that is open."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.connect()
        return connection

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of one reply."""
        connection = self.connect()
        connection.request("GET", path, headers=self.headers())
        reply = connection.getresponse()
        found = reply.status, reply.read()
        connection.close()
        return found

    def headers(self) -> dict[str, str]:
        """What a request carries."""
        key = self.server.authorization
        return {"content-type": "application/json"} | ({"authorization": key} if key else {})

    def post(self, connection: http.client.HTTPConnection, body: bytes) -> Any:
        """The reply to one prediction, parsed."""
        connection.request("POST", self.server.path, body, self.headers())
        reply = connection.getresponse()
        said = reply.read()
        if reply.status != 200:
            raise SystemExit(self.fault(f"answered {reply.status}: {said[:300].decode(errors='replace')}"))
        return json.loads(said)

    def wait(self) -> None:
        """Return as soon as it is ready."""
        deadline = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise SystemExit(self.fault(f"has ended with {self.process.returncode}"))
            try:
                if self.get(self.server.ready)[0] == 200:
                    return
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.02)
        raise SystemExit(self.fault(f"is not ready after {SECONDS_TO_START} s"))

    def fault(self, what: str) -> str:
        """*what* is wrong, with the end of the log."""
        tail = "\n  ".join(self.log.read_text(errors="replace").splitlines()[-15:])
        return f"{self.server.name} {what}. The end of its log:\n  {tail}"

    def quiet(self) -> None:
        """Return when it has nothing left to do."""
        deadline = time.monotonic() + 20
        before = self.cpu()
        while time.monotonic() < deadline:
            time.sleep(0.2)
            now = self.cpu()
            if now - before < 0.02:
                return
            before = now

    def stop(self) -> None:
        """Ask all its processes to end, then make them."""
        self.tree()
        self.process.terminate()
        try:
            self.process.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            self.process.kill()
        left = [process for process in self._known.values() if process.is_running()]
        for process in left:
            _end(process)
        psutil.wait_procs(left, timeout=5)
        self.process.wait()


@contextmanager
def running() -> Iterator[dict[str, Running]]:
    """A dictionary for the servers that run, by name; whatever is in it is stopped at the end."""
    found: dict[str, Running] = {}
    try:
        yield found
    finally:
        with ExitStack() as stops:  # a fault in one leaves none of the others up
            for one in found.values():
                stops.callback(one.stop)


def started(server: Server, folder: Path, body: bytes) -> tuple[Running, Start]:
    """Start a server alone, and measure what it costs and how quick its first requests are."""
    begin = time.monotonic()
    one = Running.of(server, folder)
    try:
        one.wait()
        wall, cpu, cpu_beyond = time.monotonic() - begin, one.cpu(), one.cpu(beyond=1)
        connection, took = one.connect(), []
        for _ in range(110):
            begin = time.perf_counter()
            one.post(connection, body)
            took.append((time.perf_counter() - begin) * 1000)
        connection.close()
        one.quiet()
    except BaseException:
        one.stop()
        raise
    memory = one.memory(), one.memory(beyond=1)
    return one, Start(wall, cpu, cpu_beyond, *memory, took[0], median(took[89:]))


def _asked(question: Callable[[], tuple[float, ...]]) -> tuple[float, ...]:
    """What a process says of itself; nothing if it is gone."""
    try:
        return question()
    except psutil.NoSuchProcess:
        return ()


def _end(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()
