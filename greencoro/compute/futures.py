"""Futures that coroutines, threads and asyncio may wait for."""

from __future__ import annotations

import concurrent.futures
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from greencoro.compute.shown import table
from greencoro.hub import native
from greencoro.hub.completion import Completion
from greencoro.hub.waiting import seconds

__all__ = ["JobFuture", "as_completed"]


class JobFuture(concurrent.futures.Future[Any]):
    """What `Executor.submit` returns: a future of `concurrent.futures`.

    It is *running* when it has been sent to a server, and can be cancelled before.

    Args:
        name (str): Of the job's function.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        # In a patched process that of the base class would be for coroutines of one thread. It is held for a few lines
        # at a time, and nobody waits with it.
        self._condition = threading.Condition(native.RLock())
        self.name = name
        self._is_over = Completion()
        self._terminate: Callable[[], object] | None = None
        # The first callback, so that who waits need not wait for the others.
        self.add_done_callback(lambda _: self._is_over.set())

    def result(self, timeout: float | None = None) -> Any:
        """The job's result, waiting for it; a coroutine that waits lets others run.

        Raises:
            TimeoutError: It was not over within ``timeout`` seconds; it goes on.

            concurrent.futures.CancelledError: It was cancelled.

            BaseException: What the job raised, or what became of it: `ServerDied`, `CoroTerminated`, ...
        """
        self._wait(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What `result` would raise, waiting for that; None where the job returned.

        Raises:
            TimeoutError, concurrent.futures.CancelledError: As `result`.
        """
        self._wait(timeout)
        return super().exception(0)

    def _wait(self, timeout: float | None) -> None:
        if not self._is_over.wait(seconds(timeout, "result()")):
            raise TimeoutError(f"{self.name} was not over after {timeout} s")

    def terminate(self) -> bool:
        """End the job even if it runs: then it comes to `CoroTerminated`, unless it ends by itself first.

        Returns:
            bool: Was it not over yet?
        """
        if self.cancel():
            return True
        if self.done() or self._terminate is None:
            return False
        self._terminate()
        return True

    def terminates_by(self, terminate: Callable[[], object]) -> None:
        """Say how the job is ended that runs."""
        self._terminate = terminate

    def _repr_html_(self) -> str:
        """What notebooks show."""
        facts = [("job", self.name), ("is", self._state.lower().replace("_", " "))]
        if self.done() and not self.cancelled():
            error = super().exception(0)
            facts.append(("came to", f"{type(error).__name__}" if error is not None else "a result"))
        return table("Job", facts)


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
            news[0] = Completion()
            # After that: what came before is found here, what comes later sets the new one.
            if not over and not news[0].wait(None if deadline is None else deadline - native.monotonic()):
                raise TimeoutError(f"{len(pending)} of {total} futures were not over after {limit} s")
        future = over.popleft()
        pending.discard(future)
        yield future
