"""Tells futures what became of their jobs."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable

from greencoro.compute.futures import JobFuture
from greencoro.compute.inbox import Inbox
from greencoro.compute.job_handle import JobHandle
from greencoro.hub import native

__all__ = ["FutureTeller"]

_log = logging.getLogger(__name__)


class FutureTeller:
    """In a thread of its own: to unpickle results runs the users' code, and so do the callbacks of futures, and neither
    belongs on the hub.

    Args:
        told: Called in that thread, after a future and its callbacks know, with whether it failed.

        is_needed: Is any future not told yet?

    Raises:
        RuntimeError: The system has no thread for it.
    """

    def __init__(self, told: Callable[[bool], object], is_needed: Callable[[], bool]) -> None:
        self._told = told
        self._is_needed = is_needed
        self._inbox = Inbox()
        self._is_ended = False
        # Now, not with the first future: from Python 3.12 on none is started once the script has ended.
        self._thread = native.Thread(self._tell_all, "greencoro-futures")
        self._thread.start()

    def end(self) -> None:
        """No future is made any more: the thread ends when all are told."""
        self._is_ended = True
        self._inbox.put(_nothing)

    def tell(self, future: JobFuture, what: JobHandle | BaseException) -> None:
        """A job is over, or that is why there is none; does not wait."""
        self._inbox.put(functools.partial(self._tell_one, future, what))

    def have_done(self, action: Callable[[], None]) -> None:
        """Have ``action()`` done in that thread, unless that has ended; takes no lock."""
        self._inbox.put(functools.partial(_do, action))

    @property
    def is_this_thread(self) -> bool:
        """Is the caller a callback of a future?"""
        return self._thread.is_current()

    def _tell_all(self) -> None:
        while self._is_needed() or not self._is_ended:
            action = self._inbox.take(None)
            if action is not None:
                action()

    def _tell_one(self, future: JobFuture, what: JobHandle | BaseException) -> None:
        has_failed = True
        try:
            has_failed = _settle(future, what)
        except BaseException:
            # Of a callback: SystemExit and KeyboardInterrupt. It ends nothing here, where others wait to be told.
            _log.exception("a callback of a future raised what should end the program")
        self._told(has_failed)


def _do(action: Callable[[], None]) -> None:
    try:
        action()
    except BaseException:
        # Nobody waits for it who could be told, and others wait for this thread.
        _log.exception("what an executor was to do by itself failed")


def _nothing() -> None:
    """Wakes the thread."""


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
