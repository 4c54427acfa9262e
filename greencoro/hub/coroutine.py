"""Coro: a plain function that runs beside others and gets messages.

Everything here may be called from any thread. Coroutines run on the user hub, one at a time, and change over only where
one waits: code without a waiting call is atomic with regard to the other coroutines.
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

from greencoro.errors import CoroTerminated, DeadlineExceeded, Terminated
from greencoro.hub import exit as process_exit
from greencoro.hub import names, native, userhub, workers
from greencoro.hub.binding import bind, name_of
from greencoro.hub.completion import Completion
from greencoro.hub.lifecycle import Event, State, advance
from greencoro.hub.mailbox import Mailbox
from greencoro.hub.observers import Observers, notice_of

__all__ = ["Coro", "current_home", "find", "plug_in", "sleep"]

_log = logging.getLogger(__name__)

# An enum member is found by a Python call in 3.11, a name of the module by a look-up; every message needs one.
_NEW, _ACTIVE = State.NEW, State.ACTIVE

_ids = itertools.count(1)

# Where the distributed layer plugs in: (coro) -> what `pickle` makes of a local coroutine, and its location.
_reduce: Callable[[Coro], tuple[Any, ...]] | None = None
_locate_home: Callable[[Coro], Any] | None = None


def plug_in(reduce: Callable[[Coro], tuple[Any, ...]] | None, location: Callable[[Coro], Any] | None) -> None:
    """Let the distributed layer say how a local coroutine travels, and where it is."""
    global _reduce, _locate_home
    _reduce, _locate_home = reduce, location


class Coro:
    """A function running as a coroutine, and the handle to it.

    ``Coro(function, *args, **kwargs)`` returns at once; the function begins soon after. Where it has a parameter named
    ``coro`` it is given this object there.

    Raises:
        TypeError: ``function`` is not a plain function (or other callable), or does not take these arguments.
    """

    __slots__ = (
        "__weakref__",
        "_args",
        "_call_with_coro",
        "_error",
        "_home",
        "_kwargs",
        "_mailbox",
        "_observers",
        "_pending",
        "_registered",
        "_state",
        "_target",
        "_trace",
        "_traceback_text",
        "_value",
        "_worker",
        "id",
        "name",
    )

    def __init__(self, target: Callable[..., Any], /, *args: Any, **kwargs: Any) -> None:
        self._call_with_coro = bind(target, args, kwargs)
        self._spawn(target, args, kwargs, current_home())

    def _spawn(self, target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], home: Any) -> None:
        self._target: Any = target
        self._args = args
        self._kwargs: dict[str, Any] | None = (
            kwargs or None
        )  # an empty dict is 64 bytes, for as long as the coroutine waits to begin
        self._home = home
        self._state = _NEW
        self._mailbox = Mailbox()
        self._observers = Observers()
        self._registered = False
        self._worker: Any = None
        self._pending: BaseException | None = None
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

    @classmethod
    def _make(cls, home: Any, target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Coro:
        """A coroutine at home in a given runtime, instead of its creator's."""
        coro = cls.__new__(cls)
        coro._call_with_coro = bind(target, args, kwargs)
        coro._spawn(target, args, kwargs, home)
        return coro

    # What the worker calls.

    def _is_new(self) -> bool:
        return self._state is _NEW

    def _run(self, worker: Any) -> None:
        """Run the function to its end; called by the worker, raises nothing."""
        self._worker = worker
        self._state = advance(self._state, Event.START)
        target, args, kwargs = self._target, self._args, self._kwargs
        # From here on they live as long as the function needs them.
        self._target = self._kwargs = None
        self._args = ()
        try:
            # A call without a star needs no C frame (Python 3.11): half a KB less to keep of each coroutine that waits.
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
        except BaseException as error:
            try:
                self._keep(error)
                _report(self)
            finally:
                self._end(Event.RAISE)
        else:
            self._value = value
            self._end(Event.RETURN)

    def _keep(self, error: BaseException) -> None:
        self._error = error
        # This file's frame is no news to anybody.
        self._trace = error.__traceback__.tb_next if error.__traceback__ else None
        error.__traceback__ = self._trace
        self._traceback_text = "".join(traceback.format_exception(error)).rstrip()

    def _end(self, event: Event) -> None:
        self._state = advance(self._state, event)
        self._worker = self._target = self._kwargs = self._pending = None
        self._args = ()
        process_exit.alive.pop(self.id, None)
        if self._registered:
            self._names().forget(self)
        self._mailbox.clear()
        self._observers.tell(self)
        process_exit.released(self)

    # Messages.

    def send(self, message: Any) -> int:
        """Put ``message`` into this coroutine's mailbox, without waiting.

        Locally the very object is handed over; from a remote reference a copy is (a snapshot made now).

        Returns:
            int: 0 where it is queued, which does not say that it will be read; -1 where this coroutine is over.
        """
        if self._state > _ACTIVE:
            return -1
        self._mailbox.put(message)
        return 0

    def deliver(self, message: Any, timeout: float | None = None) -> int:
        """Put ``message`` into the mailbox and learn whether it got there.

        Args:
            timeout (float | None): Longest wait for a remote coroutine's process to confirm, in seconds.

        Returns:
            int: 1 where the message is in the mailbox of a live coroutine; 0 where that is not confirmed.
        """
        # From another thread it may have ended between the look at its state and the message.
        return 1 if self.send(message) == 0 and self._state <= _ACTIVE else 0

    def receive(self, timeout: float | None = None, alarm_value: Any = None) -> Any:
        """Take the oldest message, waiting for one if the mailbox is empty; only the coroutine itself may call this.

        Messages from one sender arrive in the order sent; between senders no order is promised. One from elsewhere that
        cannot be decoded is dropped with a warning, and the wait goes on.

        Args:
            timeout (float | None): Longest wait, in seconds. ``None`` waits for ever; ``0`` does not wait.

            alarm_value: What to return where nothing came in time.

        Returns:
            The message, or ``alarm_value``; then the mailbox is unchanged.

        Raises:
            Terminated: This coroutine was terminated while it waited. The mailbox is unchanged.

            RuntimeError: Called by somebody else than the coroutine itself.
        """
        if self._worker is not getcurrent():
            raise RuntimeError(f"receive() of {self!r} may be called by that coroutine only")
        if self._pending is not None:
            self._raise_pending()
        return self._mailbox.take(timeout, alarm_value)

    # The end, and who hears of it.

    def value(self, timeout: float | None = None) -> Any:
        """The result of the coroutine's function, waiting for its end; may be asked for any number of times.

        Args:
            timeout (float | None): Longest wait, in seconds. ``None`` waits for ever.

        Raises:
            DeadlineExceeded: It was not over in time; it goes on.

            CoroTerminated: It was terminated.

            BaseException: What its function raised.
        """
        if self._state <= _ACTIVE and not self._wait_for_end(timeout):
            raise DeadlineExceeded(f"{self!r} was not over after {timeout} s")
        if self._state is State.FINISHED:
            return self._value
        if self._state is State.TERMINATED:
            raise CoroTerminated(f"{self!r} was terminated")
        assert self._error is not None
        # Raised anew each time with the traceback it came with, which would otherwise grow with every raise.
        raise self._error.with_traceback(self._trace)

    #: The seeds' second name for it: there `finish` is for coroutines and `value` for threads, here both are for all.
    finish = value

    def _wait_for_end(self, timeout: float | None) -> bool:
        running = getcurrent()
        if self._worker is running:
            raise RuntimeError(f"{self!r} would wait for its own end")
        if running.__class__ is workers.Worker and running.coro._pending is not None:
            running.coro._raise_pending()
        ended = Completion()
        observer = ended.set
        if not self._observers.add(observer):
            # Its end has begun; what is left of it needs no turn of the hub but this thread must see it whole.
            return True
        try:
            return ended.wait(timeout)
        finally:
            self._observers.remove(observer)

    def is_alive(self) -> bool:
        """Is it not over yet?"""
        return self._state <= _ACTIVE

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
            self._pending = Terminated(f"{self!r} was terminated")
            # Where it runs right now, this meets it in whatever it waits for next; our own waiting calls look first.
            userhub.call_soon(self._throw_pending)

    def _throw_pending(self) -> None:
        worker, pending = self._worker, self._pending
        if pending is None or worker is None:
            return
        self._pending = None
        worker.throw(pending)

    def _raise_pending(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            raise pending

    def set_daemon(self, flag: bool = True) -> int:
        """Say whether the program's end should wait for this coroutine (it does, unless told); returns 0."""
        if flag:
            process_exit.released(self)
        elif self._state <= _ACTIVE:
            process_exit.holding.add(self)
            if self._state > _ACTIVE:  # ended meanwhile, on another thread
                process_exit.released(self)
        return 0

    def monitor(self, observed: Coro) -> int:
        """Have this coroutine be sent a `MonitorException` when ``observed`` is over.

        Returns:
            int: 0: exactly one notice will come; -1: none will, ``observed`` was over already.

        Raises:
            TypeError: ``observed`` is no coroutine.
        """
        if not isinstance(observed, Coro):
            raise TypeError(f"monitor() takes a coroutine, not {observed!r}")
        return observed._add_monitor(self)

    def notify(self, monitor: Coro) -> int:
        """The reverse of `monitor`: have ``monitor`` be sent a `MonitorException` when this coroutine is over."""
        if not isinstance(monitor, Coro):
            raise TypeError(f"notify() takes a coroutine, not {monitor!r}")
        return monitor.monitor(self)

    def _add_monitor(self, monitor: Coro) -> int:
        # The same bound method twice is one observer, so that asking twice does not bring two notices.
        return 0 if self._observers.add(monitor._hear_of) else -1

    def _hear_of(self, ended: Coro) -> None:
        self.send(notice_of(ended))

    # Names.

    def _names(self) -> names.Names:
        return names.default if self._home is None else self._home.names

    def register(self, name: str | None = None) -> int:
        """Make the coroutine known under ``name`` (default: its function's name), for `locate` here and at peers.

        Returns:
            int: 0; -1 where the name is taken here, or the coroutine is over.
        """
        if self._state > _ACTIVE:
            return -1
        self._registered = True
        if not self._names().register("coro", name or self.name, self):
            return -1
        if self._state > _ACTIVE:  # ended meanwhile, on another thread
            self._names().unregister("coro", name or self.name, self)
            return -1
        return 0

    def unregister(self, name: str | None = None) -> int:
        """Undo `register`; 0, or -1 where that name is not this coroutine's."""
        return 0 if self._names().unregister("coro", name or self.name, self) else -1

    @staticmethod
    def locate(name: str, location: Any = None, timeout: float | None = None) -> Coro | None:
        """Find the coroutine registered as ``name``: here first, then at the peers, waiting for it to appear.

        Args:
            location (Location | None): Ask only there.

            timeout (float | None): Longest wait, in seconds. ``None`` waits for ever.

        Returns:
            Coro | None: A reference; None where there was none in time.

        Raises:
            RuntimeError: A location was given, and this process has no Runtime to ask there.
        """
        home = current_home()
        local = names.default if home is None else home.names
        if local.network is not None:
            found: Coro | None = local.network.locate("coro", name, location, timeout)
            return found
        if location is not None:
            raise RuntimeError(f"{name!r} cannot be looked for at {location}: make a Runtime first")
        appeared = Completion()
        local.listen("coro", name, appeared.set)
        try:
            appeared.wait(timeout)
        finally:
            local.unlisten("coro", name, appeared.set)
        return appeared.value

    # The rest.

    @staticmethod
    def current() -> Coro | None:
        """The coroutine that runs this code; None outside of coroutines."""
        running = getcurrent()
        return running.coro if running.__class__ is workers.Worker else None

    @property
    def location(self) -> Any:
        """The `Location` of its process; None where that has no runtime."""
        return _locate_home(self) if _locate_home is not None else None

    def __reduce__(self) -> tuple[Any, ...]:
        if _reduce is None:
            raise TypeError(
                f"{self!r} cannot travel: this process has no Runtime, so nothing elsewhere could refer to it"
            )
        return _reduce(self)

    def __repr__(self) -> str:
        location = self.location
        return f"{self.name}/{self.id}" if location is None else f"{self.name}/{self.id}@{location}"


def _report(coro: Coro) -> None:
    """Log what a coroutine raised; where the program set up no logging at all, say it on standard error."""
    if _has_real_handler():
        _log.error("uncaught exception in coroutine %r:\n%s", coro, coro._traceback_text)
    elif sys.stderr is not None:
        # A stream that is closed or whose reader is gone cannot be told of anything.
        with contextlib.suppress(OSError, ValueError):
            print(f"uncaught exception in coroutine {coro!r}:\n{coro._traceback_text}", file=sys.stderr, flush=True)


def _has_real_handler() -> bool:
    logger: logging.Logger | None = _log
    while logger is not None:
        if any(not isinstance(handler, logging.NullHandler) for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False


def find(coro_id: int) -> Coro | None:
    """The live local coroutine with this id, or None."""
    return process_exit.alive.get(coro_id)


def current_home() -> Any:
    """The runtime in which the running coroutine is at home; None stands for the process's default one."""
    running = getcurrent()
    return running.coro._home if running.__class__ is workers.Worker else None


def sleep(seconds: float = 0.0) -> None:
    """Let others run for at least ``seconds``; 0 gives way once.

    In a coroutine (or a gevent greenlet) only that waits; in a plain thread the thread does.

    Raises:
        Terminated: The calling coroutine was terminated meanwhile.

        ValueError: ``seconds`` is negative.
    """
    if seconds < 0:
        raise ValueError(f"sleep() takes a number of seconds of at least 0, not {seconds!r}")
    if not userhub.on_hub():
        hub = native.thread_hub()
        if hub is not None and getcurrent() is not hub:
            import gevent

            gevent.sleep(seconds)
        else:
            native.sleep(seconds)
        return
    running = getcurrent()
    if running.__class__ is workers.Worker and running.coro._pending is not None:
        running.coro._raise_pending()
    wait = userhub.Wait()
    if seconds == 0:
        wait.wake()
        wait.park()
    else:
        wait.park(seconds)
