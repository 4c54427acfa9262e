"""Executor: the jobs of a cluster as futures of `concurrent.futures`."""

from __future__ import annotations

import concurrent.futures
import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from greencoro.compute.client_state import Phase
from greencoro.compute.cluster import LocalCluster
from greencoro.compute.computation import Computation
from greencoro.compute.dispatcher import Dispatcher, Ticket
from greencoro.compute.future_map import Call, chunks, one_by_one, results_in_order, run_chunk
from greencoro.compute.future_teller import FutureTeller
from greencoro.compute.futures import JobFuture
from greencoro.compute.inline import current_inline_server
from greencoro.compute.job import Job, plain
from greencoro.compute.look_ahead import check_window, look_ahead
from greencoro.compute.progress_display import ProgressDisplay
from greencoro.compute.scheduler import current_scheduler
from greencoro.compute.server_pool import Server
from greencoro.compute.shipping import Prepared
from greencoro.distributed.location import Location
from greencoro.errors import ComputationClosed, NoMatchingServer, WouldBlock
from greencoro.hub import native
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from greencoro.hub.sync import Semaphore
from greencoro.hub.waiting import seconds

__all__ = ["Executor"]

_MAX_WAITING = 10_000


class _Item:
    """A job that waits to be sent, and after that for its end."""

    __slots__ = ("future", "has_permit", "prepared", "since")

    def __init__(self, future: JobFuture, prepared: Prepared, has_permit: bool, since: float) -> None:
        self.future = future
        self.prepared = prepared
        #: Is it one of the ``max_waiting`` that may wait?
        self.has_permit = has_permit
        self.since = since


