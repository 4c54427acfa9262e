"""A one-shot outcome that code on any thread can wait for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any

from gevent.exceptions import InvalidSwitchError
from greenlet import getcurrent

from greencoro.errors import WouldBlock
from greencoro.hub import native, userhub

__all__ = ["Completion", "before_waiting"]

_log = logging.getLogger(__name__)

# Stands first in the list of callbacks until there is an outcome; whoever takes it out is the one who sets that.
_OPEN: Any = object()

_before_waiting: list[Callable[[], object]] = []


def before_waiting(function: Callable[[], object]) -> None:
    """Have ``function()`` called before each wait of a place that is not on the user hub; it must not wait.

    For what has to be seen to in a process that waits, though it may have no coroutine.
    """
    _before_waiting.append(function)


class Completion:
    """Set once, by any thread; waited for by any number of coroutines, threads and gevent greenlets.

    No lock: the callbacks stand in a list, `set` takes them out one by one, and `add_callback`, where it finds that the
    outcome came meanwhile, takes its own out again. Each list operation is atomic, so exactly one of the two calls it.

    Attributes:
        done (bool): Is there an outcome?

        value: What `set` was given.

        error (BaseException | None): What `fail` was given.
    """

    __slots__ = ("_callbacks", "_trace", "done", "error", "value")

    def __init__(self) -> None:
        self.done = False
        self.value: Any = None
        self.error: BaseException | None = None
        self._trace: TracebackType | None = None
        self._callbacks: list[Callable[[], object]] = [_OPEN]

    def set(self, value: Any = None) -> bool:
        """Set the outcome; False (and nothing changes) where there is one already."""
        if not self._claim():
            return False
        self.value = value
        self._finish()
        return True

    def fail(self, error: BaseException) -> bool:
        """Set the outcome to an exception, which `result` raises; False where there is an outcome already."""
        if not self._claim():
            return False
        self.error = error
        self._trace = error.__traceback__
        self._finish()
        return True

    def _claim(self) -> bool:
        """True for exactly one caller, whichever thread comes first."""
        try:
            self._callbacks.remove(_OPEN)
        except ValueError:
            return False
        return True

    def _finish(self) -> None:
        self.done = True
        callbacks = self._callbacks
        while callbacks:
            try:
                callback = callbacks.pop(0)
            except IndexError:
                return
            try:
                callback()
            except Exception:
                _log.exception("a callback of a completion failed")

    def add_callback(self, callback: Callable[[], object]) -> None:
        """Call ``callback()`` when the outcome is set, in the thread that sets it: it must not block."""
        self._callbacks.append(callback)
        if self.done:
            try:
                self._callbacks.remove(callback)
            except ValueError:
                return
            callback()

    def remove_callback(self, callback: Callable[[], object]) -> None:
        """Do not call ``callback`` any more; where it was called already, nothing."""
        try:
            self._callbacks.remove(callback)
        except ValueError:
            return

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the outcome; cooperatively where a hub turns in this thread.

        Returns:
            bool: Is there an outcome? False after ``timeout`` seconds (None: no limit).

        Raises:
            WouldBlock: Called by a hub's own greenlet (a timer's or watcher's callback), where nothing may wait.
        """
        if self.done:
            return True
        if timeout is not None and timeout <= 0:
            return False
        if userhub.on_hub():
            return self._wait_on_user_hub(timeout)
        for function in _before_waiting:
            function()
        hub = native.thread_hub()
        # One is dead where Ctrl-C came with its very first instruction. Whoever switches to it is back at once.
        if hub is None or hub.dead:
            return self._wait_natively(timeout)
        if getcurrent() is hub:
            raise WouldBlock("a callback of the hub may not wait")
        return self._wait_on_other_hub(hub, timeout)

    def result(self, timeout: float | None = None) -> Any:
        """The value, waiting for it.

        Raises:
            TimeoutError: No outcome within ``timeout`` seconds. Callers turn it into their own `DeadlineExceeded`,
                which can say what was waited for.
        """
        if not self.wait(timeout):
            raise TimeoutError
        if self.error is not None:
            # Raised anew each time with the traceback it came with, which would otherwise grow with every raise.
            raise self.error.with_traceback(self._trace)
        return self.value

    def _wait_on_user_hub(self, timeout: float | None) -> bool:
        wait = userhub.Wait()
        wake = wait.wake_from_anywhere
        self.add_callback(wake)
        try:
            wait.park(timeout)
        finally:
            self.remove_callback(wake)
        return self.done

    def _wait_on_other_hub(self, hub: Any, timeout: float | None) -> bool:
        from gevent.event import Event

        arrived = Event()
        # An `async_` watcher is both the way in from other threads and what keeps that hub's loop from ending. Closing
        # it while another thread is about to call its `send` does no harm: that finds it stopped.
        watcher = hub.loop.async_()
        watcher.start(arrived.set)
        notify = watcher.send
        # Not a `gevent.Timeout`: one that Ctrl-C overtakes may still be raised, wherever this greenlet is by then.
        timer = None if timeout is None else hub.loop.timer(timeout)
        if timer is not None:
            timer.start(arrived.set, update=True)
        self.add_callback(notify)
        try:
            while not arrived.is_set():
                # A switch that was meant for an earlier wait of this greenlet, which an exception ended, says nothing.
                try:
                    arrived.wait()
                except InvalidSwitchError:
                    if hub.dead:
                        raise
        finally:
            self.remove_callback(notify)
            if timer is not None:
                timer.stop()
                timer.close()
            watcher.stop()
            watcher.close()
        return self.done

    def _wait_natively(self, timeout: float | None) -> bool:
        arrived = native.Event()
        self.add_callback(arrived.set)
        try:
            arrived.wait(timeout)
        finally:
            self.remove_callback(arrived.set)
        return self.done
