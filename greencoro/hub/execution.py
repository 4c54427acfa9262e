"""Execution: a function on its way over the user hub, from its start to its end.

Whoever wants something of a function that waits throws an exception into that wait: `terminate`, `throw`, a link that
broke, a hot swap. All of them go through one queue, `_pending`, which is emptied at the next waiting call.
"""

from __future__ import annotations

import itertools
import logging
import sys
import traceback
from collections.abc import Callable
from types import GeneratorType, TracebackType
from typing import Any, ClassVar

from greenlet import GreenletExit, getcurrent

from greencoro.errors import LinkedCoroEnded, MonitorException, Terminated
from greencoro.hub import exit as process_exit
from greencoro.hub import native, userhub, workers
from greencoro.hub.binding import is_generator_function, name_of, wraps_generator_function
from greencoro.hub.generators import TerminatedAtYield, why_not_new
from greencoro.hub.hot_swap import Swap, Swappable, SwapRequested
from greencoro.hub.lifecycle import Event, State, advance
from greencoro.hub.observers import Observers, Watcher
from greencoro.hub.routine import Pause, Routine, Suspension
from greencoro.hub.telling import tell
from greencoro.hub.waiting import LONGEST_SECONDS, seconds

__all__ = ["Execution", "Failure", "is_told_elsewhere", "plug_in_hard", "running", "sleep"]

_log = logging.getLogger(__name__)

# An enum member is found by a Python call in 3.11, a name of the module by a look-up; every message needs one.
_NEW, _ACTIVE, _FINISHED, _TERMINATED = State.NEW, State.ACTIVE, State.FINISHED, State.TERMINATED
_START, _RETURN, _TERMINATE = Event.START, Event.RETURN, Event.TERMINATE

_ids = itertools.count(1)

# Where a layer above has a way to end coroutines that do not let themselves be ended: (coroutine) -> what
# ``terminate(hard=True)`` returns.
_terminate_hard: Callable[[Any], int] | None = None

# Taken only to make observers, so that two threads that add a first one at once do not make two.
_making_observers = native.RLock()

# Longest wait for another thread to come to the end of the few lines in which it ends a coroutine.
_END_SECONDS = 1.0

# What the waits are called by.
_SUSPEND = ("suspend", "sleep")
_SLEEP = ("sleep",)


class _Suspension(userhub.Wait):
    """The wait of one `suspend`."""

    __slots__ = ("is_resumed", "update")

    def __init__(self, update: Any) -> None:
        super().__init__()
        self.is_resumed = False
        #: What `suspend` will return.
        self.update = update


class Failure:
    """What a function raised, as it was when it came out."""

    __slots__ = ("error", "last", "monitors", "text", "trace")

    def __init__(self, error: BaseException, last: Any) -> None:
        self.error = error
        #: What the last completed `yield` of a generator evaluated to; old programs ask for it.
        self.last = last
        #: Who was told of it, and may start the coroutine anew.
        self.monitors: list[Any] = []
        #: Where it came from; kept beside it, since every further raise makes its own traceback longer.
        self.trace = error.__traceback__
        #: The traceback as people read it.
        self.text = "".join(traceback.format_exception(error)).rstrip()


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


def plug_in_hard(terminate: Callable[[Any], int] | None) -> None:
    """Let a layer above end coroutines that do not let themselves be ended.

    Args:
        terminate: Called for ``coro.terminate(hard=True)`` with a coroutine that is not over, on any thread, the
            reactor's as well, where it must not block; returns 0, or -1 where it is over after all.
    """
    global _terminate_hard
    _terminate_hard = terminate


