"""What sends the jobs of one computation to its servers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Container, Iterable
from typing import Any

from greencoro.compute.claims import Claims
from greencoro.compute.client import EXPLANATION_SECONDS, Client
from greencoro.compute.client_phase import Phase
from greencoro.compute.job import JobFunction
from greencoro.compute.job_handle import JobHandle, references
from greencoro.compute.job_journal import journal
from greencoro.compute.job_state import Next
from greencoro.compute.scattered import Scattered
from greencoro.compute.server_pool import Server, Where
from greencoro.compute.shipping import Prepared, Shipping
from greencoro.compute.status import CoroInfo, Status
from greencoro.compute.submission import Submission
from greencoro.compute.terms import Terms
from greencoro.compute.unheard import Unheard
from greencoro.errors import (
    BusyResource,
    ComputationClosed,
    ComputeError,
    CoroTerminated,
    DeadlineExceeded,
    MonitorException,
    NoMatchingServer,
    PeerLost,
    PeerUnreachable,
    ServerDied,
)
from greencoro.hub import native, userhub
from greencoro.hub.coroutine import Coro
from greencoro.hub.mailbox import Encoded

__all__ = ["JobLauncher"]


class JobLauncher(Claims):
    """Counts jobs for servers, sends them, and tells each of its end.

    Args:
        shipping: The computation's code.

        terms: Those of the computation.

    Attributes:
        client (Client): The computation.

        shipping (Shipping): As given.

        timeout (float): Longest wait for a server, and for its answer, in seconds.
    """

    def __init__(self, shipping: Shipping, terms: Terms) -> None:
        self.shipping = shipping
        self.timeout = terms.timeout
        self.client = Client(
            shipping, terms, self.servers_changed, self._server_gone, self._computation_over, self.shortage
        )
        self.on_servers = []
        self.on_shortage = []
        self.in_want = {}
        #: By server: the attempts that are under way there, and whose they are.
        self._submissions: dict[str, dict[Submission, JobHandle]] = {}
        #: Jobs between two attempts; the user hub's.
        self._waiting: dict[JobHandle, None] = {}
        #: Jobs with references, and whether the status coroutine is told of their ends: whoever takes one out tells.
        self._untold: dict[JobHandle, bool] = {}
        self._unheard = Unheard()

    def scatter(self, thing: Any) -> Scattered:
        """Send an object to every server; `Computation.scatter` says more."""
        client = self.client
        if client.phase in (Phase.CLOSING, Phase.ENDING, Phase.OVER):
            self.check_open()
        scattered = self.shipping.scatter(thing)
        for server in client.ready() if client.phase is Phase.CURRENT else ():
            client.transport.send_ahead(server)
        return scattered

    def run_at(self, where: Where, function: JobFunction, args: tuple[Any, ...], kwargs: dict[str, Any]) -> JobHandle:
        """Start a job at the least loaded server there; `Computation.run` says what is raised."""
        return self.start_at(where, self.prepare_once(function, args, kwargs), native.monotonic() + self.timeout)

    def call_at(self, where: Where, function: JobFunction, args: tuple[Any, ...], kwargs: dict[str, Any]) -> JobHandle:
        """As `run_at`, without a reference and without a wait for the server's answer; retries are allowed."""
        prepared = self.shipping.prepare(function, args, kwargs)
        number, server = self._claim_new(prepared, where, native.monotonic() + self.timeout)
        job = self.submit(server, prepared, again=functools.partial(self._send_to, where), number=number)
        self.queue(job)
        return job

    def prepare_once(self, function: JobFunction, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Prepared:
        """A call for a job to which there will be a reference.

        Raises:
            PackagingError: It cannot be shipped.

            TypeError: The function does not take these arguments, or is to be retried.
        """
        prepared = self.shipping.prepare(function, args, kwargs)
        if prepared.retries:
            raise TypeError(
                f"{prepared.name} is to be retried, and a reference is to one attempt: "
                "use execute, map_results or whatever else waits for results"
            )
        return prepared

    def start_at(self, where: Where, prepared: Prepared, deadline: float) -> JobHandle:
        """As `run_at`, with a call made ready by `prepare_once`."""
        ending: set[str] = set()
        while True:
            number, server = self._claim_new(prepared, where, deadline, ending)
            job = self.submit(server, prepared, number=number)
            try:
                self.start(job, deadline)
            except ComputationClosed:
                # Where the computation is open, it is the server that takes no more, before this side has heard so.
                self.check_open()
                ending.add(server.id)
            else:
                return job

    def _claim_new(
        self, prepared: Prepared, where: Where, deadline: float, but: Container[str] = ()
    ) -> tuple[int, Server]:
        """The number of a new job, and a server for which it was counted."""
        number = journal.submitted(prepared.name, why="for a server")
        try:
            return number, self.claim(number, where, deadline, but)
        except BaseException as error:
            journal.given_up(number, error)
            raise

    def submit(
        self,
        server: Server,
        prepared: Prepared,
        lane: str | None = None,
        again: Callable[[JobHandle], object] | None = None,
        *,
        number: int,
    ) -> JobHandle:
        """A job for a server for which it was counted; `start` or `queue` sends it there.

        Args:
            number (int): In the journal, where it was submitted.

            again: Called with it in a coroutine of its own when it is to be sent to another server, because that one
                is lost or has handed it back: to claim one, which may wait, and call `submit_again` and `queue`. It
                raises what they do, and that is the outcome. None: any server will do.

        Raises:
            BusyResource: The server takes no more; it is not counted any more.
        """
        job = JobHandle(number, prepared, lane, again or functools.partial(self._send_to, None), self.withdraw)
        self.submit_again(job, server)
        return job

    def submit_again(self, job: JobHandle, server: Server) -> bool:
        """As `submit`, for a job that no server has; False where it is over already, and not counted any more."""
        number = job.sent(server)
        if number is None:
            self.count_less(server)
            return False
        on_over = functools.partial(self._attempt_over, job, number)
        try:
            attempt = self.client.transport.open(server, job.call, on_over, job.lane)
        except BaseException as error:
            self.count_less(server)
            job.not_sent(number, error)
            raise
        job.attempt = attempt
        self._submissions.setdefault(server.id, {})[attempt] = job
        # After it can be found: whoever comes later finds it.
        if server.is_gone:
            userhub.post(attempt.server_gone, server.explanation)
        elif self.client.phase is not Phase.CURRENT:
            userhub.post(self._end_attempt, attempt)
        return True

    def start(self, job: JobHandle, deadline: float) -> None:
        """Have the server start the job, and wait for its answer; then the job has its reference."""
        self._untold[job] = self.client.feed.is_heard
        attempt, call = _attempt_of(job), job.call
        if job.outcome.done:
            # It was ended meanwhile, and of its call nothing is left that could be sent.
            self._untold.pop(job, None)
            raise job.notice().error or CoroTerminated(f"{job.name} was cancelled before it had begun")
        try:
            coro = self.client.transport.start(attempt, deadline)
        except DeadlineExceeded as error:
            self.client.transport.withdraw(attempt)
            self._fail(job, error)
            raise
        except (PeerLost, PeerUnreachable) as error:
            self._untold.pop(job, None)
            # How its process ended is being found out.
            if not attempt.outcome.wait(EXPLANATION_SECONDS + self.timeout):
                location, name = attempt.server.location, attempt.name
                lost = ServerDied(f"the server process for {name} ({location}) cannot be reached any more: {error}")
                userhub.post(attempt.fail, lost)
                raise lost from None
            raise attempt.notice().error or ComputationClosed("the job was not started") from None
        except BaseException as error:
            self._fail(job, error)
            raise
        self._tell(Status(Status.CoroCreated, CoroInfo(coro, call.args, call.kwargs, native.wall_clock())))
        attempt.coro = coro
        journal.begun(job.number, str(coro))
        self._tell_end(job)  # where it came before there was a reference
        self._withdraw_if_cancelled(job, attempt)

    def queue(self, job: JobHandle) -> None:
        """Have the server run the job when those before it in its lane are over; whatever comes is the outcome.

        Raises:
            PackagingError: It has an argument that was scattered, and is freed.

            DeadlineExceeded: The server did not take what the job relies on.

            BusyResource: There was no room on the way to the server.
        """
        attempt = _attempt_of(job)
        if job.outcome.done:
            return  # it was ended with its computation
        try:
            self.client.transport.queue(attempt)
        except (PeerLost, PeerUnreachable):
            return  # of its end the job hears by itself
        except BaseException as error:
            self._fail(job, error)
            raise
        self._withdraw_if_cancelled(job, attempt)

    def _withdraw_if_cancelled(self, job: JobHandle, attempt: Submission) -> None:
        # While it was being sent there was nothing at the server yet that could be ended.
        if job.is_cancelled and not job.outcome.done:
            self.client.transport.withdraw(attempt)

    def _fail(self, job: JobHandle, error: BaseException) -> None:
        self._untold.pop(job, None)
        userhub.post(_attempt_of(job).fail, error)

    # Ending jobs.

    def withdraw(self, job: JobHandle) -> None:
        """Have a job terminated, or not started; there is no other attempt."""
        what = job.cancelled()
        if what is Next.WITHDRAW and job.attempt is not None:
            self.client.transport.withdraw(job.attempt)
        elif what is Next.TERMINATE:
            userhub.post(self._terminated, job)

    def cancel(self, which: JobHandle | Coro | Iterable[JobHandle | Coro] | None = None) -> int:
        """End jobs; `Computation.cancel` says how."""
        mine = self._under_way()
        by_coro = {job.coro: job for job in mine if job.coro is not None}
        jobs: list[JobHandle] = []
        for each in mine if which is None else references(which):
            job = by_coro.get(each) if isinstance(each, Coro) else each
            if job is not None:
                jobs.append(job)
        return sum(job.cancel() for job in jobs)

    @property
    def counts(self) -> tuple[int, int]:
        """How many jobs servers have, and how many wait because there is no server for them."""
        return sum(map(len, list(self._submissions.values()))), len(self.in_want) + self._more_in_want()

    def _under_way(self) -> list[JobHandle]:
        """The jobs that some server has, and those that wait for another one."""
        jobs = [job for here in list(self._submissions.values()) for job in list(here.values())]
        return [*jobs, *self._waiting]

    # What becomes of servers and jobs; on the user hub.

    def _server_gone(self, server: Server) -> None:
        for attempt in list(self._submissions.pop(server.id, {})):
            attempt.server_gone(server.explanation)

    def _computation_over(self) -> None:
        for attempts in list(self._submissions.values()):
            for attempt in list(attempts):
                self._end_attempt(attempt)
        for job in list(self._waiting):
            job.give_up(ComputationClosed(f"the computation was closed before {job.name} was over"))
        # Behind what the ends of those have posted.
        userhub.post(self._unheard.close)

    def _end_attempt(self, attempt: Submission) -> None:
        ended = self.client.ended
        if ended is not None and ended.lost:
            attempt.server_gone(f"was given up, for its scheduler is lost: {ended.reason}")
        else:
            attempt.computation_closed(self.client.reason if ended is None else ended.reason)

    def _attempt_over(self, job: JobHandle, number: int, attempt: Submission) -> None:
        server = attempt.server
        here = self._submissions.get(server.id)
        if here is not None:
            here.pop(attempt, None)
            if server.is_gone and not here:
                self._submissions.pop(server.id, None)
        self.count_less(server)
        if attempt.is_handed_back:
            with self.client.lock:
                self.client.pool.hands_back(server)
        what = job.attempt_over(number, attempt)
        if what is Next.FINISH:
            self._finish(job, attempt.outcome.value)
        elif what is Next.TERMINATE:
            self._terminated(job)
        elif self.client.phase is not Phase.CURRENT and what is Next.AGAIN:
            journal.lost(job.number, attempt.loss, "for another server")
            job.give_up(_final_error(attempt, ComputationClosed("the computation is closed")))
        elif what is Next.AGAIN:
            self._waiting[job] = None
            journal.lost(job.number, attempt.loss, "for another server")
            self.client.runtime.spawn(self._send_again, job, attempt).set_daemon()

    def _finish(self, job: JobHandle, notice: Any) -> None:
        if job.finish(notice):
            self._tell_end(job)

    def _terminated(self, job: JobHandle) -> None:
        self._finish(job, MonitorException(job.coro, "terminated"))

    # Another attempt; in a coroutine of its own.

    def _send_again(self, job: JobHandle, before: Submission) -> None:
        """Send a job whose server was lost, or has handed it back, to another one."""
        try:
            if not before.is_handed_back:
                self._await_end(before)
            job.again(job)
        except (ComputeError, BusyResource, DeadlineExceeded, CoroTerminated) as error:
            job.give_up(_final_error(before, error))
        finally:
            self._waiting.pop(job, None)

    def _send_to(self, where: Where, job: JobHandle) -> None:
        server = self.claim(job.number, where, native.monotonic() + self.timeout)
        if self.submit_again(job, server):
            self.queue(job)

    def _await_end(self, attempt: Submission) -> None:
        """Be certain that a lost attempt does not run any more, so that there are never two at a time (J2)."""
        self.client.transport.withdraw(attempt)
        if not attempt.wait_until_silent(self.timeout):
            raise NoMatchingServer(f"it may still run at {attempt.server.location}")

    def _tell(self, message: Any) -> None:
        userhub.post(self.client.feed.tell, message)

    def _tell_end(self, job: JobHandle) -> None:
        """Tell of a job's end, once it has ended and its reference is there."""
        if job.outcome.done and job.coro is not None:
            try:
                is_heard = self._untold.pop(job)
            except KeyError:
                return
            if is_heard:
                self._tell(_EndOfJob(job))
            else:
                userhub.post(self._unheard.over, job.coro, job.outcome.value)


class _EndOfJob(Encoded):
    """The notice of a job's end in a mailbox; opened by its receiver, for it holds the job's result."""

    __slots__ = ("_job",)

    def __init__(self, job: JobHandle) -> None:
        self._job = job

    def decode(self) -> tuple[bool, Any]:
        return True, self._job.notice()


def _attempt_of(job: JobHandle) -> Submission:
    """That of a job that was submitted."""
    assert job.attempt is not None
    return job.attempt


def _final_error(last: Submission, error: BaseException) -> BaseException:
    """What a job is told that could not be sent once more."""
    if last.is_handed_back:
        return error
    lost: BaseException = last.outcome.value.error
    lost.add_note(f"It was not run again: {error}")
    return lost
