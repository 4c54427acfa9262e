"""Ends coroutines that compute and come to no wait at which they could be told to.

For processes whose user hub turns in the main thread (`userhub.adopt`), where Python runs signal handlers: a native
thread sees that a terminated coroutine goes on computing and signals the main thread; the handler, which runs in the
greenlet that the signal met, raises `Terminated` there, unless something would be left half done. Then it is tried
again a moment later.

Code that swallows it, that stays where nothing may be raised, or in one call of a function written in C, is beyond
that: whoever installed this is told.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

import gevent
import greenlet
from greenlet import getcurrent

from greencoro.errors import Terminated
from greencoro.hub import execution, generators, instants, native, routine, userhub, workers
from greencoro.hub.preemption_rules import MAX_RAISED, Attempts, Kind, Moment, Verdict
from greencoro.hub.whereabouts import LIBRARIES, place_of, running_here, stack_of_hub, users_frames

__all__ = ["SIGNAL", "TIMER_SIGNAL", "Stubborn", "insist", "install"]

_log = logging.getLogger(__name__)

#: Nobody else's: programs that use real-time signals begin at the first.
SIGNAL = signal.SIGRTMIN + 3
#: That thread runs when the main thread gives it the interpreter lock. One that writes to a log again and again does so
#: nowhere but there, and would be met there only; the time that it has computed is over anywhere.
TIMER_SIGNAL = signal.SIGVTALRM
_COMPUTED_SECONDS = 0.002

_TRY_SECONDS = 0.01
#: More than the handler's go down.
_CALLS = 50

_OURS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "")


def _directory(module: Any) -> str:
    return os.path.join(os.path.dirname(os.path.abspath(module.__file__)), "")


# An exception in the middle of these leaves a lock taken, or a module imported by half, that all coroutines share.
_SHARED = (
    _OURS,
    *(_directory(module) for module in (gevent, greenlet, importlib, logging)),
    os.path.abspath(threading.__file__),
    "<frozen importlib",
    "<frozen zipimport",
)
_LIBRARIES = (*LIBRARIES, "<frozen ")
#: Functions that take something, or let go of it: an exception in the middle spoils that.
_DELICATE = frozenset({"__aenter__", "__aexit__", "__enter__", "__exit__", "acquire", "release"})

_CARRIERS = (
    workers.Worker.run,
    workers.Start.run,
    execution.Execution._run,
    routine.Routine.run,
    routine.Routine._wait,
    routine._Interrupted.run,
    generators.Trampoline.step,
    generators.Trampoline.step_iterator,
    generators.Trampoline.throw,
    generators.Trampoline._go_on,
)


@dataclass(frozen=True)
class Stubborn:
    """A coroutine that was terminated and does not end.

    Attributes:
        coro (Coro): That one.

        reason (str): What is known of why, for people.

        is_insisted (bool): Was it `insist` that terminated it?
    """

    coro: Any
    reason: str
    is_insisted: bool

    def __str__(self) -> str:
        return f"{self.coro!r} was terminated and does not end: {self.reason}"


class _Order:
    """That one coroutine end, from its `terminate` on."""

    __slots__ = ("attempts", "begun_at", "coro", "error", "is_given_up", "is_insisted", "is_told", "swallowed")

    def __init__(self, coro: Any, is_insisted: bool) -> None:
        self.coro = coro
        self.is_insisted = is_insisted
        self.begun_at = native.monotonic()
        self.attempts = Attempts()
        #: What was raised last, or is to be at its next wait.
        self.error: BaseException | None = None
        self.is_told = False
        self.is_given_up = False
        #: Did it go on after everything that was raised in it?
        self.swallowed = False

    def has_raised(self) -> bool:
        """Was `Terminated` raised in the coroutine, here or at a wait? Any thread."""
        return self.error is not None and self.error not in (self.coro._pending or ())

    def is_void(self) -> bool:
        """Was the coroutine told, and does it not have to be (`Execution.terminate`)?"""
        return self.is_told and self.error is None and not self.coro._is_new()

    # The hub's thread.

    def tell(self) -> None:
        """In place of `Execution._terminate`: the same, unless the coroutine was met computing meanwhile."""
        if not self.attempts.raised:
            self._put()
            self.is_told = True

    def _put(self) -> None:
        self.coro._terminate()
        pending = self.coro._pending
        self.error = next((error for error in pending or () if isinstance(error, Terminated)), None)

    def meet(self, frame: FrameType, carriers: frozenset[CodeType]) -> None:
        """Raise `Terminated` in the coroutine, which is at ``frame``, if this is a moment for it."""
        verdict = self.attempts.verdict(_moment(frame, carriers, self.error))
        if verdict is Verdict.GIVE_UP:
            self.swallowed = True
        elif verdict is Verdict.RAISE:
            self._put()
            self.coro._raise_pending()


class _Preemption:
    def __init__(
        self,
        on_stubborn: Callable[[Stubborn], object],
        after: float,
        patience: float,
        carriers: Iterable[Any],
    ) -> None:
        self._on_stubborn = on_stubborn
        self._after = after
        self._patience = patience
        self._carriers = frozenset(function.__code__ for function in (*_CARRIERS, *carriers))
        self._main_ident = native.get_ident()
        # By the number of the coroutine.
        self._orders: dict[int, _Order] = {}
        self._changing_orders = native.Lock()
        # Released to wake the thread, which sleeps while there are no orders. It is not started anew for each: that
        # would keep the reactor waiting for the interpreter lock.
        self._asleep = native.Lock()
        self._asleep.acquire()
        self._thread = native.Thread(self._watch, "greencoro-preemption")
        self._stopping = False

    def start(self) -> None:
        signal.signal(SIGNAL, self._on_signal)
        signal.signal(TIMER_SIGNAL, self._on_signal)
        self._thread.start()
        # A signal that comes when the interpreter has let go of its handlers ends the process.
        atexit.register(self._stop)
        execution.preempt = self.want
        os.register_at_fork(after_in_child=_forget_parent)

    def want(self, coro: Any, is_insisted: bool = False) -> Callable[[], object]:
        """The hook of `Execution.terminate`."""
        with self._changing_orders:
            order = self._orders.get(coro.id)
            if order is None or order.has_raised():
                # Once more, while it cleans up: that is to be ended as well.
                order = self._orders[coro.id] = _Order(coro, order is not None and order.is_insisted)
            order.is_insisted = order.is_insisted or is_insisted
        self._wake()
        return order.tell

    def _wake(self) -> None:
        # Two threads may find it locked at once, and the second has nothing to release.
        if self._asleep.locked():
            with contextlib.suppress(RuntimeError):
                self._asleep.release()

    def _stop(self) -> None:
        self._stopping = True
        self._wake()
        self._thread.join(1.0)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        try:
            worker = getcurrent()
            coro = worker.coro if worker.__class__ is workers.Worker else None
            order = None if coro is None else self._orders.get(coro.id)
            if order is None or frame is None:
                return
            # What has no end may well be a recursion without one, which leaves no room for calls.
            limit = sys.getrecursionlimit()
            # Refused where it would be refused at the end.
            sys.setrecursionlimit(limit)
            sys.setrecursionlimit(limit + _CALLS)
        except RecursionError:
            # Right at the limit. Later it may be less deep down.
            return
        try:
            order.meet(frame, self._carriers)
        finally:
            sys.setrecursionlimit(limit)

    # Its thread.

    def _watch(self) -> None:
        while not self._stopping:
            self._asleep.acquire(True, _TRY_SECONDS if self._orders else -1.0)
            if not self._stopping:
                self._look(native.monotonic())

    def _look(self, now: float) -> None:
        stack = stack_of_hub()
        computing = running_here(stack)
        for order in self._orders.copy().values():
            computes = order.coro is computing
            seconds = now - order.begun_at
            if self._is_done(order, computes):
                self._forget(order)
            elif order.swallowed:
                self._forget(order)
                self._tell_of(order, stack)
            else:
                if seconds >= self._patience and not order.is_given_up and (computes or order.is_insisted):
                    order.is_given_up = True
                    self._tell_of(order, stack if computes else [])
                if computes and seconds >= self._after:
                    signal.pthread_kill(self._main_ident, SIGNAL)
                    signal.setitimer(signal.ITIMER_VIRTUAL, _COMPUTED_SECONDS)

    def _is_done(self, order: _Order, computes: bool) -> bool:
        if not order.coro.is_alive() or order.is_void():
            return True
        # One that waits after that cleans up, or has decided to go on: its own affair, unless somebody insists.
        return not computes and order.has_raised() and (order.is_given_up or not order.is_insisted)

    def _forget(self, order: _Order) -> None:
        with self._changing_orders:
            if self._orders.get(order.coro.id) is order:
                del self._orders[order.coro.id]

    def _tell_of(self, order: _Order, stack: list[FrameType]) -> None:
        stubborn = Stubborn(order.coro, self._reason(order, stack), order.is_insisted)
        try:
            self._on_stubborn(stubborn)
        except Exception:
            _log.exception("what is told of %s failed", stubborn)

    def _reason(self, order: _Order, stack: list[FrameType]) -> str:
        place = place_of(users_frames(stack))
        at = f", at {place}" if place else ""
        if order.swallowed:
            return f"it goes on after Terminated was raised in it {MAX_RAISED} times{at}"
        if order.has_raised():
            return f"it still cleans up after {self._patience:g} s{at}"
        if not stack:
            return f"it has not come to a wait for {self._patience:g} s, in which others ran"
        return f"for {self._patience:g} s it has been where nothing can be raised{at}"


def _moment(frame: FrameType, carriers: frozenset[CodeType], error: BaseException | None) -> Moment:
    handled = sys.exc_info()[1]
    code, offset = frame.f_code, frame.f_lasti
    frames: list[FrameType] = []
    at: FrameType | None = frame
    while at is not None:
        frames.append(at)
        at = at.f_back
    kinds = [_kind(frame.f_code, carriers) for frame in frames]
    is_delicate = any(
        frame.f_code.co_name in _DELICATE for frame, kind in zip(frames, kinds, strict=True) if kind is not Kind.CARRIER
    )
    is_clean = handled is None and not is_delicate and instants.is_clean(code, offset)
    return Moment(kinds, error is not None and _leads_to(handled, error), is_clean)


def _kind(code: CodeType, carriers: frozenset[CodeType]) -> Kind:
    if code in carriers:
        return Kind.CARRIER
    file = code.co_filename
    # What `__del__` raises the interpreter prints and forgets.
    if file.startswith(_SHARED) or code.co_name == "__del__":
        return Kind.MACHINERY
    return Kind.LIBRARY if file.startswith(_LIBRARIES) else Kind.USERS


def _leads_to(handled: BaseException | None, error: BaseException) -> bool:
    """Is ``handled`` the error, or raised while that was treated?"""
    seen: list[BaseException] = []
    # A program may have made a ring of them.
    while handled is not None and not any(handled is other for other in seen):
        if handled is error:
            return True
        seen.append(handled)
        handled = handled.__context__
    return False


_preemption: _Preemption | None = None


def install(
    on_stubborn: Callable[[Stubborn], object],
    after: float = 0.05,
    patience: float = 3.0,
    carriers: Iterable[Callable[..., object]] = (),
) -> None:
    """From now on `Coro.terminate` ends coroutines that compute; in the main thread, after `userhub.adopt`.

    Args:
        on_stubborn: Called with a `Stubborn` in a thread of its own, which must not wait long: a coroutine that was
            terminated computes on and cannot be ended, or was terminated by `insist` and is not over. At most once for
            each `terminate`; the coroutine may end all the same.

        after (float): How long a coroutine may go on computing before it is interrupted, in seconds.

        patience (float): How long after its `terminate` it counts as stubborn, in seconds.

        carriers: Functions of greencoro that call users' functions, and for which it is no difference where those
            raise what. In other code of greencoro, and in all that it calls, nothing is raised.

    Raises:
        RuntimeError: It is installed already, or the hub's thread is another.

        ValueError: The hub's thread is not the main one.
    """
    global _preemption
    if _preemption is not None:
        raise RuntimeError("preemption is installed already")
    if not userhub.on_hub():
        raise RuntimeError("preemption is installed by the thread of the user hub")
    preemption = _Preemption(on_stubborn, after, patience, carriers)
    preemption.start()
    _preemption = preemption


def insist(coro: Any) -> int:
    """``coro.terminate()``; and where it is not over after the patience given to `install`, whoever installed hears.

    Returns:
        int: 0 where it was told; -1 where it was over already.

    Raises:
        RuntimeError: Nothing is installed.
    """
    if _preemption is None:
        raise RuntimeError("nobody would hear of a coroutine that does not end: preemption is not installed")
    if not coro.is_alive():
        return -1
    _preemption.want(coro, is_insisted=True)
    result: int = coro.terminate()
    return result


def _forget_parent() -> None:
    """In a process just forked: its one thread may be any, and who would interrupt coroutines is the parent's."""
    global _preemption
    _preemption = execution.preempt = None
