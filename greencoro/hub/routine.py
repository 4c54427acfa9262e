"""A generator coroutine's way over the hub: its turns on any worker, and waits between them that take no greenlet.

A generator that waits is not on a worker: its `Routine` stands in the mailbox or at a timer in its place, later in the
ready queue, and whichever worker comes to it there goes on with it.

Where a generator may not leave its worker (`call_sites`), or something refers to that weakly (as greenlet-local data
do), it waits on it, as a plain function does; so does every wait that gives no token.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from types import FrameType, GeneratorType
from typing import Any
from weakref import getweakrefcount

from greencoro.errors import Terminated
from greencoro.hub import call_sites, generators, native, userhub, workers
from greencoro.hub.generators import DONE, GIVE_WAY, NONE, PARK, STAY, Trampoline
from greencoro.hub.mailbox import EMPTY, Selection
from greencoro.hub.waiting import seconds

__all__ = ["RECEIPT", "Parking", "Pause", "Reception", "Routine", "Suspension"]

# What `receive` is called by, here and in old programs.
_RECEIVE = ("receive", "recv")

# After what `step` answers: the generator is on no worker now.
_AWAY = DONE + 1

# Did the generator wait on its worker, so that others had their turn, since it last gave way?
_has_waited = userhub.has_waited

# The context variables of the routines that are on no worker, where there are any. Not in the routines: few have some,
# and 16 bytes are two in a hundred of what a generator that waits takes.
_contexts: dict[Routine, Context] = {}

#: May generators leave their workers while they wait? Else each wait takes a greenlet, with the same results.
GENERATOR_PARKING = call_sites.can_read


class Parking:
    """A token: what a generator waits for while it is on no worker."""

    __slots__ = ()

    #: The name of the call that waits.
    call = "receive"

    def poll(self, routine: Routine) -> Any:
        """What the ``yield`` evaluates to; or `EMPTY`, and then ``routine`` is made ready for asking again.

        Nothing has happened before this is called first. What it raises, the ``yield`` raises.
        """
        raise NotImplementedError

    def withdraw(self, routine: Routine) -> bool:
        """Wait no more; False where ``routine`` was made ready already."""
        raise NotImplementedError


class _Receipt(Parking):
    __slots__ = ()

    def poll(self, routine: Routine) -> Any:
        return routine.coro._mailbox.poll(routine)

    def withdraw(self, routine: Routine) -> bool:
        was_waiting: bool = routine.coro._mailbox.forget(routine)
        return was_waiting


#: The wait for the next message. It has nothing of its own, so one is enough.
RECEIPT = _Receipt()


class Reception(Parking):
    """The wait for a message that comes in time, or that is wanted, or both.

    Args:
        timeout (float | None): In seconds.

        alarm_value: What there is where none came in time.

        match: Says whether a message is wanted; None: any is.
    """

    __slots__ = ("_alarm_value", "_deadline", "_match", "_search", "_timer")

    def __init__(self, timeout: float | None, alarm_value: Any, match: Callable[[Any], object] | None) -> None:
        timeout = seconds(timeout, "receive()")
        if match is not None and not callable(match):
            raise TypeError(f"match= of receive() takes a function of a message, not {match!r}")
        self._deadline = None if timeout is None else native.monotonic() + timeout
        self._alarm_value = alarm_value
        self._match = match
        self._search: Callable[[Any], Any] | None = None
        self._timer: Any = None

    def poll(self, routine: Routine) -> Any:
        mailbox = routine.coro._mailbox
        if self._search is None:
            self._search = mailbox.poll if self._match is None else Selection(mailbox, self._match).poll
        waits = False
        try:
            message = self._search(routine)
            if message is EMPTY:
                remaining = None if self._deadline is None else self._deadline - native.monotonic()
                if remaining is not None and not remaining > 0:
                    return self._alarm_value
                waits = True
                if remaining is not None and self._timer is None:
                    self._timer = userhub.call_later(remaining, mailbox.wake)
            return message
        finally:
            if not waits:
                self.withdraw(routine)

    def withdraw(self, routine: Routine) -> bool:
        if self._timer is not None:
            self._timer.close()
        was_waiting: bool = routine.coro._mailbox.forget(routine)
        return was_waiting


class Pause(Parking):
    """The wait until some time is over.

    Args:
        seconds (float | None): None: until somebody calls `wake`.

        update: What the ``yield`` evaluates to.
    """

    __slots__ = ("_has_begun", "_routine", "_seconds", "_timer", "update")

    call = "sleep"

    def __init__(self, seconds: float | None, update: Any = None) -> None:
        self._seconds = seconds
        self._has_begun = False
        # None before the wait and after it.
        self._routine: Routine | None = None
        self._timer: Any = None
        self.update = update

    def poll(self, routine: Routine) -> Any:
        if self._has_begun:
            self.withdraw(routine)
            return self.update
        self._has_begun = True
        self._routine = routine
        if self._seconds is not None:
            self._timer = userhub.call_later(self._seconds, self.wake)
        return EMPTY

    def wake(self) -> None:
        """End the wait; a second call does nothing. Hub's thread only."""
        # Where it was not asked before, it is over when it is.
        self._has_begun = True
        routine = self._routine
        if routine is not None:
            self._routine = None
            userhub.ready(routine)

    def withdraw(self, routine: Routine) -> bool:
        was_waiting = self._routine is not None
        self._routine = None
        if self._timer is not None:
            self._timer.close()
        return was_waiting


class Suspension(Pause):
    """The wait for `Coro.resume`."""

    __slots__ = ("is_resumed",)

    call = "suspend"

    def __init__(self, seconds: float | None, alarm_value: Any) -> None:
        super().__init__(seconds, alarm_value)
        self.is_resumed = False


