"""The trampoline: runs a generator with its sub-generators as one flow of control.

What a ``yield x`` evaluates to is ``x``: where getting it took a wait, that is over by then. A yielded generator is a
*sub-call*: it runs to its end, and its result is what the ``yield`` evaluates to. The callers stand in a list, so
sub-calls may be as deep as memory allows.

A result is what was returned, or else what the last ``yield`` evaluated to. Old programs return by
``raise StopIteration(value)``, which Python makes a RuntimeError at the border of the generator (PEP 479); here that is
undone at every level.

Nothing here waits. `Trampoline.step` goes on until there is something to wait for, and says for what.
"""

from __future__ import annotations

from types import FrameType, GeneratorType
from typing import Any, ClassVar, TypeAlias

from greencoro.errors import Terminated
from greencoro.hub import call_sites

__all__ = ["DONE", "GIVE_WAY", "NONE", "PARK", "STAY", "TerminatedAtYield", "Trampoline", "why_not_new"]

# What `step` answers; plain numbers, because every message needs one.

#: The generator yielded the token that it was given: it waits for what that stands for.
PARK = 0
#: It yielded something else: others have a turn, then `last` is what the yield evaluates to.
GIVE_WAY = 1
#: The same, but it must go on in the greenlet that it is in now.
STAY = 2
#: It is over; `last` is the result.
DONE = 3

#: In place of a token: there is none.
NONE: Any = object()
# The generators are being ended, and none may yield any more.
_CLOSING: Any = object()
# One of them did, and was told so.
_TOLD_OFF: Any = object()

_Generator: TypeAlias = "GeneratorType[Any, Any, Any]"


class TerminatedAtYield(Terminated, GeneratorExit):
    """What a generator meets when its coroutine is terminated; old programs know it as GeneratorExit."""


