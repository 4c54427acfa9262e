"""What a `Runtime` is given, checked and brought into one form."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import gevent
from gevent.libev import corecext

from greencoro.config import Settings
from greencoro.distributed import reactor
from greencoro.distributed.addresses import LOOPBACK, Channel, channels, default_address, is_loopback, is_unspecified
from greencoro.distributed.location import Location
from greencoro.distributed.search import DEFAULT_PORT
from greencoro.distributed.secret import Secret
from greencoro.distributed.secret import load as load_secret
from greencoro.distributed.stream import Listener, Transport
from greencoro.errors import ConfigError
from greencoro.hub import native, userhub
from greencoro.hub.completion import Completion

__all__ = [
    "as_location",
    "as_locations",
    "as_secret",
    "as_udp_port",
    "dest_path_of",
    "hosts_of",
    "listen",
    "off_the_hub",
    "outside_location",
    "refuse_insecure",
    "told_of",
    "use_notifier",
]

NOTIFIERS = ("epoll", "poll", "select", "kqueue")
#: Where several addresses are to have one port, so many free ones are tried.
_PORTS_TRIED = 20


def as_location(loc: Location | str) -> Location:
    """A location with a port: without one it is that of node daemons."""
    location = loc if isinstance(loc, Location) else Location.parse(loc)
    return location if location.port else Location(location.addr, DEFAULT_PORT)


def as_locations(locations: Location | str | Sequence[Location | str]) -> list[Location]:
    """Locations, with or without a port; one of them is a sequence as well, of characters or of parts."""
    given = (locations,) if isinstance(locations, Location | str) else locations
    return [each if isinstance(each, Location) else Location.parse(each) for each in given]


def as_udp_port(port: int | None) -> int:
    """The UDP port for discovery; None and 0 stand for 51350."""
    if port is None:
        return DEFAULT_PORT
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise ConfigError(f"udp_port is a number from 0 to 65535, or None, not {port!r}")
    return port or DEFAULT_PORT


def hosts_of(node: str | Sequence[str] | None, is_open: bool) -> list[str]:
    """The hosts to listen at; ``is_open``: there is no secret."""
    if node is None:
        return [LOOPBACK if is_open else default_address()]
    hosts = [node] if isinstance(node, str) else list(node) if isinstance(node, Sequence) else []
    if not hosts or not all(isinstance(host, str) and host for host in hosts):
        raise ConfigError(f"node is a host name or address, or several of them, not {node!r}")
    return hosts


def refuse_insecure(hosts: Sequence[str]) -> None:
    """Without a secret only this machine may reach us."""
    for host in hosts:
        if not is_loopback(host):
            raise ConfigError(f"without a secret a runtime listens on loopback only, not at {host}; give secret=")


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
                raise
    raise AssertionError("the last try returns or raises")


def told_of(
    listeners: Sequence[Listener], ext_ip_addr: str | None, multicast_group: str | None
) -> dict[Channel, Location]:
    """The networks this runtime can be heard on, each with the location to tell there."""
    told: dict[Channel, Location] = {}
    for listener in listeners:
        here = listener.location
        for way in channels(here.addr, multicast_group):
            address = way.address if is_unspecified(here.addr) else here.addr
            told.setdefault(way, Location(ext_ip_addr or address, here.port))
    return told


def outside_location(here: Location, ext_ip_addr: str | None) -> Location:
    """What others are told of a place that this runtime listens at."""
    if ext_ip_addr is not None:
        return Location(ext_ip_addr, here.port)
    return Location(default_address(), here.port) if is_unspecified(here.addr) else here


def use_notifier(notifier: str | None) -> None:
    """Have the loops of this process, the reactor's among them, wait by epoll, poll, select or kqueue.

    Raises:
        ConfigError: There is no such way here, or a reactor turns that waits by another.
    """
    if notifier is None:
        return
    if notifier not in NOTIFIERS or notifier not in corecext.supported_backends():
        here = ", ".join(name for name in NOTIFIERS if name in corecext.supported_backends())
        raise ConfigError(f"notifier is one of {here} here, not {notifier!r}")
    running = reactor.backend()
    if running not in (None, notifier):
        raise ConfigError(f"notifier is {notifier!r}, but the loops of this process wait by {running} already")
    gevent.config.libev_backend = notifier


def dest_path_of(
    dest_path: str | os.PathLike[str] | None, dest_path_prefix: str | os.PathLike[str] | None
) -> str | os.PathLike[str] | None:
    """Both are names for one thing."""
    if dest_path is not None and dest_path_prefix is not None and os.fspath(dest_path) != os.fspath(dest_path_prefix):
        raise ConfigError(f"dest_path and dest_path_prefix are one thing; given are {dest_path} and {dest_path_prefix}")
    return dest_path if dest_path is not None else dest_path_prefix


def as_secret(secret: str | None, key: bytes | None, settings: Settings) -> Secret:
    """The secret; stretching a typed one takes a tenth of a second, which no hub should spend."""
    if key is not None:
        return Secret.from_key(key)
    loaded: Secret = off_the_hub(lambda: load_secret(secret, file=settings.secret_path))
    return loaded


def off_the_hub(function: Callable[[], Any]) -> Any:
    """The result of ``function()``, called in another thread where a hub would stand still meanwhile."""
    if not userhub.on_hub():
        return function()
    done = Completion()

    def call() -> None:
        try:
            done.set(function())
        except Exception as error:
            done.fail(error)

    native.Thread(call, "greencoro-aside").start()
    return done.result()
