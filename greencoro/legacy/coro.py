"""asyncoro's coroutines: generator functions, each wait of which is yielded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from greenlet import getcurrent

from greencoro.errors import DeadlineExceeded, MonitorException
from greencoro.hub import coroutine
from greencoro.hub.binding import is_generator_function, name_of
from greencoro.hub.deferring import DeferringCoro
from greencoro.hub.ends import Ends
from greencoro.hub.execution import Failure
from greencoro.hub.lifecycle import State
from greencoro.legacy import scheduler
from greencoro.legacy.locating import patience
from greencoro.legacy.logger import logger
from greencoro.legacy.signatures import filled_in

__all__ = ["Coro", "CoroType"]

_ACTIVE = State.ACTIVE


class CoroType(type):
    """The type of `Coro`."""

    def __instancecheck__(cls, thing: Any) -> bool:
        # One elsewhere, or that greencoro made itself, is one, too.
        return isinstance(thing, coroutine.Coro) if cls is Coro else super().__instancecheck__(thing)


class Coro(DeferringCoro, metaclass=CoroType):
    """A generator function running as a coroutine, and the handle to it.

    ``Coro(function, *args, **kwargs)`` returns at once; the function begins soon after. Where it has a positional
    parameter ``coro`` with a default, that is set to this object. ``Coro(target=function, args=(...), kwargs={...})``
    is the same.

    Raises:
        Exception: ``function`` is no generator function.

        TypeError: It does not take these arguments.
    """

    __slots__ = ()

    #: The parameter that is set to it.
    own_parameter: ClassVar[str] = "coro"

    @staticmethod
    def _takes_coro(target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        # `filled_in` has seen to all that.
        return False

    def _begin(
        self, home: Any, target: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], name: str = ""
    ) -> None:
        scheduler.ensure_started()
        args, kwargs = filled_in(target, args, kwargs, self, self.own_parameter)
        super()._begin(home, target, args, kwargs, name)

    @classmethod
    def scheduler(cls) -> scheduler.AsynCoro | None:
        """What runs coroutines; None before there was any."""
        return scheduler.started()

    @staticmethod
    def locate(name: str, location: Any = None, timeout: float | None = None) -> Any:
        """With ``yield``: find the coroutine registered as ``name``: here first, then at the peers.

        Args:
            location (Location | None): Look only there; where that is here, nothing is waited for.

            timeout (float | None): Longest wait, in seconds. ``None`` waits for ever.

        Returns:
            Coro | None: A reference; None where there was none in time.
        """
        return coroutine.Coro.locate(name, location, patience(location, timeout))

    # Waiting.

    recv = DeferringCoro.receive

    def suspend(self, timeout: float | None = None, alarm_value: Any = None) -> Any:
        """With ``yield``: wait until somebody calls `resume`; only the coroutine itself may call this.

        Args:
            timeout (float | None): Longest wait, in seconds. ``None`` waits for ever; ``0`` does not wait.

            alarm_value: What the ``yield`` evaluates to where the time was over first.

        Returns:
            What `resume` was given, or ``alarm_value``; -1 where somebody else calls this, or ``timeout`` is no number.
        """
        if self._worker is not getcurrent():
            logger.warning("only %s itself can suspend it", self)
            return -1
        if timeout is not None and not isinstance(timeout, int | float):
            logger.warning("%s is suspended for a number of seconds, not for %r", self, timeout)
            return -1
        return super().suspend(timeout, alarm_value)

    sleep = suspend

    wakeup = DeferringCoro.resume

    def _resume(self, update: Any) -> None:
        if self._suspension is None and self._state <= _ACTIVE:
            logger.warning("%s is not suspended, and is not resumed", self)
        super()._resume(update)

    def deliver(self, message: Any, timeout: float | None = None) -> int:
        """Put ``message`` into the mailbox: 1 where it is there, 0 where it was full, -1 where it is over."""
        delivered = super().deliver(message, timeout)
        return delivered if delivered or self._state <= _ACTIVE else -1

    # Its end.

    def value(self, timeout: float | None = None) -> Any:
        """The result, waiting for the end; None where it was not over within ``timeout`` seconds.

        Of one that failed or was terminated it is what its last ``yield`` evaluated to.
        """
        try:
            return super().value(timeout)
        except DeadlineExceeded:
            return None

    def _ended_with(self) -> Any:
        value = self._value
        return value.last if value.__class__ is Failure else value

    def _report(self, text: str) -> None:
        logger.warning("uncaught exception in %s:\n%s", self, text)

    def notice(self) -> MonitorException:
        """As its monitors get it: of an exception those of this process are told the traceback as well."""
        notice = super().notice()
        failure = self._failure
        if failure is not None and notice.error is failure.error:
            notice.args = self, (type(failure.error), failure.error, failure.trace)
        return notice

    def monitor(self, observe: Ends) -> int:
        """Have this coroutine be sent a `MonitorException` when ``observe`` is over; 0, or -1 where it is already."""
        try:
            return super().monitor(observe)
        except (TypeError, ValueError) as error:
            logger.warning("%s", error)
            return -1

    def notify(self, monitor: Ends) -> int:
        """The reverse of `monitor`."""
        try:
            return super().notify(monitor)
        except (TypeError, ValueError) as error:
            logger.warning("%s", error)
            return -1

    def terminate(self, hard: bool = False) -> int:
        """End it: `GeneratorExit` is raised at its ``yield``; 0, or -1 where it is over already."""
        told = super().terminate(hard)
        if told:
            logger.warning("%s is over, and cannot be terminated", self)
        return told

    def throw(self, *exception: Any) -> int:
        """Raise an exception at its ``yield``; 0, or -1 where it is over, is the caller, or none is given."""
        return super().throw(*exception) if exception else -1

    def set_daemon(self, flag: bool = True) -> int:
        """Say whether the program's end should wait for it (it does, unless told); 0, or -1 from elsewhere."""
        if self._worker is not getcurrent():
            logger.warning("only %s itself can be a daemon or not", self)
            return -1
        return super().set_daemon(bool(flag))

    # Going on as another function.

    def hot_swappable(self, flag: bool) -> int:  # type: ignore[override]
        """Say whether it may go on as another function now; 0, or -1 from elsewhere."""
        return super().hot_swappable(bool(flag))

    def hot_swap(self, target: Callable[..., Any], /, *args: Any, **kwargs: Any) -> int:
        """Have it go on as ``target(*args, **kwargs)``; 0, or -1 where that is no generator function, or it is over."""
        if not is_generator_function(target):
            logger.warning("%s is not a generator!", name_of(target))
            return -1
        args, kwargs = filled_in(target, args, kwargs, self, self.own_parameter)
        return super().hot_swap(target, *args, **kwargs)

    def __repr__(self) -> str:
        return f"~{super().__repr__()}"
