"""Tells futures what became of their jobs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from greencoro.compute.futures import JobFuture
from greencoro.compute.job_handle import JobHandle
from greencoro.hub import native

__all__ = ["FutureTeller"]


class FutureTeller:
    """In a thread that there is while there is something to tell: to unpickle results runs the users' code, and so do
    the callbacks of futures, and neither belongs on the hub.

    Args:
        told: Called in that thread, after a future and its callbacks know, with whether it failed.
    """

    def __init__(self, told: Callable[[bool], object]) -> None:
        self._told = told
        self._lock = native.Lock()
        self._over: deque[tuple[JobFuture, JobHandle | BaseException]] = deque()
        self._is_running = False
        self._thread = 0

    def tell(self, future: JobFuture, what: JobHandle | BaseException) -> None:
        """A job is over, or that is why there is none; does not wait."""
        with self._lock:
            self._over.append((future, what))
            if self._is_running:
                return
            self._is_running = True
        native.Thread(self._tell_all, "greencoro-futures").start()

    @property
    def is_this_thread(self) -> bool:
        """Is the caller a callback of a future?"""
        return self._is_running and native.get_ident() == self._thread

    def _tell_all(self) -> None:
        self._thread = native.get_ident()
        while True:
            with self._lock:
                if not self._over:
                    self._is_running = False
                    return
                future, what = self._over.popleft()
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