class Routine(Trampoline, workers.Turn):
    """What runs a generator coroutine, and stands in the ready queue for it.

    Attributes:
        coro: The coroutine.
    """

    __slots__ = ("coro",)

    def __init__(self, coro: Any, generator: GeneratorType[Any, Any, Any]) -> None:
        super().__init__(generator, GENERATOR_PARKING)
        self.coro = coro

    def waits_in(self) -> str:
        """The name of the call that the generator, which is on no worker, waits in; empty where it gave way."""
        token = self.token
        return token.call if isinstance(token, Parking) else ""

    def leaves_for(self, frame: FrameType, names: tuple[str, ...]) -> bool:
        """Does the generator leave its worker for the call of one of ``names`` that ``frame`` is at?

        Then that call returns a `token` instead of waiting.
        """
        return self.takes_token(frame, names) and not getweakrefcount(self.coro._worker)

    def token_of_receive(
        self, frame: FrameType, timeout: float | None, alarm_value: Any, match: Callable[[Any], object] | None
    ) -> Parking | None:
        """The token that a ``receive`` called at ``frame`` returns; None where it has its answer, or waits, there."""
        coro = self.coro
        if coro._mailbox._queue and match is None:
            return None
        # `leaves_for` written out, because every message comes this way.
        if (
            self._sites.yielded.get(frame.f_lasti) in _RECEIVE
            and frame is self._generator.gi_frame
            and not getweakrefcount(coro._worker)
        ):
            if timeout is None and match is None:
                self.token = RECEIPT
            else:
                self.token = Reception(timeout, alarm_value, match)
            token: Parking = self.token
            return token
        return None

    def run(self, worker: workers.Worker, error: BaseException | None = None) -> None:
        """Go on until the generator waits or is over; with ``error``, that is raised at its ``yield``."""
        coro = self.coro
        worker.coro = coro
        coro._worker = worker
        if _contexts:
            worker.gr_context = _contexts.pop(self, None)  # type: ignore[misc]
        _has_waited[0] = False
        try:
            if self.token is RECEIPT and error is None:
                # What most turns are, written out: take the message, go on, wait for the next one.
                mailbox = coro._mailbox
                try:
                    message = mailbox.poll(self)
                except BaseException as raised:
                    outcome = self.throw(raised)
                else:
                    if message is EMPTY:
                        outcome = _AWAY
                    else:
                        outcome = self.step(message)
                        if self.token is RECEIPT and worker.debts is None and not mailbox._queue:
                            mailbox._receiver = self
                            if not mailbox._queue:
                                outcome = _AWAY
            elif error is not None:
                outcome = self.throw(error)
            elif self.token is NONE:
                outcome = self.step(self.last)
            else:
                # It comes back from a wait.
                _has_waited[0] = True
                outcome = PARK
            while outcome < DONE:
                outcome = self._wait(outcome, worker)
        except BaseException as raised:
            outcome = DONE
            worker.debts = None
            coro._raised(_without_our_frames(raised))
        else:
            if outcome == DONE:
                worker.debts = None
                coro._returned(self.last)
            else:
                coro._worker = None
        if worker.gr_context is not None:
            if outcome == _AWAY:
                _contexts[self] = worker.gr_context
            worker.gr_context = None  # type: ignore[misc]

    def _wait(self, outcome: int, worker: workers.Worker) -> int:
        """Do what `step` answered, and go on where that is done; the answer to that, or `_AWAY`."""
        try:
            if worker.debts is not None:
                _settle(worker)
            if outcome == PARK:
                value = self.token.poll(self)
                if value is EMPTY:
                    return _AWAY
                self.last, self.token = value, NONE
            if not _has_waited[0]:
                if outcome <= GIVE_WAY and not getweakrefcount(worker):
                    userhub.ready(self)
                    return _AWAY
                userhub.ready(worker)
                userhub.park()
        except BaseException as raised:
            _has_waited[0] = False
            return self.throw(raised)
        _has_waited[0] = False
        return self.step_iterator() if outcome == STAY else self.step(self.last)

    def _left_sub_call(self) -> None:
        self.coro._request_swap()

    def meets(self, error: BaseException) -> None:
        """Take notice that ``error`` is about to be raised in the generator, whether it is on a worker or not."""
        if isinstance(error, Terminated):
            self.close()

    def interrupt(self, error: BaseException) -> None:
        """Raise ``error`` at the generator's ``yield``, now; while it is on no worker. Hub's thread only."""
        if self.token is NONE or not self.token.withdraw(self):
            # It was told to go on already, and goes on with this instead.
            userhub.unready(self)
        self.meets(error)
        _Interrupted(self, error).switch()


def _settle(worker: workers.Worker) -> None:
    """Wait until what was put in beyond the limits fits (guarantees.md, B2)."""
    debts, worker.debts = worker.debts, None
    begin = native.monotonic()
    for room, timeout in debts.items() if debts else ():
        # The times run beside each other: ten full mailboxes keep nobody ten times as long.
        room.wait(begin + timeout - native.monotonic())


class _Interrupted(workers.Turn):
    """The turn of a routine that begins with an exception."""

    __slots__ = ("_error", "_routine")

    def __init__(self, routine: Routine, error: BaseException) -> None:
        self._routine = routine
        self._error = error

    def run(self, worker: workers.Worker) -> None:
        self._routine.run(worker, self._error)


# No news to anybody who reads a traceback.
_OUR_FILES = (generators.__file__, __file__)


def _without_our_frames(error: BaseException) -> BaseException:
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in _OUR_FILES:
        trace = trace.tb_next
    return error.with_traceback(trace)
