"""Timers: a message or a call, later or again and again."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from greenlet import GreenletExit

from greencoro.hub import exit as process_exit
from greencoro.hub import native, userhub
from greencoro.hub.binding import name_of
from greencoro.hub.channel import Channel
from greencoro.hub.coroutine import Coro
from greencoro.hub.waiting import seconds as checked_seconds

__all__ = ["Timer", "every", "send_after"]

_NOTHING: Any = object()

# More often than this, a timer would leave little time for anything else.
_SHORTEST_PERIOD = 0.001


class Timer:
    """What `send_after` or `every` has started; its only use is to cancel it.

    Attributes:
        name (str): What it does, for `repr` and for log lines.
    """

    __slots__ = ("_act", "_due", "_handle", "_open", "_period", "_run", "name")

    def __init__(self, name: str, delay: float, period: float | None, act: Callable[[], bool]) -> None:
        self.name = name
        # Returns whether there is a next time.
        self._act = act
        self._period = period
        self._due = native.monotonic() + delay
        self._handle: Any = None
        self._run: Coro | None = None
        # Whoever takes the one element out has the say: the last run, or `cancel` on whatever thread.
        self._open = [True]
        if not userhub.ident:
            process_exit.start()
        if userhub.on_hub():
            self._arm()
        else:
            userhub.post(self._arm)

    def cancel(self) -> bool:
        """End the timer; any thread may call this. What it is doing at this moment it does to its end.

        Returns:
            bool: True where it will not fire (again); False where it was over already: it had fired, was cancelled
            before, or its coroutine had ended.
        """
        if not self._close():
            return False
        if userhub.on_hub():
            self._disarm()
        else:
            userhub.post(self._disarm)
        return True

    def _close(self) -> bool:
        try:
            self._open.pop()
        except IndexError:
            return False
        return True

    # The rest runs on the hub.

    def _arm(self) -> None:
        if self._open:
            self._handle = userhub.call_later(self._due - native.monotonic(), self._tick)

    def _disarm(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def _tick(self) -> None:
        self._disarm()
        if not self._open:
            return
        if self._period is not None:
            # From when it was due, not from now, so that it does not drift; what was missed meanwhile is left out.
            late = native.monotonic() - self._due
            self._due += self._period * (1 + max(0.0, late // self._period))
            self._arm()
        # A callback of the hub may not wait, and sending may have to: a coroutine does it.
        if self._run is None or not self._run.is_alive():
            self._run = Coro(self._fire)
            self._run.name = self.name
            self._run.set_daemon()

    def _fire(self) -> None:
        if self._period is None:
            if self._close():
                self._act()
            return
        if not self._open:
            return
        try:
            goes_on = self._act()
        except GreenletExit:
            # Whoever ends a run, or all coroutines at the end of the process, does not want another one.
            self._end()
            raise
        if not goes_on:
            self._end()

    def _end(self) -> None:
        self._close()
        self._disarm()

    def __repr__(self) -> str:
        return f"<Timer {self.name}{'' if self._open else ' (over)'}>"


def send_after(seconds: float, target: Coro | Channel, message: Any) -> Timer:
    """Send ``message`` to a coroutine or a channel, of whatever process, after a time.

    Any thread may call this; it returns at once. The timer does not keep the program from ending. Where the coroutine
    is over (the channel closed) by then, nothing happens; where a mailbox is full, the message waits for room as any
    sender's does.

    Args:
        seconds (float): From now; 0 is soon.

    Raises:
        TypeError: ``target`` is neither a coroutine nor a channel, or ``seconds`` no number.

        ValueError: ``seconds`` is negative or not finite.
    """
    delay = _span(seconds, "send_after()")
    if delay < 0:
        raise ValueError(f"send_after() takes a number of seconds of at least 0, not {seconds!r}")
    return Timer(f"send_after({seconds})", delay, None, _sending(target, message, "send_after()"))


def every(seconds: float, target: Coro | Channel | Callable[[], object], message: Any = _NOTHING) -> Timer:
    """Send a message to a coroutine or a channel, or call a function, every so many seconds. Any thread may call this.

    ``every(1.0, coro, message)`` sends and ends itself once the coroutine is over (or the channel closed).
    ``every(1.0, function)`` calls ``function()`` in a daemon coroutine, where it may wait; what it raises is reported
    as of any coroutine, and the timer goes on. Terminating that coroutine ends the timer.

    The times are multiples of ``seconds`` from now, so it does not drift. It never does two at once: what falls into
    the time of a slow run (or of a send that waits for room) is left out. The timer does not keep the program from
    ending.

    Args:
        seconds (float): Between two times, and before the first; at least 0.001.

    Raises:
        TypeError: ``target`` is neither a coroutine or channel with a message nor a function that can be called without
            arguments, or ``seconds`` is no number.

        ValueError: ``seconds`` is less than 0.001, or not finite.
    """
    period = _span(seconds, "every()")
    if period < _SHORTEST_PERIOD:
        raise ValueError(f"every() takes a number of seconds of at least {_SHORTEST_PERIOD}, not {seconds!r}")
    if message is _NOTHING and not isinstance(target, Coro | Channel):
        return Timer(f"every({seconds}, {name_of(target)})", period, period, _calling(target))
    if message is _NOTHING:
        kind = "coroutine" if isinstance(target, Coro) else "channel"
        raise TypeError(f"every() with a {kind} takes the message for it as well: every(seconds, {kind}, message)")
    return Timer(f"every({seconds})", period, period, _sending(target, message, "every() with a message"))


def _sending(target: Any, message: Any, what: str) -> Callable[[], bool]:
    if not isinstance(target, Coro | Channel):
        raise TypeError(f"{what} takes a coroutine or a channel to send it to, not {target!r}")

    def send() -> bool:
        # -1 may also say that it was full for too long.
        return target.send(message) == 0 or target.is_alive()

    return send


def _calling(function: Any) -> Callable[[], bool]:
    if not callable(function):
        raise TypeError(f"every() takes a coroutine or channel and a message, or a function, not {function!r}")
    if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
        raise TypeError(f"every() takes a plain function, and {name_of(function)} would not run by being called")
    try:
        signature = inspect.signature(function)
    except ValueError:
        signature = inspect.Signature()  # some C functions have none: the call itself will tell
    try:
        signature.bind()
    except TypeError as error:
        raise TypeError(f"every() calls its function without arguments, but {name_of(function)}: {error}") from None

    def call() -> bool:
        function()
        return True

    return call


def _span(seconds: float, what: str) -> float:
    if seconds is None:
        raise TypeError(f"{what} takes a number of seconds, not None")
    span = checked_seconds(seconds, what)
    if span is None:
        raise ValueError(f"{what} takes a number of seconds below 1e9 (about 30 years), not {seconds!r}")
    return span
