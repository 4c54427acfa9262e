"""The one source of unpatched locks, events, threads and time for greencoro's own code.

In a monkey-patched process the names in ``threading`` and ``time`` belong to gevent: a lock taken from there and held
by a coroutine that computes would stop the reactor's thread as well (docs/explanation/decisions.md, "Two hubs in one
process"). What is here are the originals, whatever was patched and whenever. They block the whole calling *thread*:
code that may run on a hub waits with the hub's own means instead (`completion.Completion`).
"""

from __future__ import annotations

import contextlib
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from gevent import monkey
from gevent._hub_local import get_hub_if_exists, set_hub, set_loop

__all__ = [
    "Event",
    "Lock",
    "RLock",
    "Thread",
    "asyncio_loop_runs",
    "close",
    "forget_thread_hub",
    "get_ident",
    "monotonic",
    "sleep",
    "thread_hub",
    "wall_clock",
]

Lock: Callable[[], Any] = monkey.get_original("_thread", "allocate_lock")
RLock: Callable[[], Any] = monkey.get_original("_thread", "RLock")
get_ident: Callable[[], int] = monkey.get_original("_thread", "get_ident")
_start_new_thread = monkey.get_original("_thread", "start_new_thread")

# `time.monotonic` and `time.time` are never patched; `time.sleep` is.
monotonic: Callable[[], float] = monkey.get_original("time", "monotonic")
wall_clock: Callable[[], float] = monkey.get_original("time", "time")
sleep: Callable[[float], None] = monkey.get_original("time", "sleep")

#: ``os.close``, which in a patched process leaves the closing to the hub of the calling thread, for its next turn.
close: Callable[[int], None] = monkey.get_original("os", "close")

#: The gevent hub of the calling thread, None where it has none; never makes one (`gevent.get_hub` would).
thread_hub: Callable[[], Any] = get_hub_if_exists


def forget_thread_hub() -> None:
    """Let the calling thread have no hub, as a new one; the hub itself stays as it is."""
    set_hub(None)
    set_loop(None)


def asyncio_loop_runs() -> bool:
    """Does an asyncio loop run in the calling thread, so that its code may not wait here? Never imports asyncio."""
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None


class Event:
    """A flag that threads wait for, once set it stays set.

    `threading.Event` is no use here even unpatched by name: it makes its locks through module globals that the patch
    replaces. No lock of its own guards it: a signal handler may set what its own thread is about to wait for.
    """

    __slots__ = ("_flag", "_waiters")

    def __init__(self) -> None:
        self._flag = False
        self._waiters: deque[Any] = deque()

    def is_set(self) -> bool:
        return self._flag

    def set(self) -> None:
        self._flag = True
        with contextlib.suppress(IndexError):
            while True:
                self._waiters.popleft().release()

    def wait(self, timeout: float | None = None) -> bool:
        """Block this thread until the flag is set; True if it is, False after ``timeout`` seconds.

        In the main thread a signal handler runs during the wait, and what it raises ends it.
        """
        if self._flag:
            return True
        waiter = Lock()
        waiter.acquire()
        try:
            self._waiters.append(waiter)
            # It may have been set, and those who wait looked for, in between.
            if self._flag:
                return True
            # threading.TIMEOUT_MAX would do as well, but waits of years are not worth an OverflowError.
            waiter.acquire(True, -1 if timeout is None else min(max(timeout, 0.0), 1e6))
        finally:
            # Whoever gave up must not stay listed: an event may be waited for in slices for as long as a process lives.
            with contextlib.suppress(ValueError):
                self._waiters.remove(waiter)
        return self._flag


class Thread:
    """A native thread that the interpreter does not wait for: whoever starts one joins it.

    Args:
        target: Called with no arguments in the new thread. What it raises goes to `sys.unraisablehook`.

        name (str): For `repr` and `/proc`.
    """

    def __init__(self, target: Callable[[], None], name: str) -> None:
        self.name = name
        self.ident: int | None = None
        self._target = target
        self._done = Event()

    def start(self) -> None:
        started = Event()

        def run() -> None:
            self.ident = get_ident()
            started.set()
            try:
                self._target()
            finally:
                self._done.set()

        _start_new_thread(run, ())
        started.wait()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for its end; True if it is over, False after ``timeout`` seconds."""
        return self._done.wait(timeout)

    def is_current(self) -> bool:
        return self.ident == get_ident()
