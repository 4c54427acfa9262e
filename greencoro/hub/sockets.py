"""AsyncSocket: a socket whose calls wait, each in the way of the place it is called from.

In a coroutine a call lets other coroutines run until it is done; in a thread it blocks that thread; in a gevent
greenlet it lets the other greenlets of that thread run. A call tries first, and waits only where it must.
"""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any

from greencoro.hub import endpoint as endpoints
from greencoro.hub import socket_io
from greencoro.hub.endpoint import Endpoint
from greencoro.hub.framing import DEFAULT_MAX_MESSAGE_BYTES, LARGEST_MESSAGE_BYTES
from greencoro.hub.socket_io import Limit
from greencoro.hub.tls_session import Certificates, Session
from greencoro.hub.transfers import Transfers
from greencoro.hub.waiting import seconds

__all__ = ["AsyncSocket"]

_log = logging.getLogger(__name__)

# What can be asked about a TLS session; the wrapped socket knows nothing of it.
_ABOUT_TLS = ("cipher", "getpeercert", "version")


class AsyncSocket(Transfers):
    """A socket for coroutines, threads and greenlets alike; what is not listed here is the wrapped socket's.

    It may be made in any thread and used in any other, by one reader and one writer at a time (datagrams: any number of
    writers). The socket given keeps its own blocking mode, save that it is non-blocking once it has accepted. What
    was wrapped more than once, say for reading in a coroutine and with ``blocking=True`` for writing in a thread, is
    one socket: closing either closes it.

    What one call takes from the kernel is no more than what it returns. Bytes that a call received before it was given
    up (its time was over, its coroutine terminated) stay for the next one.

    Args:
        sock: A plain socket, of the standard library or gevent's. Of an `AsyncSocket` the wrapped socket is taken, with
            a warning.

        blocking (bool): A call that waits blocks the calling thread, even where a hub turns in it.

        keyfile: Path of the private key, where that is not in ``certfile``; a server's only.

        certfile: Path of a PEM file with the server's certificate. With it the connection is TLS 1.2 or later: `accept`
            shows the certificate, `connect` insists on seeing one that is in the file (`Certificates`).

        ssl_version: None or a ``ssl.PROTOCOL_*`` constant; nothing older than TLS 1.2.

        max_message_bytes (int): The largest message of `send_msg` and `recv_msg`.

    Raises:
        TypeError: ``sock`` is no plain socket.

        ValueError: It is closed, or the arguments cannot work together.
    """

    __slots__ = ("__weakref__",)

    def __init__(
        self,
        sock: Any,
        blocking: bool = False,
        keyfile: Any = None,
        certfile: Any = None,
        ssl_version: Any = None,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
    ) -> None:
        # Until it is set up; what failed to be is closed.
        self._endpoint = None
        if isinstance(sock, AsyncSocket):
            _log.warning("%r is wrapped again; both share one socket", sock)
            sock = sock.open_endpoint("AsyncSocket()").raw
        _check_socket(sock)
        if certfile is None and keyfile is not None:
            raise ValueError("AsyncSocket() needs a certfile to go with the keyfile")
        _check_limit(max_message_bytes)
        certificates = None if certfile is None else Certificates(certfile, keyfile, ssl_version)
        endpoint = endpoints.of(sock)
        if certificates is not None and endpoint.tls is None:
            _check_can_begin_tls(endpoint)
        # The timeout 0 is how the standard library says "non-blocking": no limit, here.
        self._set_up(endpoint, blocking, certificates, max_message_bytes, sock.gettimeout() or None)

    # Connections.

    def accept(self) -> tuple[AsyncSocket, Any]:
        """Wait for a connection; with a ``certfile`` do the server's side of the TLS handshake as well.

        The time of `settimeout` holds for both together. Without one, a client that connects and says nothing keeps
        this call waiting; others may accept meanwhile.

        Returns:
            The connection, which has this socket's certificates and limits but no timeout; and the address of its other
            side.

        Raises:
            TimeoutError, BusyResource, ClosedResource, OSError: As `recv`.

            ssl.SSLError: The handshake failed. That connection is closed; the next call accepts another one.

            ValueError: There is a ``certfile``, and a timeout of 0, in which no handshake can be done.
        """
        endpoint, limit = self.open_endpoint("accept()"), self._limit()
        self._refuse_hasty_tls("accept()")
        endpoint.start_reading("accept()")
        try:
            fd, address = socket_io.accept(endpoint, limit)
        finally:
            endpoint.stop_reading()
        connection = self._new_connection()
        accepted = endpoints.of(endpoint.adopt(fd))
        connection._set_up(accepted, limit.blocking, self._certificates, self._max_message_bytes, None)
        if self._certificates is not None:
            try:
                connection._handshake(self._certificates.server_session(), limit)
            except BaseException:
                connection.close()
                raise
        return connection, address

    def _new_connection(self) -> AsyncSocket:
        """What `accept` makes a connection of, still to be set up."""
        return AsyncSocket.__new__(AsyncSocket)

    def connect(self, address: Any) -> int:
        """Connect to ``address``; with a ``certfile`` insist on TLS with a server whose certificate is in that file.

        A name with several addresses stands for the first; `create_connection` tries them all. Where it was given up
        in time, another call goes on with it.

        Returns:
            int: 0.

        Raises:
            TimeoutError: Not within the time of `settimeout`, which holds for all of it together.

            BusyResource, ClosedResource: As `recv`.

            ssl.SSLCertVerificationError: It is another server.

            ValueError: There is a ``certfile``, and a timeout of 0, in which no handshake can be done.

            OSError: As for any socket: `ConnectionRefusedError`, `socket.gaierror` and others.
        """
        limit = self._limit()
        self._connect(socket_io.resolve(self.open_endpoint("connect()"), address, limit)[:1], limit)
        return 0

    def create_connection(self, address: Any, timeout: float | None = None, source_address: Any = None) -> int:
        """Connect to a name and port, trying each of the name's addresses; returns and raises what `connect` does.

        Args:
            timeout (float | None): Where given, it becomes this socket's timeout first (`settimeout`).

            source_address: Address to bind to first.
        """
        endpoint = self.open_endpoint("create_connection()")
        if timeout is not None:
            self._timeout = _time_limit(timeout, "create_connection()")
        limit = self._limit()
        if source_address is not None:
            endpoint.io.bind(socket_io.resolve(endpoint, source_address, limit)[0])
        self._connect(socket_io.resolve(endpoint, address, limit), limit)
        return 0

    def _connect(self, addresses: list[Any], limit: Limit) -> None:
        endpoint = self.open_endpoint("connect()")
        self._refuse_hasty_tls("connect()")
        with endpoint.alone("connect()"):
            for left, address in zip(reversed(range(len(addresses))), addresses, strict=True):
                try:
                    socket_io.connect(endpoint, address, limit)
                    break
                except OSError:
                    if not left:
                        raise
        if self._certificates is not None:
            self._handshake(self._certificates.client_session(), limit)

    def _refuse_hasty_tls(self, what: str) -> None:
        # Tried all the same, each connection would be accepted only to be closed.
        if self._certificates is not None and self._timeout == 0:
            raise ValueError(f"{what} has to wait for the TLS handshake: settimeout() to some seconds first")

    def _handshake(self, session: Session, limit: Limit) -> None:
        endpoint = self.open_endpoint("the TLS handshake")
        with endpoint.alone("the TLS handshake"):
            socket_io.handshake(endpoint, session, limit)

    # The rest.

    def settimeout(self, timeout: float | None) -> None:
        """Limit each operation from now on to ``timeout`` seconds in all; None is no limit, which is the default.

        With 0 an operation that would have to wait raises `WouldBlock`, which is a `BlockingIOError`.

        Raises:
            TypeError, ValueError: It is no time, or less than 0.

            ClosedResource: This socket is closed.
        """
        limit = _time_limit(timeout, "settimeout()")
        self.open_endpoint("settimeout()").refuse_if_closed()
        self._timeout = limit

    def gettimeout(self) -> float | None:
        """What `settimeout` set; at first the timeout that the wrapped socket had."""
        return self._timeout

    def setblocking(self, flag: bool) -> None:
        """True is ``settimeout(None)``, False is ``settimeout(0)``, as for any socket.

        Whose turn a wait takes, the thread's or the coroutine's, is another matter: see the argument ``blocking``.
        """
        if not isinstance(flag, int):
            raise TypeError(f"setblocking() takes True or False, not {flag!r}")
        self.settimeout(None if flag else 0)

    def getblocking(self) -> bool:
        """Does a call that cannot be done at once wait? False after ``setblocking(False)`` or ``settimeout(0)``."""
        return self._timeout != 0

    def unwrap(self) -> Any:
        """Give the wrapped socket back; this object is closed then, and the socket is not.

        Raises:
            BusyResource: Somebody uses it at the moment.

            ClosedResource: It is closed.

            RuntimeError: Something of its stream would be lost: a TLS session, bytes that an operation which was given
                up has left.
        """
        raw = self.open_endpoint("unwrap()").give_back("unwrap()")
        self._endpoint = None
        return raw

    def detach(self) -> int:
        """Close this object and not its descriptor, which is returned; raises what `unwrap` does."""
        fd: int = self.unwrap().detach()
        return fd

    def close(self) -> None:
        """Close the socket. Any thread may call this, any number of times.

        Those who wait for it get `ClosedResource`; the descriptor is free once they have.
        """
        if self._endpoint is not None:
            self._endpoint.close()

    def __enter__(self) -> AsyncSocket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"AsyncSocket has no attribute {name!r}")
        endpoint = self.open_endpoint(name)
        if name in _ABOUT_TLS and endpoint.tls is not None:
            return endpoint.tls.describe(name)
        return getattr(endpoint.raw, name)

    def __repr__(self) -> str:
        return f"<AsyncSocket of {'nothing' if self._endpoint is None else self._endpoint.raw!r}>"


