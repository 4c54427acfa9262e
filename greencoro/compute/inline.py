"""A server that is this process: its jobs are coroutines here."""

from __future__ import annotations

import contextlib
import io
import pickle
import secrets
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from greencoro.compute import client_words as words
from greencoro.compute import generator_jobs
from greencoro.compute.cpu_count import cpu_count
from greencoro.compute.node_words import NodeFacts
from greencoro.compute.platform_name import platform_name
from greencoro.compute.scattered import Scattered
from greencoro.compute.scheduler_report import ANOTHER_IS_OPEN
from greencoro.compute.server_pool import Server
from greencoro.compute.shipping import Prepared
from greencoro.compute.submission import Submission
from greencoro.compute.time_limit import TimeLimit
from greencoro.distributed.location import Location
from greencoro.distributed.runtime import Runtime
from greencoro.distributed.user_code import is_interruption, reason
from greencoro.errors import ComputeError, CoroTerminated, DeadlineExceeded, MonitorException, RemoteError
from greencoro.hub import execution, native, userhub
from greencoro.hub.binding import bind
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro

__all__ = ["InlineServer", "current_inline_server"]

_INCARNATION_BYTES = 16
_NODE_NAME = "inline"


class InlineServer:
    """A scheduler, a node with one server, and the way to it, all in this process.

    Arguments and results are copied as on their way to another process, so that what cannot travel is found here too;
    functions, classes and modules are not, so that breakpoints and what measures coverage see them. What a job has
    changed in this process stays changed.

    It is at once a `SchedulerLink` and a `JobTransport`. Computations have their turn one after another.

    Args:
        runtime: Where the jobs are at home.

    Raises:
        ComputeError: This process has one already.
    """

    def __init__(self, runtime: Runtime) -> None:
        global _current
        if _current is not None:
            raise ComputeError("this process has an inline cluster already: close() it first")
        _current = self
        self._runtime = runtime
        self._node = secrets.token_hex(_INCARNATION_BYTES)
        #: The user hub's: who listens to which computation. The first one has its turn.
        self._listeners: dict[int, _Listener] = {}
        self._numbers = 0
        self._is_set_up = False
        self._lanes: dict[str, Completion] = {}
        #: Jobs that are not over.
        self._jobs: set[Coro] = set()
        execution.is_told_elsewhere.append(self._jobs.__contains__)

    def close(self) -> None:
        """End what runs."""
        global _current
        _current = None
        userhub.post(self._end_all)

    def _end_all(self) -> None:
        for number in list(self._listeners):
            self._end(number, "the inline cluster was closed")
        with contextlib.suppress(ValueError):
            execution.is_told_elsewhere.remove(self._jobs.__contains__)

    @property
    def is_ready(self) -> bool:
        """Does the server take jobs of the current computation; where there is none, could it at once?"""
        return not self._listeners or self._is_set_up

    # What a scheduler does.

    @property
    def location(self) -> Location:
        """See `SchedulerLink`."""
        return self._runtime.location

    @property
    def runtime(self) -> Runtime:
        """See `SchedulerLink`."""
        return self._runtime

    def submit(self, ask: words.Ask, listener: Callable[[words.Notice], None], timeout: float) -> int:
        """See `SchedulerLink`."""
        self._numbers += 1
        number = self._numbers
        userhub.post(self._enqueue, number, listener)
        return number

    def tell(self, request: words.Request) -> None:
        """See `SchedulerLink`."""
        userhub.post(self._take, request)

    def why_no_turn(self) -> str:
        """See `SchedulerLink`."""
        return ANOTHER_IS_OPEN

    def why_no_server(self) -> str:
        """See `SchedulerLink`."""
        return "the inline cluster's server is not ready"

    def _enqueue(self, number: int, listener: Callable[[words.Notice], None]) -> None:
        position = len(self._listeners)
        self._listeners[number] = _Listener(number, listener)
        if position == 0:
            self._begin(number)
        else:
            self._listeners[number].tell(words.Queued, position)

    def _begin(self, number: int) -> None:
        self._is_set_up = False
        listener = self._listeners[number]
        listener.tell(words.Begun, self.location)
        facts = NodeFacts(self.location.addr, _NODE_NAME, 1, 1, platform_name(), cpu_count())
        listener.tell(words.NodeOffered, self._node, facts)

    def _take(self, request: words.Request) -> None:
        listener = self._listeners.get(request.computation)
        if listener is None:
            return
        if isinstance(request, words.Close):
            self._end(request.computation, "")
        elif isinstance(request, words.SetUpDone):
            self._is_set_up = True
        elif isinstance(request, words.Verdict) and request.accepted:
            server = secrets.token_hex(_INCARNATION_BYTES)
            listener.tell(words.ServerStarted, self._node, 1, server, self.location, self._runtime.name)

    def _end(self, number: int, reason: str) -> None:
        had_its_turn = next(iter(self._listeners)) == number
        listener = self._listeners.pop(number)
        if had_its_turn:
            for job in list(self._jobs):
                job.terminate()
            self._lanes.clear()
            listener.tell(words.NodeChanged, self._node, self.location.addr, words.NodeChange.CLOSED)
        listener.tell(words.Ended, reason)
        if had_its_turn and self._listeners:
            self._begin(next(iter(self._listeners)))

    # What carries jobs.

    def snapshot(self, call: Prepared) -> Prepared:
        """The call with its arguments as they are now, for one that is not sent at once."""
        args, kwargs = _copy((call.args, call.kwargs), opens=False)
        return call._replace(args=args, kwargs=kwargs)

    def set_up(self, server: Server, timeout: float) -> None:
        """See `JobTransport`: components are here already."""

    def send_ahead(self, server: Server) -> None:
        """See `JobTransport`: what is scattered is here already."""

    def forget(self, server: Server) -> None:
        """See `JobTransport`."""

    def open(
        self, server: Server, call: Prepared, on_over: Callable[[Submission], None], lane: str | None = None
    ) -> Submission:
        """See `JobTransport`."""
        return _Attempt(self._runtime, server, call, on_over, lane)

    def start(self, attempt: Submission, deadline: float) -> Coro:
        """See `JobTransport`."""
        if native.monotonic() > deadline:
            raise DeadlineExceeded(f"{attempt.name} was not started in time")
        return self._spawn(attempt, None, None)

    def queue(self, attempt: Submission) -> None:
        """See `JobTransport`."""
        over = Completion()
        before = None
        if attempt.lane is not None:
            before, self._lanes[attempt.lane] = self._lanes.get(attempt.lane), over
        self._spawn(attempt, before, over)

    def withdraw(self, attempt: Submission) -> None:
        """See `JobTransport`."""
        assert isinstance(attempt, _Attempt)
        if attempt.here is not None:
            attempt.here.terminate()

    def _spawn(self, attempt: Submission, before: Completion | None, over: Completion | None) -> Coro:
        assert isinstance(attempt, _Attempt)
        # Whoever keeps the attempt keeps no arguments.
        arguments, attempt.arguments = attempt.arguments, ((), {})
        job = attempt.call, arguments, before
        if attempt.call.is_generator:
            cls = generator_jobs.class_of_coroutines()
            coro = cls.at_home(self._runtime, self._run_generator, job, {}, attempt.name)
        else:
            coro = Coro.at_home(self._runtime, self._run, job, {}, attempt.name)
        attempt.here = coro
        self._jobs.add(coro)
        if not coro.add_observer(lambda coro: self._ended(attempt, coro, before, over)):
            userhub.post(self._ended, attempt, coro, before, over)
        return coro

    def _run(self, call: Prepared, arguments: Any, before: Completion | None, coro: Coro) -> Any:
        # Before it can fail: who has started it may not have come so far.
        self._jobs.add(coro)
        return _run(self._runtime, call, arguments, before, coro)

    def _run_generator(self, call: Prepared, arguments: Any, before: Completion | None, coro: Coro) -> Iterator[Any]:
        self._jobs.add(coro)
        result = yield _call(self._runtime, call, arguments, before, coro)
        yield _result(self._runtime, call, result)

    def _ended(self, attempt: _Attempt, coro: Coro, before: Completion | None, over: Completion | None) -> None:
        self._jobs.discard(coro)
        attempt.came(coro.notice())
        if over is None:
            return
        if before is None or before.done:
            over.set()
        else:
            # It was withdrawn: the next one's turn comes when its own would have come.
            before.add_callback(lambda: userhub.post(over.set))


