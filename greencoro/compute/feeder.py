"""What sends the calls of an executor to servers."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
from collections.abc import Callable, Iterable

from greencoro.compute.dispatcher import Dispatcher, Ticket, cancelled
from greencoro.compute.future_teller import FutureTeller
from greencoro.compute.futures import JobFuture
from greencoro.compute.job_journal import journal
from greencoro.compute.job_launcher import JobLauncher
from greencoro.compute.progress_display import ProgressDisplay
from greencoro.compute.server_pool import Server
from greencoro.compute.shipping import Prepared
from greencoro.compute.waiting_calls import WaitingCall, WaitingCalls
from greencoro.errors import ComputationClosed, NoMatchingServer
from greencoro.hub import native
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro

__all__ = ["Feeder"]


class _NothingWaits(Exception):
    """Nobody wants a place any more."""


class Feeder:
    """Gives each call that waits a place at a server, and has its future told what became of it.

    By a coroutine, which is there while futures are not over, so that the process does not end before.

    Args:
        launcher: What sends jobs.

        waiting: The calls.

        begin: Called in the coroutine before it sends anything; where it raises, nothing can be run.

        end: Called once nothing will be run any more, after `shut`; may be called again.

        display: What is shown of how far the jobs have come.

    Attributes:
        dispatcher (Dispatcher): The places.

        is_shut (bool): Was `shut` called?

        ended (Completion): Set after ``end``.
    """

    def __init__(
        self,
        launcher: JobLauncher,
        waiting: WaitingCalls,
        begin: Callable[[], object],
        end: Callable[[], object],
        display: ProgressDisplay | None,
    ) -> None:
        self._launcher = launcher
        self._waiting = waiting
        self._begin = begin
        self._end = end
        self._display = display
        # For what follows; held for a few lines.
        self._lock = native.Lock()
        #: Futures that are not over.
        self._unfinished = 0
        self.is_shut = False
        #: Nobody waits for what runs.
        self._is_abandoned = False
        self._broken: BaseException | None = None
        #: While there are unfinished futures.
        self._coro: Coro | None = None
        #: What it waits with for a place, and what says why that is not wanted any more.
        self._wish: tuple[Ticket, Callable[[], Exception | None]] | None = None
        #: Set when there is something for it to do.
        self._news = Completion()
        self._teller = FutureTeller(self._told, lambda: self._unfinished > 0)
        self.dispatcher = Dispatcher(launcher, self._use, lambda server: None)
        # One of them is asked a place for, and counted with whoever waits for places.
        launcher.on_shortage.append(self._more_waiting)
        self.ended = Completion()

    def _use(self, server: Server) -> None:
        self.dispatcher.open(server)

    def _more_waiting(self) -> int:
        return max(0, len(self._waiting) - 1)

    # The executor's.

    def check_open(self) -> None:
        """See whether calls are taken.

        Raises:
            RuntimeError: `shut` was called.

            concurrent.futures.BrokenExecutor: Nothing can be run any more.
        """
        with self._lock:
            self._raise_if_shut()

    def _raise_if_shut(self) -> None:
        if self._broken is not None:
            raise concurrent.futures.BrokenExecutor(str(self._broken)) from self._broken
        if self.is_shut:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def put(self, prepared: Prepared) -> JobFuture:
        """Have a call wait, once there is room for it; raises as `check_open` and `WaitingCalls.admit`."""
        self._waiting.admit(prepared.size)
        number: int | None = None
        try:
            now, before = native.monotonic(), len(self._waiting)
            why = f"for a server, behind {before} others" if before else "for a server"
            # Not under the lock: a coroutine that waits for that waits for the interpreter too, for milliseconds.
            number = journal.submitted(prepared.name, now, why)
            call = WaitingCall(JobFuture(prepared.name, number), prepared, now)
            call.future.when_cancelled(functools.partial(self._cancelled, call))
            self._put(call)
        except BaseException as error:
            self._waiting.give_back(prepared.size)
            if number is not None:
                journal.given_up(number, error)
            raise
        self._news.set()
        return call.future

    def _put(self, call: WaitingCall) -> None:
        with self._lock:
            self._raise_if_shut()
            if self._coro is None:
                self._coro = Coro(self._feed)
                self._coro.name = "Executor"
            if self._display is not None:
                self._display.progress.wanted(call.since)
            # Last: from here on it is the coroutine's, which may have been there before.
            self._unfinished += 1
            self._waiting.put(call)

    def _cancelled(self, call: WaitingCall) -> None:
        """A call's future was cancelled, in whatever thread or coroutine; where it is taken, who took it sees that."""
        if not self._waiting.withdraw(call):
            return
        self._drop(call)
        self._reconsider()

    def _drop(self, call: WaitingCall) -> bool:
        """Whoever took a call out of those that wait: was it cancelled? From now on it cannot be."""
        if call.future.set_running_or_notify_cancel():
            return False
        if self._display is not None:
            self._display.progress.cancelled()
        self._count_less()
        return True

    def _reconsider(self) -> None:
        """Have the coroutine wait no more for a place that is not wanted any more."""
        wish = self._wish
        if wish is not None:
            ticket, why_not = wish
            error = why_not()
            if error is not None:
                self.dispatcher.withdraw(ticket, error)

    def _nothing_waits(self) -> Exception | None:
        return None if self._waiting else _NothingWaits()

    def _nobody_cares(self) -> Exception | None:
        return cancelled() if self._is_abandoned else None

    def shut(self, cancel: bool) -> None:
        """Take no more calls.

        Args:
            cancel (bool): Cancel those that wait.
        """
        with self._lock:
            self.is_shut = True
            is_idle = self._coro is None
        self._waiting.close()
        for call in self._waiting.all() if cancel else ():
            call.future.cancel()
        self._news.set()
        if is_idle:
            self._finish()

    def shut_soon(self) -> None:
        """As `shut`, without cancelling, in another thread; takes no lock, for the garbage collector calls this."""
        self._teller.have_done(functools.partial(self.shut, False))

    def cancel_soon(self, futures: Iterable[JobFuture]) -> None:
        """Cancel what has not been sent, as `shut_soon` does its work, and for the same reason."""
        self._teller.have_done(functools.partial(_cancel, futures))

    def abandon(self) -> None:
        """End what runs, and what is about to."""
        self._is_abandoned = True
        for job in list(self.dispatcher.outstanding):
            job.cancel()
        self._reconsider()

    @property
    def is_callback(self) -> bool:
        """Is the caller a callback of a future?"""
        return self._teller.is_this_thread

    # The coroutine.

    def _feed(self) -> None:
        try:
            self._send_all()
        except BaseException as error:
            # It was terminated, at the end of the process perhaps: nobody must wait for ever.
            self._break(error)
            with self._lock:
                self._coro = None
            self._finish()
            raise

    def _send_all(self) -> None:
        try:
            self._begin()
        except Exception as error:
            self._break(error)
        while self._has_work():
            if not self._waiting:
                self._await_news()
                continue
            try:
                ticket = self._claim(self._nothing_waits)
            except _NothingWaits:
                continue
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
            self._coro = None
            closes = self.is_shut
        if closes:
            self._finish()
        return False

    def _await_news(self) -> None:
        self._news = news = Completion()
        with self._lock:
            idle = not self._waiting and self._unfinished
        if idle:
            news.wait()

    def _claim(self, why_not: Callable[[], Exception | None]) -> Ticket:
        """As `Dispatcher.claim`; raises what ``why_not()`` returns as soon as that is an exception."""
        ticket = self.dispatcher.ask(alone=False)
        self._wish = ticket, why_not
        try:
            # After it can be found: whoever makes it unwanted later finds it.
            if not ticket.done:
                self._reconsider()
            return self.dispatcher.await_place(ticket)
        finally:
            self._wish = None

    def _next(self, until: float | None = None) -> WaitingCall | None:
        """The next call that nobody has cancelled, which came until then; from now on nobody can."""
        while (call := self._waiting.take(until)) is not None:
            if not self._drop(call):
                return call
        return None

    def _send_next(self, ticket: Ticket) -> None:
        call = self._next()
        if call is None:
            self.dispatcher.give_up(ticket)
            return
        future, prepared = call.future, call.prepared
        try:
            job = self.dispatcher.submit(ticket, prepared, future.number)
            while job is None:
                ticket = self._claim(self._nobody_cares)
                job = self.dispatcher.submit(ticket, prepared, future.number)
            future.is_sent(job)
            if self._is_abandoned:
                job.cancel()
            self._launcher.queue(job)
        except Exception as error:
            # Whatever kept it from being sent is what became of it.
            self._give_up(future, error)
        except BaseException as error:
            # The coroutine was terminated.
            self._give_up(future, error, concurrent.futures.BrokenExecutor("it was ended while it was sent"))
            raise
        else:
            job.outcome.add_callback(functools.partial(self._teller.tell, future, job))

    def _give_up(self, future: JobFuture, error: BaseException, told: BaseException | None = None) -> None:
        """A call is not sent, because of this; its future is told that, or something else."""
        journal.given_up(future.number, error)
        self._teller.tell(future, error if told is None else told)

    def _fail_overdue(self, error: BaseException) -> None:
        """There was no server for those who wait for so long already."""
        until = native.monotonic() - self._launcher.timeout
        while (call := self._next(until)) is not None:
            self._give_up(call.future, error)

    def _break(self, error: BaseException) -> None:
        """Nothing can be run any more."""
        with self._lock:
            self._broken = self._broken or error
        self._waiting.close()
        while (call := self._next()) is not None:
            self._give_up(call.future, error, concurrent.futures.BrokenExecutor(str(error)))

    def _told(self, failed: bool) -> None:
        if self._display is not None:
            self._display.over(failed)
        self._count_less()

    def _count_less(self) -> None:
        with self._lock:
            self._unfinished -= 1
            is_last = not self._unfinished
        if is_last:
            self._news.set()

    def _finish(self) -> None:
        try:
            if self._display is not None:
                self._display.close()
            self._end()
        finally:
            # Whatever became of that: somebody waits for this.
            with contextlib.suppress(ValueError):  # it was finished before
                self._launcher.on_shortage.remove(self._more_waiting)
            self.dispatcher.close()
            self._teller.end()
            self.ended.set()


def _cancel(futures: Iterable[JobFuture]) -> None:
    for future in futures:
        future.cancel()
