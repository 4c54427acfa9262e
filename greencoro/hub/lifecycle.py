"""The states of a coroutine, in one table.

::

    NEW --start--> ACTIVE --return--> FINISHED
     |               |-----raise----> FAILED --restart--> NEW
     '--terminate--> '---terminate--> TERMINATED

An event that the table does not list for a state is a bug in greencoro: `advance` raises and nothing has changed.
"""

from __future__ import annotations

import enum

from greencoro.errors import LocalProtocolError

__all__ = ["Event", "State", "advance"]


class State(enum.IntEnum):
    """Where a coroutine stands; from `FINISHED` on it is over (but one that failed may be started anew)."""

    #: Created; its function has not begun.
    NEW = 0
    #: Its function has begun and not ended: it runs, waits, or is ready to go on.
    ACTIVE = 1
    #: Its function returned.
    FINISHED = 2
    #: Its function raised.
    FAILED = 3
    #: Somebody ended it.
    TERMINATED = 4


class Event(enum.IntEnum):
    """What happens to a coroutine."""

    START = 0
    RETURN = 1
    RAISE = 2
    TERMINATE = 3
    RESTART = 4


_TABLE: dict[State, dict[Event, State]] = {
    State.NEW: {Event.START: State.ACTIVE, Event.TERMINATE: State.TERMINATED},
    State.ACTIVE: {
        Event.RETURN: State.FINISHED,
        Event.RAISE: State.FAILED,
        Event.TERMINATE: State.TERMINATED,
    },
    State.FINISHED: {},
    State.FAILED: {Event.RESTART: State.NEW},
    State.TERMINATED: {},
}


# The same by position: `advance` stands in every coroutine's way twice, and the hash of an enum member is slow Python.
_NEXT = tuple(tuple(_TABLE[state].get(event) for event in Event) for state in State)


def advance(state: State, event: Event) -> State:
    """The state after ``event``.

    Raises:
        LocalProtocolError: The table has no such step.
    """
    after = _NEXT[state][event]
    if after is None:
        raise LocalProtocolError(f"a coroutine in state {state.name} cannot {event.name.lower()}")
    return after
