"""What runs the jobs of one computation in a server process.

The reactor's thread takes in packages and jobs as bytes and answers at once, so a server that computes accepts jobs
without delay; they are decoded on the user hub, each in its own coroutine. Nothing is accepted without the
computation's token.
"""

from __future__ import annotations

import contextlib
import hmac
from dataclasses import dataclass
from typing import Any, Protocol

from gevent.lock import RLock

from greencoro.compute.job import HandedBack
from greencoro.compute.loader import Loader
from greencoro.compute.parts import Entry, Package
from greencoro.compute.time_limit import TimeLimit, read_time_limit
from greencoro.errors import ComputationClosed, PackagingError
from greencoro.hub import execution, userhub
from greencoro.hub.binding import bind
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro

__all__ = ["CARRIERS", "JobHost", "JobListener", "Key"]

#: Of a job: the client's incarnation, and the number under which it waits for the end.
Key = tuple[bytes, int]

#: The token comes from the node, the first request from the client: either may be here first.
_TOKEN_SECONDS = 5.0
#: Packages that are kept until the token comes; a client sends a few before its first request is answered.
_MAX_EARLY = 100


@dataclass(frozen=True, slots=True)
class _Job:
    key: Key
    packages: list[str]
    entry: list[str]
    arguments: bytes
    #: The end of the job before it in its lane; None where it may run at once.
    turn: Completion | None
    time_limit: float | None
    #: May it be run at another server, as long as it has not begun?
    is_movable: bool


class JobListener(Protocol):
    """Hears of jobs, on the user hub; nothing here may wait."""

    def set_up(self, request: Any) -> None:
        """The client, which has shown the token, is about to have its components installed.

        Raises:
            RemoteProtocolError: It does not say what it has to.
        """

    def began(self, key: Key, name: str, coro: Coro) -> None:
        """A job's turn has come: its function is called next."""

    def over(self, key: Key, name: str, coro: Coro) -> None:
        """A job that began is over; its client does not know yet."""

    def busy(self) -> None:
        """The first job after none began."""

    def idle(self) -> None:
        """No job is left, be it one that waits for its turn."""

    def drained(self) -> None:
        """No job is left, and no more are taken; may be said again."""


