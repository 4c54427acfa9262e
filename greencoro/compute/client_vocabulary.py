"""What the decisions of a computation at its client order its shell to do."""

from __future__ import annotations

from dataclasses import dataclass

from greencoro.compute import client_words as words
from greencoro.compute.avail_info import NodeAvailInfo
from greencoro.compute.node_words import NodeFacts
from greencoro.compute.server_pool import Server
from greencoro.compute.status import Status

__all__ = [
    "AwaitExplanation",
    "Begin",
    "End",
    "EndJobs",
    "Gone",
    "HearOut",
    "Instruction",
    "Judge",
    "Ready",
    "Say",
    "SetUp",
    "Tell",
]


@dataclass(frozen=True)
class Say:
    """Tell the scheduler."""

    request: words.Request


@dataclass(frozen=True)
class Tell:
    """Tell the status coroutine."""

    message: Status | NodeAvailInfo


@dataclass(frozen=True)
class Begin:
    """The computation has its turn: whoever waits for that may go on."""


@dataclass(frozen=True)
class Judge:
    """Ask the computation's filters about a node, then call `ClientState.judged`."""

    node: str
    facts: NodeFacts


@dataclass(frozen=True)
class SetUp:
    """Send the components to the server, then call `ClientState.set_up_done` or `ClientState.set_up_failed`."""

    server: Server


@dataclass(frozen=True)
class Ready:
    """The server takes jobs from now on."""

    server: Server


@dataclass(frozen=True)
class HearOut:
    """A server has ended; what it sent before may still be under way. Call `ClientState.gone` when all is here."""

    server: Server
    explanation: str
    closed: bool


@dataclass(frozen=True)
class AwaitExplanation:
    """Call `ClientState.gone` after a while, in case nobody says how the server has ended."""

    server: Server
    reason: str


@dataclass(frozen=True)
class Gone:
    """Nothing more will come from the server: whoever waits for its jobs has to hear it."""

    server: Server


@dataclass(frozen=True)
class EndJobs:
    """The computation takes no jobs any more, and nothing will be heard of those it has: who waits has to hear it.

    Attributes:
        lost (bool): Because its scheduler is gone.
    """

    reason: str
    lost: bool = False


@dataclass(frozen=True)
class End:
    """The computation is over: whoever waits for the end has to hear it."""

    reason: str


Instruction = Say | Tell | Begin | Judge | SetUp | Ready | HearOut | AwaitExplanation | Gone | EndJobs | End