class _Listener:
    """Whom a computation's notices are told, with their numbers."""

    def __init__(self, computation: int, listener: Callable[[words.Notice], None]) -> None:
        self._computation = computation
        self._listener = listener
        self._number = 0

    def tell(self, notice: type[words.Notice], *about: Any) -> None:
        self._number += 1
        self._listener(notice(self._computation, self._number, *about))


class _Attempt(Submission):
    """A job here; what came of it is an object, and nothing has to be decoded."""

    def __init__(
        self,
        runtime: Runtime,
        server: Server,
        call: Prepared,
        on_over: Callable[[Submission], None],
        lane: str | None,
    ) -> None:
        self._runtime = runtime
        self.peer = server.peer
        self._on_over = on_over
        self.id = 0
        self.server = server
        self.call = call
        self.lane = lane
        #: As they are now, whatever becomes of the originals.
        self.arguments = _copy((call.args, call.kwargs))
        self.coro = None
        self.outcome = Completion()
        #: What runs it.
        self.here: Coro | None = None

    def came(self, notice: MonitorException) -> None:
        """It is over. User hub's thread."""
        self._finish(notice)

    def server_gone(self, explanation: str) -> None:
        """See `Submission`; its coroutine is being ended."""
        self.computation_closed(explanation)

    def _take_what_came(self) -> bool:
        return self.outcome.done  # what comes is taken at once

    def result(self) -> Any:
        """See `Submission`."""
        notice: MonitorException = self.outcome.value
        if notice.kind == "terminated":
            raise CoroTerminated(f"{self.name} was terminated")
        if notice.error is not None:
            raise notice.error
        return notice.value


