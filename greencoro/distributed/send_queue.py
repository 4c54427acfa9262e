"""What waits to be sent on one link.

Senders are any threads, which append under their link's lock; whoever is the reactor takes from it without that. So
each number has one writer: those that senders change are changed under the lock, the others in the reactor's turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from greencoro.distributed.connection import Connection
from greencoro.distributed.fields import Buffer
from greencoro.distributed.flow import Outflow
from greencoro.distributed.outbox import Parcel
from greencoro.distributed.waiters import Waiters

__all__ = ["Entry", "SendQueue"]

#: Answers that may wait for a peer to read. One that asks on and on without reading is cut off.
_MAX_ANSWERS = 100_000
#: After so many messages were taken back, what is left of them is cleared away.
_MAX_TAKEN = 1000


class Entry(Parcel):
    """A queued message that can be withdrawn."""

    __slots__ = ("flow", "key", "size")

    def __init__(self, key: Hashable, buffers: Sequence[Buffer], size: int, flow: Outflow) -> None:
        super().__init__(buffers)
        self.key = key
        self.size = size
        self.flow = flow


class SendQueue:
    """See the module.

    Args:
        lock: The senders'.

        max_messages, max_bytes: Where so much waits, there is no room for more.
    """

    def __init__(self, lock: Any, max_messages: int, max_bytes: int) -> None:
        self._lock = lock
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._queue: deque[Any] = deque()
        self._urgent: deque[tuple[Sequence[Buffer], int]] = deque()
        # What was queued, less what was taken back; what went on into the connection.
        self._put_messages = 0
        self._put_bytes = 0
        self._passed_messages = 0
        self._passed_bytes = 0
        self._urgent_put_bytes = 0
        self._urgent_passed_bytes = 0
        self._taken = 0
        #: Size of the largest message that was ever queued.
        self.largest = 0
        self._connection: Connection | None = None
        #: Who waits for room.
        self.waiters = Waiters()

    # Any thread.

    def __bool__(self) -> bool:
        return self.waiting[0] > 0

    def put(self, key: Hashable, buffers: Sequence[Buffer], size: int) -> None:
        """Queue a message; the caller has the lock."""
        self._count(size)
        self._queue.append((key, buffers, size))

    def put_withdrawable(self, entry: Entry) -> None:
        """As `put`, what can be taken back."""
        self._count(entry.size)
        self._queue.append(entry)

    def _count(self, size: int) -> None:
        self._put_messages += 1
        self._put_bytes += size
        if size > self.largest:
            self.largest = size

    def put_urgent(self, buffers: Sequence[Buffer]) -> None:
        """Queue a message before all others."""
        size = sum(map(len, buffers))
        with self._lock:
            self._urgent_put_bytes += size
        self._urgent.append((buffers, size))

    def take_back(self, entry: Entry) -> bool:
        """Have a message not go out; its bytes and its credit are free at once. False where it began to go before."""
        if entry.take() is None:
            return False
        with self._lock:
            self._put_messages -= 1
            self._put_bytes -= entry.size
            entry.flow.untake(entry.size)
            self._taken += 1
        return True

    @property
    def waiting(self) -> tuple[int, int]:
        """Messages and bytes that are queued, or in the connection and not sent."""
        connection = self._connection
        messages, size = connection.waiting if connection is not None else (0, 0)
        return self._put_messages - self._passed_messages + messages, self._put_bytes - self._passed_bytes + size

    @property
    def queued(self) -> int:
        """How many of them have not been moved into the connection; with what is left of those that were taken back."""
        return len(self._queue)

    @property
    def urgent(self) -> tuple[int, int]:
        """Messages and bytes that are to go before those."""
        return len(self._urgent), self._urgent_put_bytes - self._urgent_passed_bytes

    @property
    def has_too_many_answers(self) -> bool:
        """Does more wait than a peer can bring about that asks, and reads the answers?"""
        urgent, size = self.urgent
        return urgent > _MAX_ANSWERS or size > self._max_bytes or self.waiting[0] > _MAX_ANSWERS + self._max_messages

    def has_room(self, waiter: Callable[[], object] | None = None) -> bool:
        """Is there room? Where not, ``waiter`` is called when there is."""
        return self._room_left() or self.waiters.has_or_wait(self._room_left, waiter)

    def _room_left(self) -> bool:
        messages, size = self.waiting
        return messages < self._max_messages and size < self._max_bytes

    # The reactor's turn.

    def connect(self, connection: Connection) -> Callable[[Connection], bool]:
        """Where the messages will go; returns what moves them there."""
        self._connection = connection
        return self.move_into

    def move_into(self, connection: Connection) -> bool:
        """Move messages into the connection, about as many as its next record holds; True where more are left."""
        urgent = self._urgent
        push = connection.push
        while urgent:
            buffers, size = urgent.popleft()
            push(None, buffers if len(buffers) > 1 else buffers[0], size)
            self._urgent_passed_bytes += size
        queue = self._queue
        has_room = connection.has_room
        while queue and has_room:
            entry = queue.popleft()
            if entry.__class__ is Entry:
                if entry.is_taken:
                    continue
                size = entry.size
                has_room = push(entry.key, entry, size)
            else:
                key, buffers, size = entry
                has_room = push(key, buffers if len(buffers) > 1 else buffers[0], size)
            self._passed_messages += 1
            self._passed_bytes += size
        if self.waiters and self._room_left():
            self.waiters.wake()
        return bool(queue)

    def taken_back(self) -> None:
        """Messages were taken back: there may be room now."""
        if self.waiters and self._room_left():
            self.waiters.wake()
        if self._taken > _MAX_TAKEN:
            with self._lock:
                self._taken = 0
                self._queue = deque(each for each in self._queue if not (each.__class__ is Entry and each.is_taken))
            if self._connection is not None:
                self._connection.forget_taken()

    def clear(self) -> None:
        """Nothing of it will be sent; nothing more may be queued but what is urgent."""
        self._queue = deque()
        self._connection = None
        self.clear_urgent()

    def clear_urgent(self) -> None:
        """Drop what is urgent."""
        self._urgent.clear()
