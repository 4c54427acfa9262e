"""What runs the jobs of one computation in a server process.

The reactor's thread takes in packages and jobs as bytes and answers at once, so a server that computes accepts jobs
without delay; they are decoded on the user hub, each in its own coroutine. Nothing is accepted without the
computation's token.
"""

from __future__ import annotations

import contextlib
import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from gevent.lock import RLock

from greencoro.compute import generator_jobs
from greencoro.compute.big_parts import Gathering
from greencoro.compute.job import HandedBack
from greencoro.compute.job_listener import JobListener, Key
from greencoro.compute.job_words import Free, IsAssigned, Piece, Purpose
from greencoro.compute.loader import Loader
from greencoro.compute.parts import Entry, Package
from greencoro.compute.scattered import Shelf
from greencoro.compute.time_limit import TimeLimit, read_time_limit
from greencoro.errors import ComputationClosed, PackagingError, RemoteProtocolError
from greencoro.hub import execution, userhub
from greencoro.hub.binding import bind
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro

__all__ = ["CARRIERS", "JobHost"]

#: The token comes from the node, the first request from the client: either may be here first.
_TOKEN_SECONDS = 5.0

_NO_LIMIT = contextlib.nullcontext()


@dataclass(frozen=True, slots=True)
class _Job:
    key: Key
    packages: list[str]
    entry: list[str]
    #: Taken out when they are opened.
    arguments: list[bytes | bytearray]
    #: The end of the job before it in its lane; None where it may run at once.
    turn: Completion | None
    time_limit: float | None
    #: May it be run at another server, as long as it has not begun?
    is_movable: bool


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
        #: What comes in pieces; the reactor's.
        self._gathering = Gathering()
        #: The arguments that came so, and whose job comes next; the reactor's.
        self._apart: tuple[Key, bytearray] | None = None
        self._shelf = Shelf(loader.load_scattered)
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
        #: The user hub's: is the process ending?
        self._is_ending = False
        self._installing = RLock()
        self._lanes: dict[str, Completion] = {}
        execution.is_told_elsewhere.append(self._is_job)
        runtime.handle(IsAssigned.operation, self._is_assigned)
        runtime.handle("server.set_up", self._set_up)
        runtime.handle("server.package", self._keep_package, on_reactor=True)
        runtime.handle(Piece.operation, self._keep_piece, on_reactor=True)
        runtime.handle(Free.operation, self._free, on_reactor=True)
        runtime.handle("server.run", self._run, on_reactor=True)
        runtime.handle("server.queue", self._queue, on_reactor=True)
        runtime.handle("server.withdraw", self._withdraw, on_reactor=True)

    def assign(self, token: str) -> None:
        """Serve the computation with this token, and no other ever after."""
        self._token.set(token)

    def drain(self) -> None:
        """Take no more jobs, and hand back queued ones that have not begun; the listener hears when none is left.

        A job to which its client has a reference is not handed back: it runs here when its turn comes.
        """
        self._runtime.reactor.post(self._drain)

    def end(self, then: Callable[[], None]) -> None:
        """Take no more jobs, and tell nothing of those that do not return a result in spite of the process's end.

        They have not come to anything by themselves: their client hears that the server is gone, and how.

        Args:
            then: Called on the user hub, to end them.
        """
        self._runtime.reactor.post(self._refuse_for_good, then)

    @property
    def job_count(self) -> int:
        """Jobs that are not over."""
        return len(self._jobs)

    # Each a coroutine of its own.

    def _is_assigned(self, request: Any) -> None:
        self._token.wait(_TOKEN_SECONDS)
        self._check_token(request)
        request.reply()

    def _set_up(self, request: Any) -> None:
        self._check_token(request)
        self._listener.set_up(request)
        self._install(request.header["packages"])
        request.reply()

    def _check_token(self, request: Any) -> None:
        token: str | None = self._token.value
        given = request.header.get("token")
        if token is None or not isinstance(given, str) or not hmac.compare_digest(token.encode(), given.encode()):
            raise ComputationClosed(f"server {self._runtime.name} does not serve this computation")

    # The reactor's thread: single operations on dicts and sets, and coroutines made but not entered.

    def _drain(self) -> None:
        # Here, where jobs are taken in: after this there are only those that the user hub will see.
        self._draining = True
        userhub.post(self._hand_back)

    def _refuse_for_good(self, then: Callable[[], None]) -> None:
        self._draining = True
        userhub.post(self._begin_end, then)

    def _keep_package(self, request: Any) -> None:
        self._check_token(request)
        package = Package.from_wire(request.header["package"], request.parts)
        # What it holds counts as sent from now on, whichever package that refers to it is installed first.
        self._loader.keep(package)
        self._packages[package.digest] = package

    def _keep_piece(self, request: Any) -> None:
        self._check_token(request)
        piece = Piece.from_header(request.header)
        content = self._gathering.add(piece, request.parts[0] if request.parts else b"")
        if content is not None:
            if piece.purpose is Purpose.PACKAGE:
                self._loader.keep_content(piece.digest, content)
            elif piece.purpose is Purpose.SCATTERED:
                self._shelf.put(piece.digest, content)
            else:
                self._apart = (request.peer.incarnation, piece.watch), content
        request.reply()

    def _arguments_of(self, request: Any) -> bytes | bytearray:
        if not request.header.get("apart"):
            arguments: bytes = request.parts[0]
            return arguments
        apart, self._apart = self._apart, None
        if apart is None or apart[0] != _key_of(request):
            raise PackagingError("the arguments of the job did not arrive")
        return apart[1]

    def _free(self, request: Any) -> None:
        self._check_token(request)
        self._shelf.free(Free.from_header(request.header).digest)

    def _run(self, request: Any) -> None:
        try:
            self._check_takes(request)
        except ComputationClosed as error:
            request.fail(ComputationClosed(str(error)))
            return
        self._check_number(request)
        coro = self._start(request)
        request.reply({"id": coro.id, "name": coro.name})

    def _queue(self, request: Any) -> None:
        self._check_number(request)
        try:
            self._check_takes(request)
            self._start(request, is_movable=True)
        except Exception as error:
            # Nobody waits for an answer to this request, so whatever is wrong with it becomes the job's outcome.
            self._watch_job(request, Coro.at_home(self._runtime, _fail, (error,), {}))

    def _check_number(self, request: Any) -> None:
        # Apart from all else: under a wrong number no end can be told, and under one in use it would be another's.
        number = request.header.get("watch")
        if type(number) is not int or not 0 <= number < 1 << 64:
            raise RemoteProtocolError("a job without a number under which its end can be told")
        if _key_of(request) in self._jobs:
            raise RemoteProtocolError(f"job {number} is not over, and its number is used for another one")

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
            arguments=[self._arguments_of(request)],
            turn=None if lane is None else self._lanes.get(lane),
            time_limit=read_time_limit(header),
            is_movable=is_movable,
        )
        if header.get("generator"):
            cls = generator_jobs.class_of_coroutines()
            coro = cls.at_home(self._runtime, self._call_generator, (job,), {}, header["name"])
        else:
            coro = Coro.at_home(self._runtime, _run_job, (self, job), {}, header["name"])
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
        if not self._is_ending or _came_to_something(coro):
            self._runtime.serve_watch(request, request.header["watch"], coro)
        self._look_whether_idle()

    def _begin_end(self, then: Callable[[], None]) -> None:
        self._is_ending = True
        then()

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
        if self._loader.has(digests):
            return
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
            return self._begun_call(job, coro)

    def _begun_call(self, job: _Job, coro: Coro) -> Any:
        self._install(job.packages)
        function = self._loader.resolve(Entry.from_wire(job.entry))
        args, kwargs = self._loader.load_arguments(job.arguments.pop())
        if bind(function, args, kwargs):
            return function(*args, coro=coro, **kwargs)
        return function(*args, **kwargs)

    def _call_generator(self, job: _Job) -> Iterator[Any]:
        """As `_call`, of a function that returns a generator, which the coroutine then runs."""
        # What the parameter for it is called is up to its class.
        coro = Coro.current()
        assert coro is not None
        self._await_turn(job, coro)
        self._begin(job.key, coro)
        return (yield self._begun_call(job, coro))

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
            return _NO_LIMIT
        return TimeLimit(self._runtime.reactor, coro, job.time_limit)

    def _is_job(self, coro: Coro) -> bool:
        """How a job ended is told to who waits for it."""
        return coro in self._coros


def _key_of(request: Any) -> Key:
    return request.peer.incarnation, request.header["watch"]


def _came_to_something(coro: Coro) -> bool:
    """Does the end of this job stand, though its process was about to end it?"""
    notice = coro.notice()
    return notice.kind == "finished" or isinstance(notice.error, HandedBack)


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
CARRIERS = (_run_job, JobHost._call, JobHost._begun_call, JobHost._call_generator)
