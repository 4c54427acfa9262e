"""RemoteCoroScheduler: jobs that compute, one at a time at every server."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from greencoro.compute.client_phase import Phase
from greencoro.compute.computation import Computation
from greencoro.compute.dispatcher import Dispatcher
from greencoro.compute.imap import Flow
from greencoro.compute.job import Job, plain
from greencoro.compute.job_handle import JobHandle, references
from greencoro.compute.look_ahead import check_window, look_ahead
from greencoro.compute.scattered import Scattered
from greencoro.compute.server_hooks import ServerHooks
from greencoro.compute.server_pool import Where
from greencoro.compute.shipping import Prepared
from greencoro.compute.shown import counted
from greencoro.hub import forks, native
from greencoro.hub.coroutine import Coro

__all__ = ["RemoteCoroScheduler"]


class RemoteCoroScheduler:
    """Runs at most one of its jobs at a time at each server of a computation.

    A job's function may be given as a `Job`, with a time limit, and (for those methods that return results) retries.
    The three functions that may be given run as coroutines of this process, each beside the others.

    Args:
        computation (Computation): Where; it is scheduled by its owner.

        proc_status: Called with the ``status`` and ``info`` of each `Status` of the computation. Where it returns
            anything but 0 or None for `Status.ServerInitialized`, or raises, that server is not used. The computation's
            ``status_coro`` is set to `status_coro` for that, if it has none; otherwise that one may pass messages on.

        proc_available: Called with the `Location` of a server that is ready, before jobs of this scheduler run there;
            it may run jobs there itself, with `submit_at`, `execute_at` or `Computation.run_at`. Where it returns
            anything but 0 or None, or raises, the server is not used. `Computation.close` terminates it.

        proc_close: Called once for each server that was used: with `Status.ServerInitialized` and its `Location` when
            the computation is about to be closed, so that it may still run jobs there, and `Computation.close` waits
            for it; or with `Status.ServerClosed` when the server is gone.

        patience (float | None): How long a job waits while there is no server, in seconds; `math.inf` for ever; None:
            the computation's timeout.

    Raises:
        TypeError: One of the three is not callable, or not with these arguments.
    """

    def __init__(
        self,
        computation: Computation,
        proc_status: Callable[..., Any] | None = None,
        proc_available: Callable[..., Any] | None = None,
        proc_close: Callable[..., Any] | None = None,
        *,
        patience: float | None = None,
    ) -> None:
        if not isinstance(computation, Computation):
            raise TypeError(f"a RemoteCoroScheduler runs the jobs of a Computation, not {computation!r}")
        self.computation = computation
        self._launcher = computation._jobs
        self._hooks = ServerHooks(self._launcher, proc_status, proc_available, proc_close)
        self._dispatcher = Dispatcher(self._launcher, self._hooks.meet, self._hooks.left, patience)
        self._hooks.attach(self._dispatcher)
        if proc_status is not None or proc_available is not None or proc_close is not None:
            computation.before_close(self._hooks.take_leave)
        if proc_status is not None and computation.status_coro is None and self._launcher.client.phase is Phase.NEW:
            computation.status_coro = self.status_coro

    @property
    def status_coro(self) -> Coro:
        """What is sent to this coroutine, `Status` by `Status`, is told to ``proc_status``."""
        return self._hooks.status_coro

    # Jobs.

    def schedule(self, function: Callable[..., Any] | Job, /, *args: Any, **kwargs: Any) -> Coro:
        """Wait for a server that runs no job of this scheduler, and run one there.

        Returns:
            Coro: A reference; its `value` waits for the result.

        Raises:
            As `Computation.run`. While all servers are busy the wait has no limit.

            CoroTerminated: `cancel` came meanwhile.
        """
        launcher = self._launcher
        job = self._submit(launcher.prepare_once(function, args, kwargs))
        launcher.start(job, native.monotonic() + launcher.timeout)
        coro: Coro = job.coro
        return coro

    def execute(self, function: Callable[..., Any] | Job, /, *args: Any, **kwargs: Any) -> Any:
        """As `schedule`, then wait for the end.

        Returns:
            The job's result.

        Raises:
            As `schedule`, and what the job raised.
        """
        if not plain(function).retries:
            return self.schedule(function, *args, **kwargs).value()
        job = self._submit(self._launcher.shipping.prepare(function, args, kwargs))
        self._launcher.queue(job)
        return _result_of(job)

    def submit(self, function: Callable[..., Any] | Job, /, *args: Any, **kwargs: Any) -> Coro:
        """As `Computation.run`, without regard to what runs at the server already; `finish` waits for it too."""
        return self.submit_at(None, function, *args, **kwargs)

    def submit_at(self, where: Where, function: Callable[..., Any] | Job, /, *args: Any, **kwargs: Any) -> Coro:
        """As `Computation.run_at`, without regard to what runs at the server already; `finish` waits for it too."""
        job = self._launcher.run_at(where, function, args, kwargs)
        self._dispatcher.keep(job)
        coro: Coro = job.coro
        return coro

    def execute_at(self, where: Where, function: Callable[..., Any] | Job, /, *args: Any, **kwargs: Any) -> Any:
        """As `submit_at`, then wait for the end and return the result, or raise what the job raised."""
        if not plain(function).retries:
            return self.submit_at(where, function, *args, **kwargs).value()
        job = self._launcher.call_at(where, function, args, kwargs)
        self._dispatcher.keep(job)
        return _result_of(job)

    def map_results(self, function: Callable[..., Any] | Job, iterable: Iterable[Any]) -> list[Any]:
        """Run ``function`` once for each element.

        Args:
            iterable: A tuple is spread to arguments; anything else, a named tuple among it, is the one argument. No
                more is taken out of it than the servers have room for.

        Returns:
            list: What each element came to, in the order of the elements; where one failed, the exception object in its
            place: what the job raised, `ServerDied`, `CoroTerminated`, or why it could not be sent. The others are not
            disturbed.

        Raises:
            PackagingError: ``function`` cannot be shipped.

            NoMatchingServer: There was no server within the computation's timeout.

            ComputationClosed: It is not scheduled, or was closed before all jobs were sent.

            CoroTerminated: `cancel` came before all jobs were sent.
        """
        job = self._checked(function)
        return list(Flow(self._dispatcher, job, iterable, limit=None, ordered=True))

    def imap(
        self,
        function: Callable[..., Any] | Job,
        iterable: Iterable[Any],
        window: int | None = None,
        ordered: bool = True,
    ) -> Iterator[Any]:
        """As `map_results` for inputs without end: gives what the elements came to one by one.

        Jobs go on while the results are asked for, or there is room in the window. What is under way when the iterator
        is closed is ended.

        Args:
            window (int | None): How many elements at most are taken out of the input whose results were not asked for
                yet; None: some more than the servers can have at once.

            ordered (bool): In the order of the elements? Otherwise as they come, and nothing says of which element.

        Raises:
            TypeError, ValueError: The window is no whole number of at least 1.

            As `map_results`, while results are asked for.
        """
        check_window(window, "window")
        job = self._checked(function)
        dispatcher = self._dispatcher
        limit = functools.partial(_limit, window, dispatcher)
        return iter(Flow(dispatcher, job, iterable, limit, ordered))

    def scatter(self, thing: Any) -> Scattered:
        """As `Computation.scatter`."""
        return self.computation.scatter(thing)

    def cancel(self, jobs: Coro | Iterable[Coro] | None = None) -> int:
        """End jobs: who waits for one gets `CoroTerminated`. A job that computes is ended when it next waits.

        Args:
            jobs: What `schedule` or `submit` returned, or several of these; None: all jobs of this scheduler. Then
                whoever waits in `schedule`, `execute`, `map_results` or `imap` for a place gets `CoroTerminated` too.

        Returns:
            int: How many were ended. Those that were over are not counted.

        Raises:
            TypeError: One is no reference.
        """
        if jobs is None:
            return self._dispatcher.cancel_all()
        wanted = set(references(jobs))
        return sum(job.cancel() for job in list(self._dispatcher.outstanding) if job.coro in wanted)

    def finish(self, close: bool = False) -> None:
        """Wait until every job of this scheduler is over.

        Args:
            close (bool): Close the computation then; ``proc_close`` is called before.
        """
        forks.refuse()
        for job in list(self._dispatcher.outstanding):
            job.outcome.wait()
        if close:
            self.computation.close()

    def __repr__(self) -> str:
        if self._launcher.client.phase is not Phase.CURRENT:
            return f"<RemoteCoroScheduler of {self.computation!r}>"
        dispatcher = self._dispatcher
        servers = counted(len(dispatcher.used()), "server")
        return f"<RemoteCoroScheduler: {servers}, {counted(len(dispatcher.outstanding), 'job')} not over>"

    def _checked(self, function: Callable[..., Any] | Job) -> Job:
        job = plain(function)
        self._launcher.shipping.check(job)
        return job

    def _submit(self, prepared: Prepared) -> JobHandle:
        """A job for a server of its own, waiting for one."""
        job: JobHandle | None = None
        while job is None:
            job = self._dispatcher.submit(self._dispatcher.claim(alone=True), prepared)
        return job


def _result_of(job: JobHandle) -> Any:
    job.outcome.wait()
    return job.result()


def _limit(window: int | None, dispatcher: Dispatcher) -> int:
    return look_ahead(window, 0 if window is not None else dispatcher.room)
