"""Execution: a function on its way over the user hub, from its start to its end.

Whoever wants something of a function that waits throws an exception into that wait: `terminate`, `throw`, a link that
broke, a hot swap. All of them go through one queue, `_pending`, which is emptied at the next waiting call.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import sys
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

from greenlet import GreenletExit, getcurrent

from greencoro.errors import MonitorException, Terminated
from greencoro.hub import exit as process_exit
from greencoro.hub import native, userhub, workers
from greencoro.hub.binding import bind, name_of
from greencoro.hub.hot_swap import Swap, SwapRequested
from greencoro.hub.lifecycle import Event, State, advance
from greencoro.hub.observers import Observers
from greencoro.hub.waiting import seconds

__all__ = ["Execution", "running", "sleep"]

_log = logging.getLogger(__name__)

# An enum member is found by a Python call in 3.11, a name of the module by a look-up; every message needs one.
_NEW, _ACTIVE = State.NEW, State.ACTIVE

_ids = itertools.count(1)


class _Suspension(userhub.Wait):
    """The wait of one `suspend`."""

    __slots__ = ("update",)

    def __init__(self, update: Any) -> None:
        super().__init__()
        #: What `suspend` will return.
        self.update = update


class _Interruption:
    """An entry of the ready queue that throws what is pending into a coroutine's wait.

    It stands there in its turn, so that what somebody does to a coroutine (ends it, sends to it) reaches it in order.
    """

    __slots__ = ("_execution",)

    def __init__(self, execution: Execution) -> None:
        self._execution = execution

    def switch(self) -> None:
        """Throw; where there is nothing to throw any more, let the next one go on."""
        if not self._execution._throw_pending() and not userhub.in_hub_callback():
            userhub.park()


class Execution:
    """What runs: its state, whom it waits for, how it ended."""

    __slots__ = (
        "__weakref__",
        "_args",
        "_call_with_coro",
        "_error",
        "_kwargs",
        "_observers",
        "_pending",
        "_state",
        "_suspension",
        "_swap",
        "_swappable",
        "_target",
        "_trace",
        "_traceback_text",
        "_value",
        "_worker",
        "id",
        "name",
    )

    def _spawn(
        self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], takes_coro: bool
    ) -> None:
        self._target: Any = target
        self._args = args
        # An empty dict is 64 bytes, for as long as the coroutine waits to begin.
        self._kwargs: dict[str, Any] | None = kwargs or None
        self._call_with_coro = takes_coro
        self._state = _NEW
        self._observers = Observers()
        self._worker: Any = None
        self._pending: list[BaseException] | None = None
        self._suspension: _Suspension | None = None
        self._swap: Swap | None = None
        self._swappable = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._trace: TracebackType | None = None
        self._traceback_text = ""
        #: A number unique in this process's life.
        self.id = next(_ids)
        #: The function's name.
        self.name = name_of(target)
        if not userhub.ident:
            process_exit.start()
        process_exit.alive[self.id] = self
        process_exit.holding.add(self)
        if native.get_ident() == userhub.ident:
            workers.start(self)
        else:
            userhub.post(workers.start, self)

    # What the worker calls.

    def _is_new(self) -> bool:
        return self._state is _NEW

    def _run(self, worker: Any) -> None:
        """Run the function to its end; called by the worker, raises nothing."""
        self._worker = worker
        self._state = advance(self._state, Event.START)
        if self._pending is not None:
            userhub.ready(_Interruption(self))
        while True:
            target, args, kwargs = self._target, self._args, self._kwargs
            # From here on they live as long as the function needs them.
            self._target = self._kwargs = None
            self._args = ()
            try:
                # A call without a star needs no C frame (Python 3.11): half a KB less to keep of each coroutine that
                # waits.
                if kwargs:
                    value = target(*args, coro=self, **kwargs) if self._call_with_coro else target(*args, **kwargs)
                elif not args:
                    value = target(coro=self) if self._call_with_coro else target()
                elif len(args) == 1:
                    value = target(args[0], coro=self) if self._call_with_coro else target(args[0])
                else:
                    value = target(*args, coro=self) if self._call_with_coro else target(*args)
            except GreenletExit:
                self._end(Event.TERMINATE)
            except SwapRequested as request:
                if request.coro is self:
                    self._take_over(request.swap)
                    continue
                self._fail(request)
            except BaseException as error:
                self._fail(error)
            else:
                self._value = value
                self._end(Event.RETURN)
            return

    def _fail(self, error: BaseException) -> None:
        try:
            self._error = error
            # This file's frame is no news to anybody.
            self._trace = error.__traceback__.tb_next if error.__traceback__ else None
            error.__traceback__ = self._trace
            self._traceback_text = "".join(traceback.format_exception(error)).rstrip()
            _report(self)
        finally:
            self._end(Event.RAISE)

    def _end(self, event: Event) -> None:
        self._state = advance(self._state, event)
        self._worker = self._target = self._kwargs = self._pending = self._swap = None
        self._args = ()
        process_exit.alive.pop(self.id, None)
        self._clean_up()
        self._observers.tell(self)
        process_exit.released(self)

    def _clean_up(self) -> None:
        """Let go of what only a live coroutine has; before the observers are told."""

    # The end, and who hears of it.

    def add_observer(self, observer: Callable[[Any], object]) -> bool:
        """Have ``observer(coro)`` called at the end, on the hub, where it must not block.

        Returns:
            bool: False where it will not be called: the end has come.
        """
        return self._observers.add(observer)

    def remove_observer(self, observer: Callable[[Any], object]) -> None:
        """Do not call ``observer`` any more; where it was called already, nothing."""
        self._observers.remove(observer)

    def notice(self) -> MonitorException:
        """The notice of its end, as its monitors get it; once it is over."""
        if self._state is State.FINISHED:
            return MonitorException(self, "finished", self._value)
        if self._state is State.TERMINATED:
            return MonitorException(self, "terminated")
        return MonitorException(self, "exception", None, self._error, self._traceback_text)

    def is_alive(self) -> bool:
        """Is it not over yet?"""
        return self._state <= _ACTIVE

    def set_daemon(self, flag: bool = True) -> int:
        """Say whether the program's end should wait for this coroutine (it does, unless told); returns 0."""
        if flag:
            process_exit.released(self)
        elif self._state <= _ACTIVE:
            process_exit.holding.add(self)
            if self._state > _ACTIVE:  # ended meanwhile, on another thread
                process_exit.released(self)
        return 0

    # What interrupts it.

    def terminate(self) -> int:
        """End the coroutine: `Terminated` is raised at the call where it waits (or at its next one, where it runs).

        Returns:
            int: 0 where it was told; -1 where it was over already.
        """
        if self._state > _ACTIVE:
            return -1
        if native.get_ident() == userhub.ident:
            self._terminate()
        else:
            userhub.post(self._terminate)
        return 0

    def _terminate(self) -> None:
        if self._state is _NEW:
            self._end(Event.TERMINATE)
        elif self._state is _ACTIVE:
            # Whatever else was to be thrown does not matter any more; twice is once, until it was raised.
            self._pending = [Terminated(f"{self!r} was terminated")]
            # Where it runs right now, this meets it in whatever it waits for next; our own waiting calls look first.
            userhub.ready(_Interruption(self))

    def throw(self, *exception: Any) -> int:
        """Raise an exception in the coroutine, at the call where it waits or at its next one.

        ``throw(error)``, ``throw(class)``, ``throw(class, value)`` and ``throw(class, value, traceback)`` are as for
        generators; the three may also come as one tuple, as `sys.exc_info` returns them.

        Returns:
            int: 0 where it was told; -1 where it is over, or is the caller, who can raise it.

        Raises:
            TypeError: That is no exception.
        """
        error = _exception_of(exception)
        if self._state > _ACTIVE or self._worker is getcurrent():
            return -1
        if native.get_ident() == userhub.ident:
            self._interrupt(error)
        else:
            userhub.post(self._interrupt, error)
        return 0

    def _interrupt(self, error: BaseException) -> None:
        if self._state > _ACTIVE:
            return
        if self._pending is None:
            self._pending = []
        self._pending.append(error)
        if self._state is _ACTIVE:
            userhub.ready(_Interruption(self))

    def _throw_pending(self) -> bool:
        """Throw the first that is pending into its wait; False where there is nothing to throw, or nothing waits."""
        worker, pending = self._worker, self._pending
        if pending is None or worker is None:
            return False
        worker.throw(self._next_pending(pending))
        return True

    def _next_pending(self, pending: list[BaseException]) -> BaseException:
        error = pending.pop(0)
        if pending:
            userhub.ready(_Interruption(self))
        else:
            self._pending = None
        return error

    def _raise_pending(self) -> None:
        if self._pending is not None:
            raise self._next_pending(self._pending)

    # Suspending.

    def _must_be_caller(self, what: str) -> None:
        if self._worker is not getcurrent():
            raise RuntimeError(f"{what}() of {self!r} may be called by that coroutine only")
        if self._pending is not None:
            self._raise_pending()

    def suspend(self, timeout: float | None = None, alarm_value: Any = None) -> Any:
        """Wait until somebody calls `resume`; only the coroutine itself may call this. ``sleep`` is the same.

        Args:
            timeout (float | None): Longest wait, in seconds. ``None`` waits for ever; ``0`` does not wait.

            alarm_value: What to return where the time was over first.

        Returns:
            What `resume` was given, or ``alarm_value``.

        Raises:
            Terminated: This coroutine was terminated while it waited.

            RuntimeError: Called by somebody else than the coroutine itself.
        """
        timeout = seconds(timeout, "suspend()")
        self._must_be_caller("suspend")
        if timeout is not None and timeout <= 0:
            return alarm_value
        suspension = self._suspension = _Suspension(alarm_value)
        try:
            suspension.park(timeout)
        finally:
            self._suspension = None
        return suspension.update

    #: The seeds' second name for it.
    sleep = suspend

    def resume(self, update: Any = None) -> int:
        """Wake the coroutine from `suspend`, which returns ``update``.

        Where it waits for something else, or runs, this does nothing, and is not remembered.

        Returns:
            int: 0; -1 where it is over.
        """
        if self._state > _ACTIVE:
            return -1
        if native.get_ident() == userhub.ident:
            self._resume(update)
        else:
            userhub.post(self._resume, update)
        return 0

    def _resume(self, update: Any) -> None:
        suspension = self._suspension
        if suspension is not None:
            self._suspension = None
            suspension.update = update
            suspension.wake()

    # Hot swap.

    def hot_swappable(self, flag: bool = True) -> int:
        """Say whether this coroutine may go on as another function now (it may not, unless told).

        Returns:
            int: 0; -1 where somebody else than the coroutine itself says so.
        """
        if self._worker is not getcurrent():
            return -1
        self._swappable = bool(flag)
        if flag:
            self._request_swap()
        return 0

    def hot_swap(self, target: Callable[..., Any], /, *args: Any, **kwargs: Any) -> int:
        """Have the coroutine go on as ``target(*args, **kwargs)``, with the messages it has.

        While it is swappable (`hot_swappable`) a `HotSwapException` is raised at the call where it waits, and may be
        caught to refuse; until then this is remembered, and a later ``hot_swap`` takes its place.

        Returns:
            int: 0 where the swap will be asked for; -1 where the coroutine is over.

        Raises:
            TypeError: ``target`` cannot be called with these arguments.
        """
        swap = Swap(target, args, kwargs, bind(target, args, kwargs))
        if self._state > _ACTIVE:
            return -1
        if native.get_ident() == userhub.ident:
            self._set_swap(swap)
        else:
            userhub.post(self._set_swap, swap)
        return 0

    def _set_swap(self, swap: Swap) -> None:
        if self._state <= _ACTIVE:
            self._swap = swap
            self._request_swap()

    def _request_swap(self) -> None:
        swap = self._swap
        if swap is not None and self._swappable:
            self._swap = None
            self._interrupt(SwapRequested(self, swap))

    def _take_over(self, swap: Swap) -> None:
        self._target, self._args, self._kwargs = swap.target, swap.args, swap.kwargs or None
        self._call_with_coro = swap.takes_coro
        self.name = name_of(swap.target)


