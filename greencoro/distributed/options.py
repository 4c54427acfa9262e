"""What a `Runtime` is given, checked and brought into one form."""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

import gevent
from gevent.libev import corecext

from greencoro.config import Settings
from greencoro.distributed import reactor
from greencoro.distributed.addresses import (
    LOOPBACK,
    Channel,
    channels,
    default_address,
    is_loopback,
    is_unspecified,
    own_addresses,
    resolve,
)
from greencoro.distributed.location import Location
from greencoro.distributed.presence import Presence
from greencoro.distributed.search import DEFAULT_PORT
from greencoro.distributed.secret import Secret
from greencoro.distributed.secret import load as load_secret
from greencoro.distributed.stream import Listener, Transport
from greencoro.errors import ConfigError
from greencoro.hub import native, userhub
from greencoro.hub.completion import Completion

__all__ = [
    "addresses_of",
    "adopt",
    "as_descriptors",
    "as_location",
    "as_locations",
    "as_peers",
    "as_presence",
    "as_secret",
    "as_tcp_port",
    "as_udp_port",
    "check_types",
    "dest_path_of",
    "hosts_of",
    "listen",
    "locations_of",
    "off_the_hub",
    "own_locations",
    "refuse_insecure",
    "told_of",
    "use_notifier",
]

#: As ``discover_peers``: schedulers alone.
SCHEDULERS = "schedulers"
NOTIFIERS = ("epoll", "poll", "select", "kqueue")
#: Where several addresses are to have one port, so many free ones are tried.
_PORTS_TRIED = 20
#: What to do where a place to listen at cannot be had.
_ADVICE = {
    errno.EADDRINUSE: "another program or runtime has that port; tcp_port=0 takes any that is free",
    errno.EADDRNOTAVAIL: "that is no address of this machine; `greencoro doctor` shows those there are",
    errno.EACCES: "ports below 1024 are for the administrator; tcp_port=0 takes any that is free",
}


@runtime_checkable
class _Network(Protocol):
    """Like a `MemoryNetwork`."""

    def transport(self, reactor: Any) -> Transport: ...


_TEXT = str | None, "text or None"
_PATH = str | os.PathLike | None, "a path or None"
_FLAG = bool, "True or False"
#: What parameters may be, where they have a type and nothing else; for the others there is a function each.
_TYPES: dict[str, tuple[Any, str]] = {
    "ext_ip_addr": _TEXT,
    "name": _TEXT,
    "secret": _TEXT,
    "secret_key": (bytes | None, "bytes or None"),
    "insecure": _FLAG,
    "announce": _FLAG,
    "closed": _FLAG,
    "accepting": _FLAG,
    "certfile": _PATH,
    "keyfile": _PATH,
    "dest_path": _PATH,
    "dest_path_prefix": _PATH,
    "settings": (Settings | None, "a Settings or None"),
    "network": (_Network | None, "a MemoryNetwork or None"),
}
#: Those that the empty text is a value of: no secret, and what is refused elsewhere with a better reason.
_MAY_BE_EMPTY = ("secret", "secret_key", "ext_ip_addr")
#: Of those an error shows only what they are.
_NOT_SHOWN = ("secret", "secret_key")


def check_types(**given: Any) -> None:
    """Are parameters of `Runtime` of their types?

    Raises:
        ConfigError: One is not; it is named.
    """
    for parameter, value in given.items():
        allowed, words = _TYPES[parameter]
        if not isinstance(value, allowed):
            shown = f"of type {type(value).__name__}" if parameter in _NOT_SHOWN else repr(value)
            raise ConfigError(f"{parameter} is {words}, not {shown}")
        if value == "" and parameter not in _MAY_BE_EMPTY:
            raise ConfigError(f"{parameter} is {words}, and no empty text")


def as_location(loc: Location | str, what: str = "connect") -> Location:
    """A location with a port: without one it is that of node daemons. ``what`` takes it, for the error."""
    location = Location.of(loc, what)
    return location if location.port else Location(location.addr, DEFAULT_PORT)


def as_locations(locations: Location | str | Iterable[Location | str], what: str = "peers") -> list[Location]:
    """Locations, with or without a port; one of them is a sequence as well, of characters or of parts."""
    if isinstance(locations, Location | str) or not isinstance(locations, Iterable):
        return [Location.of(locations, what)]
    return [Location.of(each, what) for each in locations]


def as_peers(peers: Location | str | Iterable[Location | str]) -> list[Location]:
    """Those of ``peers=``.

    Raises:
        ConfigError: One is no location.
    """
    try:
        return as_locations(peers)
    except TypeError as error:
        raise ConfigError(str(error)) from None
    except ValueError as error:
        raise ConfigError(f"peers: {error}") from None


def as_presence(role: Any, discover_peers: bool | str) -> Presence:
    """What a runtime tells of itself where it is found.

    Raises:
        ConfigError: There is no such role, or nobody whom ``discover_peers`` could mean.
    """
    if not isinstance(discover_peers, bool) and discover_peers != SCHEDULERS:
        raise ConfigError(f"discover_peers is True, False or {SCHEDULERS!r}, not {discover_peers!r}")
    try:
        return Presence(role, discover_peers == SCHEDULERS)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def as_udp_port(port: int | None) -> int:
    """The UDP port for discovery; None and 0 stand for 51350."""
    return DEFAULT_PORT if port is None else _port(port, "udp_port", ", or None") or DEFAULT_PORT


