"""The module ``asyncoro.discoro_schedulers``: jobs that compute, one at a time at every server."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterable
from typing import Any

from greencoro.compute import jobs
from greencoro.distributed.proxies import RemoteCoro
from greencoro.distributed.runtime import runtime
from greencoro.errors import MonitorException
from greencoro.hub import exit as process_exit
from greencoro.hub.binding import is_generator_function
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro as NativeCoro
from greencoro.hub.sync import Lock
from greencoro.legacy.coro import Coro
from greencoro.legacy.creating import NotCreated, failure_of
from greencoro.legacy.discoro import Computation
from greencoro.legacy.logger import logger
from greencoro.legacy.sub_calls import sub_call

__all__ = ["ProcScheduler", "RemoteCoroScheduler"]

#: Among what is called at the end of a program, where higher ones come first: before computations are closed.
_FINISH = 15
#: Jobs of one `map_results` that wait for servers, where somebody is told of each.
_AT_ONCE = 256


class RemoteCoroScheduler:
    """Runs at most one of its jobs at a time at each server of a computation that is to be scheduled yet.

    Args:
        computation (Computation): Where.

        proc_status: A generator function, run here with the ``status`` and ``info`` of each status message; where it
            ends with anything but 0 or None for ``Scheduler.ServerInitialized``, that server is not used.

        proc_available: One run with the location of each server that is ready; where it ends with anything but 0, that
            server is not used.

        proc_close: One run with ``Scheduler.ServerInitialized`` and the location of each server that is used, before
            the computation is closed; or with ``Scheduler.ServerClosed`` when it is gone.

    Attributes:
        computation (Computation): As given.

        status_coro (Coro): Passes status messages on to ``proc_status``; the computation's, if that has none.

    Raises:
        Exception: It is no `Computation`.
    """

    def __init__(
        self,
        computation: Computation,
        proc_status: Callable[..., Any] | None = None,
        proc_available: Callable[..., Any] | None = None,
        proc_close: Callable[..., Any] | None = None,
    ) -> None:
        if not isinstance(computation, Computation):
            raise Exception(f"a RemoteCoroScheduler is for a Computation, not for {computation!r}")
        self.computation = computation
        self._native = jobs.RemoteCoroScheduler(
            computation._native,
            self._callback("proc_status", proc_status, accepts_none=True),
            self._callback("proc_available", proc_available),
            self._callback("proc_close", proc_close),
            # As of old, who wants a server waits until there is one.
            patience=math.inf,
        )
        self._hears_status = proc_status is not None
        self.status_coro: NativeCoro = self._native.status_coro
        if computation.status_coro is None:
            computation.status_coro = self.status_coro
        process_exit.at_exit(_FINISH, self._finish_for_good)

    def _callback(self, name: str, function: Any, accepts_none: bool = False) -> Callable[..., int] | None:
        """What is called in its place: runs it as a coroutine, and returns 0 where it ended well."""
        if function is None:
            return None
        if not is_generator_function(function):
            logger.warning("%s is no generator function, and is ignored: %r", name, function)
            return None

        def call(*about: Any) -> int:
            coro = Coro(function, *map(self.computation._told_of, about))
            try:
                value = coro.value()
            finally:
                # Where the computation is closed meanwhile.
                if coro.is_alive():
                    coro.terminate()
            ended_well = coro.notice().kind == "finished"
            return 0 if ended_well and (value == 0 or (accepts_none and value is None)) else 1

        return call

    def _finish_for_good(self) -> None:
        process_exit.cancel_at_exit(self._finish_for_good)
        self._native.finish()
        self.computation._close()

    # Jobs.

    @sub_call
    def schedule(self, gen: Callable[..., Any] | str, *args: Any, **kwargs: Any) -> Any:
        """With ``yield``: wait for a server that runs no job of this scheduler, and run one there.

        Returns:
            As `Computation.run_at`.
        """
        return self._schedule(gen, args, kwargs)

    def _schedule(self, gen: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        def start(where: None, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            return self._native.schedule(function, *args, **kwargs)

        return self.computation._started(None, gen, args, kwargs, start)

    @sub_call
    def execute(self, gen: Callable[..., Any] | str, *args: Any, **kwargs: Any) -> Any:
        """With ``yield``: as `schedule`, then wait for the end.

        Returns:
            The job's result. Of one that failed it is the exception; of one that could not be started it is a
            `MonitorException` of what `schedule` returns.
        """
        return _result_of(self._schedule(gen, args, kwargs))

    @sub_call
    def submit(self, gen: Callable[..., Any] | str, *args: Any, **kwargs: Any) -> Any:
        """With ``yield``: as `submit_at`, at any server."""
        return self._submit(None, gen, args, kwargs)

    @sub_call
    def submit_at(self, where: Any, gen: Callable[..., Any] | str, *args: Any, **kwargs: Any) -> Any:
        """With ``yield``: as `Computation.run_at`, whatever runs at the server; `finish` waits for it too."""
        return self._submit(where, gen, args, kwargs)

    def _submit(self, where: Any, gen: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        def start(where: Any, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            if where is None:
                self.computation._native.wait_for_servers(1, None)
            return self._native.submit_at(where, function, *args, **kwargs)

        return self.computation._started(where, gen, args, kwargs, start)

    @sub_call
    def execute_at(self, where: Any, gen: Callable[..., Any] | str, *args: Any, **kwargs: Any) -> Any:
        """With ``yield``: as `submit_at`, then wait for the end, and return as `execute`."""
        return _result_of(self._submit(where, gen, args, kwargs))

    @sub_call
    def map_results(self, gen: Callable[..., Any] | str, iter: Iterable[Any]) -> list[Any]:
        """With ``yield``: `execute` for each element, in turn at all servers.

        Args:
            iter: An element that is iterable, a text too, is the arguments; any other is the one argument.

        Returns:
            list: The results in the order of the elements.
        """
        try:
            function = self.computation.function_of(gen)
        except Exception as error:
            logger.warning("%s", error)
            failure = type(error), str(getattr(gen, "__name__", gen)), traceback.format_exc()
            return [_not_started(failure) for _ in iter]
        elements = map(_arguments_of, iter)
        if not self._is_heard:
            # They go to servers ahead of their turn, without a word about each.
            results = self._native.map_results(function, elements)
            return [_not_started(each.failure) if isinstance(each, NotCreated) else each for each in results]
        return self._execute_all(function, elements)

    @property
    def _is_heard(self) -> bool:
        """Is somebody told of each job?"""
        return self._hears_status or self.computation.status_coro is not self.status_coro

    def _execute_all(self, function: Callable[..., Any], elements: Iterable[tuple[Any, ...]]) -> list[Any]:
        results: dict[int, Any] = {}
        numbered = enumerate(elements)
        # The input may be a generator that waits.
        taking = Lock()

        def work() -> None:
            while True:
                with taking:
                    number, arguments = next(numbered, (-1, ()))
                if number < 0:
                    return
                results[number] = _result_of(self._schedule(function, arguments, {}))

        workers = [runtime().spawn(work) for _ in range(_AT_ONCE)]
        for worker in workers:
            worker.value()
        return [results[number] for number in sorted(results)]

    @sub_call
    def finish(self, close: bool = False) -> None:
        """With ``yield``: wait until all jobs of this scheduler are over.

        Args:
            close (bool): Close the computation then.
        """
        if close:
            self._finish_for_good()
        else:
            self._native.finish()


def _result_of(started: Any) -> Any:
    """What `RemoteCoroScheduler.execute` returns for what was started."""
    if not isinstance(started, NativeCoro):
        return _not_started(started)
    notice = _end_of(started)
    failure = failure_of(notice, started.name)
    if failure is not None:
        return _not_started(failure)
    return notice.error if notice.kind in ("exception", "lost") else notice.args[1][1]


def _end_of(coro: Any) -> MonitorException:
    """Wait for the end of a job."""
    if not isinstance(coro, RemoteCoro):
        # In an inline cluster.
        over = Completion()
        if coro.add_observer(lambda coro: over.set()):
            over.wait()
        notice: MonitorException = coro.notice()
        return notice
    coro.asked()
    outcome = coro.kept
    assert outcome is not None
    outcome.wait()
    return coro.notice_of(outcome)


def _not_started(failure: Any) -> MonitorException:
    notice = MonitorException(None, "lost")
    notice.args = None, (type(failure), failure)
    return notice


def _arguments_of(element: Any) -> tuple[Any, ...]:
    return tuple(element) if isinstance(element, Iterable) else (element,)


#: Its name in older programs.
ProcScheduler = RemoteCoroScheduler
