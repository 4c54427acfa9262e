"""What came from one incarnation of a peer to a coroutine through channels and waits there: so much at most."""

from __future__ import annotations

from typing import Any

from greencoro.distributed.per_peer import PerPeer
from greencoro.hub import native
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from greencoro.hub.mailbox import Encoded

__all__ = ["Backlogs", "Waiting"]


class _Backlog:
    """That of one coroutine. It lives as long as a message that it counts, so it ends with the mailbox."""

    __slots__ = ("__weakref__", "messages", "size", "waiters")

    def __init__(self) -> None:
        self.messages = 0
        self.size = 0
        self.waiters: dict[Completion, None] = {}


class Waiting(Encoded):
    """A message in a mailbox, which came through channels."""

    __slots__ = ("_backlog", "_backlogs", "_message", "_size", "_was_taken")

    def __init__(self, backlogs: Backlogs, backlog: _Backlog, message: Any, size: int) -> None:
        self._backlogs = backlogs
        self._backlog = backlog
        self._message = message
        self._size = size
        self._was_taken = False

    def taken(self) -> None:
        self._was_taken = True
        self._backlogs.taken(self._backlog, self._size)

    def decode(self) -> tuple[bool, Any]:
        message = self._message
        return message.decode() if isinstance(message, Encoded) else (True, message)

    def was_got_by(self, coro: Coro) -> bool:
        """Is it in the mailbox of a live coroutine, or was it taken from there? Any thread."""
        # In this order: who is not alive any more takes no message.
        return coro.is_alive() or self._was_taken


class Backlogs:
    """The backlogs of one runtime's coroutines.

    Args:
        max_messages, max_bytes: Of one peer in one mailbox.
    """

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._backlogs = PerPeer(_Backlog)
        # Held for a few lines that run no code but ours. An RLock, because a destructor may come in the middle.
        self._lock = native.RLock()

    def put(self, peer: bytes, coro: Coro, message: Any, size: int, waiter: Completion | None = None) -> Waiting | None:
        """Put a message of an incarnation into the mailbox, if there is room; else ``waiter`` is set when there may be.

        That is once; `forget` it afterwards.

        Returns:
            Waiting | None: Says whether the coroutine got it, which may have ended before; None where there is no room.
        """
        backlog = self._backlogs.of(peer, coro.id)
        with self._lock:
            if backlog.messages and (backlog.messages >= self._max_messages or backlog.size + size > self._max_bytes):
                if waiter is not None:
                    backlog.waiters[waiter] = None
                return None
            backlog.messages += 1
            backlog.size += size
        put = Waiting(self, backlog, message, size)
        coro.put_past_limit(put)
        return put

    def forget(self, peer: bytes, coro: Coro, waiter: Completion) -> None:
        """Do not set ``waiter`` any more."""
        backlog = self._backlogs.of(peer, coro.id)
        with self._lock:
            backlog.waiters.pop(waiter, None)

    def taken(self, backlog: _Backlog, size: int) -> None:
        """A message was taken from the mailbox."""
        with self._lock:
            backlog.messages -= 1
            backlog.size -= size
            waiters, backlog.waiters = backlog.waiters, {}
        for waiter in waiters:
            waiter.set()
