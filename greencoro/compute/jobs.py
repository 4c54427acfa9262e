"""RemoteCoroScheduler: jobs that compute, one at a time at every server."""

from __future__ import annotations

import contextlib
import functools
import secrets
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from greencoro.compute.computation import Computation
from greencoro.compute.placement import Candidate, lane_depth, least_loaded
from greencoro.compute.server_pool import Server, Where
from greencoro.compute.shipping import Prepared
from greencoro.compute.submission import Submission
from greencoro.errors import BusyResource, PackagingError
from greencoro.hub import native
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro

__all__ = ["RemoteCoroScheduler"]

#: Weight of the newest job in the moving average of what a job takes.
_NEWEST = 0.2


class _Lane:
    """The jobs of one scheduler at one server, run one after another there."""

    __slots__ = ("_jobs", "_since", "job_seconds")

    def __init__(self) -> None:
        #: In the order in which the server runs them: the first one is running.
        self._jobs: dict[object, None] = {}
        #: What a job takes, on average; None before the first is over.
        self.job_seconds: float | None = None
        #: When the server became free for the job that is running now.
        self._since = 0.0

    @property
    def outstanding(self) -> int:
        """Jobs that are not over."""
        return len(self._jobs)

    def begin(self, job: object, now: float) -> None:
        if not self._jobs:
            self._since = now
        self._jobs[job] = None

    def end(self, job: object, now: float, ran: bool) -> None:
        """A job is over; one that did not run to its end says nothing of how long jobs take."""
        was_running = next(iter(self._jobs)) is job
        del self._jobs[job]
        if ran:
            took = now - self._since
            before = self.job_seconds
            self.job_seconds = took if before is None else before + _NEWEST * (took - before)
        if ran or was_running:
            self._since = now


class RemoteCoroScheduler:
    """Runs at most one of its jobs at a time at each server of a computation.

    Args:
        computation (Computation): Where; it is scheduled by its owner.
    """

    def __init__(self, computation: Computation) -> None:
        self.computation = computation
        self._jobs = computation._jobs
        self._name = secrets.token_hex(8)  # of its lanes at the servers
        # For the lanes' numbers; held for a few lines.
        self._lock = native.Lock()
        self._lanes: dict[str, _Lane] = {}
        self._outstanding: dict[Submission, None] = {}
        #: Set, once each, when a server may have become free.
        self._waiting: list[Completion] = []
        self._jobs.on_servers.append(self._wake)

    # Jobs.

    def schedule(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Coro:
        """Wait for a server that runs no job of this scheduler, and run one there.

        Returns:
            Coro: A reference; its `value` waits for the result.

        Raises:
            As `Computation.run`. While all servers are busy the wait has no limit.
        """
        jobs = self._jobs
        prepared = jobs.shipping.prepare(function, args, kwargs)
        submission = self._claim(prepared, lambda lane: 1)
        jobs.start(submission, native.monotonic() + jobs.timeout)
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
        submission = self._jobs.run_at(where, function, args, kwargs)
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
            place: what the job raised, `ServerDied`, `CoroTerminated`, or why it could not be sent. The others are not
            disturbed.

        Raises:
            PackagingError: ``function`` cannot be shipped.

            NoMatchingServer: There was no server within the computation's timeout.

            ComputationClosed: It is not scheduled, or was closed before all jobs were sent.
        """
        jobs = self._jobs
        jobs.shipping.check(function)
        results: list[Any] = []
        under_way: deque[tuple[int, Submission]] = deque()
        try:
            for index, element in enumerate(iterable):
                results.append(None)
                try:
                    prepared = jobs.shipping.prepare(function, element if type(element) is tuple else (element,), {})
                except Exception as error:
                    results[index] = error  # of the arguments: the function itself was fine
                    continue
                try:
                    submission = self._claim(prepared, lambda lane: lane_depth(lane.job_seconds))
                    jobs.queue(submission)
                except (PackagingError, BusyResource) as error:
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
                jobs.withdraw(submission)
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
        jobs = self._jobs
        job = object()
        deadline: float | None = None
        while True:
            changed = Completion()
            self._waiting.append(changed)
            try:
                server = jobs.assign(functools.partial(self._choose, job, depth))
                if server is not None:
                    break
                if jobs.client.ready():
                    deadline = None
                    changed.wait()
                    continue
                if deadline is None:
                    deadline = native.monotonic() + jobs.timeout
                if not changed.wait(deadline - native.monotonic()):
                    raise jobs.no_server()
            finally:
                with contextlib.suppress(ValueError):
                    self._waiting.remove(changed)
        try:
            submission = jobs.submit(server, prepared, self._name)
        except BaseException:
            self._over(server, job, ran=False)
            raise
        self._keep(submission)
        submission.outcome.add_callback(lambda: self._over(server, job, submission.ended().ran_to_its_end))
        return submission

    def _choose(self, job: object, depth: Callable[[_Lane], int], candidates: Iterable[Candidate]) -> str | None:
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
                self._lanes[server].begin(job, native.monotonic())
            return server

    def _over(self, server: Server, job: object, ran: bool) -> None:
        with self._lock:
            lane = self._lanes[server.id]
            lane.end(job, native.monotonic(), ran)
            if server.is_gone and not lane.outstanding:
                del self._lanes[server.id]
            # Where many short jobs are under way, whoever waits for room is woken for several at once.
            worth_it = lane.outstanding <= lane_depth(lane.job_seconds) // 2
        if worth_it:
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
