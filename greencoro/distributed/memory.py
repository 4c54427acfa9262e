"""Streams inside one process, for tests and gateways.

What goes through them is encoded, sealed and cut as on TCP, so an object that cannot travel fails here as well; and a
link between two places can be cut and healed.
"""

from __future__ import annotations

import errno
import itertools
from collections import deque
from collections.abc import Callable, Sequence

from greencoro.distributed.fields import Buffer
from greencoro.distributed.location import Location
from greencoro.distributed.reactor import Reactor
from greencoro.distributed.stream import Receiver, Stream

__all__ = ["MemoryNetwork"]

#: As the kernel's socket buffers: a writer that is so far ahead of the reader is blocked.
_WINDOW_BYTES = 256 * 1024


class MemoryNetwork:
    """The places that listen, and which pairs of them are cut off from each other."""

    def __init__(self) -> None:
        self._listeners: dict[Location, MemoryListener] = {}
        self._ports = itertools.count(40_000)
        self._cut: set[frozenset[str]] = set()
        self._streams: dict[MemoryStream, frozenset[str]] = {}

    def transport(self, reactor: Reactor) -> Memory:
        """One runtime's way into this network."""
        return Memory(self, reactor)

    def cut(self, one: Location, other: Location) -> None:
        """Break what connects two places, and refuse to connect them until `heal`."""
        pair = frozenset((str(one), str(other)))
        self._cut.add(pair)
        for stream, connected in list(self._streams.items()):
            if connected == pair:
                stream.break_off()

    def heal(self, one: Location, other: Location) -> None:
        """Let two places connect again."""
        self._cut.discard(frozenset((str(one), str(other))))


class Memory:
    """The transport of one runtime in a `MemoryNetwork`."""

    def __init__(self, network: MemoryNetwork, reactor: Reactor) -> None:
        self._network = network
        self._reactor = reactor
        self._here: Location | None = None

    def listen(self, location: Location) -> MemoryListener:
        network = self._network
        if not location.port:
            location = Location(location.addr, next(network._ports))
        if location in network._listeners:
            raise OSError(errno.EADDRINUSE, f"cannot listen at {location}: Address already in use")
        listener = network._listeners[location] = MemoryListener(network, self._reactor, location)
        self._here = location
        return listener

    def adopt(self, descriptor: int) -> MemoryListener:
        raise ValueError("inside a MemoryNetwork there are no descriptors to listen at")

    def dial(
        self, location: Location, timeout: float, on_done: Callable[[Stream | None, OSError | None], None]
    ) -> Callable[[], None]:
        attempt = [on_done]
        self._reactor.post(self._connect, location, attempt)
        return attempt.clear

    def _connect(self, location: Location, attempt: list[Callable[[Stream | None, OSError | None], None]]) -> None:
        if not attempt:
            return
        on_done = attempt.pop()
        pair = frozenset((str(self._here), str(location)))
        listener = self._network._listeners.get(location)
        if listener is None or listener.on_stream is None or pair in self._network._cut:
            on_done(None, OSError(errno.ECONNREFUSED, "Connection refused"))
            return
        streams = self._network._streams
        ours = MemoryStream(self._reactor, location.addr, streams.pop)
        here = "" if self._here is None else self._here.addr
        theirs = MemoryStream(listener.reactor, here, streams.pop)
        ours.other, theirs.other = theirs, ours
        streams[ours] = streams[theirs] = pair
        listener.reactor.post(listener.on_stream, theirs)
        on_done(ours, None)


class MemoryListener:
    """A place that listens."""

    def __init__(self, network: MemoryNetwork, reactor: Reactor, location: Location) -> None:
        self.location = location
        self.reactor = reactor
        self.on_stream: Callable[[Stream], None] | None = None
        self._network = network

    def start(self, on_stream: Callable[[Stream], None]) -> None:
        self.on_stream = on_stream

    def stop(self) -> None:
        self.on_stream = None

    def close(self) -> None:
        self.stop()
        self._network._listeners.pop(self.location, None)


class MemoryStream:
    """One end of a stream; what is written is copied and comes out of `other`."""

    def __init__(self, reactor: Reactor, peer_address: str, on_over: Callable[[MemoryStream], object]) -> None:
        self.peer_address = peer_address
        self.other: MemoryStream | None = None
        self._reactor = reactor
        self._receiver: Receiver | None = None
        self._arrived: deque[bytes | OSError | None] = deque()
        self._unread = 0
        self._written = 0
        self._was_blocked = False
        self._ended = False
        self._on_over: Callable[[MemoryStream], object] | None = on_over

    def open(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._deliver()

    @property
    def blocked(self) -> bool:
        blocked = self.other is not None and self.other._unread > _WINDOW_BYTES
        self._was_blocked = self._was_blocked or blocked
        return blocked

    @property
    def sent_bytes(self) -> int:
        return self._written - (0 if self.other is None else self.other._unread)

    def flush(self) -> None:
        """Nothing is kept on this side."""

    @property
    def shared(self) -> None:
        return None

    def write(self, buffers: Sequence[Buffer]) -> None:
        if self._ended or self.other is None:
            return
        data = b"".join(bytes(buffer) for buffer in buffers)
        self._written += len(data)
        self.other._unread += len(data)
        self._reactor.post(self.other._arrive, data)

    def _arrive(self, data: bytes | OSError | None) -> None:
        if not self._ended:
            self._arrived.append(data)
            self._deliver()

    def _deliver(self) -> None:
        while self._arrived and self._receiver is not None:
            data = self._arrived.popleft()
            if not isinstance(data, bytes):
                receiver = self._receiver
                self._ended = True  # so the other end need not be told
                self.abort()
                receiver.on_end(data)
                return
            self._receiver.on_data(memoryview(data))
            self._unread -= len(data)
            if self.other is not None and not self._unread:
                self.other._readable_again()

    def _readable_again(self) -> None:
        if self._was_blocked:
            self._was_blocked = False
            if self._receiver is not None:
                self._receiver.on_writable()

    def close(self, on_sent: Callable[[], None]) -> None:
        # What was written is in the other end's queue already.
        self.abort()
        self._reactor.post(on_sent)

    def abort(self) -> None:
        self._end(None)

    def reset(self) -> None:
        self._end(_reset_by_peer())

    def _end(self, told: OSError | None) -> None:
        self._receiver = None
        self._arrived.clear()
        if not self._ended:
            self._ended = True
            if self.other is not None:
                self._reactor.post(self.other._arrive, told)
        if self._on_over is not None:
            self._on_over(self)
            self._on_over = None

    def break_off(self) -> None:
        """The network fails: both sides are told so; any thread."""
        self._reactor.post(self._arrive, _reset_by_peer())


def _reset_by_peer() -> OSError:
    return OSError(errno.ECONNRESET, "Connection reset by peer")
