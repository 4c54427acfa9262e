"""What a client and the scheduler of its computations say to each other, wherever that scheduler is.

What the scheduler tells of one computation is numbered without a gap. A node is named by its daemon's incarnation, a
server by its own.

::

    client                                      scheduler
    Ask                    -->   <-- (number)          the computation's, in all that follows
                                 <-- Queued            whenever its place in the queue is another one
                                 <-- Begun             it has its turn
    Verdict                -->   <-- NodeOffered       for every node
                                 <-- NodeFree          how much of a node is free, every pulse interval
                                 <-- ServerStarted     for every server of a node that was accepted
    SetUpDone, SetUpFailed -->
    Unreachable            -->   <-- ServerGone        in any case, and once for each server
    Close                  -->   <-- Ended             the last word; comes also unasked

Where the scheduler is in another process, whatever either says carries the computation's `Credential` as well, and
these are said besides::

    Ask                    -->   <-- Submitted
    Withdraw               -->                         in place of `Close`, where no answer to `Ask` came
    Pulse                  -->   <-- Heard             every ``pulse_interval``
    AskWhy                 -->   <-- Because
    AskStatus              -->   <-- SchedulerStatus   may be asked by anybody
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from greencoro.compute.node_words import Free, NodeFacts
from greencoro.compute.words import (
    At,
    Count,
    Hex,
    Incarnation,
    Name,
    Number,
    OneOf,
    Part,
    Reason,
    Seconds,
    Switch,
    Table,
    Word,
)

__all__ = [
    "Ask",
    "AskStatus",
    "AskWhy",
    "Because",
    "Begun",
    "Close",
    "Credential",
    "Ended",
    "Heard",
    "NodeChange",
    "NodeChanged",
    "NodeFree",
    "NodeOffered",
    "Notice",
    "Pulse",
    "Queued",
    "Request",
    "SchedulerStatus",
    "ServerDraining",
    "ServerGone",
    "ServerStarted",
    "SetUpDone",
    "SetUpFailed",
    "Submitted",
    "Unreachable",
    "Verdict",
    "Withdraw",
]

_COMPUTATION_TOKEN_BYTES = 16
_LONGEST_QUEUE = 1_000_000


# The client asks.


@dataclass(frozen=True)
class Ask(Word):
    """Queue a computation for its turn.

    Attributes:
        token (str): Random bytes of the client's. The token of every lease is derived from it (`node_words`), so
            whoever knows one of those knows neither this nor another's.

        name (str): For people.

        pulse_interval (float): How often client and servers say that they are alive, in seconds; 0: they do not.

        zombie_period (float): After so many seconds without a job a node may end the lease; 0: it may not.

        ping_interval (float | None): How often the scheduler looks for further nodes, in seconds, while the computation
            has its turn; None: as it does anyway.
    """

    operation: ClassVar[str] = "scheduler.submit"

    token: Annotated[str, Hex(_COMPUTATION_TOKEN_BYTES)]
    name: Name
    pulse_interval: Seconds = 0.0
    zombie_period: Seconds = 0.0
    ping_interval: Seconds | None = None


@dataclass(frozen=True)
class Request(Word):
    """What a client asks for one of its computations."""

    computation: Number


@dataclass(frozen=True)
class Verdict(Request):
    """May the node be used that was offered?"""

    operation: ClassVar[str] = "scheduler.verdict"

    node: Incarnation
    accepted: Switch
    reason: Reason = ""


@dataclass(frozen=True)
class SetUpDone(Request):
    """A server has all components, and takes jobs."""

    operation: ClassVar[str] = "scheduler.set_up_done"

    server: Incarnation


@dataclass(frozen=True)
class SetUpFailed(Request):
    """A server could not be set up, so it is not used."""

    operation: ClassVar[str] = "scheduler.set_up_failed"

    server: Incarnation
    reason: Reason


@dataclass(frozen=True)
class Unreachable(Request):
    """The client's connection to a server broke: how has it ended, or who ends it?"""

    operation: ClassVar[str] = "scheduler.unreachable"

    server: Incarnation
    reason: Reason


@dataclass(frozen=True)
class Close(Request):
    """The computation gives everything back."""

    operation: ClassVar[str] = "scheduler.close"


# The scheduler tells.


@dataclass(frozen=True)
class Notice(Word):
    """What a scheduler tells of one computation.

    Attributes:
        number (int): The first one of a computation has 1, and each the next number.
    """

    computation: Number
    number: Number


