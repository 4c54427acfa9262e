"""asyncoro's AsyncSocket: greencoro's, with what calls returned of old, and how they failed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from greencoro.errors import ClosedResource, DeadlineExceeded, RemoteProtocolError
from greencoro.hub.framing import LARGEST_MESSAGE_BYTES
from greencoro.hub.socket_io import Limit
from greencoro.hub.sockets import AsyncSocket as _AsyncSocket
from greencoro.hub.tls_session import Certificates
from greencoro.legacy.logger import logger

__all__ = ["AsynCoroSocket", "AsyncSocket"]

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _failing_as_sockets_do(method: Callable[_P, _R]) -> Callable[_P, _R]:
    """``method``, only that a socket that was closed here is a bad descriptor, as the system says it."""

    @wraps(method)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return method(*args, **kwargs)
        except ClosedResource as error:
            raise OSError(errno.EBADF, f"{os.strerror(errno.EBADF)}: {error}") from error

    return call


class AsyncSocket(_AsyncSocket):
    """A socket that is in one of two modes: its calls are yielded by coroutines, or block the calling thread.

    What is not said here is as in `greencoro.hub.sockets.AsyncSocket`. The timeout of the socket given does not count.

    Args:
        sock: A plain socket. Of an `AsyncSocket` the wrapped socket is taken, with a warning, and all else from it.

        blocking (bool): Do calls block the thread?

        keyfile, certfile: Paths of PEM files; empty is none. With ``blocking`` a socket that is connected already is
            made TLS here, as its client.

        ssl_version: None or a ``ssl.PROTOCOL_*`` constant; nothing older than TLS 1.2.
    """

    __slots__ = ()

    def __init__(
        self, sock: Any, blocking: bool = False, keyfile: Any = None, certfile: Any = None, ssl_version: Any = None
    ) -> None:
        if isinstance(sock, _AsyncSocket):
            self._share(sock)
            return
        certificates = {"keyfile": keyfile or None, "certfile": certfile, "ssl_version": ssl_version or None}
        if not certfile:
            certificates = {}
        begins_here = bool(certificates) and blocking and _is_connected(sock)
        super().__init__(
            sock, blocking, max_message_bytes=LARGEST_MESSAGE_BYTES, **({} if begins_here else certificates)
        )
        self._timeout = None
        if begins_here:
            self._certificates = Certificates(**certificates)
            self._handshake(self._certificates.client_session(), self._limit())

    def _share(self, sock: _AsyncSocket) -> None:
        # Until it is known to be open, as of any that cannot be set up.
        self._endpoint = None
        endpoint = sock.open_endpoint("AsyncSocket()")
        logger.warning("Socket %s is already AsyncSocket", endpoint.readiness.fd)
        self._set_up(endpoint, sock._patient.blocking, sock._certificates, sock._max_message_bytes, sock._timeout)

    def _new_connection(self) -> _AsyncSocket:
        return AsyncSocket.__new__(AsyncSocket)

    @property
    def _fileno(self) -> int:
        """The number of the descriptor, also once that is closed. Programs tell their sockets apart by it."""
        return self.open_endpoint("_fileno").readiness.fd

    # How calls wait.

    def setblocking(self, flag: bool) -> None:
        """Block the calling thread from now on, or wait as coroutines do; in either case for ever."""
        self._patient = Limit(bool(flag), None)
        self._timeout = None

    def getblocking(self) -> bool:
        """Do calls block the calling thread?"""
        return self._patient.blocking

    def settimeout(self, timeout: float | None) -> None:
        """Limit each operation from now on to ``timeout`` seconds; 0 is no limit, and None is ``setblocking(True)``.

        One that blocks the thread begins to wait as coroutines do with 0.
        """
        if not timeout:
            self.setblocking(timeout is None)
        else:
            super().settimeout(timeout)

    def gettimeout(self) -> float | None:
        """What limits an operation, in seconds. Where nothing does: None if it blocks the thread, else 0."""
        if self._timeout is None and not self._patient.blocking:
            return 0
        return self._timeout

    # What they give, and how they fail.

    accept = _failing_as_sockets_do(_AsyncSocket.accept)
    connect = _failing_as_sockets_do(_AsyncSocket.connect)
    recv = _failing_as_sockets_do(_AsyncSocket.recv)
    recvfrom = _failing_as_sockets_do(_AsyncSocket.recvfrom)
    send = _failing_as_sockets_do(_AsyncSocket.send)
    sendto = _failing_as_sockets_do(_AsyncSocket.sendto)
    send_msg = _failing_as_sockets_do(_AsyncSocket.send_msg)

    @_failing_as_sockets_do
    def create_connection(self, host_port: Any, timeout: float | None = None, source_address: Any = None) -> int:
        """Connect to a name and port, trying each of the name's addresses; 0, and failures as of `connect`.

        Args:
            timeout (float | None): Where given, and not 0, it becomes this socket's timeout.

            source_address: Address to bind to first.
        """
        return super().create_connection(host_port, timeout or None, source_address)

    @_failing_as_sockets_do
    def recvall(self, size: int) -> bytes | bytearray:  # type: ignore[override]
        """Receive exactly ``size`` bytes. The time begins again with every piece that comes.

        Returns:
            bytearray: What came: all of it, or as much as did before the time was over. ``b""`` where the stream ended.

        Raises:
            TimeoutError: Nothing came in time.

            OSError: As for any socket.
        """
        self._check_kind(self.open_endpoint("recvall()"), "recvall()", stream_only=True)
        data = bytearray()
        while missing := size - len(data):
            try:
                piece = super().recv(missing)
            except DeadlineExceeded:
                if data:
                    break
                raise
            if not piece:
                return b""
            data += piece
        return data

    @_failing_as_sockets_do
    def recv_msg(self) -> bytes:  # type: ignore[override]
        """A message that the other side sent by `send_msg`; ``b""`` where the stream ended, also in the middle of one.

        Raises:
            TimeoutError: No whole message came in time; what came of it is not lost.

            OSError: As for any socket.
        """
        try:
            message: bytes = super().recv_msg()
        except RemoteProtocolError:
            return b""
        return message

    @_failing_as_sockets_do
    def sendall(self, data: Any) -> int | None:  # type: ignore[override]
        """Send all of ``data``.

        Returns:
            int | None: None; where time was over in the middle, how many bytes were sent.

        Raises:
            TimeoutError: Nothing was sent in time.

            OSError: As for any socket.
        """
        try:
            super().sendall(data)
        except DeadlineExceeded as error:
            sent: int = getattr(error, "sent", 0)
            if sent:
                return sent
            raise
        return None


AsynCoroSocket = AsyncSocket


def _is_connected(sock: Any) -> bool:
    try:
        sock.getpeername()
    except (AttributeError, OSError):
        return False
    return True
