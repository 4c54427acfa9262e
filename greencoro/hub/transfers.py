"""Sending and receiving, as users call it: the half of `AsyncSocket` that moves bytes."""

from __future__ import annotations

import errno
from typing import Any

from greencoro.errors import ClosedResource
from greencoro.hub import socket_io
from greencoro.hub.endpoint import Endpoint
from greencoro.hub.framing import header
from greencoro.hub.socket_io import Limit
from greencoro.hub.tls_session import Certificates

__all__ = ["Transfers"]


class Transfers:
    """What moves bytes over an endpoint: calls that check their arguments, take their turn and wait where they must."""

    __slots__ = ("_certificates", "_endpoint", "_max_message_bytes", "_patient", "_timeout")

    _endpoint: Endpoint | None
    #: The limit that is none.
    _patient: Limit

    def _set_up(
        self,
        endpoint: Endpoint,
        blocking: bool,
        certificates: Certificates | None,
        max_message_bytes: int,
        timeout: float | None,
    ) -> None:
        self._endpoint = endpoint
        self._patient = Limit(bool(blocking), None)
        self._certificates = certificates
        self._max_message_bytes = max_message_bytes
        self._timeout = timeout

    def recv(self, size: int) -> bytes:
        """Receive at most ``size`` bytes, waiting until there are any; of datagrams the next one.

        Returns:
            bytes: ``b""`` where the stream is at its end.

        Raises:
            TimeoutError: Nothing came within the time of `settimeout` (`DeadlineExceeded`).

            BlockingIOError: That time is 0, and nothing is there (`WouldBlock`).

            BusyResource: Somebody else is receiving from this socket.

            ClosedResource: It is, or meanwhile was, closed.

            OSError: As for any socket.
        """
        _check_size(size, "recv()")
        endpoint = self._start_reading("recv()")
        try:
            if not endpoint.is_stream:
                return socket_io.receive_datagram(endpoint, size, self._limit())[0]
            if endpoint.unread:
                return endpoint.unread.take(size)
            return socket_io.receive(endpoint, size, self._limit()) if size else b""
        finally:
            endpoint.stop_reading()

    def recvall(self, size: int) -> bytes:
        """Receive exactly ``size`` bytes; raises what `recv` does, and loses nothing that had come.

        Returns:
            bytes: ``b""`` where the stream ends before there are so many; what there is can be had by `recv`.
        """
        _check_size(size, "recvall()")
        endpoint = self._start_reading("recvall()", stream_only=True)
        try:
            unread, limit = endpoint.unread, self._limit()
            while (missing := size - len(unread)) > 0:
                data = socket_io.receive(endpoint, missing, limit)
                if not data or len(data) == size:
                    return data
                unread.feed(data)
            return unread.take(size)
        finally:
            endpoint.stop_reading()

    def recv_msg(self, eof: Any = b"") -> Any:
        """Receive a message that the other side sent by `send_msg`; raises what `recv` does, and loses nothing.

        Args:
            eof: What to return where the stream is at its end. By default that is ``b""``, which an empty message is as
                well; where such are sent, give ``None``.

        Returns:
            bytes: The message, or ``eof``, which proves that every message that was begun had come whole.

        Raises:
            RemoteProtocolError: The stream ended in the middle of a message, of which `recv` gives what had come; or it
                is announced as larger than ``max_message_bytes``. No message can be received from this socket any more.
        """
        endpoint = self._start_reading("recv_msg()", stream_only=True)
        try:
            unread, limit = endpoint.unread, self._limit()
            unread.max_message_bytes = self._max_message_bytes
            while missing := unread.missing():
                data = socket_io.receive(endpoint, missing, limit)
                if not data:
                    unread.end()
                    return eof
                unread.feed(data)
            return unread.take_message()
        finally:
            endpoint.stop_reading()

    def recvfrom(self, size: int) -> tuple[bytes, Any]:
        """Receive a datagram, of which ``size`` bytes are kept, and the address it came from; raises what `recv` does.

        Of a stream: what `recv` gives, and None.
        """
        _check_size(size, "recvfrom()")
        if self.open_endpoint("recvfrom()").is_stream:
            return self.recv(size), None
        endpoint = self._start_reading("recvfrom()")
        try:
            return socket_io.receive_datagram(endpoint, size, self._limit())
        finally:
            endpoint.stop_reading()

    # Sending.

    def send(self, data: Any) -> int:
        """Send some of ``data``, waiting until the kernel takes any; of datagrams the whole one.

        Returns:
            int: The number of bytes that were taken, which does not say that the other side has them.

        Raises:
            TimeoutError: Not within the time of `settimeout` (`DeadlineExceeded`). Its attribute ``sent`` is the number
                of bytes taken until then, which must not be given again.

            BlockingIOError: That time is 0, and it would have to wait (`WouldBlock`). It has ``sent`` as well.

            BusyResource: Somebody else is sending on this stream.

            ClosedResource: It is, or meanwhile was, closed.

            OSError: As for any socket; `BrokenPipeError` where the other side is gone.
        """
        _refuse_text(data, "send()")
        endpoint = self._start_writing("send()")
        try:
            if not endpoint.is_stream:
                return socket_io.send_datagram(endpoint, data, None, self._limit())
            with memoryview(data) as view, view.cast("B") as octets:
                return socket_io.transmit(endpoint, octets, self._limit(), whole=False)
        finally:
            endpoint.stop_writing()

    def sendall(self, data: Any) -> None:
        """Send all of ``data``; raises what `send` does."""
        _refuse_text(data, "sendall()")
        endpoint = self._start_writing("sendall()", stream_only=True)
        try:
            with memoryview(data) as view, view.cast("B") as octets:
                socket_io.transmit(endpoint, octets, self._limit(), whole=True)
        finally:
            endpoint.stop_writing()

    def send_msg(self, data: Any) -> None:
        """Send ``data`` as one message, for `recv_msg` of the other side; raises what `send` does.

        Where it was given up after a part had gone out, the rest goes out before what is sent next: what the other side
        receives are whole messages always.

        Raises:
            ValueError: It is larger than ``max_message_bytes``.
        """
        _refuse_text(data, "send_msg()")
        with memoryview(data) as view:
            message = b"".join((header(view.nbytes, self._max_message_bytes), view))
        endpoint = self._start_writing("send_msg()", stream_only=True)
        try:
            with memoryview(message) as octets:
                socket_io.transmit(endpoint, octets, self._limit(), whole=True, finish=True)
        finally:
            endpoint.stop_writing()

    def sendto(self, data: Any, address: Any) -> int:
        """Send a datagram to ``address``; raises what `send` does, and `socket.gaierror` for an unknown name."""
        _refuse_text(data, "sendto()")
        endpoint = self._start_writing("sendto()")
        try:
            if endpoint.is_stream:
                raise TypeError("sendto() needs a datagram socket; a stream goes to where it is connected, by send()")
            limit = self._limit()
            return socket_io.send_datagram(endpoint, data, socket_io.resolve(endpoint, address, limit)[0], limit)
        finally:
            endpoint.stop_writing()

    def open_endpoint(self, what: str) -> Endpoint:
        """The endpoint below, for ``what``, a call; raises `ClosedResource` where it was given back."""
        if self._endpoint is None:
            raise ClosedResource(f"{what}: this AsyncSocket has given its socket back")
        return self._endpoint

    def _start_reading(self, what: str, stream_only: bool = False) -> Endpoint:
        endpoint = self._endpoint or self.open_endpoint(what)
        self._check_kind(endpoint, what, stream_only)
        endpoint.start_reading(what)
        return endpoint

    def _start_writing(self, what: str, stream_only: bool = False) -> Endpoint:
        endpoint = self._endpoint or self.open_endpoint(what)
        self._check_kind(endpoint, what, stream_only)
        endpoint.start_writing(what)
        return endpoint

    def _check_kind(self, endpoint: Endpoint, what: str, stream_only: bool) -> None:
        if stream_only and not endpoint.is_stream:
            raise TypeError(f"{what} needs a stream socket; this one carries datagrams")
        if self._certificates is not None and endpoint.tls is None:
            raise OSError(errno.ENOTCONN, f"{what}: TLS was asked for, and begins with accept() or connect()")

    def _limit(self) -> Limit:
        return self._patient if self._timeout is None else Limit(self._patient.blocking, self._timeout)


def _refuse_text(data: Any, what: str) -> None:
    if data.__class__ is str:
        raise TypeError(f"{what} takes bytes: encode the text first")


def _check_size(size: int, what: str) -> None:
    if size.__class__ is not int:
        raise TypeError(f"{what} takes a number of bytes, not {size!r}")
    if size < 0:
        raise ValueError(f"{what} takes a number of bytes of at least 0, not {size}")