def as_tcp_port(port: int) -> int:
    """The TCP port to listen at; 0 stands for any free one."""
    return _port(port, "tcp_port", "")


def _port(port: Any, parameter: str, otherwise: str) -> int:
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise ConfigError(f"{parameter} is a number from 0 to 65535{otherwise}, not {port!r}")
    return port


def hosts_of(node: str | Sequence[str] | None, loopback_only: bool) -> list[str]:
    """The hosts to listen at; ``loopback_only``: that is where to listen if nothing is named."""
    if node is None:
        return [LOOPBACK if loopback_only else default_address()]
    hosts = [node] if isinstance(node, str) else list(node) if isinstance(node, Sequence) else []
    if not hosts or not all(isinstance(host, str) and host for host in hosts):
        raise ConfigError(f"node is a host name or address, or several of them, not {node!r}")
    return hosts


def addresses_of(hosts: Sequence[str]) -> list[str]:
    """The first address of each host, each once.

    Raises:
        ConfigError: One has none.
    """
    found: dict[str, None] = {}
    for host in hosts:
        found[_first_address(host, "node")] = None
    return list(found)


def _first_address(host: str, parameter: str) -> str:
    try:
        address: str = off_the_hub(functools.partial(resolve, Location(host, 0).addr))[0]
    except ValueError as error:
        raise ConfigError(f"{parameter}: {error}") from None
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"{parameter} is {host!r}, which has no address that this machine knows: {reason}") from None
    return address


def refuse_insecure(addresses: Sequence[str], ext_ip_addr: str | None) -> None:
    """Without a secret only this machine may reach us."""
    for address in addresses:
        if not is_loopback(address):
            raise ConfigError(
                f"without a secret a runtime listens on loopback only, not at {address}, for whoever reaches it can "
                "run code here; give secret=, or leave it out for that of this user (or say insecure=True)"
            )
    if ext_ip_addr is not None:
        raise ConfigError(
            f"without a secret a runtime is not for those who come by way of {ext_ip_addr}; give secret= "
            "(or say insecure=True)"
        )


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


def as_descriptors(listen_on: Sequence[int], node: Any, tcp_port: int) -> list[int]:
    """The descriptors to listen at, if any.

    Raises:
        ConfigError: They are none, or something else is named as well.
    """
    is_list = isinstance(listen_on, Sequence) and not isinstance(listen_on, str | bytes)
    if not is_list or not all(type(each) is int and each >= 0 for each in listen_on):
        raise ConfigError(f"listen_on is a list of descriptors, which are numbers, not {listen_on!r}")
    if listen_on and (node is not None or tcp_port):
        raise ConfigError("with listen_on= there is no node= and no tcp_port=: the sockets have theirs")
    return list(listen_on)


def adopt(transport: Transport, descriptors: Sequence[int], loopback_only: bool) -> list[Listener]:
    """Listen at sockets that somebody else opened.

    Raises:
        ConfigError: One is no listening TCP socket, or may not be listened at.
    """
    listeners: list[Listener] = []
    try:
        for descriptor in descriptors:
            listeners.append(transport.adopt(descriptor))
        if loopback_only:
            refuse_insecure([listener.location.addr for listener in listeners], None)
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


def locations_of(listeners: Sequence[Listener], ext_ip_addr: str | None) -> tuple[Location, ...]:
    """Where a runtime with these listeners can be dialled; first what it tells its peers.

    Raises:
        ConfigError: ``ext_ip_addr`` has no address.
    """
    if ext_ip_addr is not None:
        _first_address(ext_ip_addr, "ext_ip_addr")
    found = [] if ext_ip_addr is None else [Location(ext_ip_addr, listeners[0].location.port)]
    for listener in listeners:
        here = listener.location
        found.append(Location(default_address(), here.port) if is_unspecified(here.addr) else here)
    return tuple(dict.fromkeys(found))


def own_locations(listeners: Sequence[Listener], locations: Sequence[Location]) -> frozenset[Location]:
    """All that mean a runtime with these listeners, also those that it tells nobody."""
    found = set(locations)
    for listener in listeners:
        here = listener.location
        found.add(here)
        if is_unspecified(here.addr):
            same_kind = [each for each in own_addresses() if (":" in each) == (":" in here.addr)]
            found.update(Location(address, here.port) for address in same_kind)
    return frozenset(found)


def use_notifier(notifier: str | None) -> None:
    """Have the loops of this process, the reactor's among them, wait by epoll, poll, select or kqueue.

    Raises:
        ConfigError: There is no such way here, or a loop turns already that waits by another.
    """
    if notifier is None:
        return
    if notifier not in NOTIFIERS or notifier not in corecext.supported_backends():
        here = ", ".join(name for name in NOTIFIERS if name in corecext.supported_backends())
        raise ConfigError(f"notifier is one of {here} here, not {notifier!r}")
    for running in (reactor.backend(), userhub.backend()):
        if running not in (None, notifier):
            raise ConfigError(
                f"notifier is {notifier!r}, but the loops of this process wait by {running} already; "
                "make the Runtime before the first coroutine"
            )
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
        try:
            return Secret.from_key(key)
        except ValueError as error:
            raise ConfigError(f"secret_key: {error}") from None
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
