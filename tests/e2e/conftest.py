"""One real stack for all end-to-end tests: Airflow's four components and the endpoint, in a temporary folder."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.airflow_client.client import Airflow
from slipstream_stack.lifecycle import down, up
from slipstream_stack.settings import USER, Layout, Ports, process_environment

REPO = Path(__file__).parents[2]


@dataclass(frozen=True)
class Stack:
    """A running stack.

    Attributes:
        layout: Where its things are; ``layout.models`` is a copy of the repository's that a test may add to.
        ports: Where it listens.
        airflow: A session with its Airflow.
    """

    layout: Layout
    ports: Ports
    airflow: Airflow

    @property
    def api_url(self) -> str:
        """Where Airflow's UI and API answer."""
        return self.ports.airflow_url

    @property
    def endpoint_url(self) -> str:
        """Where the endpoint answers."""
        return self.ports.endpoint_url

    @property
    def user(self) -> str:
        """Name of the user who may do everything."""
        return USER

    @property
    def password(self) -> str:
        """Password of that user."""
        return str(json.loads(self.layout.passwords.read_text())[USER])

    @property
    def env(self) -> dict[str, str]:
        """The environment in which `airflow` and `slipstream` commands mean this stack."""
        return process_environment(self.layout, self.ports, os.environ)


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on, below those that the system hands out for connections."""
    found: list[int] = []
    for port in range(20_000 + os.getpid() % 10_000, 32_000):
        with socket.socket() as probe:
            if len(found) < count and probe.connect_ex(("127.0.0.1", port)) != 0:
                found.append(port)
        if len(found) == count:
            break
    return found


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack with the repository's DAGs and a copy of its models; started once, stopped at the end."""
    home = tmp_path_factory.mktemp("stack")
    shutil.copytree(REPO / "include" / "models", home / "models", ignore=shutil.ignore_patterns("__pycache__"))
    layout = Layout.under(REPO, home / "var", home / "models")
    ports = Ports(*free_ports(2))
    try:
        up(layout, ports)
        airflow = Airflow.of(layout, ports.airflow_url)
        yield Stack(layout, ports, airflow)
        airflow.close()
    finally:
        down(layout)
