"""Computation: what a client declares once, and the calls that run its jobs on servers."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any

from greencoro import compute
from greencoro.compute.placement import Candidate, least_loaded
from greencoro.compute.scheduler import Scheduler, current_scheduler
from greencoro.compute.scheduler_state import SchedulerState
from greencoro.compute.shipping import Prepared, Shipping
from greencoro.compute.status import CoroInfo, Status
from greencoro.compute.submission import Submission
from greencoro.distributed.link import PeerInfo
from greencoro.distributed.location import Location
from greencoro.distributed.runtime import Runtime
from greencoro.errors import (
    BusyResource,
    ComputationClosed,
    ComputeError,
    DeadlineExceeded,
    NoMatchingServer,
    PackagingError,
    PeerLost,
    PeerUnreachable,
)
from greencoro.hub import native, userhub
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from greencoro.hub.mailbox import Encoded

__all__ = ["Computation"]

_log = logging.getLogger(__name__)

#: Beyond the nodes' own limit for ending their servers.
_CLOSE_SECONDS = 15.0
#: After this long `schedule` says what it waits for.
_SAY_AFTER_SECONDS = 3.0
#: More than what travels beside the arguments of a job.
_HEADER_BYTES = 16 * 1024

Where = str | Location | None


class Computation:
    """Functions, and what they need, to be run as coroutines on the servers that a scheduler finds.

    All jobs at one server share its modules and their globals. Every method may be called from any thread or coroutine.
    Usable as a context manager: it is scheduled on entry and closed at the end.

    Args:
        components (list): Functions, classes, modules, packages, or paths of files, that are sent to every server
            before jobs run there. What a job's function refers to by itself is sent anyway.

        status_coro (Coro | None): Is sent a `Status` at every change of nodes, servers and jobs, and the
            `MonitorException` of every job of `run` and `run_at`. May be set until `schedule`.

        timeout (float | None): Longest wait for a server, and for its answer, in seconds; None:
            `greencoro.compute.MsgTimeout`.

    Raises:
        PackagingError: A component cannot be shipped.

        ValueError: The timeout is not positive.
    """

    def __init__(
        self, components: Sequence[Any] | Any = (), status_coro: Coro | None = None, timeout: float | None = None
    ) -> None:
        self.timeout = float(compute.MsgTimeout if timeout is None else timeout)
        if not self.timeout > 0:
            raise ValueError(f"the timeout is a positive number of seconds, not {timeout!r}")
        if status_coro is not None and not isinstance(status_coro, Coro):
            raise TypeError(f"status_coro is a coroutine, not {status_coro!r}")
        self.status_coro = status_coro
        self._shipping = Shipping(components if isinstance(components, list | tuple) else [components])
        self._scheduler: Scheduler | None = None
        self._number = 0
        self._token = ""
        self._begun = Completion()
        self._closing = False
        self._ended = Completion()
        #: Called on the user hub with the id of a server that is ready or gone.
        self._on_servers: list[Callable[[str], Any]] = []
        self._submissions: dict[Submission, None] = {}
        #: Jobs whose end the status coroutine is to be told: whoever takes one out tells.
        self._untold: dict[Submission, None] = {}
        #: Server -> where it was and how it ended.
        self._gone: dict[str, tuple[Any, str]] = {}

    def __enter__(self) -> Computation:
        self.schedule()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Its life.

    def schedule(self) -> int:
        """Wait for this computation's turn at the process's scheduler.

        Returns:
            int: 0: from now on servers are set up for it, and jobs can be run.

        Raises:
            ComputeError: There is no `Scheduler`, or it was scheduled before.

            ComputationClosed: It was closed meanwhile.
        """
        scheduler = current_scheduler()
        if scheduler is None:
            raise ComputeError("there is no scheduler in this process: make a Scheduler or a LocalCluster first")
        if self._scheduler is not None:
            raise ComputeError("a computation is scheduled once: make another")
        self._scheduler = scheduler
        self._number, self._token = scheduler.submit(self)
        try:
            self._wait_for_turn()
        except BaseException:
            scheduler.give_up(self._number)
            raise
        if self._ended.done:
            raise ComputationClosed("the computation was closed before its turn came")
        return 0

    def _wait_for_turn(self) -> None:
        """Until this is the scheduler's current computation; after a few seconds it is said what is waited for."""
        if self._begun.wait(_SAY_AFTER_SECONDS):
            return
        waiting = "a computation waits for its turn: another one of this process is open, close() that first"
        if sys.stderr is not None and sys.stderr.isatty():
            print(f"greencoro: {waiting}", file=sys.stderr, flush=True)
        else:
            _log.warning("%s", waiting)
        self._begun.wait()

    def close(self) -> None:
        """End what still runs and give the servers back; where it is not scheduled, nothing.

        When it returns, whoever waits for a job has got `ComputationClosed`, and the server processes have ended, with
        their files. Where a node does not say that within 15 seconds, a WARNING does not leave that unsaid.
        """
        if self._scheduler is None:
            return
        self._closing = True
        self._scheduler.give_up(self._number)
        if not self._ended.wait(_CLOSE_SECONDS):
            _log.warning(
                "the computation is closed, but not every node has said within %g s that its servers have ended",
                _CLOSE_SECONDS,
            )

    # Where it runs.

    def nodes(self) -> list[str]:
        """The addresses of the nodes that have a server ready for this computation."""
        return [] if not self._is_open() else self._look(SchedulerState.ready_addresses)

    def servers(self) -> list[Location]:
        """The locations of the servers that are ready for this computation."""
        return [] if not self._is_open() else self._look(SchedulerState.ready_locations)

    # Jobs.

    def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Coro:
        """Run ``function(*args, **kwargs)`` as a coroutine at the least loaded server of the least loaded node.

        It does not matter how many run there already; see `RemoteCoroScheduler` for jobs that compute.

        Returns:
            Coro: A reference; its `value` waits for the result.

        Raises:
            PackagingError: The function, or an argument, cannot be shipped; the message names the path to the culprit.

            TypeError: The function does not take these arguments.

            NoMatchingServer: There was no server within the computation's timeout; the message says what was tried.

            DeadlineExceeded: The server did not answer in time; the job will not start, or is terminated.

            ComputationClosed: It is not scheduled, or closed.
        """
        return self.run_at(None, function, *args, **kwargs)

    def run_at(self, where: Where, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Coro:
        """As `run`, at a given place.

        Args:
            where: The `Location` of a server; the address of a node, for its least loaded server; None for `run`.

        Raises:
            As `run`.
        """
        coro: Coro = self._run_at(where, function, args, kwargs).coro
        return coro

    # What jobs.py builds on.

    def _run_at(
        self, where: Where, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Submission:
        prepared = self._shipping.prepare(function, args, kwargs)
        deadline = native.monotonic() + self.timeout
        submission = self._submit(self._claim(where, deadline), prepared)
        self._start(submission, prepared, None, deadline)
        return submission

    def _claim(self, where: Where, deadline: float) -> str:
        """Count a job for a server there, waiting for one; its id."""

        def choose(state: SchedulerState, candidates: Iterable[Candidate]) -> str | None:
            if isinstance(where, Location):
                candidates = (each for each in candidates if state.location_of(each.server) == where)
            elif where is not None:
                candidates = (each for each in candidates if state.address_of(each.server) == where)
            return least_loaded(candidates)

        while True:
            changed = Completion()
            with self._listening(changed.set):
                server = self._assign(choose)
                if server is not None:
                    return server
                if not changed.wait(deadline - native.monotonic()):
                    raise self._no_server(where)

    @contextlib.contextmanager
    def _listening(self, callback: Callable[[str], Any]) -> Iterator[None]:
        self._on_servers.append(callback)
        try:
            yield
        finally:
            self._on_servers.remove(callback)

    def _no_server(self, where: Where = None) -> NoMatchingServer:
        assert self._scheduler is not None
        there = "" if where is None else f" at {where}"
        others = self.servers()
        why = f"there are {', '.join(map(str, others))}" if others else self._scheduler.why_no_server()
        return NoMatchingServer(f"no server{there} within {self.timeout:g} s: {why}")

    def _assign(self, choose: Callable[[SchedulerState, Iterable[Candidate]], str | None]) -> str | None:
        scheduler = self._check_open()

        def only_mine(state: SchedulerState, candidates: Iterable[Candidate]) -> str | None:
            return choose(state, candidates) if state.current == self._number else None

        return scheduler.assign(only_mine)

    def _submit(self, server: str, prepared: Prepared) -> Submission:
        """A submission to a server for which a job was counted."""
        assert self._scheduler is not None
        scheduler = self._scheduler
        submission = Submission(scheduler.runtime, scheduler.peer_of(server), server, prepared.name, self._job_over)
        self._submissions[submission] = None
        if server in self._gone:
            userhub.post(submission.server_gone, *self._gone[server])
        elif self._ended.done:
            userhub.post(submission.computation_closed)
        return submission

    def _start(self, submission: Submission, prepared: Prepared, lane: str | None, deadline: float) -> None:
        """Have the server start the job, and wait for its answer; then the submission has its reference."""
        runtime, peer = self._runtime, submission.peer
        if self.status_coro is not None:
            self._untold[submission] = None
        try:
            if peer is None:
                raise PeerLost("the server was gone before")
            header = self._header(submission, prepared, peer, lane)
            timeout = max(0.0, deadline - native.monotonic())
            reply = runtime.request(peer, "server.run", header, [prepared.arguments], timeout).header
        except DeadlineExceeded:
            self._withdraw(submission)
            self._cancel(submission)
            raise
        except (PeerLost, PeerUnreachable):
            # How its process ended is being found out.
            submission.outcome.wait()
            raise submission.notice().error or ComputationClosed("the job was not started") from None
        except BaseException:
            self._cancel(submission)
            raise
        coro = runtime.reference(peer, reply["id"], reply["name"], submission)  # type: ignore[arg-type]
        self._tell(Status(Status.CoroCreated, CoroInfo(coro, prepared.args, prepared.kwargs, native.wall_clock())))
        submission.coro = coro
        self._tell_end(submission)  # where it came before there was a reference

    def _queue(self, submission: Submission, prepared: Prepared, lane: str) -> None:
        """Have the server run the job when those before it in its lane are over; whatever comes is the outcome.

        Raises:
            PackagingError: Its arguments are larger than a message may be.
        """
        peer = submission.peer
        if peer is None:
            return  # of its end the submission hears by itself, here and below
        try:
            header = self._header(submission, prepared, peer, lane)
            self._runtime.post(peer, "server.queue", header, [prepared.arguments])
        except (PeerLost, PeerUnreachable):
            return
        except BaseException:
            self._cancel(submission)
            raise

    def _withdraw(self, submission: Submission) -> None:
        """Have a job terminated, or not started."""
        if submission.peer is not None:
            header = {"token": self._token, "watch": submission.id}
            try:
                self._runtime.post(submission.peer, "server.withdraw", header)
            except BusyResource as error:
                _log.warning("a job is not withdrawn: %s", error)

    def _header(self, submission: Submission, prepared: Prepared, peer: PeerInfo, lane: str | None) -> dict[str, Any]:
        limit, size = self._runtime.settings.max_message_bytes, len(prepared.arguments)
        if size + _HEADER_BYTES > limit:
            raise PackagingError(f"the arguments of {prepared.name} take {size} bytes; max_message_bytes is {limit}")
        header = {
            "token": self._token,
            "packages": self._shipping.send(self._runtime, peer, self._token, prepared.packages),
            "entry": prepared.entry,
            "name": prepared.name,
            "watch": submission.id,
        }
        if lane is not None:
            header["lane"] = lane
        return header

    def _cancel(self, submission: Submission) -> None:
        self._untold.pop(submission, None)
        userhub.post(submission.computation_closed)

    @property
    def _runtime(self) -> Runtime:
        assert self._scheduler is not None
        return self._scheduler.runtime

    def _check_open(self) -> Scheduler:
        scheduler = self._scheduler
        if scheduler is None or not self._begun.done:
            raise ComputationClosed("the computation is not scheduled: call schedule(), or use it in a with statement")
        if not self._is_open():
            raise ComputationClosed("the computation is closed")
        return scheduler

    def _is_open(self) -> bool:
        return self._begun.done and not self._closing and not self._ended.done

    def _look(self, question: Callable[[SchedulerState], Any]) -> Any:
        assert self._scheduler is not None
        return self._scheduler.look(lambda state: question(state) if state.current == self._number else [])

    # What the scheduler tells; on the user hub.

    def _has_begun(self) -> None:
        self._begun.set()

    def _has_ended(self) -> None:
        self._ended.set()
        self._begun.set()  # where its turn never came
        for submission in list(self._submissions):
            submission.computation_closed()
        self._servers_changed("")

    def _set_up(self, server: str, peer: PeerInfo) -> None:
        self._shipping.set_up(self._runtime, peer, self._token, self.timeout)

    def _server_ready(self, server: str) -> None:
        self._servers_changed(server)

    def _server_gone(self, server: str, location: Any, explanation: str) -> None:
        self._gone[server] = location, explanation
        for submission in list(self._submissions):
            if submission.server == server:
                submission.server_gone(location, explanation)
        self._servers_changed(server)

    def _servers_changed(self, server: str) -> None:
        for callback in tuple(self._on_servers):
            callback(server)

    def _job_over(self, submission: Submission) -> None:
        self._submissions.pop(submission, None)
        assert self._scheduler is not None
        self._scheduler.job_over(submission.server)
        self._tell_end(submission)

    def _tell(self, status: Status) -> None:
        if self.status_coro is not None:
            self.status_coro.send(status)

    def _tell_end(self, submission: Submission) -> None:
        """Tell the status coroutine of a job's end, once it has ended and its reference is there."""
        if not submission.outcome.done or submission.coro is None:
            return
        status_coro = self.status_coro
        if status_coro is not None and submission in self._untold:
            try:
                del self._untold[submission]
            except KeyError:
                return
            status_coro.put_past_limit(_EndOfJob(submission))


class _EndOfJob(Encoded):
    """The notice of a job's end in a mailbox; opened by its receiver, for it holds the job's result."""

    __slots__ = ("_submission",)

    def __init__(self, submission: Submission) -> None:
        self._submission = submission

    def decode(self) -> tuple[bool, Any]:
        return True, self._submission.notice()
