"""Locks, conditions, events, semaphores: how coroutines wait for each other without a message.

Each may be shared by coroutines, threads, plain gevent greenlets and the main thread alike, in a patched process as in
an unpatched one. A coroutine that waits lets the others run; a plain thread that waits blocks only itself. What can be
done without waiting, even a callback of the hub may do.

Who waits first is served first, and nobody overtakes. Whoever leaves the line (its time is over, it was terminated,
something was thrown into it) takes nothing along: what it had been given at that instant goes to the next one.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from operator import length_hint
from typing import Any, ClassVar, TypeVar

from greenlet import getcurrent

from greencoro.errors import WouldBlock
from greencoro.hub import native
from greencoro.hub.completion import Completion
from greencoro.hub.permits import OwnedPermit, Permits, caller, limit
from greencoro.hub.waiting import seconds

__all__ = ["Condition", "Event", "Lock", "RLock", "Semaphore"]

T = TypeVar("T")

# In place of a notification: its wait is over without one.
_MISSED: Any = object()


class Semaphore(Permits):
    """A number of permits: `acquire` takes one, waiting for it if there is none, `release` puts one back.

    Anybody may release, any number of times; with a semaphore of 0 one waits for what another finishes. As a context
    manager it holds one permit during the block.

    Args:
        value (int): Permits at the beginning, at least 0.
    """

    __slots__ = ()

    def __init__(self, value: int = 1) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"Semaphore() takes the number of its permits, not {value!r}")
        if value < 0:
            raise ValueError(f"Semaphore() takes a number of permits of at least 0, not {value}")
        super().__init__(value)

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take a permit.

        Args:
            blocking (bool): Wait for it, if there is none?

            timeout (float | None): Longest wait, in seconds. ``None`` waits for ever; ``0`` does not wait.

        Returns:
            bool: False where there was none in time; then nothing has changed.

        Raises:
            Terminated: The calling coroutine was terminated while it waited. Nothing has changed.

            WouldBlock: A callback of the hub would have to wait.
        """
        if timeout is not None or not blocking:
            timeout = limit(blocking, timeout, None, "Semaphore.acquire()")
        return self._take_now() or self._take(timeout)

    def release(self, n: int = 1) -> None:
        """Put ``n`` permits back, or rather give them to those who wait longest. Never waits.

        Raises:
            TypeError, ValueError: ``n`` is no whole number of at least 1; then nothing has changed.
        """
        if isinstance(n, bool) or not isinstance(n, int):
            raise TypeError(f"Semaphore.release() takes the number of permits to put back, not {n!r}")
        if n == 1:
            self._put()
        elif n > 1:
            self._put_many(n)
        else:
            raise ValueError(f"Semaphore.release() takes a number of permits of at least 1, not {n}")

    __enter__ = acquire

    def __exit__(self, *error: object) -> None:
        self._put()

    def __repr__(self) -> str:
        free = len(self._free) + length_hint(self._unused)
        return f"<{type(self).__name__}: {free} free, {len(self._waiters)} waiting>"


class Lock(OwnedPermit):
    """What one at a time may hold. Not re-entrant; see `RLock`.

    Its holder is the coroutine that acquired it, or else the thread or gevent greenlet. Unlike a `threading.Lock`, only
    its holder can release it: to let one go on when another says so, use a `Semaphore` of 0 or an `Event`. A holder
    that ends without releasing it leaves it locked for ever, so hold it in a ``with`` block, which releases it however
    the block ends.
    """

    __slots__ = ()

    def acquire(self, blocking: bool = True, timeout: float | None = -1) -> bool:
        """Become the holder.

        Args:
            blocking (bool): Wait for it, if somebody holds it?

            timeout (float | None): Longest wait, in seconds. ``None`` waits for ever, and so does -1, as in
                `threading`; 0 and every other negative number do not wait.

        Returns:
            bool: False where somebody held it until then; then nothing has changed.

        Raises:
            Terminated: The calling coroutine was terminated while it waited. Nothing has changed.

            RuntimeError: The caller holds it already, and would wait for itself for ever.

            WouldBlock: A callback of the hub would have to wait.
        """
        within = None if timeout == -1 and blocking else limit(blocking, timeout, -1, "Lock.acquire()")
        asking = caller()
        if not self._take_now():
            if within is None and self._owner is asking:
                name = self._name_of(asking)
                raise RuntimeError(f"Lock.acquire(): {name} holds it already and would wait for itself; see RLock")
            if not self._take(within):
                return False
        self._thread_ident = native.get_ident()
        self._owner = asking
        return True

    def release(self) -> None:
        """Cease to hold it; the one who waits longest becomes the holder. Never waits.

        Raises:
            RuntimeError: The caller does not hold it.
        """
        if self._owner is not caller():
            self._check_owned("release()")
        self._owner = None
        self._put()

    __enter__ = acquire

    def __exit__(self, *error: object) -> None:
        self.release()