def _check_socket(sock: Any) -> None:
    if not all(hasattr(sock, name) for name in ("fileno", "family", "type", "proto", "gettimeout")):
        raise TypeError(f"AsyncSocket() takes a socket, not {sock!r}")
    if hasattr(sock, "do_handshake"):
        raise TypeError("AsyncSocket() takes the plain socket and a certfile, not one that is in TLS already")
    if sock.fileno() < 0:
        raise ValueError("AsyncSocket() takes an open socket; this one is closed")


def _time_limit(timeout: float | None, what: str) -> float | None:
    """As `seconds`, only that less than 0 is refused, as it is for any socket."""
    limit = seconds(timeout, what)
    if limit is not None and limit < 0:
        raise ValueError(f"{what} takes a timeout of at least 0 seconds, or None for no limit, not {timeout}")
    return limit


def _check_limit(max_message_bytes: int) -> None:
    if isinstance(max_message_bytes, bool) or not isinstance(max_message_bytes, int):
        raise TypeError(f"max_message_bytes is a number of bytes, not {max_message_bytes!r}")
    if not 1 <= max_message_bytes <= LARGEST_MESSAGE_BYTES:
        raise ValueError(f"max_message_bytes is {max_message_bytes}, but must be from 1 to {LARGEST_MESSAGE_BYTES}")


def _check_can_begin_tls(endpoint: Endpoint) -> None:
    if not endpoint.is_stream:
        raise ValueError("AsyncSocket() with a certfile takes a stream socket; there is no TLS for datagrams here")
    try:
        endpoint.io.getpeername()
    except OSError:
        return
    raise ValueError(
        "AsyncSocket() with a certfile takes a socket that is not connected: TLS begins with accept() or connect()"
    )
