"""Waiting until a descriptor can be read or written, from any place.

A coroutine, or a gevent greenlet of any thread, waits by an ``io`` watcher of the hub that turns there, so that its
thread goes on with others; a plain thread waits in the kernel's ``poll``. The user hub's watchers are kept, which
spares two system calls a wait; those of other hubs live for one wait, as a hub may be gone before the descriptor is.

Whoever closes a descriptor closes its `Readiness` first: that wakes those who wait, who could otherwise wait for ever,
or be woken by whatever got the same number next.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from typing import Any

from gevent import monkey
from greenlet import getcurrent

from greencoro.errors import BusyResource, ClosedResource, WouldBlock
from greencoro.hub import native, userhub
from greencoro.hub.waiting import seconds

__all__ = ["Readiness", "closed_here"]

# What libev calls them, and so do the two sides of this module.
_READ, _WRITE = 1, 2

# In a patched process `select.poll` is gevent's, which turns a hub.
_poll: Callable[[], Any] = monkey.get_original("select", "poll")
_POLLED = {_READ: select.POLLIN, _WRITE: select.POLLOUT}
# `poll` takes milliseconds in an int: longer waits are made of several.
_LONGEST_POLL = 3600.0


def closed_here(fd: int, owner: str = "") -> ClosedResource:
    """What is raised for any use of descriptor ``fd`` after its ``owner`` closed it; the same words at all times."""
    whose = f"{owner} of " if owner else ""
    return ClosedResource(f"{whose}descriptor {fd} was closed here")


class Readiness:
    """Waits for one descriptor; at most one reader and one writer at a time, each in whatever place.

    It changes nothing about the descriptor, which may be blocking or not, and does not own it.

    Args:
        fd (int): A descriptor that can be polled: a socket, pipe or terminal, not a regular file.

        owner (str): What users call the thing that is being waited for, for the words of an error.

    Attributes:
        fd (int): The descriptor.

        owner (str): As given.
    """

    __slots__ = ("_closed", "_lock", "_wakers", "_watchers", "fd", "owner")

    def __init__(self, fd: int, owner: str = "") -> None:
        if isinstance(fd, bool) or not isinstance(fd, int):
            raise TypeError(f"Readiness() takes the number of a descriptor, not {fd!r}")
        if fd < 0:
            raise ValueError(f"Readiness() takes the number of an open descriptor, not {fd}")
        self.fd = fd
        self.owner = owner
        # One that its own thread may take twice: `close` may be called by a signal handler.
        self._lock = native.RLock()
        self._closed = False
        #: Per direction, what wakes the one who waits.
        self._wakers: dict[int, Callable[[], object]] = {}
        #: Per direction, the user hub's watcher; its thread's only.
        self._watchers: dict[int, Any] = {}

    def wait_readable(self, timeout: float | None = None, *, block_thread: bool = False) -> bool:
        """Wait until reading does not block: there is data, or the end, or an error to be read.

        Args:
            timeout (float | None): Longest wait, in seconds. ``None`` waits for ever; ``0`` does not wait.

            block_thread (bool): Block the calling thread even where a hub turns in it.

        Returns:
            bool: False where the time was over first.

        Raises:
            BusyResource: Somebody else waits to read already.

            ClosedResource: It is, or meanwhile was, closed.

            WouldBlock: Called by a callback of a hub, which may not wait.
        """
        return self._wait(_READ, seconds(timeout, "wait_readable()"), block_thread)

    def wait_writable(self, timeout: float | None = None, *, block_thread: bool = False) -> bool:
        """Wait until writing does not block, or fails; otherwise as `wait_readable`."""
        return self._wait(_WRITE, seconds(timeout, "wait_writable()"), block_thread)

    def close(self) -> None:
        """End all waits with `ClosedResource`, those to come as well; any thread may call it, any number of times."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            # Inside the lock, which whoever waits takes before its waker is void. None of them switches or waits.
            for wake in self._wakers.values():
                wake()
            for watcher in self._watchers.values():
                userhub.post(watcher.close)

    def _wait(self, direction: int, timeout: float | None, block_thread: bool) -> bool:
        if timeout is not None and timeout <= 0:
            return self._is_ready(direction)
        if block_thread:
            return self._wait_in_thread(direction, timeout)
        if userhub.on_hub():
            return self._wait_on_user_hub(direction, timeout)
        hub = native.thread_hub()
        if hub is None:
            return self._wait_in_thread(direction, timeout)
        if getcurrent() is hub:
            raise WouldBlock("a callback of the hub may not wait")
        return self._wait_on_other_hub(hub, direction, timeout)

    def _is_ready(self, direction: int) -> bool:
        self._refuse_if_closed()
        poller = _poll()
        poller.register(self.fd, _POLLED[direction])
        return bool(poller.poll(0))

    def _wait_on_user_hub(self, direction: int, timeout: float | None) -> bool:
        wait = userhub.Wait()
        self._enter(direction, wait.wake_from_anywhere)
        try:
            watcher = self._watchers.get(direction)
            if watcher is None:
                watcher = self._make_watcher(direction)
            watcher.start(wait.wake)
            try:
                in_time = wait.park(timeout)
            finally:
                watcher.stop()
        finally:
            self._leave(direction)
        self._refuse_if_closed()
        return in_time

    def _make_watcher(self, direction: int) -> Any:
        # Inside the lock, since `close`, on whatever thread, goes through them.
        with self._lock:
            self._refuse_if_closed()
            watcher = self._watchers[direction] = native.thread_hub().loop.io(self.fd, direction)
            return watcher

    def _wait_on_other_hub(self, hub: Any, direction: int, timeout: float | None) -> bool:
        from gevent.event import Event

        woken = Event()
        self._enter(direction, lambda: hub.loop.run_callback_threadsafe(woken.set))
        try:
            watcher = hub.loop.io(self.fd, direction)
            watcher.start(woken.set)
            try:
                in_time: bool = woken.wait(timeout)
            finally:
                watcher.stop()
                watcher.close()
        finally:
            self._leave(direction)
        self._refuse_if_closed()
        return in_time

    def _wait_in_thread(self, direction: int, timeout: float | None) -> bool:
        until = None if timeout is None else native.monotonic() + timeout
        bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            self._enter(direction, lambda: os.eventfd_write(bell, 1))
            try:
                poller = _poll()
                poller.register(self.fd, _POLLED[direction])
                poller.register(bell, select.POLLIN)
                while True:
                    left = _LONGEST_POLL if until is None else min(until - native.monotonic(), _LONGEST_POLL)
                    in_time = bool(poller.poll(max(0.0, left) * 1000))
                    if in_time or (until is not None and native.monotonic() >= until):
                        break
            finally:
                # Before its descriptor is closed, so that nobody rings what has the same number next.
                self._leave(direction)
        finally:
            native.close(bell)
        self._refuse_if_closed()
        return in_time

    def _enter(self, direction: int, wake: Callable[[], object]) -> None:
        with self._lock:
            self._refuse_if_closed()
            if direction in self._wakers:
                verb = "read" if direction == _READ else "write"
                raise BusyResource(f"somebody else waits to {verb} descriptor {self.fd} already")
            self._wakers[direction] = wake

    def _leave(self, direction: int) -> None:
        with self._lock:
            del self._wakers[direction]

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise closed_here(self.fd, self.owner)
