"""The decisions of a computation at its client: what happened goes in, what is to be done comes out.

::

    NEW --ask--> ASKED --submitted--> QUEUED --begun--> CURRENT --close--> CLOSING --ended--> OVER
     '<-refused----'|'--begun--> CURRENT;  ASKED, QUEUED --close--> CLOSING;  all that asked --ended--> OVER
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from greencoro.compute import client_words as words
from greencoro.compute.avail_info import NodeAvailInfo
from greencoro.compute.node_words import NodeFacts, lease_token
from greencoro.compute.server_pool import Server, ServerPool, ServerState
from greencoro.compute.status import Status
from greencoro.distributed.location import Location
from greencoro.errors import LocalProtocolError

__all__ = [
    "AwaitExplanation",
    "Begin",
    "ClientState",
    "End",
    "EndJobs",
    "Gone",
    "HearOut",
    "Instruction",
    "Judge",
    "Phase",
    "Ready",
    "Say",
    "SetUp",
    "Tell",
]


# What is to be done.


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
_Instructions = Iterator[Instruction]


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
    #: Has no servers and will have none.
    OVER = "over"


_TABLE: dict[Phase, dict[str, Phase]] = {
    Phase.NEW: {"ask": Phase.ASKED},
    Phase.ASKED: {
        "refused": Phase.NEW,
        "submitted": Phase.QUEUED,
        "begun": Phase.CURRENT,
        "close": Phase.CLOSING,
        "ended": Phase.OVER,
    },
    Phase.QUEUED: {"begun": Phase.CURRENT, "close": Phase.CLOSING, "ended": Phase.OVER},
    Phase.CURRENT: {"submitted": Phase.CURRENT, "close": Phase.CLOSING, "ended": Phase.OVER},
    Phase.CLOSING: {
        "refused": Phase.OVER,
        "submitted": Phase.CLOSING,
        "begun": Phase.CLOSING,
        "close": Phase.CLOSING,
        "ended": Phase.OVER,
    },
    Phase.OVER: {"submitted": Phase.OVER, "close": Phase.OVER},
}


class ClientState:
    """One computation.

    Args:
        token (bytes): The computation's: the tokens of its servers are derived from it.
    """

    def __init__(self, token: bytes) -> None:
        self.phase = Phase.NEW
        self.pool = ServerPool()
        self._token = token
        self._number: int | None = None
        #: Of its scheduler, once the computation has had its turn.
        self._location: Location | None = None
        #: Nodes by id: where they are; those that have had a server ready.
        self._addresses: dict[str, str] = {}
        self._initialized: set[str] = set()
        #: Why the computation is over, where nobody here has asked for that.
        self.reason = ""
        #: Servers of which something may still come: what is to be told when they are gone.
        self._silent: dict[Server, Status] = {}
        #: What is to be told of a node when the last one of its servers is gone.
        self._leaving: dict[str, Status] = {}

    def advance(self, event: str) -> None:
        """The one place where `phase` changes.

        Raises:
            LocalProtocolError: It cannot happen in this phase; nothing has changed.
        """
        try:
            self.phase = _TABLE[self.phase][event]
        except KeyError:
            raise LocalProtocolError(f"a computation that is {self.phase.value} cannot take {event!r}") from None

    # What the user asks for.

    def ask(self) -> list[Instruction]:
        """A scheduler is about to be asked."""
        self.advance("ask")
        return []

    def refused(self) -> list[Instruction]:
        """No scheduler has taken it."""
        self.advance("refused")
        return [End("")] if self.phase is Phase.OVER else []

    def submitted(self, number: int) -> list[Instruction]:
        """The scheduler has queued it."""
        self._number = number
        self.advance("submitted")
        return [Say(words.Close(number))] if self.phase is Phase.CLOSING else []

    def close(self) -> list[Instruction]:
        """Give everything back; where that was asked for before, nothing."""
        before = self.phase
        self.advance("close")
        if self.phase is before:
            return []
        closed: list[Instruction] = list(self._clear())
        if self._number is not None:
            closed.append(Say(words.Close(self._number)))
        return [*closed, EndJobs("")]

    # What the scheduler tells.

    def hear(self, notice: words.Notice) -> list[Instruction]:
        """Take in a notice; one that is out of date changes nothing."""
        if self.phase is Phase.OVER:
            return []
        self._number = notice.computation
        handler: Callable[[ClientState, Any], _Instructions] = _HANDLERS[type(notice)]
        return list(handler(self, notice))

    def _queued(self, notice: words.Queued) -> _Instructions:
        yield from ()

    def _begun(self, notice: words.Begun) -> _Instructions:
        self.advance("begun")
        self._location = notice.location
        yield Begin()
        yield Tell(Status(Status.ComputationScheduled, notice.location))

    def _node_offered(self, notice: words.NodeOffered) -> _Instructions:
        if self.phase is not Phase.CURRENT:
            return
        address = self._addresses[notice.node] = notice.facts.address
        yield Tell(Status(Status.NodeDiscovered, address))
        yield Judge(notice.node, notice.facts)

    def judged(self, node: str, accepted: bool, reason: str) -> list[Instruction]:
        """The filters have decided about a node, which may be lost meanwhile."""
        address = self._addresses.get(node)
        if self.phase is not Phase.CURRENT or address is None:
            return []
        assert self._number is not None
        verdict = Say(words.Verdict(self._number, node, accepted, reason))
        return [verdict] if accepted else [Tell(Status(Status.NodeIgnore, address)), verdict]

    def _node_free(self, notice: words.NodeFree) -> _Instructions:
        if self.phase is Phase.CURRENT:
            yield Tell(notice.free.at(notice.address))

    def _node_changed(self, notice: words.NodeChanged) -> _Instructions:
        self._addresses.pop(notice.node, None)
        was_initialized = notice.node in self._initialized
        self._initialized.discard(notice.node)
        if notice.change is words.NodeChange.LOST:
            self._leaving[notice.node] = Status(Status.NodeDisconnected, notice.address)
        elif was_initialized:
            self._leaving[notice.node] = Status(Status.NodeClosed, notice.address)
        yield from self._left(notice.node)

    def _left(self, node: str) -> _Instructions:
        if node in self._leaving and not self.pool.has_of(node):
            yield Tell(self._leaving.pop(node))

    def _server_started(self, notice: words.ServerStarted) -> _Instructions:
        address = self._addresses.get(notice.node)
        if self.phase is not Phase.CURRENT or address is None or self.pool.get(notice.server) is not None:
            return
        token = lease_token(self._token, notice.attempt)
        server = Server(notice.server, notice.node, address, notice.location, notice.name, token)
        self.pool.add(server)
        yield Tell(Status(Status.ServerDiscovered, server.location))
        yield SetUp(server)

    def _server_draining(self, notice: words.ServerDraining) -> _Instructions:
        server = self.pool.get(notice.server)
        if server is not None:
            server.advance("drain")
        yield from ()

    def _server_gone(self, notice: words.ServerGone) -> _Instructions:
        server = self.pool.get(notice.server)
        if server is not None:
            server.advance("silent")
            self._silent[server] = _end_of(server, notice.closed)
            yield HearOut(server, notice.explanation, notice.closed)

    def _ended(self, notice: words.Ended) -> _Instructions:
        self.reason = notice.reason  # first: whoever sees the phase looks here
        self.advance("ended")
        yield EndJobs(notice.reason, notice.lost)
        yield from self._clear()
        for node in list(self._leaving):
            yield from self._left(node)
        if self._location is not None:
            yield Tell(Status(Status.ComputationClosed, self._location))
        yield End(notice.reason)

    def _clear(self) -> _Instructions:
        """Nothing of any server counts any more."""
        for status in self._silent.values():
            yield Tell(status)
        self._silent.clear()
        for server in self.pool.clear():
            yield Tell(Status(Status.ServerClosed, server.location))

    # What becomes of servers.

    def set_up_done(self, server: Server) -> list[Instruction]:
        """A server has all components."""
        if not self._is_being_set_up(server):
            return []
        assert self._number is not None
        server.advance("set_up")
        instructions: list[Instruction] = []
        if server.node not in self._initialized:
            self._initialized.add(server.node)
            instructions.append(Tell(Status(Status.NodeInitialized, server.address)))
        return [
            *instructions,
            Ready(server),
            Tell(Status(Status.ServerInitialized, server.location)),
            Say(words.SetUpDone(self._number, server.id)),
        ]

    def set_up_failed(self, server: Server, reason: str) -> list[Instruction]:
        """A server could not be set up."""
        if not self._is_being_set_up(server):
            return []
        assert self._number is not None
        server.advance("failed")
        return [
            Tell(Status(Status.ServerIgnore, server.location)),
            Say(words.SetUpFailed(self._number, server.id, reason)),
        ]

    def _is_being_set_up(self, server: Server) -> bool:
        return self.pool.get(server.id) is server and server.state is ServerState.SETTING_UP

    def unreachable(self, server: str, reason: str) -> list[Instruction]:
        """The connection to a process broke; it may be none of this computation's servers."""
        known = self.pool.get(server)
        if known is None or known.state is ServerState.SILENT:
            return []
        assert self._number is not None
        known.advance("silent")
        self._silent[known] = _end_of(known, closed=False)
        return [Say(words.Unreachable(self._number, known.id, reason)), AwaitExplanation(known, reason)]

    def gone(self, server: Server, explanation: str, closed: bool) -> list[Instruction]:
        """Nothing more will come from a server; where that is known already, nothing."""
        if self.pool.get(server.id) is not server:
            return []
        self.pool.gone(server, explanation)
        self._silent.pop(server, None)
        return [Gone(server), Tell(_end_of(server, closed)), *self._left(server.node)]


def _end_of(server: Server, closed: bool) -> Status:
    return Status(Status.ServerClosed if closed else Status.ServerDisconnected, server.location)


_HANDLERS: dict[type, Callable[[ClientState, Any], _Instructions]] = {
    words.Queued: ClientState._queued,
    words.Begun: ClientState._begun,
    words.NodeOffered: ClientState._node_offered,
    words.NodeChanged: ClientState._node_changed,
    words.NodeFree: ClientState._node_free,
    words.ServerStarted: ClientState._server_started,
    words.ServerDraining: ClientState._server_draining,
    words.ServerGone: ClientState._server_gone,
    words.Ended: ClientState._ended,
}
