"""The places of a node for server processes, with the states that each goes through.

::

    STARTING --ready--> WARM --lease--> LEASED --drained--> DRAINED
    STARTING, WARM, LEASED, DRAINED --end--> ENDING --exited--> (started again)
    STARTING, WARM, LEASED, DRAINED --exited--> (started again, or WAITING --due--> STARTING)
    where the node is ending, ENDED comes in place of a start
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from greencoro.compute.node_vocabulary import Identity
from greencoro.errors import LocalProtocolError

__all__ = ["Slot", "SlotState"]


class SlotState(enum.Enum):
    """What a slot's process is at."""

    #: Started, has not reported yet.
    STARTING = "starting"
    #: Waits for a lease.
    WARM = "not used"
    #: Serves a computation.
    LEASED = "in use"
    #: Takes no more jobs, and has none left.
    DRAINED = "in use, with its last job over"
    #: Was told to end.
    ENDING = "ending"
    #: There is none: the next one waits for its time.
    WAITING = "failed, will be started again"
    #: There is none and there will be none.
    ENDED = "ended"


_GOES = {
    "exited": SlotState.STARTING,
    "failed": SlotState.WAITING,
    "end": SlotState.ENDING,
    "stopped": SlotState.ENDED,
}
_TABLE: dict[SlotState, dict[str, SlotState]] = {
    SlotState.STARTING: {"ready": SlotState.WARM, **_GOES},
    SlotState.WARM: {"lease": SlotState.LEASED, **_GOES},
    SlotState.LEASED: {"drained": SlotState.DRAINED, **_GOES},
    SlotState.DRAINED: _GOES,
    SlotState.ENDING: {"exited": SlotState.STARTING, "stopped": SlotState.ENDED},
    SlotState.WAITING: {"due": SlotState.STARTING, "stopped": SlotState.ENDED},
    SlotState.ENDED: {},
}


#: A process that lived longer than this did not fail at its start.
_SOON_SECONDS = 5.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 10.0


@dataclass
class Slot:
    """One place for a server process."""

    number: int
    state: SlotState = SlotState.WAITING
    #: Counts its processes.
    run: int = 0
    started_at: float = 0.0
    #: Processes in a row that ended soon after their start.
    quick_ends: int = 0
    due_at: float = 0.0
    #: What the process reported when it was ready; None before.
    identity: Identity | None = None

    @property
    def known(self) -> Identity:
        """What the process reported, which has."""
        assert self.identity is not None
        return self.identity

    @property
    def is_leased(self) -> bool:
        """Does its process serve a computation?"""
        return self.state in (SlotState.LEASED, SlotState.DRAINED)

    @property
    def is_ending(self) -> bool:
        """Was its process told to end?"""
        return self.state is SlotState.ENDING

    def pause(self, now: float) -> float:
        """Its process ended and nobody wanted that: how long to wait before the next one, in seconds."""
        self.quick_ends = self.quick_ends + 1 if now - self.started_at < _SOON_SECONDS else 0
        if self.quick_ends <= 1:
            return 0.0
        return min(_FIRST_PAUSE_SECONDS * 2.0 ** (self.quick_ends - 2), _LONGEST_PAUSE_SECONDS)

    def advance(self, event: str) -> None:
        """The one place where `state` changes.

        Raises:
            LocalProtocolError: The event cannot come in this state; nothing has changed.
        """
        try:
            self.state = _TABLE[self.state][event]
        except KeyError:
            raise LocalProtocolError(f"server {self.number}, {self.state.value}, cannot take {event!r}") from None
