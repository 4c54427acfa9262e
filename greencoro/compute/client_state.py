"""The decisions of a computation at its client: what happened goes in, what is to be done comes out.

::

    NEW --ask--> ASKED --submitted--> QUEUED --begun--> CURRENT --close--> CLOSING --ended--> OVER
     '<-refused----'|'--begun--> CURRENT;  ASKED, QUEUED --close--> CLOSING;  all that asked --ended--> OVER
    CURRENT --abandoned--> ENDING --ended--> OVER
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from greencoro.compute import client_words as words
from greencoro.compute.client_phase import Phase
from greencoro.compute.client_vocabulary import (
    AwaitExplanation,
    Begin,
    End,
    EndJobs,
    Gone,
    HearOut,
    Instruction,
    Judge,
    Ready,
    Say,
    SetUp,
    Tell,
)
from greencoro.compute.node_words import lease_token
from greencoro.compute.server_pool import Server, ServerPool, ServerState
from greencoro.compute.status import Status
from greencoro.distributed.location import Location
from greencoro.errors import LocalProtocolError

__all__ = ["ClientState"]

_Instructions = Iterator[Instruction]


#: Of a node of which so many servers, one after another, have died before they were set up, no more are started.
DEATHS_IN_SET_UP = 5


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
    Phase.CURRENT: {
        "submitted": Phase.CURRENT,
        "close": Phase.CLOSING,
        "abandoned": Phase.ENDING,
        "ended": Phase.OVER,
    },
    Phase.CLOSING: {
        "refused": Phase.OVER,
        "submitted": Phase.CLOSING,
        "begun": Phase.CLOSING,
        "close": Phase.CLOSING,
        "ended": Phase.OVER,
    },
    Phase.ENDING: {"submitted": Phase.ENDING, "close": Phase.ENDING, "ended": Phase.OVER},
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
        #: Those whose servers have listed ports.
        self._listed: set[str] = set()
        #: Those that have told of a server.
        self._used: set[str] = set()
        #: Those of which was told that they are not used.
        self._ignored: set[str] = set()
        #: By node: servers that died before they were set up, since one was.
        self._deaths: Counter[str] = Counter()
        #: Why the computation is over, where nobody here has asked for that.
        self.reason = ""
        #: Servers of which something may still come: what is to be told when they are gone.
        self._silent: dict[Server, Status] = {}
        #: Those of them that have ended, and are being heard out; and what is done when the last one was.
        self._heard_out: set[Server] = set()
        self._last_word: words.Ended | None = None
        #: Servers that have taken the places of such: told of when those are gone, for they may be where those were.
        self._successors: list[words.ServerStarted] = []
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
        if self.phase in (Phase.ENDING, Phase.OVER):
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
        # One that was not accepted is offered again and again.
        if notice.node not in self._addresses:
            self._addresses[notice.node] = notice.facts.address
            if notice.facts.has_listed_ports:
                self._listed.add(notice.node)
            yield Tell(Status(Status.NodeDiscovered, notice.facts.address))
        yield Judge(notice.node, notice.facts)

    def judged(self, node: str, accepted: bool, reason: str) -> list[Instruction]:
        """The filters have decided about a node, which may be lost meanwhile."""
        address = self._addresses.get(node)
        if self.phase is not Phase.CURRENT or address is None:
            return []
        assert self._number is not None
        verdict = Say(words.Verdict(self._number, node, accepted, reason))
        if accepted or node in self._ignored:
            return [verdict]
        self._ignored.add(node)
        return [Tell(Status(Status.NodeIgnore, address)), verdict]

    def _node_free(self, notice: words.NodeFree) -> _Instructions:
        if self.phase is Phase.CURRENT:
            yield Tell(notice.free.at(notice.address))

    def _node_changed(self, notice: words.NodeChanged) -> _Instructions:
        self._addresses.pop(notice.node, None)
        self._deaths.pop(notice.node, None)
        was_used = notice.node in self._used and notice.node not in self._ignored
        self._initialized.discard(notice.node)
        self._used.discard(notice.node)
        if notice.change is words.NodeChange.LOST:
            self._leaving[notice.node] = Status(Status.NodeDisconnected, notice.address)
        elif was_used:
            self._leaving[notice.node] = Status(Status.NodeClosed, notice.address)
        self._ignored.discard(notice.node)
        yield from self._left(notice.node)

    def _left(self, node: str) -> _Instructions:
        if node in self._leaving and not self.pool.has_of(node):
            yield Tell(self._leaving.pop(node))

    def _server_started(self, notice: words.ServerStarted) -> _Instructions:
        address = self._addresses.get(notice.node)
        if self.phase is not Phase.CURRENT or address is None or self.pool.get(notice.server) is not None:
            return
        if any(server.name == notice.name for server in self._heard_out):
            self._successors.append(notice)
            return
        token = lease_token(self._token, notice.attempt)
        server = Server(notice.server, notice.node, address, notice.location, notice.name, token)
        self.pool.add(server)
        self._used.add(server.node)
        yield Tell(Status(Status.ServerDiscovered, server.location))
        yield SetUp(server)

    def _server_draining(self, notice: words.ServerDraining) -> _Instructions:
        server = self.pool.get(notice.server)
        if server is not None:
            server.advance("drain")
        self._no_successor(notice.server)
        yield from ()

    def _server_gone(self, notice: words.ServerGone) -> _Instructions:
        server = self.pool.get(notice.server)
        if server is not None:
            server.advance("silent")
            server.is_closed = notice.closed
            self._silent[server] = _end_of(server, notice.closed)
            self._heard_out.add(server)
            yield HearOut(server, notice.explanation, notice.closed)
        self._no_successor(notice.server)

    def _no_successor(self, server: str) -> None:
        """It takes no jobs any more, if it ever came to that."""
        self._successors = [each for each in self._successors if each.server != server]

    def _ended(self, notice: words.Ended) -> _Instructions:
        self.reason = notice.reason  # first: whoever sees the phase looks here
        if self.phase is Phase.CURRENT and self._heard_out and not notice.lost:
            # Its nodes have closed it, perhaps because all jobs are over, whose outcomes come by other ways.
            self.advance("abandoned")
            self._last_word = notice
        else:
            yield from self._end(notice)

    def _end(self, notice: words.Ended) -> _Instructions:
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
        self._heard_out.clear()
        self._successors.clear()
        for server in self.pool.clear():
            yield Tell(Status(Status.ServerClosed, server.location))

    # What becomes of servers.

    def set_up_done(self, server: Server) -> list[Instruction]:
        """A server has all components."""
        if not self._is_being_set_up(server):
            return []
        assert self._number is not None
        server.advance("set_up")
        server.is_set_up = True
        self._deaths.pop(server.node, None)
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
        if known is None or known.state is ServerState.SILENT or self.phase is not Phase.CURRENT:
            return []
        assert self._number is not None
        known.advance("silent")
        self._silent[known] = _end_of(known, closed=False)
        return [Say(words.Unreachable(self._number, known.id, reason)), AwaitExplanation(known, reason)]

    def gone(self, server: Server, explanation: str, closed: bool) -> list[Instruction]:
        """Nothing more will come from a server; where that is known already, nothing."""
        if self.pool.get(server.id) is not server:
            return []
        self._heard_out.discard(server)
        if self.phase is Phase.ENDING and server.is_closed:
            # Its jobs hear with all others why the computation is over.
            return list(self._end_if_heard_out())
        was_rejected = server.state is ServerState.REJECTED
        self.pool.gone(server, explanation, for_good=server.node not in self._listed)
        self._silent.pop(server, None)
        instructions: list[Instruction] = [Gone(server), Tell(_end_of(server, closed)), *self._left(server.node)]
        if not (server.is_set_up or was_rejected or closed):
            instructions += self._died_in_set_up(server, explanation)
        for successor in [each for each in self._successors if each.name == server.name]:
            self._successors.remove(successor)
            instructions += self._server_started(successor)
        return [*instructions, *self._end_if_heard_out()]

    def _died_in_set_up(self, server: Server, explanation: str) -> _Instructions:
        self._deaths[server.node] += 1
        if self._deaths[server.node] == DEATHS_IN_SET_UP and self.phase is Phase.CURRENT:
            # It would go on for ever, with every attempt as dear as a new process.
            assert self._number is not None
            reason = f"{DEATHS_IN_SET_UP} servers died before they were set up; the last one {explanation}"
            self._ignored.add(server.node)
            yield Tell(Status(Status.NodeIgnore, server.address))
            yield Say(words.Verdict(self._number, server.node, False, reason))

    def _end_if_heard_out(self) -> _Instructions:
        if self._last_word is not None and self.phase is Phase.ENDING and not self._heard_out:
            yield from self._end(self._last_word)


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
