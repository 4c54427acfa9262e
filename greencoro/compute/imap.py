"""Many elements on their way through the servers of a scheduler."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from greencoro.compute.dispatcher import Dispatcher, Ticket, cancelled
from greencoro.compute.job import Job
from greencoro.compute.job_handle import JobHandle
from greencoro.compute.shipping import Prepared
from greencoro.errors import BusyResource, DeadlineExceeded, PackagingError
from greencoro.hub import forks
from greencoro.hub.completion import Completion

__all__ = ["Flow", "result_or_error"]


class _Element:
    """One element, from being taken out of the input to being handed out."""

    __slots__ = ("failure", "job", "prepared")

    def __init__(self) -> None:
        self.prepared: Prepared | None = None
        self.job: JobHandle | None = None
        #: Why it was not sent.
        self.failure: Exception | None = None

    @property
    def is_over(self) -> bool:
        return self.failure is not None or (self.job is not None and self.job.outcome.done)


class Flow:
    """Runs a function once for each element; iterating over it gives what each came to.

    An element is taken out of the input only when there is room for it: at a server, and among those whose results
    nobody has taken yet. What is under way when it is closed is ended.

    Args:
        dispatcher: What gives places to jobs.

        job (Job): The function.

        iterable: The elements: a tuple is spread to arguments, anything else is the one argument.

        limit: Says how many elements may be out of the input whose results nobody has taken; None: any number.

        ordered (bool): In the order of the input, or as they come?
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        job: Job,
        iterable: Iterable[Any],
        limit: Callable[[], int] | None,
        ordered: bool,
    ) -> None:
        self._dispatcher = dispatcher
        self._job = job
        self._input = iter(iterable)
        self._limit = limit
        self._ordered = ordered
        self._cancels = dispatcher.cancels
        #: Those that were taken out and not handed out yet, in that order.
        self._elements: dict[_Element, None] = {}
        #: Those of them that want a place at a server.
        self._unsent: deque[_Element] = deque()
        #: Where the order does not matter: those of them that are over; filled by the user hub.
        self._over: deque[_Element] = deque()
        self._ticket: Ticket | None = None
        self._is_exhausted = False
        #: Set when there is something to be done.
        self._news = Completion()

    def __iter__(self) -> Iterator[Any]:
        try:
            while True:
                self._fill()
                element = self._next_over()
                if element is not None:
                    del self._elements[element]
                    yield _result(element)
                elif not self._elements and self._is_exhausted:
                    return
                else:
                    self._wait()
        finally:
            self._abandon()

    def _fill(self) -> None:
        """Send what there is room for, without waiting for more."""
        while self._wants_place():
            if self._ticket is None:
                self._ticket = self._dispatcher.ask(alone=False)
                if not self._ticket.done:
                    self._ticket.add_callback(self._tell)
            if not self._ticket.done:
                return
            ticket, self._ticket = self._ticket, None
            ticket.result()
            self._send(self._unsent.popleft(), ticket)

    def _wants_place(self) -> bool:
        """Is there an element to be sent? Takes one out of the input where there is none left."""
        if self._dispatcher.cancels != self._cancels:
            raise cancelled()
        while not self._unsent:
            if self._is_exhausted or (self._limit is not None and len(self._elements) >= self._limit()):
                return False
            try:
                value = next(self._input)
            except StopIteration:
                self._is_exhausted = True
                return False
            self._take(value)
        return True

    def _take(self, value: Any) -> None:
        element = _Element()
        self._elements[element] = None
        try:
            element.prepared = self._dispatcher.prepare(self._job, value if type(value) is tuple else (value,), {})
        except Exception as error:
            self._fail(element, error)  # of the arguments: the function itself was fine
        else:
            self._unsent.append(element)

    def _send(self, element: _Element, ticket: Ticket) -> None:
        assert element.prepared is not None
        try:
            job = self._dispatcher.submit(ticket, element.prepared)
            if job is None:
                self._unsent.appendleft(element)
                return
            self._dispatcher.launcher.queue(job)
        except (PackagingError, BusyResource, DeadlineExceeded) as error:
            self._fail(element, error)
            return
        element.job = job
        job.outcome.add_callback(functools.partial(self._came, element))

    def _fail(self, element: _Element, error: Exception) -> None:
        element.failure = error
        self._came(element)

    def _came(self, element: _Element) -> None:
        # Who waits for the first one is not woken for each of the others.
        if not self._ordered:
            self._over.append(element)
        elif element is not self._first():
            return
        self._tell()

    def _tell(self) -> None:
        self._news.set()

    def _first(self) -> _Element | None:
        return next(iter(self._elements), None)

    def _next_over(self) -> _Element | None:
        """The next element to be handed out, where it is over."""
        if not self._ordered:
            return self._over.popleft() if self._over else None
        first = self._first()
        return first if first is not None and first.is_over else None

    def _wait(self) -> None:
        """Until there is something to be done."""
        forks.refuse()
        self._news = news = Completion()
        is_granted = self._ticket is None or self._ticket.done
        first = self._first() if self._ordered else None
        if self._over or (self._unsent and is_granted) or (first is not None and first.is_over):
            return  # it came before it could have been told
        news.wait()

    def _abandon(self) -> None:
        if forks.is_child():
            return
        if self._ticket is not None:
            self._dispatcher.give_up(self._ticket)
        for element in self._elements:
            if element.job is not None:
                element.job.cancel()


def _result(element: _Element) -> Any:
    """What it came to: the result, or the exception."""
    if element.failure is not None:
        return element.failure
    assert element.job is not None
    return result_or_error(element.job)


def result_or_error(job: JobHandle) -> Any:
    """The result of a job that is over, or the exception that says why there is none."""
    try:
        return job.result()
    except BaseException as error:
        # What a job raised is its outcome, be it SystemExit; what ends this coroutine or program is not.
        if not isinstance(error, Exception) and error is not job.notice().error:
            raise
        return error