class JobHost:
    """Jobs from the network, as coroutines.

    Args:
        runtime: Where the requests come in.

        loader: Where what is shipped is installed.

        listener: Hears of them.
    """

    def __init__(self, runtime: Any, loader: Loader, listener: JobListener) -> None:
        self._runtime = runtime
        self._loader = loader
        self._listener = listener
        self._token = Completion()
        #: Packages that came before the token; the reactor's.
        self._early: list[Any] = []
        #: Written by the reactor alone: whether jobs are refused, what they may refer to.
        self._draining = False
        self._packages: dict[str, Package] = {}
        #: Filled by the reactor, emptied by the user hub.
        self._jobs: dict[Key, Coro] = {}
        self._coros: set[Coro] = set()
        #: The user hub's: jobs that have begun, by key and with their names, and whether the listener knows of any.
        self._begun: dict[Key, str] = {}
        self._is_busy = False
        #: The user hub's: the movable jobs that wait for their turn, and whether such jobs do not begin any more.
        self._in_line: dict[Coro, Completion] = {}
        self._hands_back = False
        self._installing = RLock()
        self._lanes: dict[str, Completion] = {}
        execution.is_told_elsewhere.append(self._is_job)
        runtime.handle("server.set_up", self._set_up)
        runtime.handle("server.package", self._take_package, on_reactor=True)
        runtime.handle("server.run", self._run, on_reactor=True)
        runtime.handle("server.queue", self._queue, on_reactor=True)
        runtime.handle("server.withdraw", self._withdraw, on_reactor=True)

    def assign(self, token: str) -> None:
        """Serve the computation with this token, and no other ever after."""
        self._runtime.reactor.post(self._assign, token)

    def drain(self) -> None:
        """Take no more jobs, and hand back queued ones that have not begun; the listener hears when none is left.

        A job to which its client has a reference is not handed back: it runs here when its turn comes.
        """
        self._runtime.reactor.post(self._drain)

    @property
    def job_count(self) -> int:
        """Jobs that are not over."""
        return len(self._jobs)

    # A coroutine of its own.

    def _set_up(self, request: Any) -> None:
        self._token.wait(_TOKEN_SECONDS)
        self._check_token(request)
        self._listener.set_up(request)
        self._install(request.header["packages"])
        request.reply()

    def _check_token(self, request: Any) -> None:
        self._check(request, self._token.value)

    def _check(self, request: Any, token: str | None) -> None:
        given = request.header.get("token")
        if token is None or not isinstance(given, str) or not hmac.compare_digest(token.encode(), given.encode()):
            raise ComputationClosed(f"server {self._runtime.name} does not serve this computation")

    # The reactor's thread: single operations on dicts and sets, and coroutines made but not entered.

    def _drain(self) -> None:
        # Here, where jobs are taken in: after this there are only those that the user hub will see.
        self._draining = True
        userhub.post(self._hand_back)

    def _assign(self, token: str) -> None:
        early, self._early = self._early, []
        for request in early:
            self._runtime.reactor.guard(self._keep_package, request, token)
        # Last: a set-up that waits for the token needs those packages.
        self._token.set(token)

    def _take_package(self, request: Any) -> None:
        if not self._token.done and len(self._early) < _MAX_EARLY:
            self._early.append(request)
        else:
            self._keep_package(request, self._token.value)

    def _keep_package(self, request: Any, token: str | None) -> None:
        self._check(request, token)
        package = Package.from_wire(request.header["package"], request.parts)
        # What it holds counts as sent from now on, whichever package that refers to it is installed first.
        self._loader.keep(package)
        self._packages[package.digest] = package

    def _run(self, request: Any) -> None:
        try:
            self._check_takes(request)
        except ComputationClosed as error:
            request.fail(ComputationClosed(str(error)))
            return
        coro = self._start(request)
        request.reply({"id": coro.id, "name": coro.name})

    def _queue(self, request: Any) -> None:
        try:
            self._check_takes(request)
            self._start(request, is_movable=True)
        except Exception as error:
            # Nobody waits for an answer to this request, so whatever is wrong with it becomes the job's outcome.
            self._watch_job(request, Coro.at_home(self._runtime, _fail, (error,), {}))

    def _check_takes(self, request: Any) -> None:
        self._check_token(request)
        if self._draining:
            raise self._handed_back()

    def _handed_back(self) -> HandedBack:
        return HandedBack(f"server {self._runtime.name} takes no more jobs: its node is ending")

    def _start(self, request: Any, is_movable: bool = False) -> Coro:
        header = request.header
        lane = header.get("lane")
        job = _Job(
            key=_key_of(request),
            packages=header["packages"],
            entry=header["entry"],
            arguments=request.parts[0],
            turn=None if lane is None else self._lanes.get(lane),
            time_limit=read_time_limit(header),
            is_movable=is_movable,
        )
        coro = Coro.at_home(self._runtime, _run_job, (self, job), {})
        coro.name = header["name"]
        if lane is not None:
            over = self._lanes[lane] = Completion()
            if not coro.add_observer(lambda coro: _hand_on(job.turn, over)):
                _hand_on(job.turn, over)
        self._watch_job(request, coro)
        return coro

    def _watch_job(self, request: Any, coro: Coro) -> None:
        key = _key_of(request)
        self._jobs[key] = coro
        self._coros.add(coro)
        if not coro.add_observer(lambda coro: self._over(request, coro)):
            # It ran already, and is over.
            userhub.post(self._over, request, coro)

    def _withdraw(self, request: Any) -> None:
        self._check_token(request)
        coro = self._jobs.get(_key_of(request))
        if coro is not None:
            coro.terminate()

    # The user hub.

    def _over(self, request: Any, coro: Coro) -> None:
        key = _key_of(request)
        self._jobs.pop(key, None)
        self._coros.discard(coro)
        name = self._begun.pop(key, None)
        if name is not None:
            self._listener.over(key, name, coro)
        # Only now, and here: its client is to hear of its end last, and to pickle the result runs its own code.
        self._runtime.serve_watch(request, request.header["watch"], coro)
        self._look_whether_idle()

    def _hand_back(self) -> None:
        self._hands_back = True
        for coro, turn in list(self._in_line.items()):
            # One whose turn has come goes on: the exception might meet it in what it runs.
            if not turn.done:
                coro.throw(self._handed_back())
        self._look_whether_idle()

    def _look_whether_idle(self) -> None:
        # Before the jobs: where none are taken any more, none comes while these are looked at.
        is_draining = self._draining
        if self._jobs or self._begun:
            return
        if self._is_busy:
            self._is_busy = False
            self._listener.idle()
        if is_draining:
            self._listener.drained()

    def _begin(self, key: Key, coro: Coro) -> None:
        self._begun[key] = coro.name
        if not self._is_busy:
            self._is_busy = True
            self._listener.busy()
        self._listener.began(key, coro.name, coro)

    def _install(self, digests: list[str]) -> None:
        # One at a time: what a module does while it is imported may let others run.
        with self._installing:
            for digest in digests:
                package = self._packages.get(digest)
                if package is None:
                    raise PackagingError(f"package {digest} did not arrive")
                self._loader.install(package)

    def _call(self, job: _Job, coro: Coro) -> Any:
        self._await_turn(job, coro)
        self._begin(job.key, coro)
        with self._limit(job, coro):
            self._install(job.packages)
            function = self._loader.resolve(Entry.from_wire(job.entry))
            args, kwargs = self._loader.load_arguments(job.arguments)
            if bind(function, args, kwargs):
                return function(*args, coro=coro, **kwargs)
            return function(*args, **kwargs)

    def _await_turn(self, job: _Job, coro: Coro) -> None:
        if job.is_movable and self._hands_back:
            raise self._handed_back()
        if job.turn is None:
            return
        if job.is_movable:
            self._in_line[coro] = job.turn
        try:
            job.turn.wait()
        finally:
            self._in_line.pop(coro, None)

    def _limit(self, job: _Job, coro: Coro) -> contextlib.AbstractContextManager[None]:
        if job.time_limit is None:
            return contextlib.nullcontext()
        return TimeLimit(self._runtime.reactor, coro, job.time_limit)

    def _is_job(self, coro: Coro) -> bool:
        """How a job ended is told to who waits for it."""
        return coro in self._coros


def _key_of(request: Any) -> Key:
    return request.peer.incarnation, request.header["watch"]


def _run_job(host: JobHost, job: _Job, coro: Coro) -> Any:
    return host._call(job, coro)


def _fail(error: Exception) -> None:
    raise error


def _hand_on(turn: Completion | None, over: Completion) -> None:
    """A job is over: the next one in its lane may run, unless it was withdrawn before its own turn had come."""
    if turn is None or turn.done:
        over.set()
    else:
        # Posted, so that a long row of withdrawn jobs is not as deep a stack.
        turn.add_callback(lambda: userhub.post(over.set))


#: What stands between a coroutine and the job that it runs (`hub.preemption`).
CARRIERS = (_run_job, JobHost._call)
