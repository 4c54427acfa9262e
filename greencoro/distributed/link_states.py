"""The states of a link, in a table of what leads from one to the next."""

from __future__ import annotations

import enum

__all__ = ["ONLINE", "TRANSITIONS", "LinkState"]


class LinkState(enum.Enum):
    """Where a link stands."""

    #: The first connection is being made.
    DIALING = enum.auto()
    #: The peer is online.
    UP = enum.auto()
    #: The peer is online, and its connection broke: the next one goes on where that ended, if it comes in time.
    SUSPENDED = enum.auto()
    #: Given up, for good.
    LOST = enum.auto()


#: What can follow each.
TRANSITIONS = {
    LinkState.DIALING: {LinkState.UP, LinkState.LOST},
    # From one connection to another, too: one that came in before this side had noticed that the last one is dead.
    LinkState.UP: {LinkState.UP, LinkState.SUSPENDED, LinkState.LOST},
    LinkState.SUSPENDED: {LinkState.UP, LinkState.LOST},
    LinkState.LOST: set[LinkState](),
}

#: States in which the peer counts as there.
ONLINE = frozenset((LinkState.UP, LinkState.SUSPENDED))
