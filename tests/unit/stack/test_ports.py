"""Which ports the stack takes: the named ones, else the defaults, else the next free ones."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from slipstream_stack.ports import PortError, choose, is_free
from slipstream_stack.settings import Ports


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of this machine on which somebody listens."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def free() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
    return port


def test_named_ports_are_taken_as_they_are() -> None:
    airflow, endpoint = free(), free()
    ports, notes = choose({"SLIPSTREAM_AIRFLOW_PORT": str(airflow), "SLIPSTREAM_ENDPOINT_PORT": str(endpoint)})
    assert (ports, notes) == (Ports(airflow, endpoint), [])


def test_defaults_give_way_and_say_so() -> None:
    ports, notes = choose({})
    assert is_free(ports.airflow)
    assert is_free(ports.endpoint)
    moved = [(ports.airflow, 8080), (ports.endpoint, 8900)]
    assert len(notes) == sum(port != default for port, default in moved)


def test_the_default_of_one_is_not_the_named_one_of_the_other() -> None:
    port = 8900 if is_free(8900) else 0
    if not port:
        pytest.skip("port 8900 of this machine is taken")
    ports, notes = choose({"SLIPSTREAM_AIRFLOW_PORT": "8900"})
    assert ports.endpoint != 8900
    assert "8900 is taken" in notes[0]


def test_a_named_port_that_is_taken_is_an_error(taken: int) -> None:
    assert not is_free(taken)
    with pytest.raises(PortError, match=f"SLIPSTREAM_AIRFLOW_PORT: port {taken} is taken") as caught:
        choose({"SLIPSTREAM_AIRFLOW_PORT": str(taken)})
    assert caught.value.code == "port_unusable"


@pytest.mark.parametrize("text", ["0", "-1", "65536", "eighty", "8080.0"])
def test_what_is_no_port_is_an_error(text: str) -> None:
    with pytest.raises(PortError, match=r"SLIPSTREAM_ENDPOINT_PORT: .* is no port"):
        choose({"SLIPSTREAM_ENDPOINT_PORT": text})


def test_one_port_for_both_is_an_error() -> None:
    port = str(free())
    with pytest.raises(PortError, match="SLIPSTREAM_ENDPOINT_PORT"):
        choose({"SLIPSTREAM_AIRFLOW_PORT": port, "SLIPSTREAM_ENDPOINT_PORT": port})
