"""Permits to go on, given out in the order in which they were asked for: what locks and semaphores are made of.

How permits move: taking one and putting one back are single operations on a list, so that without contention no lock is
needed. Whoever finds none gets in line and *then* hands on what there may be by now; whoever puts one back *then* looks
whether somebody is in line. So none lies there while somebody waits, and what is put back while somebody waits goes to
the first of them, never to one who happens to ask just then.

All that concerns the line is done under a native lock. It is a re-entrant one: a signal handler or a finalizer that
puts something back may come upon its own thread in the middle of that. It does no harm, every step leaves all in order.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from itertools import repeat
from operator import length_hint
from typing import Any

from greenlet import getcurrent

from greencoro.hub import native
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from greencoro.hub.frames import thread_idents
from greencoro.hub.waiting import seconds

__all__ = ["OwnedPermit", "Permits", "caller", "limit"]

# So many at once are counted rather than listed.
_MANY = 1000


def caller() -> Any:
    """Who may own a permit: the running coroutine (its greenlet may change), else the running greenlet or thread."""
    coro = Coro.current()
    return getcurrent() if coro is None else coro


def limit(blocking: bool, timeout: float | None, default: float | None, what: str) -> float | None:
    """How long an ``acquire`` may wait, in seconds; None for ever.

    Raises:
        TypeError, ValueError: That is no time, or one is given (other than the ``default``) though it is not to block.
    """
    within = seconds(timeout, what)
    if blocking:
        return within
    if timeout != default:
        raise ValueError(f"{what} takes no timeout where it does not block")
    return 0


class _Counted:
    """Permits of which there are only the numbers: a list of a million would take 8 MB."""

    __slots__ = ("_batches",)

    def __init__(self, count: int) -> None:
        # Single operations on this list only: others take and add meanwhile. None but the last one is taken from.
        self._batches: list[repeat[None]] = []
        if count:
            self._batches.append(repeat(None, count))

    def __length_hint__(self) -> int:
        return sum(map(length_hint, tuple(self._batches)))

    def add(self, count: int) -> None:
        for batch in tuple(self._batches):
            if not length_hint(batch):
                self._drop(batch)
        self._batches.append(repeat(None, count))

    def take(self) -> bool:
        while self._batches:
            try:
                batch = self._batches[-1]
            except IndexError:  # another thread was faster
                break
            if next(batch, self) is None:
                return True
            self._drop(batch)
        return False

    def _drop(self, batch: repeat[None]) -> None:
        """Forget one of which nothing is left; where another thread has done so, nothing."""
        with contextlib.suppress(ValueError):
            self._batches.remove(batch)


class Permits:
    """A number of permits, and the line of those who wait for one."""

    __slots__ = ("__weakref__", "_free", "_guard", "_unused", "_waiters")

    def __init__(self, count: int) -> None:
        # Those at the beginning, and those that came many at once.
        self._unused = _Counted(count)
        self._free: list[None] = []
        # Each is given True with a permit, or says False when it gives up, whichever is first.
        self._waiters: deque[Completion] = deque()
        self._guard = native.RLock()

    def locked(self) -> bool:
        """Would one who asks now have to wait?"""
        return not self._free and not length_hint(self._unused)

    def _take_now(self) -> bool:
        """Take a permit if there is one and nobody waits for it."""
        return not self._waiters and self._pop()

    def _pop(self) -> bool:
        if self._free:
            try:
                self._free.pop()
                return True
            except IndexError:  # another thread was faster
                pass
        return self._unused.take()

    def _take(self, timeout: float | None) -> bool:
        """Take a permit, waiting in line for it; False where there was none within ``timeout`` seconds."""
        waiter = Completion()
        try:
            with self._guard:
                # Now that nobody is about to hand one on, what looks taken is taken.
                if self._take_now():
                    return True
                if timeout is not None and timeout <= 0:
                    return False
                self._waiters.append(waiter)
                self._hand_on()
            return waiter.wait(timeout) or not self._leave(waiter)
        except BaseException:
            if not self._leave(waiter):
                self._put()
            raise

    def _leave(self, waiter: Completion) -> bool:
        """Give up waiting; False where ``waiter`` has been given a permit already."""
        with self._guard:
            waiter.set(False)
            with contextlib.suppress(ValueError):
                self._waiters.remove(waiter)
            return not waiter.value

    def _put(self) -> None:
        """Put a permit back, or rather give it to the first in line. Never waits for anybody."""
        self._free.append(None)
        if self._waiters:
            with self._guard:
                self._hand_on()

    def _put_many(self, count: int) -> None:
        """Put back so many at once: those in line get theirs before anybody who asks in between."""
        if count < _MANY:
            self._free.extend([None] * count)
        else:
            self._unused.add(count)
        if self._waiters:
            with self._guard:
                self._hand_on()

    def _hand_on(self) -> None:
        """Give what is free to those in line. With the guard held."""
        while self._waiters and self._pop():
            try:
                while not self._waiters.popleft().set(True):
                    pass  # that one has given up
            except IndexError:
                self._free.append(None)


class OwnedPermit(Permits):
    """One permit whose holder is known, so that nobody else can release it."""

    __slots__ = ("_depth", "_owner", "_thread_ident")

    def __init__(self) -> None:
        super().__init__(1)
        self._owner: Any = None
        #: The thread in which its owner acquired it; a greenlet does not tell.
        self._thread_ident = 0
        #: How often its owner has acquired it.
        self._depth = 1

    def _is_owned(self) -> bool:
        """Is it the caller's?"""
        return self._owner is caller()

    def _check_owned(self, what: str) -> None:
        if not self._is_owned():
            owner = self._owner
            state = "nobody holds it" if owner is None else f"{self._name_of(owner)} holds it"
            raise RuntimeError(f"{what} is for the holder of the {type(self).__name__} only, and {state}")

    def _release_all(self) -> int:
        """Release it however often it was acquired; returns how often that was."""
        depth = self._depth
        self._owner = None
        self._put()
        return depth

    def _acquire_again(self, depth: int) -> None:
        """Undo `_release_all`, waiting as long as it takes."""
        if not self._take_now():
            self._take(None)
        # In this order: who sees the owner shall not see another one's thread.
        self._thread_ident = native.get_ident()
        self._owner = caller()
        self._depth = depth

    def _name_of(self, owner: Any) -> str:
        """The owner as its user knows it: a coroutine, a gevent greenlet, or else a thread by its name."""
        if isinstance(owner, Coro):
            return f"coroutine {owner!r}"
        # A thread of which Python knows no more has yet to tell that to its greenlets.
        if owner.dead or self._thread_ident not in thread_idents():
            return "a thread or greenlet that is over"
        # In a patched process a thread of `threading` is a greenlet, and that one's address is the identity of it.
        for thread in list(threading._active.values()):  # type: ignore[attr-defined]
            if thread.ident == id(owner) or (owner.parent is None and thread.ident == self._thread_ident):
                return f"thread {thread.name!r}"
        if owner.parent is None:
            return f"thread {self._thread_ident}"
        return f"greenlet {getattr(owner, 'name', None) or owner}"

    def __repr__(self) -> str:
        owner = self._owner
        state = "free" if owner is None else f"held by {self._name_of(owner)}"
        return f"<{type(self).__name__}: {state}, {len(self._waiters)} waiting>"
