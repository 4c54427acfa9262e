"""A generator coroutine that waits at its next ``yield``, wherever it made the call.

What asyncoro's programs expect: ``coro.sleep(1)`` only notes the wait, and so does ``coro.receive()``; the coroutine
waits at the ``yield`` that comes next, its own or that of whoever called it as a sub-generator, and what is yielded
there is lost. What has its answer already gives that. This needs no look at the bytecode, and a generator leaves its
worker inside ``try`` blocks, too.

Only calls in the generator's own code are meant. What a function that it calls waits for, that waits for there.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FrameType
from typing import Any, ClassVar
from weakref import getweakrefcount

from greencoro.hub.generators import NONE
from greencoro.hub.routine import RECEIPT, Parking, Reception, Routine
from greencoro.hub.waiting import seconds

__all__ = ["DeferringRoutine"]


class DeferringRoutine(Routine):
    """A `Routine` whose calls of ``receive``, ``suspend`` and ``sleep`` give tokens in any place."""

    __slots__ = ()

    waits_at_next_yield: ClassVar[bool] = True

    def takes_token(self, frame: FrameType, names: tuple[str, ...]) -> bool:
        """Is ``frame`` the generator's own? Then a call there may return a `token`, set before, instead of waiting."""
        return frame is self._generator.gi_frame and not self._is_closing()

    def token_of_receive(
        self, frame: FrameType, timeout: float | None, alarm_value: Any, match: Callable[[Any], object] | None
    ) -> Parking | None:
        """The token that a ``receive`` called at ``frame`` returns; None where it has its answer, or waits, there."""
        coro = self.coro
        if coro._mailbox._queue and match is None:
            return None
        if timeout is not None:
            timeout = seconds(timeout, "receive()")
            if timeout is not None and timeout <= 0:
                return None
        # `leaves_for` written out, because every message comes this way.
        if frame is not self._generator.gi_frame or getweakrefcount(coro._worker):
            return None
        if self.token is not NONE and self._is_closing():
            return None
        self.token = RECEIPT if timeout is None and match is None else Reception(timeout, alarm_value, match)
        token: Parking = self.token
        return token