class Execution(Swappable):
    """What runs: its state, whom it waits for, how it ended."""

    # Eight bytes each, for every coroutine that waits: what is needed on a worker only stands there.
    __slots__ = (
        "__weakref__",
        "_name",
        "_observers",
        "_pending",
        "_routine",
        "_state",
        "_value",
        "_worker",
        "id",
    )

    #: A number unique in this process's life.
    id: int

    # What the function returned; or, where it raised, a `Failure`.
    _value: Any

    # What runs it where it is a generator.
    _routine_class: ClassVar[type[Routine]] = Routine

    def _spawn(
        self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], takes_coro: bool, name: str
    ) -> None:
        """Have it begin, which on the hub it may do before this returns; ``name`` is empty for its function's."""
        self._state = _NEW
        self._observers: Observers | None = None
        self._swapping = None
        self._worker: Any = None
        self._routine: Routine | None = None
        self._pending: list[BaseException] | None = None
        self._value = None
        self.id = next(_ids)
        self._name = name_of(target)
        if name != "":
            self.name = name
        if not userhub.ident:
            process_exit.start()
        start = workers.Start(self, target, args, kwargs, takes_coro)
        process_exit.alive[self.id] = self
        try:
            if native.get_ident() == userhub.ident:
                userhub.ready(start)
            else:
                userhub.post(userhub.ready, start)
        except BaseException:
            # A RecursionError, say: it will never begin, and nobody must wait for it.
            process_exit.alive.pop(self.id, None)
            raise

    @property
    def name(self) -> str:
        """What people read: the function's name, unless it is set to another.

        Raises:
            TypeError: Set to what is no text.
        """
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"the name of a coroutine is a text, not {name!r}")
        self._name = name

    @property
    def _failure(self) -> Failure | None:
        value = self._value
        return value if value.__class__ is Failure else None

    @property
    def _suspension(self) -> _Suspension | Suspension | None:
        """What `resume` would end now: the wait of a `suspend`, on a worker or on none."""
        worker, routine = self._worker, self._routine
        suspension = None if worker is None else worker.suspension
        if suspension is None and routine is not None and isinstance(routine.token, Suspension):
            suspension = routine.token
        return None if suspension is None or suspension.is_resumed else suspension

    # What the worker calls.

    def _is_new(self) -> bool:
        return self._state is _NEW

    def _run(self, worker: Any, start: workers.Start) -> None:
        """Call the function, to its end or to the first wait of a generator; called by the worker, raises nothing."""
        if self._state is _NEW:
            self._state = advance(self._state, _START)
        elif self._state is not _ACTIVE:
            # It was terminated before it began.
            return
        self._worker = worker
        if self._pending is not None:
            userhub.ready(_Interruption(self))
        target, args, kwargs, takes_coro = start.target, start.args, start.kwargs, start.takes_coro
        try:
            # A call without a star needs no C frame (Python 3.11): half a KB less to keep of each coroutine that waits.
            if kwargs:
                value = target(*args, coro=self, **kwargs) if takes_coro else target(*args, **kwargs)
            elif not args:
                value = target(coro=self) if takes_coro else target()
            elif len(args) == 1:
                value = target(args[0], coro=self) if takes_coro else target(args[0])
            else:
                value = target(*args, coro=self) if takes_coro else target(*args)
        except BaseException as error:
            # This file's frame is no news to anybody.
            self._raised(error.with_traceback(error.__traceback__.tb_next if error.__traceback__ else None))
        else:
            if value.__class__ is not GeneratorType or not wraps_generator_function(target):
                self._value = value
                self._end(_RETURN)
                return
            # What decorates a generator function may return one generator to many.
            complaint = None if is_generator_function(target) else why_not_new(value)
            if complaint is not None:
                self._fail(complaint)
                return
            self._routine = self._routine_class(self, value)
            self._routine.run(worker)

    def _returned(self, value: Any) -> None:
        self._value = value
        self._end(_RETURN)

    def _raised(self, error: BaseException) -> None:
        """End as what the function raised says, its traceback beginning in the user's code."""
        if isinstance(error, GreenletExit) or (isinstance(error, GeneratorExit) and self._routine is not None):
            self._end(_TERMINATE)
        elif isinstance(error, SwapRequested) and error.coro is self:
            self._take_over(error)
        else:
            process_exit.end_of_forker(self, error)
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        try:
            self._value = Failure(error, None if self._routine is None else self._routine.last)
            if not any(told(self) for told in is_told_elsewhere):
                self._report(self._value.text)
        finally:
            self._end(Event.RAISE)

    def _report(self, text: str) -> None:
        """Log what the function raised; where the program set up no logging at all, say it on standard error."""
        tell(_log, logging.ERROR, f"uncaught exception in coroutine {self!r}:\n{text}")

    def _end(self, event: Event) -> None:
        self._state = advance(self._state, event)
        if event is _TERMINATE:
            # Old programs ask for it. Of one that was started anew this must not be seen before its state.
            self._value = None if self._routine is None else self._routine.last
        self._worker = self._routine = self._pending = self._swapping = None
        self._clean_up()
        observers = self._observers
        if observers is not None:
            self._observers = None
            observers.tell(self)
        if self._state > _ACTIVE:  # else an observer has started it anew
            process_exit.ended(self.id)

    def _see_end_through(self) -> None:
        """Its end has begun: let the hub's thread bring that to its end, so that names are free and notices are there.

        That takes a few lines of code there, which another thread may find in the middle.
        """
        if self.id in process_exit.alive and native.get_ident() != userhub.ident:
            # Not by a turn of the hub, which may compute for long after that; nor for ever, if its thread is no more.
            deadline = native.monotonic() + _END_SECONDS
            while self.id in process_exit.alive and self._state > _ACTIVE and native.monotonic() < deadline:
                native.sleep(0)

    def _take_over(self, request: SwapRequested) -> None:
        """Go on, at a turn of its own, as what was asked for."""
        self._worker = None
        process_exit.cleaning_up.discard(self.id)
        if request.generator is None:
            self._routine = None
            self._start_as(request.swap)
        else:
            self._name = name_of(request.swap.target)
            self._routine = self._routine_class(self, request.generator)
            userhub.ready(self._routine)

    def _restart(self, swap: Swap) -> None:
        failure = self._failure
        assert failure is not None
        self._renew()
        process_exit.alive[self.id] = self
        process_exit.set_daemon(self.id, False)
        process_exit.cleaning_up.discard(self.id)
        # Another thread may look: what it raised is there until it is over again.
        self._state = advance(self._state, Event.RESTART)
        for monitor in failure.monitors:
            self.add_observer(monitor._hear_of)
        failure.monitors = []
        self._start_as(swap)

    def _start_as(self, swap: Swap) -> None:
        self._name = name_of(swap.target)
        userhub.ready(workers.Start(self, swap.target, swap.args, swap.kwargs, swap.takes_coro))

    def _renew(self) -> None:
        """Make anew what only a live coroutine has; before it starts again."""

    def _clean_up(self) -> None:
        """Let go of what only a live coroutine has; before the observers are told."""

    # The end, and who hears of it.

    def add_observer(self, observer: Callable[[Any], object], watcher: Watcher | None = None) -> bool:
        """Have ``observer(coro)`` called at the end, on the hub, where it must not block.

        Args:
            watcher (Watcher | None): Once that has ended for good the observer may be forgotten.

        Returns:
            bool: False where it will not be called: the end has come.
        """
        if self._state > _ACTIVE:
            return False
        # Most coroutines have none while they wait, and they take 112 bytes.
        observers = self._observers
        if observers is None:
            observers = self._make_observers()
        # If the end came meanwhile and found none, nobody will tell these.
        return observers.add(observer, watcher) and (self._state <= _ACTIVE or not observers.remove(observer))

    def _make_observers(self) -> Observers:
        observers = Observers()
        with _making_observers:
            # A signal handler that waits for this end comes in at a call, so before these two lines or after them.
            if self._observers is None:
                self._observers = observers
            return self._observers

    def remove_observer(self, observer: Callable[[Any], object]) -> None:
        """Do not call ``observer`` any more; where it was called already, nothing."""
        observers = self._observers
        if observers is not None:
            observers.remove(observer)

    def notice(self) -> MonitorException:
        """The notice of its end, as its monitors get it; once it is over."""
        if self._state is _FINISHED:
            return MonitorException(self, "finished", self._value)
        if self._state is _TERMINATED:
            notice = MonitorException(self, "terminated")
            # Old programs find there what the last `yield` of a generator evaluated to.
            notice.args = self, (StopIteration, self._value)
            return notice
        failure = self._failure
        if failure is None:
            # One that had failed, and was started anew, is about to be finished.
            return MonitorException(self, "finished", self._value)
        return MonitorException(self, "exception", None, failure.error, failure.text)

    def is_generator(self) -> bool:
        """Is its function, which runs, a generator function?"""
        return self._routine is not None

    def is_alive(self) -> bool:
        """Is it not over yet?"""
        return self._state <= _ACTIVE

    def has_ended_for_good(self) -> bool:
        """Is it over, and is there nobody who may start it anew (`hot_swap`)?"""
        alive, failure = process_exit.alive, self._failure
        # Who is told of a failure is known once it is no longer listed as alive; while looking it may start anew.
        return (
            self.id not in alive
            and (failure is None or not any(monitor.is_alive() for monitor in failure.monitors))
            and self.id not in alive
        )

    def set_daemon(self, flag: bool = True) -> int:
        """Say whether the program's end should wait for this coroutine (it does, unless told); returns 0.

        Raises:
            TypeError: ``flag`` is no bool.
        """
        if not isinstance(flag, bool):
            raise TypeError(f"set_daemon() takes True or False, not {flag!r}")
        process_exit.set_daemon(self.id, flag)
        return 0

    # In a process that was forked.

    def leave_behind(self) -> None:
        """Be over here, without a word to anybody: the parent's own copy goes on."""
        if self._state <= _ACTIVE:
            self._state = _TERMINATED

    def come_along(self, at_end: Callable[[Any], object]) -> object:
        """Go on here, since this one forked; of its end only ``at_end(coro)`` hears. Returns what must not be freed."""
        left, self._observers = self._observers, Observers()
        self._state = _ACTIVE
        self._pending = None
        self._observers.add(at_end)
        return left

    # What interrupts it.

    def terminate(self, hard: bool = False) -> int:
        """End the coroutine: `Terminated` is raised at the call where it waits (or at its next one, where it runs).

        Once more while it cleans up, this ends the wait that it is in there; but not at the program's end, where every
        coroutine has been told and has its time to clean up.

        Args:
            hard (bool): End it though it may compute without ever waiting, or goes on all the same. What that takes
                says whoever runs it, as the servers of a cluster do; in a program of its own, where nobody does, it is
                the same as without.

        Returns:
            int: 0 where it was told; -1 where it was over already.
        """
        if self._state > _ACTIVE:
            return -1
        if hard and _terminate_hard is not None:
            return _terminate_hard(self)
        end = self._terminate if preempt is None else preempt(self)
        if native.get_ident() == userhub.ident:
            end()
        else:
            userhub.post(end)
        return 0

    def _terminate(self) -> None:
        if self._state is _NEW:
            if userhub.in_hub_callback() or _may_descend():
                self._end(_TERMINATE)
            else:
                # Half an end would be worse than a late one.
                userhub.call_soon(self._terminate)
        elif self._state is _ACTIVE and not (process_exit.has_told_all() and self._is_being_ended()):
            # Whatever else was to be thrown does not matter any more; twice is once, until it was raised.
            kind = Terminated if self._routine is None else TerminatedAtYield
            self._pending = [kind(f"{self!r} was terminated")]
            # Where it runs right now, this meets it in whatever it waits for next; our own waiting calls look first.
            userhub.ready(_Interruption(self))

    def _is_being_ended(self) -> bool:
        """Was it terminated already? Hub's thread only."""
        return self.id in process_exit.cleaning_up or any(isinstance(e, Terminated) for e in self._pending or ())

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
        if isinstance(error, LinkedCoroEnded) and self._is_being_ended():
            # It does not go on, which is all that the link asks for; what it cleans up it shall bring to an end.
            return
        if self._pending is None:
            self._pending = []
        self._pending.append(error)
        if self._state is _ACTIVE:
            userhub.ready(_Interruption(self))

    def _throw_pending(self) -> bool:
        """Throw the first that is pending into its wait; False where there is nothing to throw, or nothing waits."""
        worker, routine = self._worker, self._routine
        if worker is None and routine is None:
            return False
        error = self._next_pending()
        if error is None:
            return False
        if worker is not None:
            if routine is not None:
                routine.meets(error)
            # With its own traceback, which `throw(error)` would drop.
            worker.throw(type(error), error, error.__traceback__)
        elif routine is not None:
            routine.interrupt(error)
        return True

    def _next_pending(self) -> BaseException | None:
        pending = self._pending
        if pending is None:
            return None
        error = pending.pop(0)
        if pending:
            userhub.ready(_Interruption(self))
        else:
            self._pending = None
        routine = self._routine
        if routine is not None and routine.in_sub_call() and isinstance(error, SwapRequested):
            # It is asked for again when that is over.
            self._ask_later(error.swap)
            return None
        if isinstance(error, Terminated):
            process_exit.cleaning_up.add(self.id)
        return error

    def _raise_pending(self) -> None:
        error = self._next_pending()
        if error is not None:
            if self._routine is not None:
                self._routine.meets(error)
            raise error

    # Suspending.

    def _must_be_caller(self, what: str) -> None:
        if self._worker is not getcurrent():
            raise RuntimeError(f"{what}() of {self!r} may be called by that coroutine only")
        if self._pending is not None:
            self._raise_pending()

    def suspend(self, timeout: float | None = None, alarm_value: Any = None) -> Any:
        """Wait until somebody calls `resume`; only the coroutine itself may call this.

        Args:
            timeout (float | None): Longest wait, in seconds. ``None`` waits for ever; ``0`` does not wait.

            alarm_value: What to return where the time was over first.

        Returns:
            What `resume` was given, or ``alarm_value``.

        Raises:
            Terminated: This coroutine was terminated while it waited.

            RuntimeError: Called by somebody else than the coroutine itself.
        """
        return self._suspend("suspend", timeout, alarm_value)

    def sleep(self, timeout: float | None = None, alarm_value: Any = None) -> Any:
        """The same as `suspend`: its second name."""
        return self._suspend("sleep", timeout, alarm_value)

    def _suspend(self, called: str, timeout: float | None, alarm_value: Any) -> Any:
        timeout = seconds(timeout, f"{called}()")
        self._must_be_caller(called)
        if timeout is not None and timeout <= 0:
            return alarm_value
        routine = self._routine
        if routine is not None and routine.leaves_for(sys._getframe(2), _SUSPEND):
            routine.token = Suspension(timeout, alarm_value)
            return routine.token
        worker = self._worker
        suspension = worker.suspension = _Suspension(alarm_value)
        try:
            suspension.park(timeout)
        finally:
            worker.suspension = None
        return suspension.update

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
            suspension.is_resumed = True
            suspension.update = update
            suspension.wake()


