"""A client's way to the scheduler of its computations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from greencoro.compute import client_words as words
from greencoro.compute.remote_scheduler import find_remote
from greencoro.compute.scheduler import Scheduler, current_scheduler
from greencoro.compute.scheduler_report import ANOTHER_IS_OPEN
from greencoro.distributed.location import Location
from greencoro.distributed.runtime import Runtime

__all__ = ["PrivateLink", "SchedulerLink", "find_scheduler"]


class SchedulerLink(Protocol):
    """What a computation wants of a scheduler, wherever that is."""

    @property
    def location(self) -> Location:
        """Where it is."""

    @property
    def runtime(self) -> Runtime:
        """This process's, which reaches the servers."""

    def submit(self, ask: words.Ask, listener: Callable[[words.Notice], None], timeout: float) -> int:
        """Queue a computation for its turn.

        Args:
            listener: Called with each notice, in order, on the user hub; it must not wait. May be called before this
                returns.

            timeout (float): Longest wait for the scheduler's answer, in seconds.

        Returns:
            int: The computation's number.

        Raises:
            GreencoroError: The scheduler has not taken it.
        """

    def tell(self, request: words.Request) -> None:
        """Have the scheduler told; never waits. To `client_words.Close` it answers with `client_words.Ended`."""

    def why_no_turn(self) -> str:
        """What a computation waits for that has not its turn, for people; completes "it waits for ..."."""

    def why_no_server(self) -> str:
        """What was tried and came to nothing, for people; may take a moment."""


class PrivateLink:
    """To this process's own scheduler. A `SchedulerLink`."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    @property
    def location(self) -> Location:
        """Where this process is."""
        return self._scheduler.runtime.location

    @property
    def runtime(self) -> Runtime:
        """The scheduler's."""
        return self._scheduler.runtime

    def submit(self, ask: words.Ask, listener: Callable[[words.Notice], None], timeout: float) -> int:
        """See `SchedulerLink`; takes no time."""
        return self._scheduler.submit(ask, listener)

    def tell(self, request: words.Request) -> None:
        """See `SchedulerLink`."""
        self._scheduler.tell(request)

    def why_no_turn(self) -> str:
        """See `SchedulerLink`."""
        return ANOTHER_IS_OPEN

    def why_no_server(self) -> str:
        """See `SchedulerLink`."""
        return self._scheduler.why_no_server()


def find_scheduler(location: Location | None, timeout: float) -> SchedulerLink:
    """The way to the scheduler that a computation of this process goes to.

    Args:
        location (Location | None): Where it is; None: this process's own, and where it has none, one that is found by
            its name.

        timeout (float): Longest wait for a scheduler elsewhere, in seconds.

    Raises:
        GreencoroError: As `remote_scheduler.find_remote`.
    """
    scheduler = current_scheduler()
    if scheduler is None or location not in (None, scheduler.runtime.location):
        return find_remote(location, timeout)
    return PrivateLink(scheduler)
