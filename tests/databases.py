"""Real database servers in a temporary folder, on a port of their own, as a user without rights: for a test session."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

PASSWORD = "s3cret-word"
_WAIT = 60


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        kind: ``postgresql`` or ``mariadb``.
        port: Its port at 127.0.0.1.
        pid: Its process.
    """

    kind: str
    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"{self.kind}://reader:{PASSWORD}@127.0.0.1:{self.port}/shop"

    @property
    def owner_url(self) -> str:
        """As the one who may write, for SQLAlchemy."""
        driver = "psycopg" if self.kind == "postgresql" else "pymysql"
        return f"{self.kind}+{driver}://owner:{PASSWORD}@127.0.0.1:{self.port}/shop"


def postgres_programs() -> Path | None:
    """The folder of PostgreSQL's programs, the newest; None if it is not installed."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    found = [path for path in folders if (path / "initdb").exists() and (path / "postgres").exists()]
    beside = shutil.which("initdb")
    return found[-1] if found else Path(beside).resolve().parent if beside else None


def mariadb_programs() -> tuple[str, str] | None:
    """MariaDB's server and its installer; None if it is not installed."""
    server = shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin")
    installer = shutil.which("mariadb-install-db")
    return (server, installer) if server and installer else None


@contextmanager
def postgres(programs: Path) -> Iterator[Server]:
    with _folder() as folder:
        data, port = folder / "data", _free_port()
        _done([str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync",
               "--locale=C.UTF-8"], folder)  # fmt: skip
        (data / "pg_hba.conf").write_text("local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        command = [str(programs / "postgres"), "-D", str(data), "-p", str(port), "-c", "listen_addresses=127.0.0.1",
                   "-c", "fsync=off", "-c", f"unix_socket_directories={folder}", "-c", "timezone=America/New_York",
                   "-c", "max_connections=20"]  # fmt: skip
        with _running(command, folder, port) as process:
            script = f"""
                CREATE USER owner PASSWORD '{PASSWORD}'; CREATE USER reader PASSWORD '{PASSWORD}';
                CREATE DATABASE shop OWNER owner;
            """
            ready = [str(programs / "pg_isready"), "-q", "-h", str(folder), "-p", str(port)]
            while subprocess.run(ready, check=False).returncode:
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.05)
            psql = [str(programs / "psql"), "-h", str(folder), "-p", str(port), "-U", "postgres", "-qX"]
            _done([*psql, "-d", "postgres"], folder, script)
            grant = "ALTER DEFAULT PRIVILEGES FOR USER owner GRANT SELECT ON TABLES TO reader;"
            _done([*psql, "-d", "shop"], folder, f"GRANT ALL ON SCHEMA public TO owner; {grant}")
            yield Server("postgresql", port, process.pid)


@contextmanager
def mariadb(programs: tuple[str, str]) -> Iterator[Server]:
    server, installer = programs
    with _folder() as folder:
        data, port, control = folder / "data", _free_port(), folder / "control.sock"
        _done([installer, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal",
               "--skip-test-db"], folder)  # fmt: skip
        command = [server, "--no-defaults", f"--datadir={data}", f"--port={port}", "--bind-address=127.0.0.1",
                   f"--socket={control}", f"--pid-file={folder}/pid", "--skip-log-bin", "--default-time-zone=+05:00",
                   "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M"]  # fmt: skip
        with _running(command, folder, port) as process:
            script = f"""
                CREATE DATABASE shop CHARACTER SET utf8mb4;
                CREATE USER owner@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON shop.* TO owner@'127.0.0.1';
                CREATE USER reader@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'; GRANT SELECT ON shop.* TO reader@'127.0.0.1';
            """
            client = shutil.which("mariadb") or "mariadb"
            _done([client, "--no-defaults", f"--socket={control}", "-u", "root"], folder, script)
            yield Server("mariadb", port, process.pid)


@contextmanager
def _folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="slipstream-db-", dir="/tmp") as name:
        folder = Path(name)
        if os.getuid() == 0:
            shutil.chown(folder, "nobody")
        yield folder


def _unprivileged(command: Sequence[str]) -> list[str]:
    """The command as a user without rights: neither server runs as root."""
    if os.getuid():
        return [*command]
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *command]


def _done(command: Sequence[str], folder: Path, text: str = "") -> None:
    done = subprocess.run(
        _unprivileged(command), input=text, text=True, capture_output=True, cwd=folder, timeout=_WAIT, check=False
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def _running(command: Sequence[str], folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(_unprivileged(command), stdout=log, stderr=log, cwd=folder)
    try:
        deadline = time.monotonic() + _WAIT
        while not _listens(port):
            running = process.poll() is None and time.monotonic() < deadline
            assert running, (folder / "log").read_text()
            time.sleep(0.05)
        yield process
    finally:
        # PostgreSQL waits for its clients where it is only asked to end.
        process.send_signal(signal.SIGINT if "postgres" in command[0] else signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(15)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
