"""What is done with a socket, tried at once and waited for where the kernel has nothing to give yet.

Whoever calls these functions has become the endpoint's reader or writer before.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import ssl
from typing import Any

from gevent import monkey
from greenlet import getcurrent

from greencoro.errors import DeadlineExceeded, WouldBlock
from greencoro.hub import native
from greencoro.hub.endpoint import Endpoint
from greencoro.hub.execution import sleep
from greencoro.hub.tls_session import Session

__all__ = [
    "Limit",
    "accept",
    "connect",
    "handshake",
    "receive",
    "receive_datagram",
    "resolve",
    "send_datagram",
    "transmit",
]

_DONTWAIT = socket.MSG_DONTWAIT
# The most that one system call is asked for: as much memory is taken before it is known how much there is to read.
_PIECE = 256 * 1024
# Encrypted at a time. Not more, because what is encrypted has to be sent even if the caller gave up.
_TLS_PIECE = 64 * 1024
# So many system calls in a row that had not to wait, then others get their turn: a fast peer keeps nobody from running.
_STRAIGHT = 100
# A Unix socket whose listener has no room says so at once, and nothing tells when there is some.
_RETRY_CONNECT_SECONDS = 0.01

_getaddrinfo: Any = monkey.get_original("socket", "getaddrinfo")


class Limit:
    """How one operation may wait: whose turn it blocks, and for how long in all.

    Args:
        blocking (bool): Block the calling thread even where a hub turns in it.

        timeout (float | None): Longest time for all waits of the operation together, in seconds.
    """

    __slots__ = ("_timeout", "_until", "blocking")

    def __init__(self, blocking: bool, timeout: float | None) -> None:
        self.blocking = blocking
        self._timeout = timeout
        self._until = None if timeout is None else native.monotonic() + timeout

    def wait_readable(self, endpoint: Endpoint) -> None:
        """Wait until something can be read; raises `DeadlineExceeded`, or `WouldBlock` where there never was time."""
        endpoint.straight = 0
        if not endpoint.readiness.wait_readable(self.left(), block_thread=self.blocking):
            raise self._over("nothing came")

    def wait_writable(self, endpoint: Endpoint) -> None:
        """Wait until something can be written; raises what `wait_readable` does."""
        endpoint.straight = 0
        if not endpoint.readiness.wait_writable(self.left(), block_thread=self.blocking):
            raise self._over("the other side took nothing more")

    def pause(self, seconds: float) -> None:
        """Wait before another try."""
        if self._until is not None and native.monotonic() >= self._until:
            raise self._over("there was no room")
        (native.sleep if self.blocking else sleep)(seconds)

    def give_way(self, endpoint: Endpoint) -> None:
        """Let others of this hub run, where there is one."""
        endpoint.straight = 0
        if not self.blocking and self.hub() is not None:
            sleep(0)

    def hub(self) -> Any:
        """The hub that turns while this waits; None where the thread is blocked, and in the hub itself."""
        hub = None if self.blocking else native.thread_hub()
        return None if getcurrent() is hub else hub

    def left(self) -> float | None:
        """Seconds that are left, less than 0 where they are over; None is no limit."""
        return None if self._until is None else self._until - native.monotonic()

    def _over(self, what: str) -> Exception:
        if self._timeout is not None and self._timeout <= 0:
            return WouldBlock(f"{what}, and the socket's timeout of {self._timeout:g} does not let the call wait")
        return DeadlineExceeded(f"{what} within {self._timeout:g} s")


def receive(endpoint: Endpoint, size: int, limit: Limit) -> bytes:
    """Some bytes of a stream, at most ``size``; ``b""`` at its end."""
    tls = endpoint.tls
    if tls is None:
        return _read(endpoint, size if size < _PIECE else _PIECE, limit)
    while (data := tls.read(size if size < _PIECE else _PIECE)) is None:
        tls.receive_data(_read(endpoint, _PIECE, limit))
    return data


def _read(endpoint: Endpoint, size: int, limit: Limit) -> bytes:
    while True:
        endpoint.straight += 1
        if endpoint.straight > _STRAIGHT:
            # Before there is anything that could be lost, should the coroutine be terminated in its pause.
            limit.give_way(endpoint)
        try:
            return endpoint.io.recv(size, _DONTWAIT)
        except BlockingIOError:
            # Outside of the handler, so that what ends the wait does not seem to come of this.
            wait = limit.wait_readable
        wait(endpoint)


def receive_datagram(endpoint: Endpoint, size: int, limit: Limit) -> tuple[bytes, Any]:
    """A datagram, of which ``size`` bytes are kept, and the address it came from."""
    while True:
        endpoint.straight += 1
        if endpoint.straight > _STRAIGHT:
            limit.give_way(endpoint)
        try:
            return endpoint.io.recvfrom(size, _DONTWAIT)
        except BlockingIOError:
            # Outside of the handler, so that what ends the wait does not seem to come of this.
            wait = limit.wait_readable
        wait(endpoint)


def send_datagram(endpoint: Endpoint, data: Any, address: Any, limit: Limit) -> int:
    """Send a datagram to ``address``, or to where the socket is connected (None)."""
    while True:
        endpoint.straight += 1
        if endpoint.straight > _STRAIGHT:
            limit.give_way(endpoint)
        try:
            if address is None:
                return endpoint.io.send(data, _DONTWAIT)
            return endpoint.io.sendto(data, _DONTWAIT, address)
        except BlockingIOError:
            # Outside of the handler, so that what ends the wait does not seem to come of this.
            wait = limit.wait_writable
        wait(endpoint)


def transmit(endpoint: Endpoint, data: memoryview, limit: Limit, whole: bool, finish: bool = False) -> int:
    """Send bytes on a stream, after those that must go out before.

    Args:
        whole (bool): All of ``data``; otherwise what one system call takes.

        finish (bool): Where only a part went out, keep the rest to go out before what is sent next.

    Returns:
        int: How many were taken. What was encrypted counts: it is sent, now or before what is sent next.

    Raises:
        DeadlineExceeded, WouldBlock: Its attribute ``sent`` is that number.
    """
    total, sent = len(data), 0
    try:
        _flush(endpoint, limit)
        while sent < total:
            if endpoint.tls is None:
                sent += _write(endpoint, data[sent:] if sent else data, limit)
            else:
                piece = data[sent : sent + _TLS_PIECE]
                endpoint.unsent += endpoint.tls.encrypt(piece)
                sent += len(piece)
                _flush(endpoint, limit)
            if not whole:
                break
    except (DeadlineExceeded, WouldBlock) as error:
        over: Any = error
        over.sent = sent
        raise
    finally:
        if finish and 0 < sent < total:
            rest = data[sent:]
            endpoint.unsent += rest if endpoint.tls is None else endpoint.tls.encrypt(rest)
    return sent


def _flush(endpoint: Endpoint, limit: Limit) -> None:
    unsent = endpoint.unsent
    while unsent:
        del unsent[: _write(endpoint, unsent, limit)]


def _write(endpoint: Endpoint, data: memoryview | bytearray, limit: Limit) -> int:
    while True:
        endpoint.straight += 1
        if endpoint.straight > _STRAIGHT:
            limit.give_way(endpoint)
        try:
            return endpoint.io.send(data, _DONTWAIT)
        except BlockingIOError:
            # Outside of the handler, so that what ends the wait does not seem to come of this.
            wait = limit.wait_writable
        wait(endpoint)


def accept(endpoint: Endpoint, limit: Limit) -> tuple[int, Any]:
    """The descriptor of a new connection, and the address of its other side."""
    endpoint.accept_nonblocking()
    while True:
        endpoint.straight += 1
        if endpoint.straight > _STRAIGHT:
            limit.give_way(endpoint)
        try:
            accepted: tuple[int, Any] = endpoint.io._accept()
            return accepted
        except BlockingIOError:
            # Outside of the handler, so that what ends the wait does not seem to come of this.
            wait = limit.wait_readable
        wait(endpoint)


def connect(endpoint: Endpoint, address: Any, limit: Limit) -> None:
    """Connect to ``address``, which has a number for its host; another call goes on with what was given up."""
    with endpoint.nonblocking():
        while code := endpoint.io.connect_ex(address):
            if code in (errno.EINPROGRESS, errno.EALREADY):
                limit.wait_writable(endpoint)
                # Asked again it tells the outcome, and where that is a failure, the socket can try another address;
                # SO_ERROR would tell as well, but leave a socket whose next attempt fails whatever it is.
            elif code == errno.EAGAIN:
                limit.pause(_RETRY_CONNECT_SECONDS)
                endpoint.refuse_if_closed()
            else:
                raise OSError(code, os.strerror(code))


def handshake(endpoint: Endpoint, session: Session, limit: Limit) -> None:
    """Begin TLS on a connection; whoever calls it reads and writes."""
    try:
        while True:
            done = session.handshake()
            endpoint.unsent += session.data_to_send()
            _flush(endpoint, limit)
            if done:
                break
            session.receive_data(_read(endpoint, _PIECE, limit))
    except ssl.SSLError:
        # The other side learns why, as far as that can be said without waiting.
        with contextlib.suppress(OSError):
            endpoint.io.send(session.data_to_send(), _DONTWAIT)
        raise
    endpoint.tls = session


def resolve(endpoint: Endpoint, address: Any, limit: Limit) -> list[Any]:
    """``address`` with a number in place of a host's name; all of them, where it has several.

    Looking up a name takes as long as the resolver lets it; on a hub others run meanwhile and the limit ends it.
    """
    family, kind = endpoint.raw.family, endpoint.raw.type
    if not _has_name(family, address):
        return [address]
    host, port = address[:2]
    hub = limit.hub()
    if hub is None:
        found = _getaddrinfo(host, port, family, kind)
    else:
        from gevent import Timeout

        with Timeout(limit.left(), DeadlineExceeded(f"the address of {host!r} was not found in time")):
            found = hub.resolver.getaddrinfo(host, port, family, kind)
    return [sockaddr for *_, sockaddr in found]


def _has_name(family: int, address: Any) -> bool:
    if family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple) or len(address) < 2:
        return False  # what is no address at all, the system call refuses
    host = address[0]
    # The first two are names of addresses that every system knows; "%" stands before an interface, behind a number.
    if not isinstance(host, str) or host in ("", "<broadcast>") or "%" in host:
        return False
    try:
        socket.inet_pton(family, host)
    except OSError:
        return True
    return False
