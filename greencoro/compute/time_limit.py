"""The time limit of a job in a server process."""

from __future__ import annotations

import math
from types import TracebackType
from typing import Any

from greencoro.errors import JobTimeLimit, RemoteProtocolError, Terminated
from greencoro.hub.coroutine import Coro

__all__ = ["TimeLimit", "read_time_limit"]


def read_time_limit(header: dict[str, Any]) -> float | None:
    """That of the job which a request is about; None: it has none.

    Raises:
        RemoteProtocolError: It is no number of seconds.
    """
    seconds = header.get("time_limit")
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise RemoteProtocolError("a time limit that is no number of seconds")
    return float(seconds)


class TimeLimit:
    """While it is entered, by the job's coroutine, the job is ended when its time is over.

    The clock is the reactor's, so it goes on while the job computes.

    Args:
        reactor: Of the runtime.

        coro: The job's.

        seconds (float): How long that may take.
    """

    def __init__(self, reactor: Any, coro: Coro, seconds: float) -> None:
        self._reactor = reactor
        self._coro = coro
        self._seconds = seconds
        self._is_left = False
        self._is_over = False
        # The reactor's.
        self._timer: Any = None

    def __enter__(self) -> None:
        self._reactor.post(self._start)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_left = True
        self._reactor.post(self._stop)
        if self._is_over and isinstance(error, Terminated):
            # The cause shows where the job was.
            raise JobTimeLimit(f"{self._coro.name} ran longer than its time limit of {self._seconds:g} s") from error

    # On the reactor.

    def _start(self) -> None:
        if not self._is_left:
            self._timer = self._reactor.call_later(self._seconds, self._end)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _end(self) -> None:
        if not self._is_left:
            self._is_over = True
            self._coro.terminate(hard=True)
