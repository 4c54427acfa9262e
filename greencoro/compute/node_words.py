"""What a node daemon and the holder of its lease, a scheduler, say to each other.

The holder numbers its reservations, of all nodes in one row: the *attempt*. Each has a token of its own
(`lease_token`), which the node's servers want to see with every request. What a node tells its holder carries both: the
attempt says which reservation it is about, the token proves that it comes from whoever was given it.

A holder that pulses may lose its link: the lease goes on for five seconds, in which the first `Pulse`, or the same
`Reserve`, by a new link of the same incarnation takes it up again. The node then tells of all servers that serve it,
after the last deaths, some for the second time. Link or no link, the lease is over when nothing was heard for five
pulse intervals. A holder that does not pulse loses the lease with the link.

::

    holder                                      node
    Attach                -->   <-- NodeFacts
    Reserve               -->   <-- ReserveAnswer     every one that is not answered is followed by a Release
                                <-- ServerStarted, ServerDraining, ServerDied      as often as it happens
    Replace               -->                         a server that cannot be reached; ServerDied follows
    Pulse                 -->   <-- Pulsed            every pulse interval; by whichever link the holder has
                                <-- LeaseEnded        the node ends the lease: of all its servers nothing more is told
    Release               -->   <-- Released          once its servers have ended, be the lease known or not
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from greencoro.compute.avail_info import NodeAvailInfo
from greencoro.compute.words import (
    At,
    Count,
    Incarnation,
    Name,
    Number,
    OneOf,
    Part,
    Percent,
    Reason,
    Seconds,
    Switch,
    TextMap,
    Token,
    Word,
)

__all__ = [
    "Attach",
    "Command",
    "Free",
    "LeaseEnded",
    "NodeFacts",
    "Operate",
    "Operated",
    "Pulse",
    "Pulsed",
    "Refusal",
    "Release",
    "Released",
    "Replace",
    "Reserve",
    "ReserveAnswer",
    "ServerDied",
    "ServerDraining",
    "ServerStarted",
    "lease_token",
]

_MAX_SERVERS = 100_000
_BYTES_OF_GIB = 2.0**30
_MAX_TAGS = 1000
_MAX_TAG_CHARACTERS = 1000


def lease_token(computation_token: bytes, attempt: int) -> str:
    """The token of one reservation: nobody who knows it can tell the computation's, or that of another reservation."""
    return hmac.digest(computation_token, b"greencoro lease %d" % attempt, hashlib.sha256).hex()


# The holder asks.


@dataclass(frozen=True)
class Attach(Word):
    """What kind of node is this? `NodeFacts` is the answer."""

    operation: ClassVar[str] = "node.attach"


@dataclass(frozen=True)
class NodeFacts(Word):
    """What can be known of a node before it is reserved.

    Attributes:
        servers (int): Server processes it has.

        ready (int): Those that serve a computation, or could at once.

        cpus (int): CPUs that its daemon may use.

        tags: Words of whoever runs it, for filters.

        in_use_by (str | None): Name of the computation that it is reserved for.

        free (Free | None): What of it was free lately; None where that is not known.

        has_listed_ports (bool): A server that takes the place of another one may be where that was.
    """

    address: Name
    name: Name
    servers: Annotated[int, Count(1, _MAX_SERVERS)]
    ready: Annotated[int, Count(0, _MAX_SERVERS)]
    platform: Name
    cpus: Annotated[int, Count(1)]
    tags: Annotated[Mapping[str, str], TextMap(_MAX_TAGS, _MAX_TAG_CHARACTERS)] = field(default_factory=dict)
    in_use_by: Name | None = None
    free: Annotated[Free, Part(Free)] | None = None
    has_listed_ports: Switch = False


@dataclass(frozen=True)
class Reserve(Word):
    """Give me all servers. Once a lease has ended, its token is refused for good.

    Attributes:
        name (str): Of the computation, for people.

        pulse_interval (float): How often the holder is going to say that it is alive, in seconds; 0: it does not.

        zombie_period (float): After so many seconds without a job the lease may be ended; 0: it may not.
    """

    operation: ClassVar[str] = "node.reserve"

    token: Token
    attempt: Number
    name: Name
    pulse_interval: Seconds = 0.0
    zombie_period: Seconds = 0.0


