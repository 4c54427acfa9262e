"""The words between a scheduler's decisions and its shell: what can happen, and what is to be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from greencoro.compute.status import Status

__all__ = [
    "Begun",
    "CloseRequested",
    "Ended",
    "Event",
    "Granted",
    "Instruction",
    "NodeLost",
    "NodeUp",
    "Refused",
    "Release",
    "Released",
    "Reserve",
    "Retry",
    "RetryLater",
    "ServerGone",
    "ServerLost",
    "ServerReady",
    "ServerSilent",
    "ServerStarted",
    "SetUp",
    "SetUpDone",
    "SetUpFailed",
    "Submitted",
    "Tell",
]


# What can happen.


@dataclass(frozen=True)
class Submitted:
    """A computation asks for its turn."""

    computation: int


@dataclass(frozen=True)
class CloseRequested:
    """A computation gives everything back."""

    computation: int


@dataclass(frozen=True)
class NodeUp:
    """A node daemon answered."""

    node: str
    address: str


@dataclass(frozen=True)
class NodeLost:
    """A node daemon cannot be reached any more."""

    node: str
    reason: str


@dataclass(frozen=True)
class Granted:
    """A node is reserved for the current computation."""

    node: str


@dataclass(frozen=True)
class Refused:
    """A node did not let itself be reserved."""

    node: str


@dataclass(frozen=True)
class Retry:
    """A node that refused may be asked again."""

    node: str


@dataclass(frozen=True)
class Released:
    """A node's servers have ended."""

    node: str


@dataclass(frozen=True)
class ServerStarted:
    """A reserved node has a server process ready to be set up."""

    node: str
    server: str
    location: Any


@dataclass(frozen=True)
class SetUpDone:
    """A server has all components."""

    server: str


@dataclass(frozen=True)
class SetUpFailed:
    """A server could not be set up."""

    server: str
    reason: str


@dataclass(frozen=True)
class ServerSilent:
    """A server takes no more jobs: its connection broke, or its node is ending; how it has ended will be known."""

    server: str


@dataclass(frozen=True)
class ServerLost:
    """A server process is gone."""

    server: str
    explanation: str


Event = (
    Submitted
    | CloseRequested
    | NodeUp
    | NodeLost
    | Granted
    | Refused
    | Retry
    | Released
    | ServerStarted
    | SetUpDone
    | SetUpFailed
    | ServerSilent
    | ServerLost
)


# What is to be done.


@dataclass(frozen=True)
class Begun:
    """The computation has its turn."""

    computation: int


@dataclass(frozen=True)
class Ended:
    """The computation is over: nothing of it is left on any node in reach."""

    computation: int


@dataclass(frozen=True)
class Reserve:
    """Ask the node for its servers."""

    node: str
    computation: int


@dataclass(frozen=True)
class RetryLater:
    """Feed `Retry` after a while."""

    node: str


@dataclass(frozen=True)
class Release:
    """Give the node's servers back."""

    node: str
    computation: int


@dataclass(frozen=True)
class SetUp:
    """Send the components to the server."""

    server: str
    computation: int


@dataclass(frozen=True)
class ServerReady:
    """The server takes jobs from now on."""

    server: str
    computation: int


@dataclass(frozen=True)
class ServerGone:
    """Nothing more will come from the server: whoever waits for its jobs has to hear it."""

    server: str
    computation: int
    explanation: str


@dataclass(frozen=True)
class Tell:
    """Send the status to the computation's status coroutine."""

    computation: int
    status: Status


Instruction = Begun | Ended | Reserve | RetryLater | Release | SetUp | ServerReady | ServerGone | Tell
