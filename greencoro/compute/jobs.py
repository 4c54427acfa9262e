"""RemoteCoroScheduler: jobs that compute, one at a time at every server."""

from __future__ import annotations

import contextlib
import functools
import secrets
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from greencoro.compute.computation import Computation, Where
from greencoro.compute.placement import Candidate, lane_depth, least_loaded
from greencoro.compute.scheduler_state import SchedulerState
from greencoro.compute.shipping import Prepared
from greencoro.compute.submission import Submission
from greencoro.errors import PackagingError
from greencoro.hub import native
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro

__all__ = ["RemoteCoroScheduler"]

#: Weight of the newest job in the moving average of what a job takes.
_NEWEST = 0.2


class _Lane:
    """The jobs of one scheduler at one server, run one after another there."""

    __slots__ = ("job_seconds", "outstanding", "since")

    def __init__(self) -> None:
        self.outstanding = 0
        #: What a job takes, on average; None before the first is over.
        self.job_seconds: float | None = None
        #: When the server became free for the job that is running now.
        self.since = 0.0

    def begin(self, now: float) -> None:
        if not self.outstanding:
            self.since = now
        self.outstanding += 1

    def end(self, now: float) -> None:
        self.outstanding -= 1
        took, self.since = now - self.since, now
        self.job_seconds = took if self.job_seconds is None else self.job_seconds + _NEWEST * (took - self.job_seconds)


