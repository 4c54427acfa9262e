"""Executor: the jobs of a cluster as futures of `concurrent.futures`."""

from __future__ import annotations

import concurrent.futures
import functools
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any

from greencoro.compute.cluster import LocalCluster
from greencoro.compute.computation import Computation
from greencoro.compute.explain_door import open_door
from greencoro.compute.feeder import Feeder
from greencoro.compute.future_map import Call, chunks, one_by_one, results_in_order, run_chunk
from greencoro.compute.futures import JobFuture
from greencoro.compute.job import Job, plain
from greencoro.compute.look_ahead import check_window, look_ahead
from greencoro.compute.progress_display import ProgressDisplay
from greencoro.compute.scattered import Scattered
from greencoro.compute.scheduler import Scheduler
from greencoro.compute.shown import counted
from greencoro.compute.waiting_calls import WaitingCalls
from greencoro.compute.workplace import Workplace
from greencoro.distributed import runtime as runtimes
from greencoro.distributed.location import Location
from greencoro.hub import forks
from greencoro.hub.binding import name_of
from greencoro.hub.waiting import seconds

__all__ = ["Executor"]

_MAX_WAITING = 10_000
_MAX_WAITING_BYTES = 64 * 1024 * 1024


class Executor(concurrent.futures.Executor):
    """Runs calls on servers, one at a time at each, and gives futures for them.

    Usable wherever an executor of `concurrent.futures` is: in scripts and notebooks, by coroutines, and through
    ``loop.run_in_executor`` by asyncio programs. What is called may be a `Job`. The callbacks of futures run one
    after another in a thread of their own: one that waits for a future of the same executor waits for ever. A ``with``
    statement that Ctrl-C or ``sys.exit()`` leaves waits for nothing: what was not sent is cancelled, what runs is
    terminated. One that nobody has a reference to any more shuts itself down once its calls are over.

    Args:
        where: A `LocalCluster`, or the `Scheduler` of this process; the `Location` of another one; or a `Computation`
            that is scheduled, which is then not closed by `shutdown`. None: this process's scheduler or inline cluster;
            where it has none, a `LocalCluster` of its own.

        components: See `Computation`; not where that is given.

        retries (int): See `Job`; for calls that are none.

        progress (bool): Say on standard error how far the jobs have come.

        max_waiting (int), max_waiting_bytes (int): While so many calls, or calls with so many bytes of arguments, wait
            for a server, `submit` waits, and says so after five seconds. (With an asyncio loop in its thread it raises
            `WouldBlock`, and at twice as much only.)

    Raises:
        PackagingError: A component cannot be shipped.

        ComputeError: The cluster could not be started.

        TypeError, ValueError: An argument is none of what it may be, or a Scheduler that is closed.
    """

    def __init__(
        self,
        where: LocalCluster | Scheduler | Location | Computation | None = None,
        *,
        components: Sequence[Any] | Any = (),
        retries: int = 0,
        progress: bool = False,
        max_waiting: int = _MAX_WAITING,
        max_waiting_bytes: int = _MAX_WAITING_BYTES,
    ) -> None:
        forks.refuse()
        check_window(max_waiting, "max_waiting")
        check_window(max_waiting_bytes, "max_waiting_bytes")
        Job(len, retries=retries)  # is it a number of retries?
        self._retries = retries
        workplace = Workplace(where, components)
        self._computation = workplace.computation
        try:
            # Now: from Python 3.12 on no thread is started once the script has ended, and jobs may be sent after that.
            open_door()
            if workplace.location is not None:
                runtimes.runtime()
            self._waiting = WaitingCalls(max_waiting, max_waiting_bytes)
            display = ProgressDisplay() if progress else None
            self._feeder = Feeder(self._computation._jobs, self._waiting, workplace.open, workplace.close, display)
        except BaseException:
            workplace.close()
            raise
        self._dispatcher = self._feeder.dispatcher
        # Who drops an executor submits nothing any more; at the process's end there are others who see to what is left.
        weakref.finalize(self, self._feeder.shut_soon).atexit = False

    # What `concurrent.futures` asks for.

    def submit(self, fn: Callable[..., Any] | Job, /, *args: Any, **kwargs: Any) -> JobFuture:
        """Have ``fn(*args, **kwargs)`` called at a server; the arguments are copied now.

        Returns:
            JobFuture: Its result.

        Raises:
            PackagingError: The function, or an argument, cannot be shipped; the message names the path to the culprit.

            TypeError: The function does not take these arguments.

            RuntimeError: `shutdown` was called.

            concurrent.futures.BrokenExecutor: The computation is over.

            WouldBlock: Twice as much as may waits for a server, and an asyncio loop runs in this thread.
        """
        return self._submit(fn, args, kwargs)

    def _submit(
        self, fn: Callable[..., Any] | Job, args: tuple[Any, ...], kwargs: dict[str, Any], name: str = ""
    ) -> JobFuture:
        """As `submit`; the job is called ``name`` where that is not empty."""
        forks.refuse()
        job = fn if isinstance(fn, Job) else Job(fn, retries=self._retries)
        self._feeder.check_open()
        prepared = self._dispatcher.prepare(job, args, kwargs)
        if name:
            prepared = prepared._replace(name=name)
        return self._feeder.put(prepared)

    def map(
        self,
        fn: Callable[..., Any] | Job,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[Any]:
        """As ``map(fn, *iterables)``, at the servers; results come in order.

        Of the iterables no more is taken than the look-ahead, so they may be endless. Closing the iterator cancels what
        has not begun.

        Args:
            timeout (float | None): Longest wait for all results together, in seconds.

            chunksize (int): How many calls are one job: for calls that take less than a millisecond. One that raises
                fails its chunk.

            buffersize (int | None): How many jobs at most are under way or over without their result being taken; None:
                some more than the servers can have at once.

        Raises:
            ValueError: The chunksize, or buffersize, is less than 1.

            TimeoutError: While results are taken: they were not there in time.

            As `submit`, and what a call raised.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        check_window(buffersize, "buffersize")
        limit = seconds(timeout, "map()")
        room = functools.partial(self._limit, buffersize)
        cancel = self._feeder.cancel_soon
        calls: Iterator[Call] = zip(*iterables, strict=False)
        if chunksize == 1:
            return results_in_order(functools.partial(self.submit, fn), cancel, calls, room, limit)
        job = plain(fn)
        chunked = Job(run_chunk, retries=job.retries or self._retries, time_limit=job.time_limit)

        def submit(chunk: list[Call]) -> JobFuture:
            return self._submit(chunked, (job.function, chunk), {}, name_of(job.function))

        in_chunks: Iterator[Call] = ((chunk,) for chunk in chunks(calls, chunksize))
        return one_by_one(results_in_order(submit, cancel, in_chunks, room, limit))

    def _limit(self, size: int | None) -> int:
        return look_ahead(size, self._dispatcher.room)

    def scatter(self, thing: Any) -> Scattered:
        """Send an object to every server once, to be an argument of calls; see `Computation.scatter`."""
        return self._computation.scatter(thing)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; when those that there are are over, give the servers back.

        Args:
            wait (bool): Return only then.

            cancel_futures (bool): Cancel those that have not been sent.
        """
        if forks.is_child():
            return
        self._feeder.shut(cancel_futures)
        # In a callback of a future there is nothing to wait for: that future's end is being told.
        if wait and not self._feeder.is_callback:
            self._feeder.ended.wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt | SystemExit) and not forks.is_child():
            # The program is about to end, and nobody wants to wait for jobs that may take hours.
            self.shutdown(wait=False, cancel_futures=True)
            self._feeder.abandon()
        else:
            self.shutdown()

    def __repr__(self) -> str:
        if self._feeder.ended.done:
            return "<Executor: shut down>"
        servers, running = len(self._dispatcher.used()), len(self._dispatcher.outstanding)
        state = f"{counted(servers, 'server')}, {counted(len(self._waiting), 'call')} waiting, {running} running"
        return f"<Executor: {state}{', takes no more calls' if self._feeder.is_shut else ''}>"
