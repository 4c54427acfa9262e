"""What generator coroutines sent beyond the credit of mailboxes at one peer (guarantees.md, B2).

A generator does not wait in `send` but at its next ``yield``. Until then up to twice the limit is accepted: what there
is no credit for waits here, in order, and nobody else's message for that mailbox overtakes it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

from greencoro.distributed.fields import Buffer
from greencoro.distributed.flow import Outflow
from greencoro.hub.completion import Completion

__all__ = ["Overdraft", "Overdrafts"]


class Credited(Protocol):
    """What they need of their `Link`."""

    gone: dict[int, None]

    @property
    def is_lost(self) -> bool: ...

    def check_size(self, size: int) -> None: ...

    def outflow(self, target: int) -> Outflow: ...

    def send_credited(
        self, target: int, buffers: Sequence[Buffer], waiter: Callable[[], object] | None, *, key: Hashable
    ) -> object: ...


class Overdraft:
    """What waits for the credit of one mailbox; a generator that put something here waits for `drained`."""

    __slots__ = ("drained", "messages", "senders", "size")

    def __init__(self) -> None:
        #: Each with its key (`Link.send_credited`).
        self.messages: deque[tuple[Sequence[Buffer], Hashable]] = deque()
        #: In bytes.
        self.size = 0
        #: The ids of the coroutines that put something here.
        self.senders: set[int] = set()
        #: Set when all of it has gone, or never will.
        self.drained = Completion()

    def wait(self, timeout: float | None) -> bool:
        """Wait until that is so; False where ``timeout`` seconds were over first."""
        return self.drained.wait(timeout)


class Overdrafts:
    """All of one link.

    Args:
        lock: The one of the link's senders. Re-entrant.
    """

    __slots__ = ("_held", "_link", "_lock", "largest")

    def __init__(self, link: Credited, lock: Any) -> None:
        self._link = link
        self._lock = lock
        self._held: dict[int, Overdraft] = {}
        #: Bytes of the largest message that ever waited here.
        self.largest = 0

    def __len__(self) -> int:
        """How many messages wait."""
        return sum(len(overdraft.messages) for overdraft in tuple(self._held.values()))

    def of(self, target: int) -> Overdraft | None:
        """What waits for one mailbox's credit, behind which others get in line; None where nothing does."""
        return self._held.get(target) if self._held else None

    def after(self, sender: int, then: Callable[[], object]) -> None:
        """Call ``then()`` when nothing that the coroutine with that id sent waits here; at once where nothing does."""
        for overdraft in tuple(self._held.values()):
            if sender in overdraft.senders:
                overdraft.drained.add_callback(lambda: self.after(sender, then))
                return
        then()

    def put(self, target: int, buffers: Sequence[Buffer], sender: int, key: Hashable = None) -> Overdraft | None:
        """Accept a message for which there is no credit; it goes when there is.

        Args:
            sender: The id of the coroutine that waits for it to go.

            key: As for `Link.send_credited`.

        Returns:
            Overdraft | None: For its sender to wait for; None (and nothing is accepted) where so much waits already as
            the mailbox's window is large, or the mailbox is over or lost.

        Raises:
            LocalProtocolError: The message is larger than ``max_message_bytes``.
        """
        size = sum(map(len, buffers))
        with self._lock:
            self._link.check_size(size)
            if self._is_over(target):
                return None
            window = self._link.outflow(target)
            overdraft = self._held.get(target)
            is_new = overdraft is None
            if overdraft is None:
                overdraft = self._held[target] = Overdraft()
            elif len(overdraft.messages) >= window.window_messages or overdraft.size + size > window.window_bytes:
                return None
            overdraft.messages.append((buffers, key))
            overdraft.senders.add(sender)
            overdraft.size += size
            self.largest = max(self.largest, size)
        if is_new:
            self._drain(target)
        return overdraft

    def _is_over(self, target: int) -> bool:
        return self._link.is_lost or target in self._link.gone

    def _drain(self, target: int) -> None:
        """Send what there is credit for, and be called again when there is more; any thread."""
        # Under the lock, so that nobody else sends the same one.
        with self._lock:
            overdraft = self._held[target]
            while overdraft.messages and not self._is_over(target):
                buffers, key = overdraft.messages[0]
                # A loss or an end just before the waiter was there to hear of it is seen at the next look.
                if not self._link.send_credited(target, buffers, lambda: self._drain(target), key=key):
                    if self._is_over(target):
                        break
                    return
                overdraft.messages.popleft()
                overdraft.size -= sum(map(len, buffers))
            del self._held[target]
        overdraft.drained.set()