class Executor(concurrent.futures.Executor):
    """Runs calls on servers, one at a time at each, and gives futures for them.

    Usable wherever an executor of `concurrent.futures` is: in scripts and notebooks, by coroutines, and through
    ``loop.run_in_executor`` by asyncio programs. What is called may be a `Job`. The callbacks of futures run one
    after another in a thread of their own: one that waits for a future of the same executor waits for ever.

    Args:
        where: A `LocalCluster`; the `Location` of a scheduler; or a `Computation` that is scheduled, which is then not
            closed by `shutdown`. None: this process's scheduler or inline cluster; where it has none, a `LocalCluster`
            of its own.

        components: See `Computation`; not where that is given.

        retries (int): See `Job`; for calls that are none.

        progress (bool): Say on standard error how far the jobs have come.

        max_waiting (int): While so many calls wait for a server, `submit` waits. (With an asyncio loop in its thread it
            raises `WouldBlock`, and at twice the number only.)

    Raises:
        PackagingError: A component cannot be shipped.

        ComputeError: The cluster could not be started.

        TypeError, ValueError: An argument is none of what it may be.
    """

    def __init__(
        self,
        where: LocalCluster | Location | Computation | None = None,
        *,
        components: Sequence[Any] | Any = (),
        retries: int = 0,
        progress: bool = False,
        max_waiting: int = _MAX_WAITING,
    ) -> None:
        check_window(max_waiting, "max_waiting")
        if not isinstance(where, LocalCluster | Location | Computation | None):
            raise TypeError(f"an Executor runs at a LocalCluster, a Location or a Computation, not {where!r}")
        if isinstance(where, Computation) and components:
            raise ValueError("components are given to the Computation")
        Job(len, retries=retries)  # is it a number of retries?
        self._retries = retries
        self._owns_computation = not isinstance(where, Computation)
        self._computation = where if isinstance(where, Computation) else Computation(components)
        self._location = where if isinstance(where, Location) else None
        self._cluster: LocalCluster | None = None
        if where is None and current_scheduler() is None and current_inline_server() is None:
            self._cluster = LocalCluster()
        launcher = self._computation._jobs
        self._dispatcher = Dispatcher(launcher, self._use, lambda server: None)
        self._launcher = launcher
        self._max_waiting = max_waiting
        self._permits = Semaphore(max_waiting)
        # For what follows; held for a few lines.
        self._lock = native.Lock()
        self._waiting: deque[_Item] = deque()
        #: Futures that are not over.
        self._unfinished = 0
        self._is_shut = False
        self._broken: BaseException | None = None
        #: What sends jobs, while there are unfinished futures.
        self._feeder: Coro | None = None
        #: Set when there is something for it to do.
        self._news = Completion()
        self._teller = FutureTeller(self._told, lambda: self._unfinished > 0)
        self._closed = Completion()
        self._display = ProgressDisplay() if progress else None

    def _use(self, server: Server) -> None:
        self._dispatcher.open(server)

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

            WouldBlock: Twice ``max_waiting`` calls wait for a server, and an asyncio loop runs in this thread.
        """
        job = plain(fn)
        if job.retries == 0 and not isinstance(fn, Job):
            job = Job(job.function, retries=self._retries)
        self._check_open()
        prepared = self._dispatcher.prepare(job, args, kwargs)
        has_permit = self._admit()
        future = JobFuture(prepared.name)
        item = _Item(future, prepared, has_permit, native.monotonic())
        try:
            with self._lock:
                self._raise_if_shut()
                self._waiting.append(item)
                self._unfinished += 1
                if self._display is not None:
                    self._display.progress.wanted(item.since)
                if self._feeder is None:
                    self._feeder = Coro(self._feed)
                    self._feeder.name = "Executor"
            self._teller.begin()
        except BaseException:
            self._let_go(item)
            raise
        self._news.set()
        return future

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
        deadline = None if limit is None else native.monotonic() + limit
        room = functools.partial(self._limit, buffersize)
        calls: Iterator[Call] = zip(*iterables, strict=False)
        if chunksize == 1:
            return results_in_order(functools.partial(self.submit, fn), calls, room, deadline)
        job = plain(fn)
        chunked = Job(run_chunk, retries=job.retries or self._retries, time_limit=job.time_limit)
        submit = functools.partial(self.submit, chunked, job.function)
        in_chunks: Iterator[Call] = ((chunk,) for chunk in chunks(calls, chunksize))
        return one_by_one(results_in_order(submit, in_chunks, room, deadline))

    def _limit(self, size: int | None) -> int:
        return look_ahead(size, self._dispatcher.room)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; when those that there are are over, give the servers back.

        Args:
            wait (bool): Return only then.

            cancel_futures (bool): Cancel those that have not been sent.
        """
        with self._lock:
            self._is_shut = True
            dropped = list(self._waiting) if cancel_futures else []
            has_feeder = self._feeder is not None
        for item in dropped:
            item.future.cancel()
        self._news.set()
        if not has_feeder:
            self._close()
        # In a callback of a future there is nothing to wait for: that future's end is being told.
        if wait and not self._teller.is_this_thread:
            self._closed.wait()

    # Who may submit.

    def _check_open(self) -> None:
        with self._lock:
            self._raise_if_shut()

    def _raise_if_shut(self) -> None:
        if self._broken is not None:
            raise concurrent.futures.BrokenExecutor(str(self._broken)) from self._broken
        if self._is_shut:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def _admit(self) -> bool:
        """Wait until a call may wait for a server; False where it may for being of an asyncio loop's thread."""
        if not native.asyncio_loop_runs():
            return self._permits.acquire()
        if self._permits.acquire(blocking=False):
            return True
        if len(self._waiting) >= 2 * self._max_waiting:
            raise WouldBlock(f"{len(self._waiting)} calls wait for a server, and a loop runs here: await some first")
        return False

    def _let_go(self, item: _Item) -> None:
        if item.has_permit:
            self._permits.release()

    # The feeder: a coroutine, so that the process does not end before the jobs do.

    def _feed(self) -> None:
        try:
            self._send_all()
        except BaseException as error:
            # It was terminated, at the end of the process perhaps: nobody must wait for ever.
            self._break(error)
            with self._lock:
                self._feeder = None
            self._close()
            raise

    def _send_all(self) -> None:
        if self._owns_computation and self._launcher.client.phase is Phase.NEW:
            try:
                self._computation.schedule(self._location)
            except Exception as error:
                self._break(error)
        while self._has_work():
            if not self._waiting:
                self._await_news()
                continue
            try:
                ticket = self._dispatcher.claim(alone=False)
            except NoMatchingServer as error:
                self._fail_overdue(error)
            except ComputationClosed as error:
                self._break(error)
            else:
                self._send_next(ticket)

    def _has_work(self) -> bool:
        with self._lock:
            if self._unfinished:
                return True
            self._feeder = None
            closes = self._is_shut
        if closes:
            self._close()
        return False

    def _await_news(self) -> None:
        self._news = news = Completion()
        with self._lock:
            idle = not self._waiting and self._unfinished
        if idle:
            news.wait()

    def _next(self) -> _Item | None:
        """The next call that nobody has cancelled; from now on nobody can."""
        while True:
            with self._lock:
                if not self._waiting:
                    return None
                item = self._waiting.popleft()
            self._let_go(item)
            if item.future.set_running_or_notify_cancel():
                return item
            if self._display is not None:
                self._display.progress.cancelled()
            self._finished()

    def _send_next(self, ticket: Ticket) -> None:
        item = self._next()
        if item is None:
            self._dispatcher.give_up(ticket)
            return
        future = item.future
        try:
            job = self._dispatcher.submit(ticket, item.prepared)
            while job is None:
                job = self._dispatcher.submit(self._dispatcher.claim(alone=False), item.prepared)
            future.terminates_by(job.cancel)
            self._launcher.queue(job)
        except Exception as error:
            # Whatever kept it from being sent is what became of it.
            self._teller.tell(future, error)
        else:
            job.outcome.add_callback(lambda: self._teller.tell(future, job))

    def _fail_overdue(self, error: BaseException) -> None:
        """There was no server for those who wait for so long already."""
        until = native.monotonic() - self._launcher.timeout
        while self._waiting and self._waiting[0].since <= until:
            item = self._next()
            if item is not None:
                self._teller.tell(item.future, error)

    def _break(self, error: BaseException) -> None:
        """Nothing can be run any more."""
        with self._lock:
            self._broken = self._broken or error
        while (item := self._next()) is not None:
            self._teller.tell(item.future, concurrent.futures.BrokenExecutor(str(error)))

    def _told(self, failed: bool) -> None:
        if self._display is not None:
            self._display.over(failed)
        self._finished()

    def _finished(self) -> None:
        with self._lock:
            self._unfinished -= 1
            is_last = not self._unfinished
        if is_last:
            self._news.set()

    def _close(self) -> None:
        if self._display is not None:
            self._display.close()
        if self._owns_computation:
            self._computation.close()
        if self._cluster is not None:
            self._cluster.close()
        self._closed.set()
