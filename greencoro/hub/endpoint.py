"""One raw socket, shared by all that was wrapped around it.

It knows who reads and who writes now, keeps what was read and not taken, and closes the descriptor when nobody uses
it any more: a thread that is about to read from a number must not find there what was opened next.
"""

from __future__ import annotations

import _socket
import contextlib
import os
import socket
from collections.abc import Iterator
from typing import Any
from weakref import WeakValueDictionary

from gevent import monkey

from greencoro.errors import BusyResource
from greencoro.hub import native
from greencoro.hub.framing import Decoder
from greencoro.hub.readiness import Readiness, closed_here
from greencoro.hub.tls_session import Session

__all__ = ["Endpoint", "of"]

_original_socket: Any = monkey.get_original("socket", "socket")

# What users call it.
_OWNER = "AsyncSocket"

# By the raw socket's identity, which an endpoint keeps alive.
_endpoints: WeakValueDictionary[int, Endpoint] = WeakValueDictionary()
_lock = native.RLock()


class _Borrowed(_socket.socket):
    """The system calls for a descriptor that another object owns, unpatched."""

    def __del__(self) -> None:
        self.detach()


class Endpoint:
    """What the wrappers of one raw socket share.

    Attributes:
        raw: The socket that was wrapped; its blocking mode stays what it was, but for `accept_nonblocking`.

        io: For system calls on it, each with ``MSG_DONTWAIT``.

        is_stream (bool): Is it a stream, not datagrams?

        unread (Decoder): Bytes that were read for somebody who gave up before there were enough; the reader's.

        unsent (bytearray): Bytes that must go out before all others, because what they belong to went out in part; the
            writer's.

        tls (Session | None): The TLS session, once its handshake is done.

        straight (int): System calls in a row that did not have to wait.

        readiness (Readiness): What waits for its descriptor.
    """

    __slots__ = (
        "__weakref__",
        "_closed",
        "_lock",
        "_made_nonblocking",
        "_reading",
        "_writing",
        "io",
        "is_stream",
        "raw",
        "readiness",
        "straight",
        "tls",
        "unread",
        "unsent",
    )

    def __init__(self, raw: Any) -> None:
        fd = raw.fileno()
        self.readiness = Readiness(fd, _OWNER)
        self.raw = raw
        self.io: Any = _Borrowed(raw.family, raw.type, raw.proto, fd)
        self.is_stream = bool(raw.type == socket.SOCK_STREAM)
        self.unread = Decoder()
        self.unsent = bytearray()
        self.tls: Session | None = None
        self.straight = 0
        self._lock = native.RLock()
        self._reading = False
        self._writing = 0
        self._closed = False
        self._made_nonblocking = False

    def start_reading(self, what: str) -> None:
        """Become the one who reads.

        Raises:
            BusyResource: Somebody reads already.

            ClosedResource: It is closed.
        """
        with self._lock:
            self.refuse_if_closed()
            if self._reading:
                raise BusyResource(f"{what}: somebody else reads from this socket at the moment; one at a time can")
            self._reading = True

    def stop_reading(self) -> None:
        """Undo `start_reading`; where it was closed meanwhile, the last user closes the descriptor."""
        with self._lock:
            self._reading = False
            last = self._closed and not self._writing
        if last:
            self._release()

    def start_writing(self, what: str) -> None:
        """Become the one who writes; datagrams go out whole, so there any number may. Raises as `start_reading`."""
        with self._lock:
            self.refuse_if_closed()
            if self._writing and self.is_stream:
                raise BusyResource(f"{what}: somebody else writes to this socket at the moment; one at a time can")
            self._writing += 1

    def stop_writing(self) -> None:
        """Undo `start_writing`, as `stop_reading` does."""
        with self._lock:
            self._writing -= 1
            last = self._closed and not self._writing and not self._reading
        if last:
            self._release()

    @contextlib.contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """Be the one who reads and the one who writes for so long. Raises as `start_reading`."""
        self.start_reading(what)
        try:
            self.start_writing(what)
            try:
                yield
            finally:
                self.stop_writing()
        finally:
            self.stop_reading()

    def refuse_if_closed(self) -> None:
        """Raise `ClosedResource` where it was closed."""
        if self._closed:
            raise closed_here(self.readiness.fd, _OWNER)

    def accept_nonblocking(self) -> None:
        """Let the descriptor be non-blocking from now on, for ``accept``, which has no flag for one call."""
        if os.get_blocking(self.readiness.fd):
            self.raw.setblocking(False)
            self._made_nonblocking = True

    @contextlib.contextmanager
    def nonblocking(self) -> Iterator[None]:
        """Let the descriptor be non-blocking for so long, for ``connect``, which has no flag for one call."""
        fd = self.readiness.fd
        blocking = os.get_blocking(fd)
        if blocking:
            os.set_blocking(fd, False)
        try:
            yield
        finally:
            if blocking:
                os.set_blocking(fd, True)

    def give_back(self, what: str) -> Any:
        """The raw socket as it was, with nothing kept back.

        Raises:
            BusyResource: It is in use.

            ClosedResource: It is closed.

            RuntimeError: Something of the stream would be lost.
        """
        with self._lock:
            self.refuse_if_closed()
            if self._reading or self._writing:
                raise BusyResource(f"{what}: this socket is in use at the moment")
            if self.tls is not None:
                raise RuntimeError(f"{what}: a TLS session cannot be taken off; close the socket instead")
            if self.unread or self.unsent:
                raise RuntimeError(
                    f"{what}: {len(self.unread)} bytes that came would be lost, and {len(self.unsent)} that are still "
                    "to go out; receive the former, send something for the latter"
                )
        if self._made_nonblocking:
            self.raw.setblocking(True)
        return self.raw

    def adopt(self, fd: int) -> Any:
        """A raw socket of the same kind as this one for ``fd``, which was accepted from it."""
        kind: Any = _original_socket
        if _hub_of(self.raw) is not None:
            import gevent.socket

            kind = gevent.socket.socket
        return kind(self.raw.family, self.raw.type, self.raw.proto, fd)

    def close(self) -> None:
        """Close the socket: those who wait get `ClosedResource`; the last who used it closes the descriptor."""
        with self._lock:
            if self._closed:
                return
            idle = not self._writing and not self._reading
            if idle:
                self._say_goodbye()
            self._closed = True
        self.readiness.close()
        if idle:
            self._release()

    def _say_goodbye(self) -> None:
        """Tell a TLS peer that this is the end, as far as that can be done without waiting."""
        if self.tls is None:
            return
        self.unsent += self.tls.goodbye()
        # Where it is gone already, it needs no goodbye.
        with contextlib.suppress(OSError):
            self.io.send(self.unsent, socket.MSG_DONTWAIT)

    def _release(self) -> None:
        self.io.detach()
        hub = _hub_of(self.raw)
        if hub is None or hub is native.thread_hub():
            self.raw.close()
        else:
            # `close` of gevent's sockets works on the loop of their hub, which another thread may not do, and which may
            # be gone. What they wrap, gevent keeps reachable for those who have no business with the hub.
            self.raw._sock.close()


def of(raw: Any) -> Endpoint:
    """The endpoint of ``raw``, which is the same for everybody who wraps it."""
    with _lock:
        endpoint = _endpoints.get(id(raw))
        if endpoint is None:
            _endpoints[id(raw)] = endpoint = Endpoint(raw)
        return endpoint


def _hub_of(raw: Any) -> Any:
    """The hub that one of gevent's sockets belongs to; None for the standard library's."""
    return getattr(raw, "hub", None)