class RLock(OwnedPermit):
    """A `Lock` that its holder may acquire again: it is free when it was released as often."""

    __slots__ = ()

    def acquire(self, blocking: bool = True, timeout: float | None = -1) -> bool:
        """As `Lock.acquire`; at once, where the caller is the holder."""
        within = None if timeout == -1 and blocking else limit(blocking, timeout, -1, "RLock.acquire()")
        asking = caller()
        if self._owner is asking:
            self._depth += 1
            return True
        if not self._take_now() and not self._take(within):
            return False
        self._thread_ident = native.get_ident()
        self._owner = asking
        self._depth = 1
        return True

    def release(self) -> None:
        """Undo one `acquire`; with the last of them the one who waits longest becomes the holder. Never waits.

        Raises:
            RuntimeError: The caller does not hold it.
        """
        if self._owner is not caller():
            self._check_owned("release()")
        if self._depth > 1:
            self._depth -= 1
        else:
            self._owner = None
            self._put()

    __enter__ = acquire

    def __exit__(self, *error: object) -> None:
        self.release()


class Condition:
    """A lock, and a way to wait until somebody who holds it says that something has changed.

    ``with condition:`` holds the lock. Inside, `wait` lets it go, waits for a `notify`, and takes it again: however
    the wait ends, by a notification, a timeout or an exception, the caller holds the lock again. Others may have been
    there first, so look again after a `wait`: ``while not ready: condition.wait()``, or `wait_for`.

    Args:
        lock (Lock | RLock | None): Its lock, which other conditions may share; an `RLock` of its own if None.

    Attributes:
        notify_needs_lock (bool): Is a notification by somebody who does not hold the lock an error? A subclass may say
            False; then one can come between another's look at the state and its wait, and be missed.

        relocks_always (bool): Does the caller of `wait` hold the lock again also where no notification came, because
            the time was over or an exception ended the wait? A subclass may say False.
    """

    __slots__ = ("__weakref__", "_lock", "_waiters")

    notify_needs_lock: ClassVar[bool] = True
    relocks_always: ClassVar[bool] = True

    def __init__(self, lock: Lock | RLock | None = None) -> None:
        if lock is not None and not isinstance(lock, OwnedPermit):
            raise TypeError(f"Condition() takes a Lock or RLock of greencoro, not {lock!r}")
        self._lock = RLock() if lock is None else lock
        self._waiters: deque[Completion] = deque()

    def acquire(self, blocking: bool = True, timeout: float | None = -1) -> bool:
        """Acquire the lock; see `Lock.acquire`."""
        return self._lock.acquire(blocking, timeout)

    def release(self) -> None:
        """Release the lock; see `Lock.release`."""
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Release the lock, however often it was acquired, wait for a notification, and acquire it again.

        Args:
            timeout (float | None): Longest wait for the notification, in seconds. ``None`` waits for ever. The lock
                is waited for as long as it takes.

        Returns:
            bool: False where no notification came in time. The caller holds the lock either way.

        Raises:
            Terminated: The calling coroutine was terminated meanwhile. It holds the lock, so this too comes only when
                the present holder has released that; a notification it had got goes to the next who waits.

            RuntimeError: The caller does not hold the lock.

            WouldBlock: The caller is a callback of the hub.
        """
        timeout = seconds(timeout, "Condition.wait()")
        self._lock._check_owned("Condition.wait()")
        if getcurrent() is native.thread_hub():
            raise WouldBlock("a callback of the hub may not wait")
        waiter = Completion()
        interruption: BaseException | None = None
        depth = 0
        try:
            # Before the lock is free: whoever gets it then may notify at once.
            self._waiters.append(waiter)
            depth = self._lock._release_all()
            waiter.wait(timeout)
        except BaseException as error:
            interruption = error
        if not self.relocks_always:
            waiter.set(_MISSED)
        relocks = self.relocks_always or (interruption is None and waiter.value is not _MISSED)
        while depth and relocks and not self._lock._is_owned():
            try:
                self._lock._acquire_again(depth)
            except BaseException as error:
                interruption = error
        waiter.set(_MISSED)
        notified = waiter.value is not _MISSED
        if not notified:
            with contextlib.suppress(ValueError):
                self._waiters.remove(waiter)
        if interruption is None:
            return notified
        if notified:
            self._notify(1)
        try:
            raise interruption
        finally:
            del interruption  # its traceback refers to this frame

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Wait until ``predicate()`` is true, calling it with the lock held, now and after each notification.

        Args:
            timeout (float | None): Longest wait for notifications altogether, in seconds. ``None`` waits for ever.

        Returns:
            What ``predicate`` returned last: something false only where the time was over.

        Raises: As `wait`.
        """
        timeout = seconds(timeout, "Condition.wait_for()")
        deadline = None if timeout is None else native.monotonic() + timeout
        self._lock._check_owned("Condition.wait_for()")
        while not (value := predicate()):
            left = None if deadline is None else deadline - native.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
        return value

    def notify(self, n: int = 1) -> None:
        """End the wait of the ``n`` who wait longest, or of all where there are fewer. Never waits.

        They go on when they get the lock, one after the other.

        Raises:
            RuntimeError: The caller does not hold the lock.
        """
        if isinstance(n, bool) or not isinstance(n, int):
            raise TypeError(f"Condition.notify() takes the number of those to notify, not {n!r}")
        if self.notify_needs_lock:
            self._lock._check_owned("Condition.notify()")
        self._notify(n)

    def notify_all(self) -> None:
        """End the wait of all who wait. Never waits.

        Raises:
            RuntimeError: The caller does not hold the lock.
        """
        if self.notify_needs_lock:
            self._lock._check_owned("Condition.notify_all()")
        self._notify(len(self._waiters))

    def _notify(self, n: int) -> None:
        with contextlib.suppress(IndexError):
            while n > 0:
                # One that has given up does not count.
                n -= self._waiters.popleft().set()

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._lock!r}, {len(self._waiters)} waiting for a notification>"


