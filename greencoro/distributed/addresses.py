"""The addresses of this machine, taken from its interfaces."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

import psutil
from gevent import monkey

__all__ = [
    "LOOPBACK",
    "Channel",
    "channels",
    "default_address",
    "is_loopback",
    "is_unspecified",
    "listening_addresses",
    "own_addresses",
    "resolve",
]

LOOPBACK = "127.0.0.1"
#: What sent there arrives at every socket of this machine that is bound to it.
LOOPBACK_BROADCAST = "127.255.255.255"
#: The group at which runtimes with IPv6 addresses hear each other: transient, and not beyond the link.
IPV6_GROUP = "ff12::6763"

# A patched look-up would wait through the hub of whoever calls.
_getaddrinfo: Any = monkey.get_original("socket", "getaddrinfo")


class Channel(NamedTuple):
    """A way by which what one runtime says is heard by all on a network.

    Attributes:
        family: ``AF_INET`` or ``AF_INET6``.

        address (str): This machine's on that network.

        target (str): Where to send, and to listen: the network's broadcast address, or a multicast group.

        interface (int): Index of the interface.
    """

    family: int
    address: str
    target: str
    interface: int

    @property
    def is_multicast(self) -> bool:
        """Is ``target`` a group that is to be joined?"""
        return ipaddress.ip_address(self.target).is_multicast


class _Interface(NamedTuple):
    name: str
    family: int
    address: str
    netmask: str | None
    broadcast: str | None


def _interfaces() -> Iterator[_Interface]:
    """The addresses of the interfaces that are up."""
    states = psutil.net_if_stats()
    for name, addresses in psutil.net_if_addrs().items():
        if name in states and not states[name].isup:
            continue
        for found in addresses:
            if found.family in (socket.AF_INET, socket.AF_INET6):
                # An address that is good on its own link only has that link's name behind it.
                address = found.address.partition("%")[0]
                yield _Interface(name, found.family, address, found.netmask, found.broadcast)


def default_address() -> str:
    """The address others can reach this machine at: the first of an interface that is up; loopback where it has none.

    One of IPv4 where there is any, for it has broadcast. Never by way of the host name, which many machines resolve to
    an address that nobody else can use.
    """
    found = [interface for interface in _interfaces() if not ipaddress.ip_address(interface.address).is_link_local]
    found.sort(key=lambda each: (ipaddress.ip_address(each.address).is_loopback, each.family != socket.AF_INET))
    return found[0].address if found else LOOPBACK


def own_addresses() -> set[str]:
    """All addresses of this machine."""
    return {interface.address for interface in _interfaces()}


def listening_addresses() -> list[str]:
    """Those of this machine at which a program on it may listen for others, loopback before all."""
    found = {ipaddress.ip_address(each) for each in own_addresses()}
    others = sorted(str(each) for each in found if not (each.is_loopback or each.is_link_local))
    return [LOOPBACK, *others]


def channels(address: str, multicast_group: str | None = None) -> list[Channel]:
    """The ways to be heard by those on the networks of ``address``; none where no interface has it.

    Args:
        address (str): One of this machine's; an unspecified one stands for all but loopback.

        multicast_group (str | None): One of IPv4 to be used beside broadcast.
    """
    wanted = ipaddress.ip_address(address)
    if wanted.is_loopback:
        # IPv6 has no broadcast, and its groups do not reach from one socket on loopback to another: without IPv4 there
        # is no way.
        has_ipv4 = LOOPBACK in own_addresses()
        return [Channel(socket.AF_INET, LOOPBACK, LOOPBACK_BROADCAST, 0)] if has_ipv4 else []
    found = []
    for interface in _interfaces():
        here = ipaddress.ip_address(interface.address)
        if here.version != wanted.version or here.is_loopback:
            continue
        if here != wanted and not (wanted.is_unspecified and not here.is_link_local):
            continue
        index = socket.if_nametoindex(interface.name)
        if here.version == 6:
            found.append(Channel(socket.AF_INET6, interface.address, IPV6_GROUP, index))
            continue
        broadcast = _broadcast_of(interface)
        if broadcast is not None:
            found.append(Channel(socket.AF_INET, interface.address, broadcast, index))
        if multicast_group is not None:
            found.append(Channel(socket.AF_INET, interface.address, multicast_group, index))
    return found


def _broadcast_of(interface: _Interface) -> str | None:
    """An IPv4 network's broadcast address; None where it is no more than two ends of a line."""
    if interface.broadcast is not None:
        return interface.broadcast
    network = ipaddress.ip_network(f"{interface.address}/{interface.netmask or 32}", strict=False)
    return str(network.broadcast_address) if network.prefixlen < 31 else None


def is_unspecified(address: str) -> bool:
    """Is it ``0.0.0.0`` or ``::``, which stands for all addresses of a machine?"""
    try:
        return ipaddress.ip_address(address).is_unspecified
    except ValueError:
        return False


def is_loopback(address: str) -> bool:
    """Is it an address that only this machine reaches? A name counts as one where all its addresses do."""
    return all(ipaddress.ip_address(each).is_loopback for each in resolve(address))


def resolve(host: str) -> list[str]:
    """All addresses of a host name, in the resolver's order; of an address, itself. May block for seconds.

    Raises:
        OSError: It has none.
    """
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        try:
            found = _getaddrinfo(host, None, 0, socket.SOCK_STREAM)
        except UnicodeError as error:
            raise OSError(f"{host} is no host name: {error}") from None
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))
