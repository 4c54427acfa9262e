"""Streams over TCP."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from gevent import monkey

from greencoro.distributed.connecting import Attempt, family_of
from greencoro.distributed.fields import Buffer
from greencoro.distributed.location import Location
from greencoro.distributed.reactor import Reactor, Timer
from greencoro.distributed.stream import Receiver, Shared, Stream
from greencoro.hub import forks, native

__all__ = ["Tcp"]

# The originals: a patched socket would wait through the hub of whoever calls, and the reactor never waits.
_socket: Any = monkey.get_original("socket", "socket")
_getaddrinfo: Any = monkey.get_original("socket", "getaddrinfo")

_log = logging.getLogger(__name__)

#: Reads of one connection in a row, before the others get their turn.
_READS_PER_TURN = 4
#: What one read brought may be much work; after so much there is no other in this turn.
_TURN_SECONDS = 0.01
#: The kernel takes at most this many buffers in one call (IOV_MAX).
_MAX_BUFFERS = 1024
#: The kernel takes no more than the network takes, and this. What is urgent (answers to heartbeats, ACKs) would wait
#: behind all that it has, and on a slow network for longer than the time-out. (Linux and macOS.)
_MAX_UNSENT_BYTES = 1024 * 1024
_NOTSENT_LOWAT: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", None)
#: Fewer bytes than this are joined before they are sent.
_JOIN_BYTES = 32 * 1024
_BACKLOG = 1024
#: Connections taken in a row, before others get their turn; fewer than may be unauthenticated of one address, so that
#: what the first ones of a rush say is heard before the last ones come.
_ACCEPTS_PER_TURN = 4
#: How long accepting rests when the process has no descriptor left.
_ACCEPT_REST_SECONDS = 0.2

#: How long a closed connection waits for the other side to close as well, once all is sent.
_LINGER_SECONDS = 2.0

#: SO_LINGER: to close the socket drops what it has not sent, and resets the connection.
_RESET = struct.pack("ii", 1, 0)

_WOULD_BLOCK = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR)


class TcpStream:
    """A connected socket."""

    def __init__(self, reactor: Reactor, sock: Any, peer_address: str) -> None:
        self.peer_address = peer_address
        self._reactor = reactor
        self._buffer = reactor.read_buffer
        self._sock = sock
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if _NOTSENT_LOWAT is not None:
            sock.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, _MAX_UNSENT_BYTES)
        forks.keep_from_children(sock, _socket.close)
        self._receiver: Receiver | None = None
        self._kept: deque[memoryview] = deque()
        self.sent_bytes = 0
        self._read_watcher: Any = None
        self._write_watcher: Any = None
        self._on_sent: Callable[[], None] | None = None
        self._linger: Timer | None = None

    def open(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._read_watcher = self._reactor.watch(self._sock.fileno(), False, self.read_now)

    @property
    def blocked(self) -> bool:
        return bool(self._kept)

    @property
    def shared(self) -> Shared:
        return self

    @property
    def descriptor(self) -> int | None:
        return None if self._sock is None else self._sock.fileno()

    def take(self, limit: int = 0) -> memoryview | None:
        if self._sock is None or self._receiver is None:
            return None
        try:
            count = self._sock.recv_into(self._buffer, limit)
        except OSError as error:
            if error.errno in _WOULD_BLOCK:
                return None
            raise
        return self._buffer[:count]

    def read_now(self) -> bool:
        came = False
        end = native.monotonic() + _TURN_SECONDS
        for _ in range(_READS_PER_TURN):
            try:
                data = self.take()
            except OSError as error:
                self._end(error)
                return True
            if data is None or self._receiver is None:
                break
            came = True
            if not data:
                self._end(None)
                break
            self._receiver.on_data(data)
            if len(data) < len(self._buffer) or native.monotonic() > end:
                break
        return came

    def pause_reading(self) -> None:
        if self._read_watcher is not None:
            self._read_watcher.stop()

    def resume_reading(self) -> None:
        if self._read_watcher is not None and self._receiver is not None:
            self._read_watcher.start(self._reactor.guard, self.read_now)

    def _drop_read(self) -> None:
        """After `close`: what still comes is of no interest, only its end is."""
        try:
            count = self._sock.recv_into(self._buffer)
        except OSError as error:
            if error.errno in _WOULD_BLOCK:
                return
            count = 0
        if not count:
            self.abort()

    def _end(self, error: OSError | None) -> None:
        if not self._reactor.is_current:
            # What is kept stays until then: nothing can be written behind it.
            self._reactor.post(self._end, error)
            return
        receiver, self._receiver = self._receiver, None
        try:
            if receiver is not None:
                # Before the socket is closed: a forked process may keep it open for whoever watches it elsewhere.
                receiver.on_end(error)
        finally:
            self.abort()

    def write(self, buffers: Sequence[Buffer]) -> None:
        if self._sock is None:
            return
        was_blocked = bool(self._kept)
        if len(buffers) > 1 and sum(map(len, buffers)) < _JOIN_BYTES:
            buffers = [b"".join(buffers)]
        if not was_blocked and len(buffers) == 1:
            # Nearly always the network takes it whole.
            whole = buffers[0]
            try:
                sent = self._sock.send(whole)
            except OSError as error:
                if error.errno not in _WOULD_BLOCK:
                    self._kept.append(memoryview(whole))
                    self._end(error)
                    return
                sent = 0
            self.sent_bytes += sent
            if sent == len(whole):
                return
            buffers = [memoryview(whole)[sent:]]
        self._kept.extend(memoryview(buffer) for buffer in buffers if len(buffer))
        if not was_blocked:
            self._send_kept()

    def _send_kept(self) -> None:
        kept = self._kept
        while kept:
            try:
                if len(kept) == 1:
                    sent = self._sock.send(kept[0])
                else:
                    sent = self._sock.sendmsg([kept[i] for i in range(min(len(kept), _MAX_BUFFERS))])
            except OSError as error:
                if error.errno in _WOULD_BLOCK:
                    break
                self._end(error)
                return
            self.sent_bytes += sent
            while sent:
                first = kept[0]
                if sent >= len(first):
                    sent -= len(first)
                    kept.popleft()
                else:
                    kept[0] = first[sent:]
                    sent = 0
        if kept:
            if self._reactor.is_current:
                self._await_writable()
            else:
                self._reactor.post(self._await_writable)

    def _await_writable(self) -> None:
        if self._kept and self._write_watcher is None:
            self._write_watcher = self._reactor.watch(self._sock.fileno(), True, self._writable)

    def flush(self) -> None:
        if self._kept:
            self._send_kept()

    def _writable(self) -> None:
        self._send_kept()
        if self._kept or self._sock is None:
            return
        self._write_watcher.stop()
        self._write_watcher.close()
        self._write_watcher = None
        if self._on_sent is not None:
            self._end_sending()
        elif self._receiver is not None:
            self._receiver.on_writable()

    def close(self, on_sent: Callable[[], None]) -> None:
        if self._sock is None:
            on_sent()
            return
        self._receiver = None
        self._on_sent = on_sent
        if self._read_watcher is not None:
            self._read_watcher.stop()
            self._read_watcher.close()
        # Read on: to close a socket with something unread in it makes the kernel drop what it has not sent yet.
        self._read_watcher = self._reactor.watch(self._sock.fileno(), False, self._drop_read)
        if not self._kept:
            self._end_sending()

    def _end_sending(self) -> None:
        self._linger = self._reactor.call_later(_LINGER_SECONDS, self.abort)
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            # The other side is gone already.
            self.abort()

    def reset(self) -> None:
        if self._sock is not None:
            with contextlib.suppress(OSError):  # some systems refuse that once the other side has ended it
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.abort()

    def abort(self) -> None:
        self._receiver = None
        self._kept.clear()
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        for watcher in (self._read_watcher, self._write_watcher):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self._read_watcher = self._write_watcher = None
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()
        on_sent, self._on_sent = self._on_sent, None
        if on_sent is not None:
            on_sent()


class TcpListener:
    """A listening socket."""

    def __init__(self, reactor: Reactor, sock: Any, location: Location) -> None:
        self.location = location
        self._reactor = reactor
        self._sock = sock
        self._watcher: Any = None
        self._on_stream: Callable[[Stream], None] | None = None
        forks.keep_from_children(sock, _socket.close)

    def start(self, on_stream: Callable[[Stream], None]) -> None:
        self._on_stream = on_stream
        self._watcher = self._reactor.watch(self._sock.fileno(), False, self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            if self._watcher is None or not self._accept_one():
                return

    def _accept_one(self) -> bool:
        """Take the next connection; False where none waits, or none can be taken now."""
        try:
            # `accept()` itself would make a socket of whatever class the name in the socket module stands for now.
            descriptor, address = self._sock._accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                self._reactor.log.log(_log, logging.WARNING, "cannot accept: %s", os.strerror(error.errno))
                self._watcher.stop()
                self._reactor.call_later(_ACCEPT_REST_SECONDS, self._rested)
            return False
        sock = _socket(self._sock.family, socket.SOCK_STREAM, 0, fileno=descriptor)
        assert self._on_stream is not None
        self._on_stream(TcpStream(self._reactor, sock, address[0]))
        return True

    def _rested(self) -> None:
        if self._watcher is not None:
            self._watcher.start(self._reactor.guard, self._accept)

    def stop(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None

    def close(self) -> None:
        self.stop()
        # Closed and not shut down: another process may have the same socket, and listen on.
        self._sock.close()


class Tcp:
    """The transport between machines, and between processes of one."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor

    def listen(self, location: Location) -> TcpListener:
        family = family_of(location.addr)
        address = location.addr
        if family is None:
            family, _, _, _, found = _getaddrinfo(location.addr, None, 0, socket.SOCK_STREAM)[0]
            address = found[0]
        sock = _socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            # Ports of a process that ended can be used again at once; two that live still cannot share one.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                sock.bind((address, location.port))
                sock.listen(_BACKLOG)
            except OSError as error:
                raise OSError(error.errno, f"cannot listen at {location}: {os.strerror(error.errno or 0)}") from None
        except BaseException:
            sock.close()
            raise
        return TcpListener(self._reactor, sock, Location(address, sock.getsockname()[1]))

    def adopt(self, descriptor: int) -> TcpListener:
        own = os.dup(descriptor)
        try:
            sock = _socket(fileno=own)
        except BaseException:
            native.close(own)
            raise
        try:
            if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM:
                raise ValueError(f"descriptor {descriptor} is no TCP socket")
            if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                raise ValueError(f"descriptor {descriptor} is a socket that does not listen")
            sock.setblocking(False)
            address, port = sock.getsockname()[:2]
            return TcpListener(self._reactor, sock, Location(address, port))
        except BaseException:
            sock.close()
            raise

    def dial(
        self, location: Location, timeout: float, on_done: Callable[[Stream | None, OSError | None], None]
    ) -> Callable[[], None]:
        def on_end(sock: Any, address: str, error: OSError | None) -> None:
            on_done(TcpStream(self._reactor, sock, address) if sock is not None else None, error)

        attempt = Attempt(self._reactor, location, timeout, on_end)
        # Not at once: ``on_done`` comes after this has returned, whatever connecting makes of it.
        self._reactor.post(attempt.start)
        return attempt.give_up
