"""Which machines a source may ask: those of the internet, and those of the own network that the installation names.

A URL of a model file must not become a way into the network that Slipstream runs in (server-side request forgery). The
name is looked up once, all of its addresses are judged, and the connection goes to one of these: a second look-up
might tell another.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

import httpcore

from slipstream.errors import SourceError, shown
from slipstream.settings import words

SETTING = "SLIPSTREAM_SOURCE_HOSTS"
_NAT64 = IPv6Network("64:ff9b::/96")


def is_named(host: str) -> bool:
    """Whether the installation says that sources may ask this machine, wherever it is."""
    named = {one.lower() for one in words(SETTING)}
    return "*" in named or host.lower().strip("[]") in named


class GuardedBackend(httpcore.NetworkBackend):
    """Connects to machines that may be asked, and to no other."""

    def __init__(self) -> None:
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to the first address of *host* that answers.

        Raises:
            SourceError: ``source_host_forbidden``: an address of it is of an own network, and it is not named.
        """
        addresses = _addresses(host, port)
        closed = [address for address in addresses if not is_public(address)]
        if closed and not is_named(host):
            message = (
                f"{shown(host)} is {closed[0]}, an address that is not of the internet; if models may read from there, "
                f"name it in the setting {SETTING}."
            )
            raise SourceError(message, code="source_host_forbidden")
        failures: list[Exception] = []
        for address in addresses:
            try:
                return self._plain.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failures.append(error)
        raise failures[0]


def _addresses(host: str, port: int) -> list[str]:
    try:
        found_here = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(f"{host}: {error}") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found_here))


def is_public(text: str) -> bool:
    """Whether an address is one of the internet, those that stand for another address by that one."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return address.is_global and not address.is_multicast
