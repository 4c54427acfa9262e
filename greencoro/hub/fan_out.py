"""Giving one message to many recipients, none of whom holds up the others.

It is put where there is room at once; only then does the sender wait for those of this process that have none and for
those elsewhere, for all of them at the same time. It does not go on before they are done, so what it sends next cannot
overtake this (guarantees.md, M1): for those of this process it stands in their lines itself, and has left all of them
when an exception ends its wait. For those elsewhere a coroutine each does so, and is over by then.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from greenlet import getcurrent

from greencoro.hub import native
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from greencoro.hub.room import Room, Sender

__all__ = ["Act", "Copy", "fan_out", "fan_out_async", "leave", "remaining"]

#: One message on its way to one recipient: that, the message, the table of subscribers that it leaves once it is over.
Copy = tuple[Any, Any, dict[Any, Any]]

#: ``act(recipient, message)`` sends, waiting where it has to, and returns how many have the message then.
Act = Callable[[Any, Any], int]

# Past its time limit a delivery elsewhere has so long to say how it went (guarantees.md, M6).
_ANSWER_SECONDS = 0.5


def fan_out(copies: list[Copy], act: Act, deadline: float | None, in_turn: bool = False) -> int:
    """Give each recipient its message; those that turn out to be over leave their tables.

    Args:
        act: Called for those elsewhere, and for those whose mailboxes are full where the caller cannot wait for all of
            them at the same time.

        deadline (float | None): Of `native.monotonic`, after which nobody is waited for; None leaves that to each
            one's ``send_timeout``.

        in_turn (bool): Serve those one after another, because ``act`` does not wait.

    Returns:
        int: How many have the message.

    Raises:
        Exception: What ``act`` raised, such as `WouldBlock` where an asyncio loop runs in the calling thread; the
            others have the message.
    """
    delivered = 0
    full: list[Copy] = []
    elsewhere: list[Copy] = []
    for copy in copies:
        recipient, message, table = copy
        if not recipient.is_local():
            elsewhere.append(copy)
        elif recipient.deliver(message, 0.0):
            delivered += 1
        elif not recipient.is_alive():
            leave(table, recipient)
        elif recipient is not Coro.current():  # who is full itself would wait for itself
            full.append(copy)
    if not full and not elsewhere:
        return delivered
    if in_turn or not _may_wait() or (not full and len(elsewhere) == 1):
        return delivered + _serve_in_turn(full + elsewhere, act)
    return delivered + _serve_at_once(full, elsewhere, act, deadline)


async def fan_out_async(copies: list[Copy]) -> None:
    """`send` each recipient its message, for code on an asyncio loop: where there is no room, that is awaited.

    Raises:
        Exception: As `fan_out`.
    """
    import asyncio

    waiting = [copy for copy in copies if not (copy[0].is_local() and copy[0].deliver(copy[1], 0.0))]
    sent = (recipient.send_async(message) for recipient, message, _ in waiting)
    outcomes = await asyncio.gather(*sent, return_exceptions=True)
    failed: BaseException | None = None
    for (recipient, _, table), outcome in zip(waiting, outcomes, strict=True):
        if isinstance(outcome, BaseException):
            failed = failed or outcome
        elif outcome and not recipient.is_alive():
            leave(table, recipient)
    if failed is not None:
        raise failed


def leave(table: dict[Any, Any], recipient: Any) -> None:
    """Take one that is over out of a table of subscribers; not the newer reference that stands in its place there."""
    left = table.pop(recipient, None)
    if left is not None and left.is_alive():
        table.setdefault(left, left)


def remaining(deadline: float) -> float | None:
    """Seconds until ``deadline``, at least 0; None where that is infinite."""
    return None if deadline == math.inf else max(0.0, deadline - native.monotonic())


def _may_wait() -> bool:
    """Not in a hub's callback and not on an asyncio loop; what ``act`` does there says so without waiting."""
    if native.thread_hub() is getcurrent():
        return False
    return Coro.current() is not None or not native.asyncio_loop_runs()


def _serve_in_turn(copies: list[Copy], act: Act) -> int:
    outcomes = [Completion() for _ in copies]
    for copy, outcome in zip(copies, outcomes, strict=True):
        _attempt(act, copy, outcome)
    return _summary(copies, outcomes)


def _serve_at_once(full: list[Copy], elsewhere: list[Copy], act: Act, deadline: float | None) -> int:
    outcomes = [Completion() for _ in elsewhere]
    waits: list[_Wait] = []
    runners: list[Coro] = []
    delivered = 0
    try:
        for copy in full:
            waits.append(_Wait(copy, deadline))
        for copy, outcome in zip(elsewhere, outcomes, strict=True):
            runners.append(_start(act, copy, outcome))
        # Whose time is over first comes first, so that it is let in no later than that.
        for wait in sorted(waits, key=lambda wait: wait.deadline):
            delivered += wait.finish()
        late = math.inf if deadline is None else deadline + _ANSWER_SECONDS
        for outcome in outcomes:
            outcome.wait(remaining(late))
    finally:
        # What is not done is given up, also where the sender is thrown into.
        for wait in waits:
            wait.leave()
        for runner in runners:
            runner.terminate()
        # They are over in their next turn, and only then the next message cannot overtake this one.
        late = native.monotonic() + _ANSWER_SECONDS
        for outcome, _ in zip(outcomes, runners, strict=False):
            outcome.wait(remaining(late))
    return delivered + _summary(elsewhere, outcomes)


class _Wait:
    """The wait for room in the mailbox of one recipient of this process."""

    __slots__ = ("_copy", "_room", "_sender", "deadline")

    def __init__(self, copy: Copy, deadline: float | None) -> None:
        self._copy = copy
        recipient, message, _ = copy
        self._room: Room | None
        self._sender: Sender | None = None
        self._room, timeout = recipient.room()
        self.deadline = native.monotonic() + timeout if deadline is None else deadline
        if self._room is not None:
            self._sender = self._room.enter(message)

    def finish(self) -> int:
        """How many have the message when the wait is over."""
        recipient, message, table = self._copy
        if self._sender is not None:
            self._sender.changed.wait(remaining(self.deadline))
        delivered: int = recipient.deliver(message, 0.0) if self._room is None else self.leave()
        if not delivered and not recipient.is_alive():
            leave(table, recipient)
        return delivered

    def leave(self) -> bool:
        """Wait no more; does the recipient have the message?"""
        return self._room is not None and self._sender is not None and self._room.leave(self._sender)


def _start(act: Act, copy: Copy, outcome: Completion) -> Coro:
    runner = Coro(_attempt, act, copy, outcome)
    runner.set_daemon()
    # One that somebody terminates has nothing to say.
    if not runner.add_observer(lambda ended: outcome.set(0)):
        outcome.set(0)
    return runner


def _attempt(act: Act, copy: Copy, outcome: Completion) -> None:
    recipient, message, _ = copy
    try:
        outcome.set(act(recipient, message))
    except Exception as error:
        outcome.fail(error)


def _summary(copies: list[Copy], outcomes: list[Completion]) -> int:
    """How many have the message; raises the first error."""
    delivered = 0
    failed: Completion | None = None
    for (recipient, _, table), outcome in zip(copies, outcomes, strict=True):
        if outcome.error is not None:
            failed = failed or outcome
        elif outcome.value:
            delivered += outcome.value
        elif not recipient.is_alive():
            leave(table, recipient)
    if failed is not None:
        failed.result()
    return delivered
