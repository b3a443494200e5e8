"""Which ports the stack listens on."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from slipstream.errors import SlipstreamError
from slipstream_stack.settings import AIRFLOW_PORT, ENDPOINT_PORT, HOST, Ports

AIRFLOW_VARIABLE = "SLIPSTREAM_AIRFLOW_PORT"
ENDPOINT_VARIABLE = "SLIPSTREAM_ENDPOINT_PORT"
_TRIED = 50
_LARGEST = 65535


class PortError(SlipstreamError):
    """A port is taken or is no port; the text says which variable to set."""

    code = "port_unusable"


def choose(env: Mapping[str, str]) -> tuple[Ports, list[str]]:
    """The ports that the environment names, else the defaults or the next free ones above them.

    Returns:
        The ports, and a sentence for each default that was taken.

    Raises:
        PortError: If a port that was named is taken or is no port.
    """
    airflow, airflow_note = _port(env, AIRFLOW_VARIABLE, AIRFLOW_PORT, taken=None)
    endpoint, endpoint_note = _port(env, ENDPOINT_VARIABLE, ENDPOINT_PORT, taken=airflow)
    return Ports(airflow, endpoint), [note for note in (airflow_note, endpoint_note) if note]


def is_free(port: int) -> bool:
    """Whether the stack can listen on *port*: nobody answers there, and the loopback address can be bound."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.settimeout(1.0)
        if client.connect_ex((HOST, port)) == 0:
            return False
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        # Connections of an earlier server that still fade away do not make a port taken.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((HOST, port))
        except OSError:
            return False
    return True


def _port(env: Mapping[str, str], variable: str, default: int, taken: int | None) -> tuple[int, str]:
    text = env.get(variable, "").strip()
    if not text:
        port = _next_free(default, taken, variable)
        return port, "" if port == default else f"port {default} is taken: using {port} (set {variable} to choose)"
    if not text.isdecimal() or not 0 < int(text) <= _LARGEST:
        raise PortError(f"{variable}: {text!r} is no port; set a number from 1 to {_LARGEST}")
    if int(text) == taken or not is_free(int(text)):
        raise PortError(f"{variable}: port {text} is taken; set it to a free one, or leave it away")
    return int(text), ""


def _next_free(first: int, taken: int | None, variable: str) -> int:
    for port in range(first, first + _TRIED):
        if port != taken and is_free(port):
            return port
    raise PortError(f"ports {first} to {first + _TRIED - 1} are all taken; set {variable} to a free one")
