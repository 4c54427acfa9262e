"""What a `Runtime` is given, checked and brought into one form."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

import gevent
from gevent.libev import corecext

from greencoro.config import Settings
from greencoro.distributed import reactor
from greencoro.distributed.addresses import LOOPBACK, default_address, is_loopback, resolve
from greencoro.distributed.hello import SERIALIZERS
from greencoro.distributed.location import Location
from greencoro.distributed.presence import Presence
from greencoro.distributed.search import DEFAULT_PORT
from greencoro.distributed.secret import Secret
from greencoro.distributed.secret import load as load_secret
from greencoro.distributed.stream import Transport
from greencoro.errors import ConfigError
from greencoro.hub import native, userhub
from greencoro.hub.completion import Completion

__all__ = [
    "addresses_of",
    "as_descriptors",
    "as_location",
    "as_locations",
    "as_peers",
    "as_presence",
    "as_secret",
    "as_serializer",
    "as_tcp_port",
    "as_udp_port",
    "check_types",
    "dest_path_of",
    "first_address",
    "hosts_of",
    "off_the_hub",
    "refuse_insecure",
    "use_notifier",
]

#: As ``discover_peers``: schedulers alone.
SCHEDULERS = "schedulers"
NOTIFIERS = ("epoll", "poll", "select", "kqueue")


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


def as_serializer(serializer: Any) -> str:
    """How objects travel.

    Raises:
        ConfigError: There is no such way.
    """
    if serializer not in SERIALIZERS:
        raise ConfigError(f"serializer is {' or '.join(map(repr, SERIALIZERS))}, not {serializer!r}")
    word: str = serializer
    return word


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
        found[first_address(host, "node")] = None
    return list(found)


def first_address(host: str, parameter: str) -> str:
    """The first address of a host.

    Raises:
        ConfigError: It has none; that names the parameter.
    """
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
