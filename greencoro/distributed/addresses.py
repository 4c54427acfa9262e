"""The addresses of this machine, taken from its interfaces."""

from __future__ import annotations

import ipaddress
import socket

import psutil

__all__ = ["default_address", "is_loopback"]

LOOPBACK = "127.0.0.1"


def default_address() -> str:
    """The address others can reach this machine at: the first of an interface that is up; loopback where it has none.

    Never by way of the host name, which many machines resolve to an address that nobody else can use.
    """
    states = psutil.net_if_stats()
    for name, addresses in psutil.net_if_addrs().items():
        if name in states and not states[name].isup:
            continue
        for address in addresses:
            if address.family is socket.AF_INET and not _is_special(address.address):
                return address.address
    return LOOPBACK


def _is_special(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    return parsed.is_loopback or parsed.is_link_local


def is_loopback(address: str) -> bool:
    """Is it an address that only this machine reaches? A name counts as one where all its addresses do."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        found = socket.getaddrinfo(address, None, 0, socket.SOCK_STREAM)
        return all(ipaddress.ip_address(str(entry[4][0])).is_loopback for entry in found)
