"""Starts the endpoint: this process becomes `bentoml serve`."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys

from slipstream.errors import BackendError, shown
from slipstream.settings import Settings

SERVICE = "slipstream.serving.service:Endpoint"


def start(settings: Settings, host: str, port: int) -> None:
    """Serve on *host* and *port* until stopped; does not return.

    Raises:
        BackendError: ``bind_not_allowed`` for an address that others can reach, ``port_taken``.
    """
    address = check_loopback(host)
    _check_free(address, port)
    environment = {
        **os.environ,
        "SLIPSTREAM_STORE": settings.store,
        "BENTOML_HOME": str(settings.bentos),
        "BENTOML_DO_NOT_TRACK": "True",
        # More threads make single rows slower: sklearn takes all of them for any prediction.
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }
    settings.bentos.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "bentoml", "serve", SERVICE, "--host", address, "--port", str(port)]
    os.execve(sys.executable, words, environment)  # noqa: S606 - a list of words, no shell


def check_loopback(host: str) -> str:
    """*host* as an address, if nobody but this machine can reach it.

    Raises:
        BackendError: ``bind_not_allowed``.
    """
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        message = (
            f"serve: {shown(host)} can be reached from other machines, and requests carry no keys yet; "
            "bind 127.0.0.1 and put a proxy that authenticates before it."
        )
        raise BackendError(message, code="bind_not_allowed")
    return str(address)


def _check_free(address: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            message = f"serve: port {port} of {address} cannot be bound: {error.strerror}; choose another with --port."
            raise BackendError(message, code="port_taken") from error