class Trampoline:
    """One generator and the sub-generators that it has called.

    Args:
        generator: One that has not begun.

        may_leave (bool): May it leave its greenlet between two steps, and be given tokens?

    Attributes:
        last: What the last completed ``yield`` evaluated to; after the end the result.

        token: What the generator yields next, or has yielded, to wait for it; `NONE` where there is no such thing.
    """

    __slots__ = ("_callers", "_generator", "_sites", "last", "token")

    #: Where a token is not what is yielded: does the generator wait for it at its next ``yield`` all the same?
    waits_at_next_yield: ClassVar[bool] = False
    #: Where nothing is returned: is the result what the last ``yield`` evaluated to?
    keeps_last_yield: ClassVar[bool] = True

    def __init__(self, generator: _Generator, may_leave: bool) -> None:
        self._generator = generator
        self._sites = call_sites.sites_of(generator.gi_code) if may_leave else call_sites.UNKNOWN
        # Each caller with its `last` and its `_sites`; None until there is one, as for most coroutines all the time.
        self._callers: list[tuple[_Generator, Any, call_sites.CallSites]] | None = None
        self.token: Any = NONE
        self.last: Any = None

    def in_sub_call(self) -> bool:
        """Is it a sub-generator that goes on next?"""
        return bool(self._callers)

    def frames(self) -> list[FrameType]:
        """Where the generators stand, from the outermost in."""
        generators = [*(caller[0] for caller in self._callers or ()), self._generator]
        return [generator.gi_frame for generator in generators if generator.gi_frame is not None]

    def takes_token(self, frame: FrameType, names: tuple[str, ...]) -> bool:
        """Is ``frame`` the generator's own, at a call of one of ``names`` whose result it yields at once?

        Then that call may return a `token`, set before, instead of waiting.
        """
        return self._sites.yielded.get(frame.f_lasti) in names and frame is self._generator.gi_frame

    def close(self) -> None:
        """From now on the generators are being ended: one that yields is told off, and no caller goes on."""
        self.token = _CLOSING
        self._sites = call_sites.UNKNOWN

    def _is_closing(self) -> bool:
        return self.token is _CLOSING or self.token is _TOLD_OFF

    def step(self, value: Any = None) -> int:
        """Go on: the ``yield`` evaluates to ``value``; a generator is run as a sub-call first, as if it were yielded.

        Returns:
            int: `PARK`, `GIVE_WAY`, `STAY` or `DONE`.

        Raises:
            BaseException: What the outermost generator raised.
        """
        self.token = NONE
        if value.__class__ is GeneratorType:
            return self._go_on(value, None)
        self.last = value
        try:
            yielded = self._generator.send(value)
        except BaseException as error:
            left = _without_our_frame(error)
        else:
            if yielded is self.token:
                return PARK
            return self._go_on(yielded, None)
        try:
            return self._go_on(None, left)
        finally:
            # From 3.12 on the exception's frames refer to this one: a cycle that would keep what stands in them.
            del left

    def step_iterator(self) -> int:
        """``step(self.last)``, also where that ``yield`` belongs to a ``yield from`` of an iterator without `send`."""
        self.token = NONE
        try:
            yielded = self._generator.send(self._taken(self.last))
        except BaseException as error:
            left = _without_our_frame(error)
        else:
            return self._go_on(yielded, None)
        try:
            return self._go_on(None, left)
        finally:
            del left

    def _taken(self, value: Any) -> Any:
        """What to send for ``value``: an iterator behind a ``yield from`` that is no generator has no `send`."""
        delegate: Any = self._generator
        while delegate.__class__ is GeneratorType:
            # The innermost one gets it, past all the generators on the way.
            delegate = delegate.gi_yieldfrom
        return value if delegate is None or hasattr(delegate, "send") else None

    def throw(self, error: BaseException) -> int:
        """Go on: the ``yield`` raises ``error``; as `step`."""
        if not self._is_closing():
            self.token = NONE
        try:
            yielded = self._generator.throw(error)
        except BaseException as raised:
            left = _without_our_frame(raised)
        else:
            return self._go_on(yielded, None)
        try:
            return self._go_on(None, left)
        finally:
            del left

    def _left_sub_call(self) -> None:
        """The outermost generator is about to go on after a sub-call."""

    def _go_on(self, yielded: Any, left: BaseException | None) -> int:
        """Deal with what the innermost generator yielded, or else left by, until others have a turn."""
        while True:
            value: Any = None
            error: BaseException | None = None
            if left is None:
                token = self.token
                if yielded is token:
                    return PARK
                if token is _CLOSING:
                    # As `generator.close()` says it, but where it yielded: so what it cleans up it does here, and not
                    # when Python forgets it.
                    self.token = _TOLD_OFF
                    error = RuntimeError("generator ignored GeneratorExit")
                elif token is _TOLD_OFF:
                    # And again: this generator is given up.
                    left = RuntimeError("generator ignored GeneratorExit")
                elif token is not NONE and self.waits_at_next_yield:
                    if yielded.__class__ is GeneratorType and why_not_new(yielded) is None:
                        # It begins when the wait is over.
                        self._enter(yielded)
                    return PARK
                elif token is not NONE:
                    # The wait that it stands for has not begun: nothing was taken and nothing is lost.
                    self.token = NONE
                    error = RuntimeError(f"a waiting call was not what was yielded, but {yielded!r} in its place")
                elif yielded.__class__ is not GeneratorType:
                    self.last = yielded
                    return STAY if self._is_bound() else GIVE_WAY
                else:
                    error = self._complaint(yielded)
                    if error is None:
                        self._enter(yielded)
            if left is not None:
                value, error = self._result(left)
                left = None
                is_closing = self._is_closing()
                if is_closing:
                    self.token = _CLOSING
                    error = error or TerminatedAtYield()
                elif error is not None or not self._callers or not self.waits_at_next_yield:
                    self.token = NONE
                if not self._callers:
                    if error is None:
                        self.last = value
                        return DONE
                    try:
                        raise error
                    finally:
                        # The exception refers to this frame now.
                        del error
                self._generator, self.last, sites = self._callers.pop()
                if not is_closing:
                    self._sites = sites
                if not self._callers:
                    self._left_sub_call()
                if self.token is not NONE and not is_closing:
                    return PARK
            try:
                if error is None:
                    self.last = value
                    yielded = self._generator.send(self._taken(value))
                else:
                    yielded = self._generator.throw(error)
            except BaseException as raised:
                left = _without_our_frame(raised)

    def _complaint(self, generator: _Generator) -> RuntimeError | None:
        """Why a generator that was yielded cannot be run; None where it can."""
        if generator is self._generator:
            return RuntimeError(f"{generator.__qualname__}() yielded itself")
        return why_not_new(generator)

    def _is_bound(self) -> bool:
        """Must the generators go on in this greenlet?"""
        bound = self._sites.bound
        frame = self._generator.gi_frame if bound else None
        return frame is not None and frame.f_lasti in bound

    def _enter(self, generator: _Generator) -> None:
        if self._callers is None:
            self._callers = []
        bound = self._is_bound()
        self._callers.append((self._generator, self.last, self._sites))
        self._generator = generator
        self._sites = call_sites.UNKNOWN if bound else call_sites.sites_of(generator.gi_code)

    def _result(self, left: BaseException) -> tuple[Any, BaseException | None]:
        """What the innermost generator's end means to its caller: a result, or an exception."""
        if isinstance(left, StopIteration):
            return self.last if left.value is None and self.keeps_last_yield else left.value, None
        if not _is_old_return(left):
            return None, left
        values = left.__cause__.args  # type: ignore[union-attr]
        if not values:
            return self.last, None
        return values[0] if len(values) == 1 else values, None


def why_not_new(generator: _Generator) -> RuntimeError | None:
    """Why this generator cannot be run from its beginning; None where it can."""
    if generator.gi_suspended or generator.gi_running:
        state = "has begun"
    elif generator.gi_frame is None:
        state = "is over"
    else:
        return None
    return RuntimeError(f"the generator {generator.__qualname__}() {state} already; each use takes a new one")


def _is_old_return(error: BaseException) -> bool:
    """Is it what Python makes of a StopIteration raised in the generator itself, not in one that it called?"""
    if error.__class__ is not RuntimeError or not isinstance(error.__cause__, StopIteration):
        return False
    # Made at the border of the generator itself it has been in no frame yet.
    return error.__traceback__ is None and error.args == ("generator raised StopIteration",)


def _without_our_frame(error: BaseException) -> BaseException:
    """The exception with a traceback that begins in the user's code."""
    # Not by assignment, which a frozen dataclass refuses.
    return error if error.__traceback__ is None else error.with_traceback(error.__traceback__.tb_next)