class Refusal(enum.Enum):
    """Why a node is not reserved."""

    #: Somebody else has it; later, perhaps.
    BUSY = "busy"
    #: The lease of this token has ended.
    EXPIRED = "expired"
    #: The daemon is ending.
    ENDING = "ending"
    #: The node is not in service at this time of day.
    CLOSED = "closed"
    #: The node does not take this pulse interval.
    PULSES = "pulses"


@dataclass(frozen=True)
class ReserveAnswer(Word):
    """Granted where `refusal` is None; else `reason` says more, for people."""

    refusal: Annotated[Refusal, OneOf(Refusal)] | None = None
    reason: Reason = ""


@dataclass(frozen=True)
class Pulse(Word):
    """I am alive, and hold the lease; how much of you is free?"""

    operation: ClassVar[str] = "node.pulse"

    token: Token


@dataclass(frozen=True)
class Free(Word):
    """How much of a node is free; see `avail_info.NodeAvailInfo`."""

    cpu: Percent
    memory: Annotated[int, Count()]
    disk: Annotated[int, Count()]
    swap: Percent

    @classmethod
    def of(cls, info: NodeAvailInfo) -> Free:
        """As it travels."""
        return cls(info.cpu, info.memory, info.disk, info.swap)

    def line(self) -> str:
        """For people."""
        memory, disk = (f"{size / _BYTES_OF_GIB:.1f} GiB" for size in (self.memory, self.disk))
        return f"free: CPU {self.cpu:.0f} %, memory {memory}, disk {disk}"

    def at(self, address: str) -> NodeAvailInfo:
        """As it is shown, with the node's address."""
        return NodeAvailInfo(self.cpu, self.memory, self.disk, self.swap, address)


@dataclass(frozen=True)
class Pulsed(Word):
    """The pulse has arrived.

    Attributes:
        is_held (bool): The lease goes on; False: it has ended, and will not come back.

        free (Free | None): What of the node was free lately; None where it could not be found out.
    """

    is_held: Switch
    free: Annotated[Free, Part(Free)] | None = None


@dataclass(frozen=True)
class Release(Word):
    """I do not need the servers any more."""

    operation: ClassVar[str] = "node.release"

    token: Token


@dataclass(frozen=True)
class Released(Word):
    """Nobody runs for that token."""


@dataclass(frozen=True)
class Replace(Word):
    """End a server by force, for it cannot be reached."""

    operation: ClassVar[str] = "node.replace"

    token: Token
    incarnation: Incarnation


class Command(enum.Enum):
    """What whoever runs a node may want of it."""

    #: `node_report.NodeReport` is the answer.
    STATUS = "status"
    #: Close the computation; the next one may use the node.
    RELEASE = "release"
    #: Take no more jobs, and end when the last one is over.
    DRAIN = "drain"


@dataclass(frozen=True)
class Operate(Word):
    """Do as whoever runs the node says; but for the status only from the node's own machine.

    A secret alone does not let one client end another one's jobs.
    """

    operation: ClassVar[str] = "node.operate"

    command: Annotated[Command, OneOf(Command)]


@dataclass(frozen=True)
class Operated(Word):
    """It is done; the answer where it was not `Command.STATUS`.

    Attributes:
        ended (str | None): The name of the computation that was ended by it; None where nobody had the node, or it goes
            on for now.
    """

    ended: Name | None = None


# The node tells.


@dataclass(frozen=True)
class ServerStarted(Word):
    """A server waits for you, and takes requests with the token."""

    operation: ClassVar[str] = "scheduler.server_started"

    token: Token
    attempt: Number
    incarnation: Incarnation
    location: At
    name: Name
    pid: Annotated[int, Count(1)]


@dataclass(frozen=True)
class ServerDraining(Word):
    """A server takes no more jobs, because its node is ending."""

    operation: ClassVar[str] = "scheduler.server_draining"

    token: Token
    attempt: Number
    incarnation: Incarnation


@dataclass(frozen=True)
class ServerDied(Word):
    """A server is gone; a fresh one follows, unless the node is ending.

    Attributes:
        explanation (str): Goes on after "server so-and-so".
    """

    operation: ClassVar[str] = "scheduler.server_died"

    token: Token
    attempt: Number
    incarnation: Incarnation
    explanation: Reason


@dataclass(frozen=True)
class LeaseEnded(Word):
    """The node has ended the lease; its servers, with their jobs, are being ended.

    Attributes:
        reason (str): Goes on after "server so-and-so", and after "its lease".
    """

    operation: ClassVar[str] = "scheduler.lease_ended"

    token: Token
    attempt: Number
    reason: Reason
