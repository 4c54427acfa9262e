"""A queue of things to do, filled from any thread and emptied by one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from greencoro.hub import native

__all__ = ["Inbox"]

# A signal that comes just before the main thread begins to wait for a lock does not end that wait, and its handler runs
# after it: so no wait is longer.
_LONGEST_SECONDS = 1.0


class Inbox:
    """First in, first out. `put` never blocks and may be called in a signal handler."""

    def __init__(self) -> None:
        self._actions: deque[Callable[[], None]] = deque()
        # Held while there is nothing to see; released to wake the taker, at most once ahead.
        self._nothing = native.Lock()
        self._nothing.acquire()

    def put(self, action: Callable[[], None]) -> None:
        """Have ``action()`` done by the thread that takes."""
        self._actions.append(action)
        try:
            self._nothing.release()
        except RuntimeError:
            return  # the taker has been told already

    def take(self, timeout: float | None) -> Callable[[], None] | None:
        """The next, waiting for it; None after ``timeout`` seconds (None: no limit), or now and then earlier."""
        if not self._actions and (timeout is None or timeout > 0):
            self._nothing.acquire(True, _LONGEST_SECONDS if timeout is None else min(timeout, _LONGEST_SECONDS))
        return self._actions.popleft() if self._actions else None
