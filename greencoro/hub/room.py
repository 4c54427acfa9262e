"""Who waits for room in a mailbox that is full (guarantees.md, B2)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from greencoro.hub import native
from greencoro.hub.completion import Completion

__all__ = ["Room", "Sender"]


class Sender:
    """One wait for room, with the message that is to go in (or without one)."""

    __slots__ = ("accepted", "changed", "message")

    def __init__(self, message: tuple[Any, ...]) -> None:
        self.message = message
        #: None while it is undecided; written under the lock.
        self.accepted: bool | None = None
        self.changed = Completion()


class Room:
    """The limit of one mailbox, and a queue of those who wait at it.

    Whoever waits leaves its message here, and the receiver takes it over when there is room: so those who wait get
    their turn in the order they came, and whoever gives up either takes its message back or knows that it went in.

    Args:
        size: How many messages are in the mailbox.

        put: Appends one, whatever the limit.

        limit: Messages from which on senders wait.
    """

    __slots__ = ("_closed", "_limit", "_lock", "_put", "_size", "_waiting")

    def __init__(self, size: Callable[[], int], put: Callable[[Any], None], limit: int) -> None:
        self._size = size
        self._put = put
        self._limit = limit
        self._lock = native.Lock()
        self._waiting: deque[Sender] = deque()
        self._closed = False

    @property
    def limit(self) -> int:
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = limit
        self.admit()

    def offer(self, message: Any) -> bool:
        """Put ``message`` in where there is room and nobody waits for it; never blocks."""
        with self._lock:
            if self._closed or self._waiting or self._size() >= self._limit:
                return False
            self._put(message)
            return True

    def overdraw(self, message: Any) -> bool | None:
        """Put ``message`` in up to twice the limit; never blocks.

        Returns:
            bool | None: True where that was beyond the limit, so that the sender ought to wait before it goes on; False
            where there was room; None where nothing was put in.
        """
        with self._lock:
            size = self._size()
            if self._closed or size >= 2 * self._limit:
                return None
            self._put(message)
            return size >= self._limit

    def wait(self, timeout: float | None, *message: Any) -> bool:
        """Wait for room and put ``message``, if one is given, in; False where the time or the mailbox ended first."""
        sender = self.enter(*message)
        if sender is None:
            return False
        try:
            sender.changed.wait(timeout)
        finally:
            accepted = self.leave(sender)
        return accepted

    def enter(self, *message: Any) -> Sender | None:
        """Begin to wait, until ``sender.changed``; None where the mailbox is gone. Whoever entered leaves."""
        sender = Sender(message)
        with self._lock:
            if self._closed:
                return None
            self._waiting.append(sender)
        self.admit()
        return sender

    def leave(self, sender: Sender) -> bool:
        """Wait no more; True where the sender was let in."""
        with self._lock:
            if sender.accepted is None:
                self._waiting.remove(sender)
        return sender.accepted is True

    def admit(self) -> None:
        """Let those who wait in, as far as there is room; any thread."""
        admitted = []
        with self._lock:
            while self._waiting and self._size() < self._limit:
                sender = self._waiting.popleft()
                sender.accepted = True
                if sender.message:
                    self._put(sender.message[0])
                admitted.append(sender)
        for sender in admitted:
            sender.changed.set()

    def close(self) -> None:
        """The mailbox is gone: nothing goes in any more, and nobody waits."""
        with self._lock:
            self._closed = True
            refused, self._waiting = self._waiting, deque()
            for sender in refused:
                sender.accepted = False
        for sender in refused:
            sender.changed.set()