@dataclass(frozen=True)
class Queued(Notice):
    """So many computations have their turn before; 0: the next one's is this one's."""

    operation: ClassVar[str] = "client.queued"

    position: Annotated[int, Count(0, _LONGEST_QUEUE)]


@dataclass(frozen=True)
class Begun(Notice):
    """The computation has its turn; where the scheduler is."""

    operation: ClassVar[str] = "client.begun"

    location: At


@dataclass(frozen=True)
class NodeOffered(Notice):
    """There is a node; the scheduler waits for the `Verdict`."""

    operation: ClassVar[str] = "client.node_offered"

    node: Incarnation
    facts: Annotated[NodeFacts, Part(NodeFacts)]


class NodeChange(enum.Enum):
    """What became of a node."""

    #: Its servers were given back, or it has ended their lease.
    CLOSED = "closed"
    #: It cannot be reached any more.
    LOST = "lost"


@dataclass(frozen=True)
class NodeChanged(Notice):
    """A node that was offered is not used any more."""

    operation: ClassVar[str] = "client.node_changed"

    node: Incarnation
    address: Name
    change: Annotated[NodeChange, OneOf(NodeChange)]


@dataclass(frozen=True)
class NodeFree(Notice):
    """How much of a node was free lately; every pulse interval, of nodes that can tell."""

    operation: ClassVar[str] = "client.node_free"

    node: Incarnation
    address: Name
    free: Annotated[Free, Part(Free)]


@dataclass(frozen=True)
class ServerStarted(Notice):
    """A server waits to be set up.

    Attributes:
        attempt (int): The node's reservation, which its token is derived from.
    """

    operation: ClassVar[str] = "client.server_started"

    node: Incarnation
    attempt: Number
    server: Incarnation
    location: At
    name: Name


@dataclass(frozen=True)
class ServerDraining(Notice):
    """A server takes no more jobs, because its node is ending; those it has go on."""

    operation: ClassVar[str] = "client.server_draining"

    server: Incarnation


@dataclass(frozen=True)
class ServerGone(Notice):
    """A server process is gone, or will never be reached again.

    Attributes:
        explanation (str): How it ended; completes "the server process ...".

        closed (bool): Its node has ended the lease.
    """

    operation: ClassVar[str] = "client.server_gone"

    server: Incarnation
    explanation: Reason
    closed: Switch = False


@dataclass(frozen=True)
class Ended(Notice):
    """The computation is over: nothing of it is left on any node in reach.

    Attributes:
        reason (str): Why, where the client has not asked for it.

        lost (bool): The scheduler is gone, which is said by the client's own end of the connection: whatever ran is
            lost with it.
    """

    operation: ClassVar[str] = "client.ended"

    reason: Reason = ""
    lost: Switch = False


# Only where the scheduler is in another process.


@dataclass(frozen=True)
class Credential(Word):
    """Shows that whoever speaks may speak of the computation: only its client and its scheduler know the token."""

    token: Annotated[str, Hex(_COMPUTATION_TOKEN_BYTES)]


@dataclass(frozen=True)
class Submitted(Word):
    """The computation is queued, under that number."""

    computation: Number


@dataclass(frozen=True)
class Withdraw(Credential):
    """Forget the computation, if it came to be queued."""

    operation: ClassVar[str] = "scheduler.withdraw"


@dataclass(frozen=True)
class Pulse(Request):
    """The client is alive."""

    operation: ClassVar[str] = "scheduler.pulse"


@dataclass(frozen=True)
class Heard(Word):
    """So is the scheduler."""

    operation: ClassVar[str] = "client.heard"

    computation: Number


@dataclass(frozen=True)
class AskWhy(Request):
    """Why are there no servers?"""

    operation: ClassVar[str] = "scheduler.why_no_server"


@dataclass(frozen=True)
class Because(Word):
    """What was tried and came to nothing, for people."""

    reason: Reason


@dataclass(frozen=True)
class AskStatus(Word):
    """What is the scheduler at?"""

    operation: ClassVar[str] = "scheduler.status"


@dataclass(frozen=True)
class SchedulerStatus(Word):
    """Computations and nodes of a scheduler, for people.

    Attributes:
        report: As `SchedulerDaemon.report` makes it.
    """

    report: Annotated[Mapping[str, Any], Table()]