def _exception_of(given: tuple[Any, ...]) -> BaseException:
    if len(given) == 1 and isinstance(given[0], tuple):
        given = given[0]
    kind, value, trace = (*given, None, None, None)[:3]
    if isinstance(kind, BaseException) and value is None:
        error = kind
    elif isinstance(kind, type) and issubclass(kind, BaseException):
        if isinstance(value, kind):
            error = value
        else:
            error = kind() if value is None else kind(*value) if isinstance(value, tuple) else kind(value)
    else:
        raise TypeError(f"throw() takes an exception, or its class, value and traceback, not {given!r}")
    return error.with_traceback(trace) if isinstance(trace, TracebackType) else error


def _report(execution: Execution) -> None:
    """Log what a coroutine raised; where the program set up no logging at all, say it on standard error."""
    if _has_real_handler():
        _log.error("uncaught exception in coroutine %r:\n%s", execution, execution._traceback_text)
    elif sys.stderr is not None:
        # A stream that is closed or whose reader is gone cannot be told of anything.
        with contextlib.suppress(OSError, ValueError):
            text = f"uncaught exception in coroutine {execution!r}:\n{execution._traceback_text}"
            print(text, file=sys.stderr, flush=True)


def _has_real_handler() -> bool:
    logger: logging.Logger | None = _log
    while logger is not None:
        if any(not isinstance(handler, logging.NullHandler) for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False


def running() -> Any:
    """The coroutine that runs this code; None outside of coroutines."""
    greenlet = getcurrent()
    return greenlet.coro if greenlet.__class__ is workers.Worker else None


def sleep(seconds: float = 0.0) -> None:
    """Let others run for at least ``seconds``; 0 gives way once.

    In a coroutine (or a gevent greenlet) only that waits; in a plain thread the thread does.

    Raises:
        Terminated: The calling coroutine was terminated meanwhile.

        ValueError: ``seconds`` is negative.
    """
    if not seconds >= 0:
        raise ValueError(f"sleep() takes a number of seconds of at least 0, not {seconds!r}")
    if not userhub.on_hub():
        hub = native.thread_hub()
        if hub is not None and getcurrent() is not hub:
            import gevent

            gevent.sleep(seconds)
        else:
            native.sleep(seconds)
        return
    current = getcurrent()
    if current.__class__ is workers.Worker and current.coro._pending is not None:
        current.coro._raise_pending()
    wait = userhub.Wait()
    if seconds == 0:
        wait.wake()
        wait.park()
    else:
        wait.park(seconds)