# More calls than the end of a coroutine and its observers go down, those that write a line to a log included.
_CALLS_OF_AN_END = 100


def _may_descend(calls: int = _CALLS_OF_AN_END) -> bool:
    """Is that depth of calls left before the interpreter's limit?"""
    try:
        return calls == 0 or _may_descend(calls - 1)
    except RecursionError:
        return False


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


#: Where a coroutine that computes can be ended as well (`preemption`): called with one that is being terminated, in any
#: thread, it returns what to call on the hub in place of its `_terminate`. None: nothing of the kind.
preempt: Callable[[Any], Callable[[], object]] | None = None

#: Each says of a coroutine that raised whether what waits for it is told anyway, so that nobody else needs to be.
is_told_elsewhere: list[Callable[[Any], bool]] = []


def running() -> Any:
    """The coroutine that runs this code; None outside of coroutines."""
    greenlet = getcurrent()
    return greenlet.coro if greenlet.__class__ is workers.Worker else None


def sleep(seconds: float = 0.0) -> Any:
    """Let others run for at least ``seconds``; 0 gives way once, and 30 years are the longest.

    In a coroutine (or a gevent greenlet) only that waits; in a plain thread the thread does.

    Raises:
        Terminated: The calling coroutine was terminated meanwhile.

        TypeError, ValueError: ``seconds`` is no number, or negative.
    """
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        raise TypeError(f"sleep() takes a number of seconds, not {seconds!r}")
    if not seconds >= 0:
        raise ValueError(f"sleep() takes a number of seconds of at least 0, not {seconds!r}")
    if seconds > LONGEST_SECONDS:
        seconds = LONGEST_SECONDS
    if not userhub.on_hub():
        hub = native.thread_hub()
        if hub is not None and getcurrent() is not hub:
            import gevent

            gevent.sleep(seconds)
        else:
            native.sleep(seconds)
        return None
    coro = running()
    if coro is not None:
        if coro._pending is not None:
            coro._raise_pending()
        routine = coro._routine
        if routine is not None and seconds and routine.leaves_for(sys._getframe(1), _SLEEP):
            routine.token = Pause(seconds)
            return routine.token
    wait = userhub.Wait()
    if seconds == 0:
        wait.wake()
        wait.park()
    else:
        wait.park(seconds)
    return None
