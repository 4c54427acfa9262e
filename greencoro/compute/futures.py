"""Futures that coroutines, threads and asyncio may wait for."""

from __future__ import annotations

import concurrent.futures
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from greencoro.compute.job_handle import JobHandle
from greencoro.compute.job_journal import journal
from greencoro.compute.shown import table
from greencoro.hub import forks, native
from greencoro.hub.completion import Completion
from greencoro.hub.waiting import seconds

__all__ = ["JobFuture", "as_completed"]


# Of all futures: it is held for a few lines at a time, and nobody waits with it. In a patched process those of the base
# class would be for coroutines of one thread, and one for each is most of the memory of many thousand futures.
_condition = threading.Condition(native.RLock())


def _renew(condition: threading.Condition) -> None:
    # A thread that had the lock is gone, and what is over is to be looked at in a process that was forked as well.
    threading.Condition.__init__(condition, native.RLock())


forks.keep_from_children(_condition, _renew)


class JobFuture(concurrent.futures.Future[Any]):
    """What `Executor.submit` returns: a future of `concurrent.futures`.

    It is *running* when it has been sent to a server, and can be cancelled before.

    Args:
        name (str): Of the job's function.

        number (int): Of the job in this process, as in ``greencoro explain NUMBER``.
    """

    def __init__(self, name: str, number: int) -> None:
        super().__init__()
        self._condition = _condition
        self.name = name
        self.number = number
        self._is_over = Completion()
        # While it is under way: all that is known of it then is kept here alone.
        self._job: JobHandle | None = None
        self._is_unwanted = False
        self._on_cancelled: Callable[[], object] | None = None
        # The first callback, so that who waits need not wait for the others.
        self.add_done_callback(_over)

    def result(self, timeout: float | None = None) -> Any:
        """The job's result, waiting for it; a coroutine that waits lets others run.

        Raises:
            TimeoutError: It was not over within ``timeout`` seconds; it goes on.

            concurrent.futures.CancelledError: It was cancelled.

            BaseException: What the job raised, or what became of it: `ServerDied`, `CoroTerminated`, ...
        """
        self._wait(timeout)
        return super().result(0)

    def result_by(self, deadline: float | None, limit: float | None) -> Any:
        """As `result`, until that time by the monotonic clock, which was ``limit`` seconds after something began."""
        self._wait(limit, None if deadline is None else deadline - native.monotonic())
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What `result` would raise, waiting for that; None where the job returned.

        Raises:
            TimeoutError, concurrent.futures.CancelledError: As `result`.
        """
        self._wait(timeout)
        return super().exception(0)

    def _wait(self, timeout: float | None, left: float | None = None) -> None:
        if not self._is_over.done:
            forks.refuse()
        limit = seconds(timeout, "result()")
        if not self._is_over.wait(limit if left is None else left):
            raise TimeoutError(f"{self.name} was not over after {timeout:g} s")

    def terminate(self) -> bool:
        """End the job even if it runs: then it comes to `CoroTerminated`, unless it ends by itself first.

        Returns:
            bool: Was it not over yet?
        """
        if self.cancel():
            return True
        if self.done():
            return False
        self._is_unwanted = True
        # After that: where it has not been sent yet, whoever sends it sees that nobody wants it.
        job = self._job
        if job is not None:
            job.cancel()
        return True

    def explain(self) -> list[str]:
        """As `Computation.explain`: how long the job waited and for what, where it ran, how it ended, a line each.

        Raises:
            ComputeError: It has been over for so long that nothing is known of it any more.
        """
        return journal.lines(self.number)

    def is_sent(self, job: JobHandle) -> None:
        """A server is given the job."""
        self._on_cancelled = None
        self._job = job
        if self._is_unwanted:
            job.cancel()

    def when_cancelled(self, callback: Callable[[], object]) -> None:
        """Before anybody else knows the future: have ``callback()`` called in the thread that cancels it."""
        self._on_cancelled = callback

    def _repr_html_(self) -> str:
        """What notebooks show."""
        facts = [("job", self.name), ("is", self._state.lower().replace("_", " "))]
        if self.done() and not self.cancelled():
            error = super().exception(0)
            facts.append(("came to", f"{type(error).__name__}" if error is not None else "a result"))
        return table("Job", facts)


def _over(future: Any) -> None:
    # A function of none: a future that had itself among its callbacks would be there until the collector runs.
    if future.cancelled():
        journal.cancelled(future.number)
        if future._on_cancelled is not None:
            future._on_cancelled()
    future._on_cancelled = None
    future._job = None
    future._is_over.set()


def as_completed(
    futures: Iterable[concurrent.futures.Future[Any]], timeout: float | None = None
) -> Iterator[concurrent.futures.Future[Any]]:
    """The futures, each when it is over; as that of `concurrent.futures`, for coroutines too.

    Args:
        timeout (float | None): For all of them together, in seconds.

    Raises:
        TimeoutError: Not all were over in time.
    """
    limit = seconds(timeout, "as_completed()")
    deadline = None if limit is None else native.monotonic() + limit
    pending = set(futures)
    total = len(pending)
    over: deque[concurrent.futures.Future[Any]] = deque()
    news = [Completion()]

    def note(future: concurrent.futures.Future[Any]) -> None:
        over.append(future)
        news[0].set()

    for future in pending:
        future.add_done_callback(note)
    while pending:
        if not over:
            forks.refuse()
            news[0] = Completion()
            # After that: what came before is found here, what comes later sets the new one.
            if not over and not news[0].wait(None if deadline is None else deadline - native.monotonic()):
                raise TimeoutError(f"{len(pending)} of {total} futures were not over after {limit} s")
        future = over.popleft()
        pending.discard(future)
        yield future
