"""Who waits for room in a mailbox that is full (guarantees.md, B2)."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable
from typing import Any

from greencoro.hub import native
from greencoro.hub.completion import Completion

__all__ = ["Room", "Sender"]

# Of all rooms, so that it can be told whether the calling thread is in the middle of any. A re-entrant one: a signal
# handler or a finalizer that sends may come upon its own thread there. It does no harm, every step leaves all in order.
_guard: Any = native.RLock()

# The thread that holds it is none of a child's.
os.register_at_fork(after_in_child=_guard._at_fork_reinit)


class Sender:
    """One wait for room, with the message that is to go in (or without one)."""

    __slots__ = ("accepted", "changed", "message")

    def __init__(self, message: tuple[Any, ...]) -> None:
        self.message = message
        #: None while it is undecided.
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

    __slots__ = ("_closed", "_entering", "_limit", "_put", "_size", "_waiting")

    def __init__(self, size: Callable[[], int], put: Callable[[Any], None], limit: int) -> None:
        self._size = size
        self._put = put
        self._limit = limit
        # Whoever is taken out of the line, by a single operation, is decided on by who took it out.
        self._waiting: deque[Sender] = deque()
        # Places that are kept for those who looked for room and did not put anything in yet: who interrupts one of
        # them finds these taken. It counts itself as well. Written under the guard.
        self._entering = 0
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
        with _guard:
            entering = self._entering
            try:
                self._entering = entering + 1
                if self._closed or self._waiting or self._size() + self._entering > self._limit:
                    return False
                self._put(message)
                return True
            finally:
                self._entering = entering

    def overdraw(self, message: Any) -> bool | None:
        """Put ``message`` in up to twice the limit; never blocks.

        It overtakes those who wait. None of them is the sender itself, who waits in one call at a time.

        Returns:
            bool | None: True where that was beyond the limit, so that the sender ought to wait before it goes on; False
            where there was room; None where nothing was put in.
        """
        with _guard:
            entering = self._entering
            try:
                self._entering = entering + 1
                size = self._size() + self._entering
                if self._closed or size > 2 * self._limit:
                    return None
                self._put(message)
                return size > self._limit
            finally:
                self._entering = entering

    def wait(self, timeout: float | None, *message: Any) -> bool:
        """Wait for room and put ``message``, if one is given, in; False where the time or the mailbox ended first.

        False as well for one who may not wait, see `enter`.
        """
        sender = self.enter(*message)
        if sender is None:
            return False
        try:
            sender.changed.wait(timeout)
        finally:
            accepted = self.leave(sender)
        return accepted

    def enter(self, *message: Any) -> Sender | None:
        """Begin to wait, until ``sender.changed``. Whoever entered leaves.

        Returns:
            Sender | None: None where the mailbox is gone; or there is no room, and the caller is a signal handler or
            finalizer that interrupted its own thread in the middle of this: then others wait for that thread.
        """
        sender = Sender(message)
        may_wait = not _guard._is_owned()
        try:
            self._waiting.append(sender)
            if not self._closed:
                self.admit()
                if may_wait or sender.accepted is not None:
                    return sender
        except BaseException:
            self.leave(sender)
            raise
        self.leave(sender)
        return None

    def leave(self, sender: Sender) -> bool:
        """Wait no more; True where the sender was let in. Twice is once."""
        with _guard, contextlib.suppress(ValueError):
            self._waiting.remove(sender)
            sender.accepted = False
        return sender.accepted is True

    def admit(self) -> None:
        """Let those who wait in, as far as there is room; any thread."""
        if not self._waiting:
            # Whoever gets in line looks for room afterwards.
            return
        admitted: list[Sender] = []
        try:
            with _guard:
                entering = self._entering
                try:
                    self._entering = entering + 1
                    while self._waiting and self._size() + self._entering <= self._limit:
                        try:
                            sender = self._waiting.popleft()
                        except IndexError:  # who interrupted this let it in
                            break
                        admitted.append(sender)
                        sender.accepted = True
                        if sender.message:
                            self._put(sender.message[0])
                finally:
                    self._entering = entering
        finally:
            for sender in admitted:
                sender.changed.set()

    def close(self) -> None:
        """The mailbox is gone: nothing goes in any more, and nobody waits."""
        # Whoever gets in line afterwards looks at this again.
        self._closed = True
        refused: list[Sender] = []
        with _guard, contextlib.suppress(IndexError):
            while True:
                sender = self._waiting.popleft()
                sender.accepted = False
                refused.append(sender)
        for sender in refused:
            sender.changed.set()
