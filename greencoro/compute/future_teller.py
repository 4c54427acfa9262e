"""Tells futures what became of their jobs."""

from __future__ import annotations

import functools
from collections.abc import Callable

from greencoro.compute.futures import JobFuture
from greencoro.compute.inbox import Inbox
from greencoro.compute.job_handle import JobHandle
from greencoro.hub import native

__all__ = ["FutureTeller"]


class FutureTeller:
    """In a thread of its own: to unpickle results runs the users' code, and so do the callbacks of futures, and neither
    belongs on the hub.

    Args:
        told: Called in that thread, after a future and its callbacks know, with whether it failed.

        is_needed: Is any future not told yet? Until then the thread is there.
    """

    def __init__(self, told: Callable[[bool], object], is_needed: Callable[[], bool]) -> None:
        self._told = told
        self._is_needed = is_needed
        self._lock = native.Lock()
        self._inbox = Inbox()
        self._is_running = False
        self._thread = 0

    def begin(self) -> None:
        """Have the thread, for a future that was just made.

        Not only when that is over: Python 3.12 starts no thread once the script has ended.
        """
        with self._lock:
            if self._is_running:
                return
            self._is_running = True
        native.Thread(self._tell_all, "greencoro-futures").start()

    def tell(self, future: JobFuture, what: JobHandle | BaseException) -> None:
        """A job is over, or that is why there is none; does not wait."""
        self._inbox.put(functools.partial(self._tell_one, future, what))

    @property
    def is_this_thread(self) -> bool:
        """Is the caller a callback of a future?"""
        return self._is_running and native.get_ident() == self._thread

    def _tell_all(self) -> None:
        self._thread = native.get_ident()
        while True:
            with self._lock:
                if not self._is_needed():
                    self._is_running = False
                    return
            action = self._inbox.take(None)
            if action is not None:
                action()

    def _tell_one(self, future: JobFuture, what: JobHandle | BaseException) -> None:
        self._told(_settle(future, what))


def _settle(future: JobFuture, what: JobHandle | BaseException) -> bool:
    """Tell it; has it failed?"""
    if isinstance(what, BaseException):
        future.set_exception(what)
        return True
    try:
        result = what.result()
    except BaseException as error:
        # Whatever it is, SystemExit of a job too, it is the future's, and not this thread's.
        future.set_exception(error)
        return True
    future.set_result(result)
    return False
