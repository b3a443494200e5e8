"""Starts the endpoint: this process becomes `bentoml serve`."""

from __future__ import annotations

import ipaddress
import logging
import os
import resource
import shutil
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from slipstream.errors import BackendError, shown
from slipstream.number_formats import counted
from slipstream.serving.http.auth import OFF, REQUIRED, auth_mode
from slipstream.serving.http.request_limits import host_name
from slipstream.settings import Settings
from slipstream.store import Store
from slipstream.store.api_keys import can_predict, listed

SERVICE = "slipstream.serving.service:Endpoint"
MOST_WORKERS = 64
MOST_FILES = 65_536

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_log = logging.getLogger("slipstream")


def allow_connections() -> None:
    """Let this process and those that it becomes open as many files as the system allows: each connection is one, also
    one whose headers never end, and the usual 1,024 are soon taken."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@dataclass(frozen=True)
class ListenAddress:
    """Where the endpoint listens.

    Attributes:
        address: The interface.
        port: The port.
        workers: Processes that answer.
    """

    address: Address
    port: int
    workers: int = 1


def start(
    settings: Settings, host: str, port: int, workers: int = 1, tell: Callable[[ListenAddress], object] | None = None
) -> None:
    """Serve on *host* and *port* until stopped; does not return.

    Args:
        settings: Where the store is.
        host: The address.
        port: The port.
        workers: Processes that answer.
        tell: Told where it will listen, once nothing stands against it; without it that is logged.

    Raises:
        BackendError: ``bind_not_allowed`` for an address that others can reach while no key exists,
            ``setting_invalid``, ``port_taken`` or ``run_folder_not_writable``.
    """
    place = ListenAddress(address_of(host), port, workers)
    check_bind(settings, place.address)
    _check_free(place)
    run = fresh_run_folder(settings.bentos, place)
    allow_connections()
    (tell or _announce)(place)
    words = [sys.executable, "-m", "bentoml", "serve", SERVICE, "--host", str(place.address), "--port", str(port)]
    os.execve(sys.executable, words, environment(settings, place, run, os.environ))  # noqa: S606 - no shell


def _announce(place: ListenAddress) -> None:
    _log.info("%s", announcement(place))


def address_of(host: str) -> Address:
    """*host* as an address.

    Raises:
        BackendError: ``bind_not_allowed`` for what is none.
    """
    try:
        return ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError as error:
        message = f"serve: {shown(host)} is no address; write 127.0.0.1, ::1, or one of this machine's such as 0.0.0.0."
        raise BackendError(message, code="bind_not_allowed") from error


def check_bind(settings: Settings, address: Address) -> None:
    """Refuse an address that other machines can reach, as long as nobody has a key to show there.

    Raises:
        BackendError: ``bind_not_allowed``.
        StoreError: the keys cannot be read.
    """
    if auth_mode() == OFF or address.is_loopback:
        return
    if not any(can_predict(issued) for issued in listed(Store.open(settings.store))):
        message = (
            f"serve: {address} can be reached from other machines, and no key exists; make one with "
            "`slipstream key create --caller NAME --scopes predict`, bind 127.0.0.1, or set SLIPSTREAM_AUTH=off if "
            "what stands before it authenticates."
        )
        raise BackendError(message, code="bind_not_allowed")


def announcement(place: ListenAddress) -> str:
    """What is about to be started, in one sentence."""
    access = {OFF: "nobody needs a key", REQUIRED: "everybody needs a key"}
    usual = "open to this machine alone" if place.address.is_loopback else "keys are due, except over the loopback"
    many = counted(place.workers, "worker")
    return f"the endpoint listens on {_url(place)}, {many}; {access.get(auth_mode(), usual)}."


def environment(settings: Settings, place: ListenAddress, run: Path, base: Mapping[str, str]) -> dict[str, str]:
    """The environment of the endpoint's processes."""
    variables = {
        **base,
        "SLIPSTREAM_STORE": settings.store,
        "SLIPSTREAM_WORKERS": str(place.workers),
        # A file that all workers map, so that they change versions together.
        "SLIPSTREAM_BOARD": str(run / "board"),
        # BentoML lets its workers count in files below its home, and empties that at its start: a home of its own keeps
        # endpoints apart.
        "BENTOML_HOME": str(run),
        "BENTOML_DO_NOT_TRACK": "True",
        # More threads make single rows slower: sklearn takes all of them for any prediction.
        "OMP_NUM_THREADS": base.get("OMP_NUM_THREADS") or "1",
    }
    # It asks nobody: the key of those who do must not lie in its processes.
    variables.pop("SLIPSTREAM_ENDPOINT_KEY", None)
    variables.pop("PROMETHEUS_MULTIPROC_DIR", None)
    if place.workers > 1:
        variables["PROMETHEUS_MULTIPROC_DIR"] = str(run / "prometheus_multiproc_dir")
    if not base.get("SLIPSTREAM_HOSTS") and not place.address.is_loopback:
        variables["SLIPSTREAM_HOSTS"] = ",".join((host_name(str(place.address)), socket.gethostname().lower()))
    return variables


def fresh_run_folder(bentos: Path, place: ListenAddress) -> Path:
    """An empty folder, below *bentos*, that belongs to the endpoint of that address and port.

    Raises:
        BackendError: ``run_folder_not_writable``.
    """
    run = bentos / "run" / f"{place.address}-{place.port}".replace(":", "_")
    try:
        if run.exists():
            shutil.rmtree(run)
        run.mkdir(mode=0o700, parents=True)
        (run / "prometheus_multiproc_dir").mkdir(mode=0o700)
    except OSError as error:
        message = f"serve: {run}: {error.strerror}; set BENTOML_HOME to a folder that can be written."
        raise BackendError(message, code="run_folder_not_writable") from error
    return run


def worker_count() -> int:
    """Processes that answer, by ``SLIPSTREAM_WORKERS``.

    Raises:
        BackendError: ``setting_invalid``.
    """
    text = os.environ.get("SLIPSTREAM_WORKERS") or "1"
    if not text.isdecimal() or not 1 <= int(text[:9]) <= MOST_WORKERS:
        message = f"SLIPSTREAM_WORKERS: {shown(text)} is no number from 1 to {MOST_WORKERS}; mend it."
        raise BackendError(message, code="setting_invalid")
    return int(text)


def _url(place: ListenAddress) -> str:
    return f"http://{host_name(str(place.address))}:{place.port}"


def _check_free(place: ListenAddress) -> None:
    family = socket.AF_INET6 if place.address.version == 6 else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((str(place.address), place.port))
        except OSError as error:
            where = f"port {place.port} of {place.address}"
            message = f"serve: {where} cannot be bound: {error.strerror}; choose another with --port."
            raise BackendError(message, code="port_taken") from error