class RemoteCoroScheduler:
    """Runs at most one of its jobs at a time at each server of a computation.

    Args:
        computation (Computation): Where; it is scheduled by its owner.
    """

    def __init__(self, computation: Computation) -> None:
        self.computation = computation
        self._name = secrets.token_hex(8)  # of its lanes at the servers
        # For the lanes' numbers; held for a few lines.
        self._lock = native.Lock()
        self._lanes: dict[str, _Lane] = {}
        self._outstanding: dict[Submission, None] = {}
        #: Set, once each, when a server may have become free.
        self._waiting: list[Completion] = []
        computation._on_servers.append(self._servers_changed)

    # Jobs.

    def schedule(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Coro:
        """Wait for a server that runs no job of this scheduler, and run one there.

        Returns:
            Coro: A reference; its `value` waits for the result.

        Raises:
            As `Computation.run`. While all servers are busy the wait has no limit.
        """
        computation = self.computation
        prepared = computation._shipping.prepare(function, args, kwargs)
        submission = self._claim(prepared, lambda lane: 1)
        computation._start(submission, prepared, self._name, native.monotonic() + computation.timeout)
        coro: Coro = submission.coro
        return coro

    def execute(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """As `schedule`, then wait for the end.

        Returns:
            The job's result.

        Raises:
            As `Computation.run`, and what the job raised.
        """
        return self.schedule(function, *args, **kwargs).value()

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Coro:
        """As `Computation.run`, without regard to what runs at the server already; `finish` waits for it too."""
        return self.submit_at(None, function, *args, **kwargs)

    def submit_at(self, where: Where, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Coro:
        """As `Computation.run_at`, without regard to what runs at the server already; `finish` waits for it too."""
        submission = self.computation._run_at(where, function, args, kwargs)
        self._keep(submission)
        coro: Coro = submission.coro
        return coro

    def execute_at(self, where: Where, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """As `submit_at`, then wait for the end and return the result, or raise what the job raised."""
        return self.submit_at(where, function, *args, **kwargs).value()

    def map_results(self, function: Callable[..., Any], iterable: Iterable[Any]) -> list[Any]:
        """Run ``function`` once for each element.

        Args:
            iterable: A tuple is spread to arguments; anything else, a named tuple among it, is the one argument.

        Returns:
            list: What each element came to, in the order of the elements; where one failed, the exception object in its
            place: what the job raised, `ServerDied`, `CoroTerminated`, or why its arguments cannot be shipped. The
            others are not disturbed.

        Raises:
            PackagingError: ``function`` cannot be shipped.

            NoMatchingServer: There was no server within the computation's timeout.

            ComputationClosed: It is not scheduled, or was closed before all jobs were sent.
        """
        computation = self.computation
        computation._shipping.check(function)
        results: list[Any] = []
        under_way: deque[tuple[int, Submission]] = deque()
        try:
            for index, element in enumerate(iterable):
                results.append(None)
                try:
                    prepared = computation._shipping.prepare(
                        function, element if type(element) is tuple else (element,), {}
                    )
                except Exception as error:
                    results[index] = error  # of the arguments: the function itself was fine
                    continue
                submission = self._claim(prepared, lambda lane: lane_depth(lane.job_seconds))
                try:
                    computation._queue(submission, prepared, self._name)
                except PackagingError as error:
                    results[index] = error
                    continue
                under_way.append((index, submission))
                # As they come, not all at the end: each is decoded while the servers work on others.
                while under_way and under_way[0][1].outcome.done:
                    _take_result(results, *under_way.popleft())
            while under_way:
                under_way[0][1].outcome.wait()
                _take_result(results, *under_way.popleft())
        except BaseException:
            for _, submission in under_way:
                computation._withdraw(submission)
            raise
        return results

    def finish(self, close: bool = False) -> None:
        """Wait until every job of this scheduler is over.

        Args:
            close (bool): Close the computation then.
        """
        for submission in list(self._outstanding):
            submission.outcome.wait()
        if close:
            self.computation.close()

    # Which server is free.

    def _claim(self, prepared: Prepared, depth: Callable[[_Lane], int]) -> Submission:
        """A submission to the server with the fewest jobs of ours, waiting for one with less than ``depth``."""
        computation = self.computation
        deadline: float | None = None
        while True:
            changed = Completion()
            self._waiting.append(changed)
            try:
                server = computation._assign(functools.partial(self._choose, depth))
                if server is not None:
                    break
                if computation.servers():
                    deadline = None
                    changed.wait()
                    continue
                if deadline is None:
                    deadline = native.monotonic() + computation.timeout
                if not changed.wait(deadline - native.monotonic()):
                    raise computation._no_server()
            finally:
                with contextlib.suppress(ValueError):
                    self._waiting.remove(changed)
        submission = computation._submit(server, prepared)
        self._keep(submission)
        submission.outcome.add_callback(lambda: self._over(server))
        return submission

    def _choose(
        self, depth: Callable[[_Lane], int], state: SchedulerState, candidates: Iterable[Candidate]
    ) -> str | None:
        with self._lock:
            free = []
            for candidate in candidates:
                lane = self._lanes.get(candidate.server)
                if lane is None:
                    lane = self._lanes[candidate.server] = _Lane()
                if lane.outstanding < depth(lane):
                    free.append(candidate._replace(load=lane.outstanding))
            server = least_loaded(free)
            if server is not None:
                self._lanes[server].begin(native.monotonic())
            return server

    def _over(self, server: str) -> None:
        with self._lock:
            lane = self._lanes[server]
            lane.end(native.monotonic())
            # Where many short jobs are under way, whoever waits for room is woken for several at once.
            worth_it = lane.outstanding <= lane_depth(lane.job_seconds) // 2
        if worth_it:
            self._wake()

    def _servers_changed(self, server: str) -> None:
        self._wake()

    def _wake(self) -> None:
        for waiting in tuple(self._waiting):
            waiting.set()

    def _keep(self, submission: Submission) -> None:
        self._outstanding[submission] = None
        submission.outcome.add_callback(lambda: self._forget(submission))

    def _forget(self, submission: Submission) -> None:
        self._outstanding.pop(submission, None)


def _take_result(results: list[Any], index: int, submission: Submission) -> None:
    try:
        results[index] = submission.result()
    except BaseException as error:
        # What a job raised is its element's outcome, be it SystemExit; what ends this coroutine or program is not.
        if not isinstance(error, Exception) and error is not getattr(submission.outcome.value, "error", None):
            raise
        results[index] = error
