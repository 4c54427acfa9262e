"""A job: what may be asked for one, what it can come to."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from greencoro.errors import ComputationClosed
from greencoro.hub import waiting

__all__ = ["HandedBack", "Job", "JobFunction", "Outcome", "plain"]


@dataclass(frozen=True)
class Job:
    """A function that is to be run in a certain way; accepted wherever a job's function is::

        scheduler.map_results(Job(convert, retries=2, time_limit=60), names)

    Args:
        function: What is run.

        retries (int): How often it may be run again where the server that runs it is lost. So it runs up to
            ``retries + 1`` times, one after another: it has to be all right for it to be run twice, in part or whole.
            Only with methods that wait for results: a reference is to one coroutine at one server.

        time_limit (float | None): How long it may run, in seconds, what it needs installed included, and the wait for
            its turn not. Then it is ended like by ``terminate(hard=True)``, and its outcome is `JobTimeLimit`.

    Raises:
        TypeError, ValueError: The function is none, or a number is out of range.
    """

    function: Callable[..., Any]
    retries: int = 0
    time_limit: float | None = None

    def __post_init__(self) -> None:
        if not callable(self.function) or isinstance(self.function, Job):
            raise TypeError(f"a job's function is a callable, not {self.function!r}")
        if isinstance(self.retries, bool) or not isinstance(self.retries, int):
            raise TypeError(f"retries is a whole number, not {self.retries!r}")
        if self.retries < 0:
            raise ValueError(f"retries is 0 or more, not {self.retries}")
        limit = waiting.seconds(self.time_limit, "time_limit")
        if limit is not None and limit <= 0:
            raise ValueError(f"time_limit is a number of seconds above 0, not {self.time_limit!r}")
        object.__setattr__(self, "time_limit", limit)


#: What is accepted as the function of a job.
JobFunction = Callable[..., Any] | Job


def plain(function: JobFunction) -> Job:
    """As a `Job`, whatever was given."""
    return function if isinstance(function, Job) else Job(function)


class Outcome(enum.Enum):
    """How a job ended; the values are those of `MonitorException.kind`."""

    #: It returned.
    VALUE = "finished"
    #: It raised.
    EXCEPTION = "exception"
    #: Somebody ended it, perhaps before it had begun.
    TERMINATED = "terminated"
    #: Its server is gone, or its computation closed: it may have run, or not.
    LOST = "lost"

    @property
    def ran_to_its_end(self) -> bool:
        """Did it return or raise by itself?"""
        return self in (Outcome.VALUE, Outcome.EXCEPTION)


class HandedBack(ComputationClosed):
    """What a job raises in place of its function, at a server that is about to end: it has not begun, and may be run
    at another."""