class Event:
    """A flag that can be waited for; it may be set, and cleared, again and again."""

    __slots__ = ("__weakref__", "_flag", "_waiters")

    def __init__(self) -> None:
        self._flag = False
        self._waiters: deque[Completion] = deque()

    def is_set(self) -> bool:
        """Is the flag set?"""
        return self._flag

    def set(self) -> None:
        """Set the flag and end the wait of all who wait, even if it is cleared before they come to run. Never waits."""
        self._flag = True
        for waiter in self._waiters.copy():
            waiter.set()

    def clear(self) -> None:
        """Reset the flag: who waits from now on waits for the next `set`."""
        self._flag = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the flag is set.

        Args:
            timeout (float | None): Longest wait, in seconds. ``None`` waits for ever; ``0`` does not wait.

        Returns:
            bool: False where it was not set in time.

        Raises:
            Terminated: The calling coroutine was terminated while it waited.

            WouldBlock: A callback of the hub would have to wait.
        """
        timeout = seconds(timeout, "Event.wait()")
        if self._flag:
            return True
        waiter = Completion()
        try:
            self._waiters.append(waiter)
            # Another thread may have set it, and looked for waiters, in between.
            return self._flag or waiter.wait(timeout)
        finally:
            with contextlib.suppress(ValueError):
                self._waiters.remove(waiter)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {'set' if self._flag else 'not set'}, {len(self._waiters)} waiting>"
