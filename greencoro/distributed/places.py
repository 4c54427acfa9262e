"""Where a runtime listens, with all the locations that mean it there."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import NamedTuple

from greencoro.distributed import options
from greencoro.distributed.addresses import Channel, channels, default_address, is_unspecified, own_addresses
from greencoro.distributed.location import Location
from greencoro.distributed.stream import Listener, Transport
from greencoro.errors import ConfigError

__all__ = ["Place", "listen", "take_place", "told_of"]

#: Where several addresses are to have one port, so many free ones are tried.
_PORTS_TRIED = 20
#: What to do where a place to listen at cannot be had.
_ADVICE = {
    errno.EADDRINUSE: "another program or runtime has that port; tcp_port=0 takes any that is free",
    errno.EADDRNOTAVAIL: "that is no address of this machine; `greencoro doctor` shows those there are",
    errno.EACCES: "ports below 1024 are for the administrator; tcp_port=0 takes any that is free",
}


class Place(NamedTuple):
    """What `take_place` took."""

    listeners: Sequence[Listener]
    #: Where the runtime can be dialled: first what peers are told, then what else it listens at.
    locations: Sequence[Location]
    #: All that mean the runtime itself, also those that it tells nobody.
    own: frozenset[Location]


def take_place(
    transport: Transport,
    hosts: Sequence[str],
    tcp_port: int,
    descriptors: Sequence[int],
    loopback_only: bool,
    ext_ip_addr: str | None,
) -> Place:
    """Listen at the descriptors, or where there are none at one port of all hosts.

    Raises:
        ConfigError: A descriptor is no listening TCP socket, or may not be listened at; ``ext_ip_addr`` has no address.

        OSError: One of the places cannot be had.
    """
    listeners = _adopt(transport, descriptors, loopback_only) if descriptors else listen(transport, hosts, tcp_port)
    try:
        locations = _locations_of(listeners, ext_ip_addr)
        return Place(listeners, locations, _own_locations(listeners, locations))
    except BaseException:
        for listener in listeners:
            listener.close()
        raise


def listen(transport: Transport, hosts: Sequence[str], tcp_port: int) -> list[Listener]:
    """Listen at one port of all hosts; of no single host is its name kept, but its first address.

    Raises:
        OSError: One of the places cannot be had.
    """
    for tried in range(_PORTS_TRIED):
        listeners: list[Listener] = []
        try:
            for host in hosts:
                port = listeners[0].location.port if listeners else tcp_port
                listeners.append(transport.listen(Location(host, port)))
            return listeners
        except BaseException as error:
            for listener in listeners:
                listener.close()
            # A port that is free at one address may be taken at another; then a free one is for the choosing.
            if tcp_port or not listeners or not isinstance(error, OSError) or tried + 1 == _PORTS_TRIED:
                if isinstance(error, OSError) and error.errno in _ADVICE:
                    raise OSError(error.errno, f"{error.strerror}: {_ADVICE[error.errno]}") from None
                raise
    raise AssertionError("the last try returns or raises")


def _adopt(transport: Transport, descriptors: Sequence[int], loopback_only: bool) -> list[Listener]:
    """Listen at sockets that somebody else opened.

    Raises:
        ConfigError: One is no listening TCP socket, or may not be listened at.
    """
    listeners: list[Listener] = []
    try:
        for descriptor in descriptors:
            listeners.append(transport.adopt(descriptor))
        if loopback_only:
            options.refuse_insecure([listener.location.addr for listener in listeners], None)
    except BaseException as error:
        for listener in listeners:
            listener.close()
        if isinstance(error, OSError):
            raise ConfigError(f"listen_on: descriptor {descriptor}: {error.strerror or error}") from None
        raise
    return listeners


def told_of(listeners: Sequence[Listener], multicast_group: str | None) -> dict[Channel, Location]:
    """The networks this runtime can be heard on, each with the location to tell there.

    That of the network itself: those who hear it are on this side of a gateway.
    """
    told: dict[Channel, Location] = {}
    for listener in listeners:
        here = listener.location
        for way in channels(here.addr, multicast_group):
            address = way.address if is_unspecified(here.addr) else here.addr
            told.setdefault(way, Location(address, here.port))
    return told


def _locations_of(listeners: Sequence[Listener], ext_ip_addr: str | None) -> tuple[Location, ...]:
    """Where a runtime with these listeners can be dialled; first what it tells its peers.

    Raises:
        ConfigError: ``ext_ip_addr`` has no address.
    """
    if ext_ip_addr is not None:
        options.first_address(ext_ip_addr, "ext_ip_addr")
    found = [] if ext_ip_addr is None else [Location(ext_ip_addr, listeners[0].location.port)]
    for listener in listeners:
        here = listener.location
        found.append(Location(default_address(), here.port) if is_unspecified(here.addr) else here)
    return tuple(dict.fromkeys(found))


def _own_locations(listeners: Sequence[Listener], locations: Sequence[Location]) -> frozenset[Location]:
    """All that mean a runtime with these listeners, also those that it tells nobody."""
    found = set(locations)
    for listener in listeners:
        here = listener.location
        found.add(here)
        if is_unspecified(here.addr):
            same_kind = [each for each in own_addresses() if (":" in each) == (":" in here.addr)]
            found.update(Location(address, here.port) for address in same_kind)
    return frozenset(found)