def _run(runtime: Runtime, call: Prepared, arguments: Any, before: Completion | None, coro: Coro) -> Any:
    return _result(runtime, call, _call(runtime, call, arguments, before, coro))


def _call(runtime: Runtime, call: Prepared, arguments: Any, before: Completion | None, coro: Coro) -> Any:
    if before is not None:
        before.wait()
    _trace_here()
    args, kwargs = arguments
    if bind(call.function, args, kwargs):
        kwargs = {**kwargs, "coro": coro}
    try:
        with contextlib.nullcontext() if call.time_limit is None else TimeLimit(runtime.reactor, coro, call.time_limit):
            return call.function(*args, **kwargs)
    except BaseException as error:
        if isinstance(error, Exception) or is_interruption(error):
            raise
        # As from a server process: `SystemExit` ends the job, and nobody who asks for its result.
        trace = "".join(traceback.format_exception(error))
        raise RemoteError(reason(error), trace, runtime.location) from error


def _result(runtime: Runtime, call: Prepared, result: Any) -> Any:
    try:
        return _copy(result)
    except Exception as error:
        raise RemoteError(
            f"the result of {call.name} could not be transferred: {error}", "", runtime.location
        ) from error


def _trace_here() -> None:
    """Let debuggers and what measures coverage, who ask for that in every new thread, see the hub's thread too."""
    tracer = threading.gettrace()
    if tracer is not None and sys.gettrace() is None:
        sys.settrace(tracer)


class _Pickler(pickle.Pickler):
    """Leaves out what code is made of, and what all jobs have together."""

    def __init__(self, file: io.BytesIO, opens: bool) -> None:
        super().__init__(file, 5)
        self._opens = opens
        self.code: list[Any] = []

    def persistent_id(self, thing: Any) -> int | None:
        if isinstance(thing, Scattered):
            thing = thing.open_here(_open) if self._opens else thing
        elif not isinstance(thing, FunctionType | BuiltinFunctionType | type | ModuleType | Coro):
            return None
        self.code.append(thing)
        return len(self.code) - 1


class _Unpickler(pickle.Unpickler):
    """Puts it in again."""

    def __init__(self, file: io.BytesIO, code: list[Any]) -> None:
        super().__init__(file)
        self._code = code

    def persistent_load(self, number: int) -> Any:
        return self._code[number]


def _open(content: bytes) -> Any:
    """What was scattered as this."""
    (thing,), _ = _Unpickler(io.BytesIO(content), []).load()
    return thing


def _copy(thing: Any, opens: bool = True) -> Any:
    """A copy, as if it had been sent.

    Args:
        opens (bool): With what was scattered in the place of what stands for it.
    """
    pickled = io.BytesIO()
    pickler = _Pickler(pickled, opens)
    pickler.dump(thing)
    pickled.seek(0)
    return _Unpickler(pickled, pickler.code).load()


_current: InlineServer | None = None


def current_inline_server() -> InlineServer | None:
    """The one whose jobs run in this process; None where there is none."""
    return _current
