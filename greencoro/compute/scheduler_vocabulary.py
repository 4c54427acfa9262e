"""The words between a scheduler's decisions and its shell, beside those that clients and it say to each other.

A *lease* is one reservation of a node. They are numbered, of all nodes in one row: what is told of an earlier *attempt*
than the node's present one is out of date.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from greencoro.compute.client_words import Notice, Request
from greencoro.compute.node_words import Free, NodeFacts

__all__ = [
    "AwaitExplanation",
    "Event",
    "Granted",
    "Instruction",
    "LeaseEnded",
    "Look",
    "LookLater",
    "Looked",
    "NodeFree",
    "NodeLost",
    "NodeUp",
    "Overslept",
    "Refused",
    "Release",
    "Released",
    "Replace",
    "Reserve",
    "Retry",
    "RetryLater",
    "ServerDied",
    "ServerDraining",
    "ServerStarted",
    "Submitted",
    "Tell",
    "Unanswered",
    "Unexplained",
    "Watch",
]


# What can happen.


@dataclass(frozen=True)
class Submitted:
    """A computation asks for its turn.

    Attributes:
        pulses (bool): Its nodes are pulsed: one whose connection broke keeps the lease for a while.
    """

    computation: int
    pulses: bool = False


@dataclass(frozen=True)
class NodeUp:
    """A node daemon answered."""

    node: str
    facts: NodeFacts


@dataclass(frozen=True)
class Looked:
    """That is the latest that is known of a node."""

    node: str
    facts: NodeFacts


@dataclass(frozen=True)
class NodeLost:
    """A node daemon cannot be reached any more.

    Attributes:
        for_good (bool): It was not heard for so long that its lease is over.
    """

    node: str
    reason: str
    for_good: bool = False


@dataclass(frozen=True)
class NodeFree:
    """A node says how much of it is free."""

    node: str
    attempt: int
    free: Free


@dataclass(frozen=True)
class Overslept:
    """This process was stopped for so long that nodes may have given the current computation up.

    Attributes:
        reason (str): For the client.
    """

    computation: int
    reason: str


@dataclass(frozen=True)
class Granted:
    """A node is reserved for the current computation."""

    node: str
    attempt: int


@dataclass(frozen=True)
class Refused:
    """A node did not let itself be reserved.

    Attributes:
        reason (str): Completes "node 10.0.0.1 ...".
    """

    node: str
    attempt: int
    reason: str


@dataclass(frozen=True)
class Unanswered:
    """A node may be reserved or not: no answer came, or none that says.

    Attributes:
        reason (str): Completes "node 10.0.0.1 ...".
    """

    node: str
    attempt: int
    reason: str


@dataclass(frozen=True)
class Retry:
    """A node that was not reserved may be asked again."""

    node: str
    attempt: int


@dataclass(frozen=True)
class Released:
    """A node's servers have ended."""

    node: str
    attempt: int


@dataclass(frozen=True)
class LeaseEnded:
    """A node has ended the lease, with all its servers."""

    node: str
    attempt: int
    reason: str


@dataclass(frozen=True)
class ServerStarted:
    """A reserved node has a server process ready to be set up."""

    node: str
    attempt: int
    server: str
    location: Any
    name: str


@dataclass(frozen=True)
class ServerDraining:
    """A server takes no more jobs, because its node is ending."""

    node: str
    attempt: int
    server: str


@dataclass(frozen=True)
class ServerDied:
    """A server process is gone."""

    node: str
    attempt: int
    server: str
    explanation: str


@dataclass(frozen=True)
class Unexplained:
    """Of a server that its client cannot reach its node has said nothing in time."""

    server: str
    reason: str


Event = (
    Submitted
    | Request
    | NodeUp
    | Looked
    | NodeLost
    | NodeFree
    | Overslept
    | Granted
    | Refused
    | Unanswered
    | Retry
    | Released
    | LeaseEnded
    | ServerStarted
    | ServerDraining
    | ServerDied
    | Unexplained
)


# What is to be done.


@dataclass(frozen=True)
class Look:
    """Feed `Looked` with what the node says of itself, or where it says nothing, with what was known."""

    node: str
    facts: NodeFacts


@dataclass(frozen=True)
class LookLater(Look):
    """The same after a while, for the current computation."""

    computation: int


@dataclass(frozen=True)
class Reserve:
    """Ask the node for its servers."""

    node: str
    computation: int
    attempt: int


@dataclass(frozen=True)
class Watch:
    """The node is reserved: pulse it, until it is released or the client is told that it has changed."""

    node: str
    computation: int
    attempt: int


@dataclass(frozen=True)
class RetryLater:
    """Feed `Retry` after a while."""

    node: str
    attempt: int


@dataclass(frozen=True)
class Release:
    """Give the node's servers back."""

    node: str
    computation: int
    attempt: int


@dataclass(frozen=True)
class Replace:
    """Have the node end a server that cannot be reached, so that a fresh one takes its place."""

    node: str
    computation: int
    attempt: int
    server: str


@dataclass(frozen=True)
class AwaitExplanation:
    """Feed `Unexplained` after a while."""

    server: str
    reason: str


@dataclass(frozen=True)
class Tell:
    """Tell the client."""

    notice: Notice


Instruction = Look | LookLater | Reserve | Watch | RetryLater | Release | Replace | AwaitExplanation | Tell
