"""What a computation is at."""

from __future__ import annotations

import enum

__all__ = ["Phase"]


class Phase(enum.Enum):
    """What a computation is at."""

    #: Not scheduled yet.
    NEW = "new"
    #: A scheduler is being asked to queue it.
    ASKED = "asked"
    #: Waits for its turn.
    QUEUED = "queued"
    #: Has its turn: takes jobs.
    CURRENT = "current"
    #: Gives everything back.
    CLOSING = "closing"
    #: Its nodes have closed it; what their servers sent before may still be under way.
    ENDING = "ending"
    #: Has no servers and will have none.
    OVER = "over"
