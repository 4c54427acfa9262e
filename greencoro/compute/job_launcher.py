"""What sends the jobs of one computation to its servers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from greencoro.compute.client import EXPLANATION_SECONDS, Client
from greencoro.compute.client_state import Phase
from greencoro.compute.placement import Candidate, least_loaded
from greencoro.compute.server_pool import Server, Where
from greencoro.compute.shipping import Prepared, Shipping
from greencoro.compute.status import CoroInfo, Status
from greencoro.compute.submission import Submission
from greencoro.errors import (
    ComputationClosed,
    DeadlineExceeded,
    NoMatchingServer,
    PeerLost,
    PeerUnreachable,
    ServerDied,
)
from greencoro.hub import native, userhub
from greencoro.hub.completion import Completion
from greencoro.hub.mailbox import Encoded

__all__ = ["JobLauncher"]


class JobLauncher:
    """Counts jobs for servers, sends them, and tells each of its end.

    Args:
        shipping: The computation's code.

        timeout (float): Longest wait for a server, and for its answer, in seconds.

    Attributes:
        client (Client): The computation.

        shipping (Shipping), timeout (float): As given.
    """

    def __init__(self, shipping: Shipping, timeout: float) -> None:
        self.shipping = shipping
        self.timeout = timeout
        self.client = Client(shipping, timeout, self._servers_changed, self._server_gone, self._computation_over)
        #: Called on the user hub when servers are ready or gone.
        self.on_servers: list[Callable[[], Any]] = []
        #: By server.
        self._submissions: dict[str, dict[Submission, None]] = {}
        #: Jobs whose end the status coroutine is to be told: whoever takes one out tells.
        self._untold: dict[Submission, None] = {}

    def run_at(
        self, where: Where, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Submission:
        """Start a job at the least loaded server there; `Computation.run` says what is raised."""
        prepared = self.shipping.prepare(function, args, kwargs)
        deadline = native.monotonic() + self.timeout
        submission = self.submit(self.claim(where, deadline), prepared)
        self.start(submission, deadline)
        return submission

    def claim(self, where: Where, deadline: float) -> Server:
        """Count a job for a server there, waiting for one."""
        while True:
            changed = Completion()
            with self._listening(changed.set):
                server = self.assign(least_loaded, where)
                if server is not None:
                    return server
                if not changed.wait(deadline - native.monotonic()):
                    raise self.no_server(where)

    @contextlib.contextmanager
    def _listening(self, callback: Callable[[], Any]) -> Iterator[None]:
        self.on_servers.append(callback)
        try:
            yield
        finally:
            self.on_servers.remove(callback)

    def no_server(self, where: Where = None) -> NoMatchingServer:
        """What a job raises that has waited in vain."""
        there = "" if where is None else f" at {where}"
        others = [server.location for server in self.client.ready()]
        why = f"there are {', '.join(map(str, others))}" if others else self.client.link.why_no_server()
        return NoMatchingServer(f"no server{there} within {self.timeout:g} s: {why}")

    def assign(self, choose: Callable[[Iterable[Candidate]], str | None], where: Where = None) -> Server | None:
        """Count a job for the server there that ``choose`` picks, if it does."""
        self._check_open()
        with self.client.lock:
            pool = self.client.pool
            server = choose(pool.candidates(where))
            return None if server is None else pool.job_started(server)

    def submit(self, server: Server, prepared: Prepared, lane: str | None = None) -> Submission:
        """A job for a server for which it was counted.

        Raises:
            BusyResource: The server takes no more; it is not counted any more.
        """
        try:
            submission = self.client.transport.open(server, prepared, self._job_over, lane)
        except BaseException:
            self._count_less(server)
            raise
        self._submissions.setdefault(server.id, {})[submission] = None
        # After it can be found: whoever comes later finds it.
        if server.is_gone:
            userhub.post(submission.server_gone, server.explanation)
        elif self.client.over.done:
            userhub.post(submission.computation_closed, self.client.over.value)
        return submission

    def start(self, submission: Submission, deadline: float) -> None:
        """Have the server start the job, and wait for its answer; then the submission has its reference."""
        if self.client.feed.is_heard:
            self._untold[submission] = None
        try:
            coro = self.client.transport.start(submission, deadline)
        except DeadlineExceeded as error:
            self.withdraw(submission)
            self._cancel(submission, error)
            raise
        except (PeerLost, PeerUnreachable) as error:
            self._untold.pop(submission, None)
            # How its process ended is being found out.
            if not submission.outcome.wait(EXPLANATION_SECONDS + self.timeout):
                location, name = submission.server.location, submission.name
                lost = ServerDied(f"the server process for {name} ({location}) cannot be reached any more: {error}")
                userhub.post(submission.fail, lost)
                raise lost from None
            raise submission.notice().error or ComputationClosed("the job was not started") from None
        except BaseException as error:
            self._cancel(submission, error)
            raise
        call = submission.call
        self._tell(Status(Status.CoroCreated, CoroInfo(coro, call.args, call.kwargs, native.wall_clock())))
        submission.coro = coro
        self._tell_end(submission)  # where it came before there was a reference

    def queue(self, submission: Submission) -> None:
        """Have the server run the job when those before it in its lane are over; whatever comes is the outcome.

        Raises:
            PackagingError: Its arguments are larger than a message may be.

            BusyResource: There was no room on the way to the server.
        """
        try:
            self.client.transport.queue(submission)
        except (PeerLost, PeerUnreachable):
            return  # of its end the submission hears by itself
        except BaseException as error:
            self._cancel(submission, error)
            raise

    def withdraw(self, submission: Submission) -> None:
        """Have a job terminated, or not started."""
        self.client.transport.withdraw(submission)

    def _cancel(self, submission: Submission, error: BaseException) -> None:
        self._untold.pop(submission, None)
        userhub.post(submission.fail, error)

    def _check_open(self) -> None:
        phase = self.client.phase
        if phase in (Phase.NEW, Phase.ASKED, Phase.QUEUED):
            raise ComputationClosed("the computation is not scheduled: call schedule(), or use it in a with statement")
        if phase is not Phase.CURRENT:
            raise ComputationClosed("the computation is closed")

    # What becomes of servers and jobs; on the user hub.

    def _server_gone(self, server: Server) -> None:
        for submission in list(self._submissions.pop(server.id, {})):
            submission.server_gone(server.explanation)

    def _computation_over(self, reason: str) -> None:
        for submissions in list(self._submissions.values()):
            for submission in list(submissions):
                submission.computation_closed(reason)

    def _servers_changed(self) -> None:
        for callback in tuple(self.on_servers):
            callback()

    def _job_over(self, submission: Submission) -> None:
        server = submission.server
        here = self._submissions.get(server.id)
        if here is not None:
            here.pop(submission, None)
            if server.is_gone and not here:
                self._submissions.pop(server.id, None)
        self._count_less(server)
        self._tell_end(submission)

    def _count_less(self, server: Server) -> None:
        with self.client.lock:
            self.client.pool.job_over(server)

    def _tell(self, message: Any) -> None:
        userhub.post(self.client.feed.tell, message)

    def _tell_end(self, submission: Submission) -> None:
        """Tell the status coroutine of a job's end, once it has ended and its reference is there."""
        if submission.outcome.done and submission.coro is not None:
            try:
                del self._untold[submission]
            except KeyError:
                return
            self._tell(_EndOfJob(submission))


class _EndOfJob(Encoded):
    """The notice of a job's end in a mailbox; opened by its receiver, for it holds the job's result."""

    __slots__ = ("_submission",)

    def __init__(self, submission: Submission) -> None:
        self._submission = submission

    def decode(self) -> tuple[bool, Any]:
        return True, self._submission.notice()
