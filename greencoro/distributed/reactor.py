"""The reactor: the native thread with a hub of its own on which all sockets are.

It never runs a user's function, never unpickles a user's payload, imports nothing while it turns, takes no lock that
user code can hold, and does not log itself (`log.ReactorLog`). So it answers while coroutines compute. Nothing on it
blocks: all of it is callbacks of the loop, and there is no other greenlet than the hub's.

For each callback it holds `Reactor.turn`. Who holds that is the reactor for the moment: between two of these the user
hub does, for connections that are busy (`hub_io`). Timers and watchers are the thread's alone.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

import gevent

from greencoro._preload import preload
from greencoro.hub import forks, native
from greencoro.log import ReactorLog

__all__ = ["Reactor", "Timer", "acquire", "backend", "release"]

_log = logging.getLogger(__name__)

_READ_BYTES = 256 * 1024
#: How often causes of log lines that went quiet are told of.
_SUPPRESSED_SECONDS = 5.0


class Timer:
    """Something the reactor calls later; `cancel` any number of times, on the reactor's thread."""

    __slots__ = ("_timer",)

    def __init__(self, timer: Any) -> None:
        self._timer = timer

    def cancel(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.close()


class Reactor:
    """A thread, its loop, and the doorway for other threads."""

    def __init__(self, lines_per_second: int = 10) -> None:
        self._hub: Any = None
        self.loop: Any = None
        self._async: Any = None
        self._stopping: Any = None
        self._posted: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self._told = False
        #: One buffer for all connections: what is read is dealt with before the next read.
        self.read_buffer = memoryview(bytearray(_READ_BYTES))
        #: Held by whoever is the reactor: its thread for each callback, or the user hub's in its place (`hub_io`).
        self.turn = native.RLock()
        #: How many connections the user hub serves.
        self.hub_served = 0
        self.log = ReactorLog(native, lines_per_second)
        self._thread = native.Thread(self._turn, "greencoro-reactor")
        self._running = native.Event()
        self._failed: BaseException | None = None
        forks.keep_from_children(self, Reactor._leave_to_parent)

    def start(self) -> None:
        """Start the thread; it turns when this returns.

        Raises:
            RuntimeError: It cannot; its cause says why.
        """
        preload()
        self.log.start()
        self._thread.start()
        self._running.wait()
        if self._failed is not None:
            self._thread.join()
            self.log.close()
            raise RuntimeError("the reactor cannot start") from self._failed

    def stop(self, timeout: float | None = None) -> bool:
        """Stop the loop and join the thread; False where that took longer than ``timeout`` seconds."""
        self.post(self._stopping.set)
        joined = self._thread.join(timeout)
        self.log.close(timeout)
        return joined

    @property
    def is_current(self) -> bool:
        """Is this the reactor's thread?"""
        return self._thread.is_current()

    def _leave_to_parent(self) -> None:
        # There is no thread that would do what is posted.
        self._async = forks.Gone("nothing can be sent or asked for here")
        self._told = False

    def _turn(self) -> None:
        try:
            self._begin()
        except BaseException as error:
            self._failed = error
            if self._hub is not None:
                self._hub.destroy(destroy_loop=True)
            return
        finally:
            self._running.set()
        try:
            self._stopping.wait()
        finally:
            doorbell, self._async = self._async, None
            doorbell.stop()
            doorbell.close()
            self._hub.destroy(destroy_loop=True)

    def _begin(self) -> None:
        from gevent.event import Event

        self._hub = gevent.get_hub()
        self.loop = self._hub.loop
        self._stopping = Event()
        self._async = self.loop.async_()
        self._async.start(self._drain)
        if self._posted:
            self._async.send()
        self.call_later(_SUPPRESSED_SECONDS, self._tell_suppressed)

    def _tell_suppressed(self) -> None:
        self.log.tell_suppressed()
        self.call_later(_SUPPRESSED_SECONDS, self._tell_suppressed)

    def post(self, function: Callable[..., Any], *args: Any) -> None:
        """Call ``function(*args)`` on the reactor soon. Any thread may call this; it never waits."""
        try:
            self._posted.append((function, args))
            if not self._told:
                self._told = True
                self._ring()
        except BaseException:
            # Ctrl-C, or what else a signal's handler raises. By now other threads may count on this one to ring.
            self._told = False
            self._ring()
            raise

    def _ring(self) -> None:
        doorbell = self._async
        if doorbell is not None:
            # Whoever comes while the loop is destroyed finds the doorbell gone: nobody is there to hear of it.
            with contextlib.suppress(ValueError):
                doorbell.send()

    def _drain(self) -> None:
        # The flag first: what is posted from now on tells anew. At most what is there: loops of posts get no hold.
        self._told = False
        for _ in range(len(self._posted)):
            function, args = self._posted.popleft()
            self.guard(function, *args)
        if self._posted and not self._told:
            self._told = True
            self._ring()

    def guard(self, function: Callable[..., Any], *args: Any) -> None:
        """Call ``function(*args)``; what it raises is a bug of ours, is logged, and ends nothing else."""
        with self.turn:
            try:
                function(*args)
            except Exception as error:
                self.log.log(_log, logging.ERROR, "a callback of the reactor failed", error=error)

    def call_later(self, seconds: float, function: Callable[..., Any], *args: Any) -> Timer:
        """Call ``function(*args)`` after ``seconds``; on the reactor's thread only."""
        self._check_thread()
        timer = self.loop.timer(max(seconds, 0.0))
        timer.start(self.guard, function, *args)
        return Timer(timer)

    def call_every(self, seconds: float, function: Callable[..., Any], *args: Any) -> Timer:
        """Call ``function(*args)`` every ``seconds``, first in so many; on the reactor's thread only.

        Calls that were missed, as while the process was stopped, are not made up for.
        """
        self._check_thread()
        timer = self.loop.timer(seconds, seconds)
        timer.start(self.guard, function, *args)
        return Timer(timer)

    def _check_thread(self) -> None:
        # The loop would be broken by another one, and the process would end somewhere else, without a word.
        if not self.is_current:
            raise RuntimeError("timers and watchers of the reactor are for its own thread")

    def watch(self, descriptor: int, writable: bool, function: Callable[[], object]) -> Any:
        """Call ``function()`` when ``descriptor`` is readable (or writable) until the watcher is stopped and closed.

        On the reactor's thread only.
        """
        self._check_thread()
        watcher = self.loop.io(descriptor, 2 if writable else 1)
        watcher.start(self.guard, function)
        return watcher


_default: Reactor | None = None
_users = 0
_lock = native.Lock()


def acquire(lines_per_second: int = 10) -> Reactor:
    """The process's reactor, started where it was not; each user `release`s it."""
    global _default, _users
    forks.refuse()
    with _lock:
        if _default is None:
            made = Reactor(lines_per_second)
            made.start()
            _default = made
        _users += 1
        return _default


def backend() -> str | None:
    """How the process's reactor waits ("epoll", ...); None where there is no reactor."""
    running = _default
    return None if running is None else str(running.loop.backend)


def release(timeout: float | None = None) -> None:
    """One user less; the last one's leaving stops the reactor."""
    global _default, _users
    with _lock:
        _users -= 1
        if _users or _default is None:
            return
        stopped, _default = _default, None
    stopped.stop(timeout)
