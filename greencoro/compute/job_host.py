"""What runs the jobs of one computation in a server process.

The reactor's thread takes in packages and jobs as bytes and answers at once, so a server that computes accepts jobs
without delay; they are decoded on the user hub, each in its own coroutine. Nothing is accepted without the
computation's token.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gevent.lock import RLock

from greencoro.compute.loader import Loader
from greencoro.compute.parts import Entry, Package
from greencoro.errors import ComputationClosed, PackagingError
from greencoro.hub import execution, userhub
from greencoro.hub.binding import bind
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro

__all__ = ["JobHost"]

#: The token comes from the node, the first request from the client: either may be here first.
_TOKEN_SECONDS = 5.0
#: Packages that are kept until the token comes; a client sends a few before its first request is answered.
_MAX_EARLY = 100


@dataclass(frozen=True, slots=True)
class _Job:
    packages: list[str]
    entry: list[str]
    arguments: bytes
    #: The end of the job before it in its lane; None where it may run at once.
    turn: Completion | None


class JobHost:
    """Jobs from the network, as coroutines.

    Args:
        runtime: Where the requests come in.

        loader: Where what is shipped is installed.

        on_idle: Called when the last job is over, on the user hub.
    """

    def __init__(self, runtime: Any, loader: Loader, on_idle: Callable[[], None]) -> None:
        self._runtime = runtime
        self._loader = loader
        self._on_idle = on_idle
        self._token = Completion()
        #: Packages that came before the token; the reactor's.
        self._early: list[Any] = []
        self._draining = False
        #: Written by the reactor alone: what jobs may refer to, and the jobs, by whoever waits for them.
        self._packages: dict[str, Package] = {}
        self._jobs: dict[tuple[bytes, int], Coro] = {}
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
        """Take no more jobs."""
        self._draining = True
        if not self._jobs:
            self._on_idle()

    @property
    def job_count(self) -> int:
        """Jobs that are not over."""
        return len(self._jobs)

    # A coroutine of its own.

    def _set_up(self, request: Any) -> None:
        self._token.wait(_TOKEN_SECONDS)
        self._check_token(request)
        self._install(request.header["packages"])
        request.reply()

    def _check_token(self, request: Any) -> None:
        self._check(request, self._token.value)

    def _check(self, request: Any, token: str | None) -> None:
        given = request.header.get("token")
        if token is None or not isinstance(given, str) or not hmac.compare_digest(token.encode(), given.encode()):
            raise ComputationClosed(f"server {self._runtime.name} does not serve this computation")

    # The reactor's thread: single operations on dicts, and coroutines made but not entered.

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
            request.fail(error)
            return
        coro = self._start(request)
        request.reply({"id": coro.id, "name": coro.name})

    def _queue(self, request: Any) -> None:
        try:
            self._check_takes(request)
            self._start(request)
        except Exception as error:
            # Nobody waits for an answer to this request, so whatever is wrong with it becomes the job's outcome.
            self._watch_job(request, Coro.at_home(self._runtime, _fail, (error,), {}))

    def _check_takes(self, request: Any) -> None:
        self._check_token(request)
        if self._draining:
            raise ComputationClosed(f"server {self._runtime.name} takes no more jobs: its node is ending")

    def _start(self, request: Any) -> Coro:
        header = request.header
        lane = header.get("lane")
        job = _Job(
            packages=header["packages"],
            entry=header["entry"],
            arguments=request.parts[0],
            turn=None if lane is None else self._lanes.get(lane),
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
        key = (request.peer.incarnation, request.header["watch"])
        self._jobs[key] = coro
        if not coro.add_observer(lambda coro: self._over(key)):
            self._over(key)
        self._runtime.serve_watch(request, request.header["watch"], coro)

    def _withdraw(self, request: Any) -> None:
        self._check_token(request)
        coro = self._jobs.get((request.peer.incarnation, request.header["watch"]))
        if coro is not None:
            coro.terminate()

    # The user hub.

    def _over(self, key: tuple[bytes, int]) -> None:
        self._jobs.pop(key, None)
        if self._draining and not self._jobs:
            self._on_idle()

    def _install(self, digests: list[str]) -> None:
        # One at a time: what a module does while it is imported may let others run.
        with self._installing:
            for digest in digests:
                package = self._packages.get(digest)
                if package is None:
                    raise PackagingError(f"package {digest} did not arrive")
                self._loader.install(package)

    def _call(self, job: _Job, coro: Coro) -> Any:
        if job.turn is not None:
            job.turn.wait()
        self._install(job.packages)
        function = self._loader.resolve(Entry.from_wire(job.entry))
        args, kwargs = self._loader.load_arguments(job.arguments)
        if bind(function, args, kwargs):
            return function(*args, coro=coro, **kwargs)
        return function(*args, **kwargs)

    def _is_job(self, coro: Coro) -> bool:
        """How a job ended is told to who waits for it."""
        return coro in self._jobs.values()


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
