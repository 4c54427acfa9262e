"""asyncoro's locks, conditions, events and semaphores."""

from __future__ import annotations

from typing import ClassVar

from greencoro.hub import sync

__all__ = ["Condition", "Event", "Lock", "RLock", "Semaphore"]


def _within(blocking: bool, timeout: float | None) -> float | None:
    """How long an ``acquire`` may wait, as greencoro says it; None for ever."""
    if not blocking:
        return 0
    return None if timeout is None or timeout < 0 else timeout


class Lock(sync.Lock):
    """What one coroutine at a time may hold; not re-entrant."""

    __slots__ = ()

    def acquire(self, blocking: bool = True, timeout: float | None = -1) -> bool:
        """With ``yield``: hold it; False where somebody held it until ``timeout`` seconds were over (-1: for ever)."""
        return super().acquire(timeout=_within(blocking, timeout))


class RLock(sync.RLock):
    """A `Lock` that its holder may acquire again."""

    __slots__ = ()

    def acquire(self, blocking: bool = True, timeout: float | None = -1) -> bool:
        """With ``yield``: hold it once more; False as in `Lock.acquire`."""
        return super().acquire(timeout=_within(blocking, timeout))


class Condition(sync.Condition):
    """A re-entrant lock, and a way to wait until somebody says that something has changed.

    A `wait` whose time is over does not hold the lock. To `notify` nobody needs it.
    """

    __slots__ = ()

    notify_needs_lock: ClassVar[bool] = False
    relocks_always: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__(RLock())

    notifyAll = sync.Condition.notify_all


class Event(sync.Event):
    """A flag that can be waited for."""

    __slots__ = ()

    isSet = sync.Event.is_set


class Semaphore(sync.Semaphore):
    """A number of permits, at least 1 to begin with."""

    __slots__ = ()

    def __init__(self, value: int = 1) -> None:
        if value < 1:
            raise ValueError(f"Semaphore() takes a number of permits of at least 1, not {value}")
        super().__init__(value)
