"""A coroutine whose generator waits at its next ``yield``, wherever the call was made.

What asyncoro's programs expect: ``coro.sleep(1)`` only notes the wait, and so does ``coro.receive()``; the coroutine
waits at the ``yield`` that comes next, its own or that of whoever called it as a sub-generator, and what is yielded
there is lost. What has its answer already gives that. This needs no look at the bytecode, and a generator leaves its
worker inside ``try`` blocks, too.

Where it cannot leave its worker (something refers to that weakly), or is being ended, it waits where it calls.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FrameType
from typing import Any, ClassVar
from weakref import getweakrefcount

from greenlet import getcurrent

from greencoro.hub.coroutine import Coro
from greencoro.hub.generators import NONE
from greencoro.hub.routine import RECEIPT, Parking, Reception, Routine, Suspension
from greencoro.hub.waiting import seconds

__all__ = ["DeferringCoro", "DeferringRoutine"]


class DeferringRoutine(Routine):
    """A `Routine` whose coroutine gets tokens in any place for ``receive``, ``suspend`` and ``sleep``."""

    __slots__ = ()

    waits_at_next_yield: ClassVar[bool] = True

    def may_defer(self) -> bool:
        """Does the coroutine ask, and may it leave its worker? Then a call may return a `token`, set before."""
        worker = self.coro._worker
        return worker is getcurrent() and not getweakrefcount(worker) and not self._is_closing()

    def token_of_receive(
        self, frame: FrameType, timeout: float | None, alarm_value: Any, match: Callable[[Any], object] | None
    ) -> Parking | None:
        """The token that a ``receive`` returns; None where it has its answer, or waits, there."""
        if self.coro._mailbox._queue and match is None:
            return None
        if timeout is not None:
            timeout = seconds(timeout, "receive()")
            if timeout is not None and timeout <= 0:
                return None
        if not self.may_defer():
            return None
        self.token = RECEIPT if timeout is None and match is None else Reception(timeout, alarm_value, match)
        token: Parking = self.token
        return token


class DeferringCoro(Coro):
    """A `Coro` with such a generator."""

    __slots__ = ()

    _routine_class = DeferringRoutine
    _routine: DeferringRoutine | None

    def receive(
        self, timeout: float | None = None, alarm_value: Any = None, match: Callable[[Any], object] | None = None
    ) -> Any:
        """With ``yield``: take the oldest message, waiting for one; otherwise as `Coro.receive`."""
        routine, worker = self._routine, self._worker
        # What nearly all calls come to, without another one: `token_of_receive` written out.
        if (
            timeout is None
            and match is None
            and routine is not None
            and routine.token is NONE
            and worker is getcurrent()
            and not self._mailbox._queue
            and not getweakrefcount(worker)
        ):
            routine.token = RECEIPT
            return RECEIPT
        return super().receive(timeout, alarm_value, match)

    def suspend(self, timeout: float | None = None, alarm_value: Any = None) -> Any:
        """With ``yield``: wait until somebody calls `resume`; otherwise as `Coro.suspend`."""
        timeout = seconds(timeout, "suspend()")
        routine = self._routine
        if routine is None or (timeout is not None and timeout <= 0) or not routine.may_defer():
            return super().suspend(timeout, alarm_value)
        routine.token = Suspension(timeout, alarm_value)
        return routine.token

    sleep = suspend
