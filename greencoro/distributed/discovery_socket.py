"""The UDP sockets of one runtime, over which pings go out and come in.

On Linux a socket hears a broadcast where it is bound to that broadcast address, so nothing is bound to all addresses:
one socket per network hears what is meant for all there, one what is meant for this machine. All are shared: any number
of runtimes, of one process or several, may have the same port. A broadcast then reaches all of them; what is sent to
the machine's own address reaches only one.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from gevent import monkey

from greencoro.distributed.addresses import Channel, channels
from greencoro.distributed.datagrams import MAX_DATAGRAM_BYTES
from greencoro.distributed.reactor import Reactor
from greencoro.distributed.reports import Reports
from greencoro.hub import forks, native

__all__ = ["DiscoverySocket", "Target", "send_once", "targets_of"]

# The original: a patched socket would wait through the hub of whoever calls.
_socket: Any = monkey.get_original("socket", "socket")

_log = logging.getLogger(__name__)

#: Datagrams taken in a row, before others get their turn.
_DATAGRAMS_PER_TURN = 32
#: What cannot be sent is told of once in so long.
_REPORT_SECONDS = 60.0


class DiscoverySocket:
    """See the module.

    Args:
        ways: Networks to be heard on.

        addresses: This machine's own, at which single datagrams are heard.

        on_datagram: Called with each datagram, whoever sent it, and the address and port that it came from, on the
            reactor's thread; what it returns is sent back there.

    Raises:
        OSError: The port cannot be had; the message says why.
    """

    def __init__(
        self,
        reactor: Reactor,
        ways: Sequence[Channel],
        addresses: Sequence[str],
        port: int,
        on_datagram: Callable[[bytes, str, int], bytes | None],
    ) -> None:
        self._reactor = reactor
        self._port = port
        self._on_datagram = on_datagram
        self._watchers: list[Any] = []
        self._reports = Reports(_REPORT_SECONDS)
        self._sockets: list[Any] = []
        self._by_way: dict[Channel, Any] = {}
        try:
            for address in addresses:
                self._sockets.append(_bound(_family(address), address, port, 0))
            for way in ways:
                sock = _bound(way.family, way.target, port, way.interface)
                self._sockets.append(sock)
                _prepare(sock, way)
                self._by_way[way] = sock
        except BaseException:
            self._close_all()
            raise

    def start(self) -> None:
        """Begin to hear; on the reactor's thread."""
        for sock in self._sockets:
            self._watchers.append(self._reactor.watch(sock.fileno(), False, functools.partial(self._hear, sock)))

    def _hear(self, sock: Any) -> None:
        for _ in range(_DATAGRAMS_PER_TURN):
            if not self._watchers:
                return
            try:
                # One byte more: what is cut off would look like a ping that was never sent.
                datagram, source = sock.recvfrom(MAX_DATAGRAM_BYTES + 1)
            except OSError:
                # Nothing there; or the kernel tells of an earlier datagram that found nobody, which is no news.
                return
            # Of a link-local address the interface stands behind it.
            answer = self._on_datagram(datagram, source[0].partition("%")[0], source[1])
            if answer is not None:
                # What the network does not take is lost, as it may be on its way.
                with contextlib.suppress(OSError):
                    sock.sendto(answer, source)

    def broadcast(self, datagram_for: Callable[[Channel], bytes]) -> int:
        """Send to all networks what ``datagram_for`` says for each; the number of networks that took it."""
        sent = 0
        for way, sock in self._by_way.items():
            sent += self._send(sock, datagram_for(way), way.target, way.interface)
        return sent

    def _send(self, sock: Any, datagram: bytes, target: str, interface: int) -> bool:
        try:
            sock.sendto(datagram, _place(sock.family, target, self._port, interface))
        except OSError as error:
            if self._reports.is_new(target, error.errno, native.monotonic()):
                self._reactor.log.log(
                    _log,
                    logging.WARNING,
                    "cannot reach %s:%d by UDP, so runtimes there hear nothing of this one: %s",
                    target,
                    self._port,
                    os.strerror(error.errno or 0),
                )
            return False
        return True

    def close(self) -> None:
        """Hear and say nothing any more; on the reactor's thread once it was started."""
        for watcher in self._watchers:
            watcher.stop()
            watcher.close()
        self._watchers.clear()
        self._close_all()

    def _close_all(self) -> None:
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()
        self._by_way.clear()


class Target(NamedTuple):
    """Where a single datagram goes."""

    family: int
    address: str
    interface: int


def targets_of(address: str) -> list[Target]:
    """Where to send what is meant for one machine.

    To this machine itself it goes by broadcast: single datagrams reach one of the sockets there only, and that may well
    be the sender's own.
    """
    ways = channels(address)
    return [Target(way.family, way.target, way.interface) for way in ways] or [Target(_family(address), address, 0)]


def send_once(target: Target, port: int, datagram: bytes) -> None:
    """Send one datagram; what the network does not take is lost, as it may be on its way."""
    with contextlib.suppress(OSError), _socket(target.family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        if target.family == socket.AF_INET:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.sendto(datagram, _place(target.family, target.address, port, target.interface))


def _bound(family: int, address: str, port: int, interface: int) -> Any:
    sock = _socket(family, socket.SOCK_DGRAM)
    forks.keep_from_children(sock, _socket.close)
    try:
        sock.setblocking(False)
        # Not SO_REUSEPORT, which the processes of two users cannot share.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(_place(family, address, port, interface))
    except OSError as error:
        sock.close()
        reason = os.strerror(error.errno or 0)
        raise OSError(error.errno, f"cannot listen for discovery at {address}:{port} (UDP): {reason}") from None
    return sock


def _prepare(sock: Any, way: Channel) -> None:
    """Let a socket hear and speak on a network."""
    if way.family == socket.AF_INET6:
        group = socket.inet_pton(way.family, way.target) + struct.pack("@I", way.interface)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, way.interface)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        return
    here = socket.inet_aton(way.address)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    if way.is_multicast:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, here)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(way.target) + here)


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _place(family: int, address: str, port: int, interface: int) -> tuple[Any, ...]:
    return (address, port, 0, interface) if family == socket.AF_INET6 else (address, port)
