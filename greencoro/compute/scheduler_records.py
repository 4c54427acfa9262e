"""What a scheduler knows of each computation, node and server, and which of its states leads to which.

::

    computation   QUEUED --turn--> CURRENT --close--> CLOSING --over--> (forgotten)
                     '--close--> (forgotten)

    node   KNOWN --offer--> OFFERED --accepted--> RESERVING --granted--> RESERVED --release--> RELEASING
              IGNORED <--ignored--'                 |   |'--refused--> TAKEN --retry--> RESERVING
                             REVOKING <--unanswered-'   '--release--> WITHDRAWING
           RESERVED --ended--> CLOSED;  RESERVING, RESERVED --lost--> AWAY --back--> RESERVING
           REVOKING --released--> TAKEN, --release--> RELEASING
           RESERVED --rejected--> REJECTED --released--> IGNORED;  REJECTED --release--> RELEASING
           WITHDRAWING --granted, unanswered--> RELEASING, --refused--> KNOWN;  RELEASING --released--> KNOWN
           OFFERED, IGNORED, TAKEN, CLOSED --release--> KNOWN;  IGNORED --offer--> OFFERED

    server   TOLD --set_up--> READY;  TOLD --failed--> REJECTED;  TOLD, READY --silent--> SILENT
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, TypeVar

from greencoro.compute import client_words as client
from greencoro.compute.node_words import NodeFacts
from greencoro.compute.scheduler_vocabulary import Tell
from greencoro.errors import LocalProtocolError

__all__ = ["NODE_TABLE", "Computation", "ComputationState", "Node", "NodeState", "Server", "ServerState"]


class NodeState(enum.Enum):
    """What a node is at."""

    #: Nobody's, as far as is known here.
    KNOWN = "known"
    #: The current computation is asked whether it may be used.
    OFFERED = "offered"
    #: The current computation does not want it.
    IGNORED = "ignored"
    #: Asked for its servers.
    RESERVING = "being reserved"
    #: Asked for its servers without an answer, so they are given back in case there are any.
    REVOKING = "being revoked"
    #: Its servers are the current computation's.
    RESERVED = "reserved"
    #: The current computation does not want it any more, and it ends its servers.
    REJECTED = "rejected"
    #: The connection to it broke; its servers run on, and it may come back.
    AWAY = "away"
    #: Its servers were not to be had; it is asked again later.
    TAKEN = "taken"
    #: It has ended the current computation's lease.
    CLOSED = "closed"
    #: Asked for its servers, but they are not wanted any more.
    WITHDRAWING = "withdrawing"
    #: Ends its servers.
    RELEASING = "releasing"


NODE_TABLE: dict[NodeState, dict[str, NodeState]] = {
    NodeState.KNOWN: {"offer": NodeState.OFFERED},
    NodeState.OFFERED: {
        "accepted": NodeState.RESERVING,
        "ignored": NodeState.IGNORED,
        "release": NodeState.KNOWN,
    },
    NodeState.IGNORED: {"offer": NodeState.OFFERED, "release": NodeState.KNOWN},
    NodeState.RESERVING: {
        "granted": NodeState.RESERVED,
        "refused": NodeState.TAKEN,
        "unanswered": NodeState.REVOKING,
        "ended": NodeState.CLOSED,
        "lost": NodeState.AWAY,
        "release": NodeState.WITHDRAWING,
    },
    NodeState.REVOKING: {"released": NodeState.TAKEN, "release": NodeState.RELEASING},
    NodeState.RESERVED: {
        "release": NodeState.RELEASING,
        "rejected": NodeState.REJECTED,
        "ended": NodeState.CLOSED,
        "lost": NodeState.AWAY,
    },
    NodeState.REJECTED: {"released": NodeState.IGNORED, "release": NodeState.RELEASING},
    NodeState.AWAY: {"back": NodeState.RESERVING},
    NodeState.TAKEN: {"retry": NodeState.RESERVING, "release": NodeState.KNOWN},
    NodeState.CLOSED: {"release": NodeState.KNOWN},
    NodeState.WITHDRAWING: {
        "granted": NodeState.RELEASING,
        "refused": NodeState.KNOWN,
        "unanswered": NodeState.RELEASING,
    },
    NodeState.RELEASING: {"released": NodeState.KNOWN},
}


class ServerState(enum.Enum):
    """What a server is at."""

    #: The client was told of it.
    TOLD = "told"
    #: Takes jobs.
    READY = "ready"
    #: Could not be set up.
    REJECTED = "rejected"
    #: Takes no more jobs: its client does not reach it, or its node is ending; the node will say how it has ended.
    SILENT = "silent"


_SERVER_TABLE: dict[ServerState, dict[str, ServerState]] = {
    ServerState.TOLD: {
        "set_up": ServerState.READY,
        "failed": ServerState.REJECTED,
        "silent": ServerState.SILENT,
    },
    ServerState.READY: {"silent": ServerState.SILENT},
    ServerState.REJECTED: {"silent": ServerState.SILENT},
    ServerState.SILENT: {"silent": ServerState.SILENT},
}


class ComputationState(enum.Enum):
    """What a computation is at."""

    #: Waits for its turn.
    QUEUED = "queued"
    #: Has its turn.
    CURRENT = "current"
    #: Gives everything back.
    CLOSING = "closing"


_COMPUTATION_TABLE: dict[ComputationState, dict[str, ComputationState]] = {
    ComputationState.QUEUED: {"turn": ComputationState.CURRENT},
    ComputationState.CURRENT: {"close": ComputationState.CLOSING},
    ComputationState.CLOSING: {},
}

_S = TypeVar("_S", bound=enum.Enum)


def _advance(table: dict[_S, dict[str, _S]], state: _S, event: str, what: str) -> _S:
    try:
        return table[state][event]
    except KeyError:
        raise LocalProtocolError(f"{what} that is {state.value} cannot take {event!r}") from None


@dataclass
class Node:
    """A node daemon in reach."""

    id: str
    facts: NodeFacts
    state: NodeState = NodeState.KNOWN
    #: The number of its reservation; 0 before the first.
    attempt: int = 0
    problem: str = ""
    #: How its last server ended, until one is set up.
    last_end: str = ""
    servers: dict[str, Server] = field(default_factory=dict)

    def advance(self, event: str) -> None:
        """The one place where `state` changes."""
        self.state = _advance(NODE_TABLE, self.state, event, f"node {self.facts.address}")


@dataclass
class Server:
    """A server process that the current computation was told of."""

    id: str
    node: Node
    location: Any
    state: ServerState = ServerState.TOLD
    problem: str = ""

    def advance(self, event: str) -> None:
        """The one place where `state` changes."""
        self.state = _advance(_SERVER_TABLE, self.state, event, f"server {self.location}")


@dataclass
class Computation:
    """A computation that is not over."""

    id: int
    pulses: bool = False
    state: ComputationState = ComputationState.QUEUED
    notices: int = 0
    #: Why it is over, where its client has not asked for that.
    reason: str = ""

    def advance(self, event: str) -> None:
        """The one place where `state` changes."""
        self.state = _advance(_COMPUTATION_TABLE, self.state, event, f"computation {self.id}")

    def tell(self, notice: type[client.Notice], **about: Any) -> Tell:
        """The next notice to its client."""
        self.notices += 1
        return Tell(notice(self.id, self.notices, **about))
