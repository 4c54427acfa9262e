"""Whether `Terminated` may be raised in a coroutine that computes, at the moment at which a signal met it.

Two rules. What holds always: nothing of greencoro, gevent, or the modules around imports, logging and threads may be
left half done, for other coroutines need it whole. What holds for the first tries only: nor shall anything that the
program may rely on, which is less certain (`Moment.is_clean`), and must not save a coroutine that is nowhere else.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["MAX_RAISED", "Attempts", "Kind", "Moment", "Verdict", "is_whole"]

#: How often a coroutine may swallow what is raised in it.
MAX_RAISED = 3
#: Tries at which `Moment.is_clean` is asked for.
_CAREFUL_TRIES = 100


class Kind(enum.Enum):
    """Whose code a frame runs."""

    #: Of greencoro: it calls the users' functions, and treats what they raise wherever they raise it.
    CARRIER = enum.auto()
    #: Of greencoro or of a module whose state other coroutines share.
    MACHINERY = enum.auto()
    LIBRARY = enum.auto()
    USERS = enum.auto()


class Verdict(enum.Enum):
    RAISE = enum.auto()
    LATER = enum.auto()
    GIVE_UP = enum.auto()


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a signal met a coroutine.

    Attributes:
        kinds: Whose the frames are, innermost first, up to the one that carries the coroutine; empty where the signal
            met something else.

        cleans_up (bool): Is what was raised to end the coroutine being treated?

        is_clean (bool): Does it look as if no lock or the like were left taken by an exception?
    """

    kinds: Sequence[Kind]
    cleans_up: bool
    is_clean: bool


def is_whole(kinds: Sequence[Kind]) -> bool:
    """Is nothing under way in these frames, innermost first, but what users' functions do for themselves?"""
    entry = len(kinds)
    while entry and kinds[entry - 1] is Kind.CARRIER:
        entry -= 1
    # In a carrier itself it has not got to the user's function yet, or is through with it.
    return 0 < entry < len(kinds) and not {Kind.CARRIER, Kind.MACHINERY} & set(kinds[:entry])


class Attempts:
    """What was tried to end one coroutine."""

    __slots__ = ("_careful_tries", "raised")

    def __init__(self) -> None:
        #: How often it was raised.
        self.raised = 0
        self._careful_tries = 0

    def verdict(self, moment: Moment) -> Verdict:
        """What to do at this moment; after `Verdict.GIVE_UP` there is nothing more to do."""
        if moment.cleans_up or not moment.kinds:
            return Verdict.LATER
        if self.raised >= MAX_RAISED:
            return Verdict.GIVE_UP
        if not is_whole(moment.kinds):
            return Verdict.LATER
        is_clean = moment.is_clean and moment.kinds[0] is Kind.USERS
        if not is_clean and self._careful_tries < _CAREFUL_TRIES:
            self._careful_tries += 1
            return Verdict.LATER
        self.raised += 1
        self._careful_tries = 0
        return Verdict.RAISE
