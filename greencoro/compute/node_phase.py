"""What a node is at, with the one table of its changes.

::

    service hours           OPEN, NO_NEW, CLOSED: from each to each other one
    OPEN, NO_NEW, CLOSED    --drain--> DRAINING
    all of these            --retire--> RETIRED
    all of these            --stop--> STOPPING --stopped--> STOPPED
"""

from __future__ import annotations

import enum

from greencoro.compute.service_hours import Service
from greencoro.errors import LocalProtocolError

__all__ = ["PHASE_TABLE", "NodePhase", "next_phase"]


class NodePhase(enum.Enum):
    """What a node is at."""

    #: May be reserved.
    OPEN = "in service"
    #: Serves the jobs that it has; its service hours are nearly over.
    NO_NEW = "in service for jobs that run already"
    #: Serves nobody at this time of day.
    CLOSED = "out of service"
    #: Serves the jobs that it has, then stops.
    DRAINING = "waits for the last jobs"
    #: Starts no process any more, because it is going to be stopped.
    RETIRED = "about to end"
    #: Ends its processes.
    STOPPING = "ending"
    #: Has none any more.
    STOPPED = "ended"

    @property
    def is_last(self) -> bool:
        """Is no process started any more?"""
        return self in (NodePhase.DRAINING, NodePhase.RETIRED, NodePhase.STOPPING, NodePhase.STOPPED)


_STOP = {"stop": NodePhase.STOPPING}
_LEAVE = {"drain": NodePhase.DRAINING, "retire": NodePhase.RETIRED, **_STOP}
_IN_HOURS: dict[Service, NodePhase] = {
    Service.OPEN: NodePhase.OPEN,
    Service.NO_NEW: NodePhase.NO_NEW,
    Service.CLOSED: NodePhase.CLOSED,
}
#: What the time of day makes of a node is named as in `service_hours`.
_HOURS: dict[str, NodePhase] = {service.value: phase for service, phase in _IN_HOURS.items()}

PHASE_TABLE: dict[NodePhase, dict[str, NodePhase]] = {
    NodePhase.OPEN: {**_HOURS, **_LEAVE},
    NodePhase.NO_NEW: {**_HOURS, **_LEAVE},
    NodePhase.CLOSED: {**_HOURS, **_LEAVE},
    NodePhase.DRAINING: {"retire": NodePhase.RETIRED, **_STOP},
    NodePhase.RETIRED: _STOP,
    NodePhase.STOPPING: {"stopped": NodePhase.STOPPED},
    NodePhase.STOPPED: {},
}


def next_phase(phase: NodePhase, event: str) -> NodePhase:
    """What follows.

    Raises:
        LocalProtocolError: The event cannot come in this phase.
    """
    try:
        return PHASE_TABLE[phase][event]
    except KeyError:
        raise LocalProtocolError(f"a node, {phase.value}, cannot take {event!r}") from None
