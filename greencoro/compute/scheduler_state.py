"""The decisions of a scheduler: what happened goes in, what is to be done comes out (`scheduler_vocabulary`).

Computations have their turn one after another, in the order submitted. The one whose turn it is (the *current* one)
reserves every node there is; every server of a reserved node is set up with its components, then takes jobs.

::

    computation   QUEUED --turn--> CURRENT --close--> CLOSING --over--> (forgotten)
                     '--close--> (forgotten)

    node   KNOWN --reserve--> RESERVING --granted--> RESERVED --release--> RELEASING --released--> KNOWN
                                |    '--refused--> TAKEN --retry--> KNOWN;  TAKEN --release--> KNOWN
                                '--release--> WITHDRAWING --granted--> RELEASING;  --refused--> KNOWN

    server   SETTING_UP --set_up--> READY;  SETTING_UP --failed--> REJECTED;  SETTING_UP, READY --silent--> SILENT

A node or server that is lost is forgotten; what comes about it later (an answer that was under way) is ignored.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from greencoro.compute import scheduler_vocabulary as vocabulary
from greencoro.compute.placement import Candidate
from greencoro.compute.status import Status
from greencoro.errors import LocalProtocolError

__all__ = ["SchedulerState"]


# States.


class _NodeState(enum.Enum):
    #: Nobody's, as far as is known here.
    KNOWN = "known"
    #: Asked for its servers.
    RESERVING = "reserving"
    #: Its servers are the current computation's.
    RESERVED = "reserved"
    #: Its servers are somebody else's.
    TAKEN = "taken"
    #: Asked for its servers, but they are not wanted any more.
    WITHDRAWING = "withdrawing"
    #: Ends its servers.
    RELEASING = "releasing"


_NODE_TABLE: dict[_NodeState, dict[str, _NodeState]] = {
    _NodeState.KNOWN: {"reserve": _NodeState.RESERVING},
    _NodeState.RESERVING: {
        "granted": _NodeState.RESERVED,
        "refused": _NodeState.TAKEN,
        "release": _NodeState.WITHDRAWING,
    },
    _NodeState.RESERVED: {"release": _NodeState.RELEASING},
    _NodeState.TAKEN: {"retry": _NodeState.KNOWN, "release": _NodeState.KNOWN},
    _NodeState.WITHDRAWING: {"granted": _NodeState.RELEASING, "refused": _NodeState.KNOWN},
    _NodeState.RELEASING: {"released": _NodeState.KNOWN},
}


class _ServerState(enum.Enum):
    #: Is being sent the components.
    SETTING_UP = "setting up"
    #: Takes jobs.
    READY = "ready"
    #: Could not be set up.
    REJECTED = "rejected"
    #: Takes no more jobs: it does not answer, or its node is ending; the node will say how it has ended.
    SILENT = "silent"


_SERVER_TABLE: dict[_ServerState, dict[str, _ServerState]] = {
    _ServerState.SETTING_UP: {
        "set_up": _ServerState.READY,
        "failed": _ServerState.REJECTED,
        "silent": _ServerState.SILENT,
    },
    _ServerState.READY: {"silent": _ServerState.SILENT},
    _ServerState.REJECTED: {},
    _ServerState.SILENT: {},
}


class _ComputationState(enum.Enum):
    #: Waits for its turn.
    QUEUED = "queued"
    #: Has its turn.
    CURRENT = "current"
    #: Gives everything back.
    CLOSING = "closing"


_COMPUTATION_TABLE: dict[_ComputationState, dict[str, _ComputationState]] = {
    _ComputationState.QUEUED: {"turn": _ComputationState.CURRENT},
    _ComputationState.CURRENT: {"close": _ComputationState.CLOSING},
    _ComputationState.CLOSING: {},
}

_S = TypeVar("_S", bound=enum.Enum)


def _advance(table: dict[_S, dict[str, _S]], state: _S, event: str, what: str) -> _S:
    try:
        return table[state][event]
    except KeyError:
        raise LocalProtocolError(f"{what} that is {state.value} cannot take {event!r}") from None


@dataclass
class _Node:
    id: str
    address: str
    state: _NodeState = _NodeState.KNOWN
    initialized: bool = False  # was the current computation told so?

    def advance(self, event: str) -> None:
        self.state = _advance(_NODE_TABLE, self.state, event, f"node {self.address}")


@dataclass
class _Server:
    id: str
    node: _Node
    location: Any
    state: _ServerState = _ServerState.SETTING_UP
    load: int = 0
    problem: str = ""

    def advance(self, event: str) -> None:
        self.state = _advance(_SERVER_TABLE, self.state, event, f"server {self.location}")


@dataclass
class _Computation:
    id: int
    state: _ComputationState = _ComputationState.QUEUED

    def advance(self, event: str) -> None:
        self.state = _advance(_COMPUTATION_TABLE, self.state, event, f"computation {self.id}")


@dataclass
class SchedulerState:
    """Every computation, node and server a scheduler knows.

    Args:
        location: Where the scheduler is; told to status coroutines.
    """

    location: Any
    _nodes: dict[str, _Node] = field(default_factory=dict)
    _servers: dict[str, _Server] = field(default_factory=dict)
    _current: _Computation | None = None
    _queue: deque[_Computation] = field(default_factory=deque)

    def handle(self, event: vocabulary.Event) -> list[vocabulary.Instruction]:
        """Take in what happened.

        Returns:
            What is to be done, in this order.

        Raises:
            LocalProtocolError: It cannot have happened in this state; nothing has changed.
        """
        handler: Callable[[SchedulerState, Any], Iterator[vocabulary.Instruction]] = _HANDLERS[type(event)]
        return list(handler(self, event))

    # Questions.

    @property
    def current(self) -> int | None:
        """The computation whose turn it is and that takes jobs."""
        current = self._current
        return current.id if current is not None and current.state is _ComputationState.CURRENT else None

    def candidates(self) -> Iterator[Candidate]:
        """The servers that take jobs."""
        for server in self._servers.values():
            if server.state is _ServerState.READY:
                yield Candidate(server.id, server.node.id, server.load)

    def location_of(self, server: str) -> Any:
        """Where a server is; it must be known."""
        return self._servers[server].location

    def node_of(self, server: str) -> str | None:
        """The id of the node of a server; None where the server is not known."""
        known = self._servers.get(server)
        return None if known is None else known.node.id

    def address_of(self, server: str) -> str:
        """The address of the node of a server; it must be known."""
        return self._servers[server].node.address

    def ready_locations(self) -> list[Any]:
        """Where the servers that take jobs are."""
        return [self._servers[each.server].location for each in self.candidates()]

    def ready_addresses(self) -> list[str]:
        """The addresses of the nodes with a server that takes jobs, each once."""
        return list(dict.fromkeys(self._servers[each.server].node.address for each in self.candidates()))

    def problems(self) -> list[str]:
        """Why servers and nodes that are there take no jobs, for people."""
        found = [
            f"server {server.location} could not be set up: {server.problem}"
            for server in self._servers.values()
            if server.state is _ServerState.REJECTED
        ]
        found += [
            f"server {server.location} is still being set up"
            for server in self._servers.values()
            if server.state is _ServerState.SETTING_UP
        ]
        for node in self._nodes.values():
            if node.state is _NodeState.TAKEN:
                found.append(f"node {node.address} is in use by another computation")
            elif node.state is _NodeState.RESERVING:
                found.append(f"node {node.address} has not answered yet")
            elif node.state is _NodeState.RESERVED and not any(s.node is node for s in self._servers.values()):
                found.append(f"node {node.address} has no server running yet")
        return found

    # Jobs: counted by calls instead of events, because there may be many thousands a second.

    def job_started(self, server: str) -> None:
        """A job was sent to a server that is ready."""
        self._servers[server].load += 1

    def job_over(self, server: str) -> None:
        """A job is over; the server may be gone."""
        known = self._servers.get(server)
        if known is not None:
            known.load -= 1

    # Computations.

    def _submitted(self, event: vocabulary.Submitted) -> Iterator[vocabulary.Instruction]:
        self._queue.append(_Computation(event.computation))
        yield from self._next_turn()

    def _next_turn(self) -> Iterator[vocabulary.Instruction]:
        if self._current is not None or not self._queue:
            return
        computation = self._current = self._queue.popleft()
        computation.advance("turn")
        yield vocabulary.Begun(computation.id)
        yield self._tell(Status.ComputationScheduled, self.location)
        for node in self._nodes.values():
            yield self._tell(Status.NodeDiscovered, node.address)
            if node.state is _NodeState.KNOWN:
                yield self._reserve(node)

    def _close(self, event: vocabulary.CloseRequested) -> Iterator[vocabulary.Instruction]:
        for queued in self._queue:
            if queued.id == event.computation:
                self._queue.remove(queued)
                yield vocabulary.Ended(queued.id)
                return
        current = self._current
        if current is None or current.id != event.computation or current.state is _ComputationState.CLOSING:
            return
        current.advance("close")
        for server in list(self._servers.values()):
            del self._servers[server.id]
            if server.state is _ServerState.READY:
                yield self._tell(Status.ServerClosed, server.location)
        for node in self._nodes.values():
            if node.state is _NodeState.RESERVED:
                yield vocabulary.Release(node.id, current.id)
            if node.state in (_NodeState.RESERVED, _NodeState.RESERVING, _NodeState.TAKEN):
                node.advance("release")
        yield from self._over_if_all_released()

    def _over_if_all_released(self) -> Iterator[vocabulary.Instruction]:
        current = self._current
        if current is None or current.state is not _ComputationState.CLOSING:
            return
        if any(node.state in (_NodeState.RELEASING, _NodeState.WITHDRAWING) for node in self._nodes.values()):
            return
        yield self._tell(Status.ComputationClosed, self.location)
        self._current = None
        for node in self._nodes.values():
            node.initialized = False
        yield vocabulary.Ended(current.id)
        yield from self._next_turn()

    # Nodes.

    def _node_up(self, event: vocabulary.NodeUp) -> Iterator[vocabulary.Instruction]:
        if event.node in self._nodes:
            return
        node = self._nodes[event.node] = _Node(event.node, event.address)
        if self.current is not None:
            yield self._tell(Status.NodeDiscovered, node.address)
            yield self._reserve(node)

    def _reserve(self, node: _Node) -> vocabulary.Reserve:
        assert self._current is not None
        node.advance("reserve")
        return vocabulary.Reserve(node.id, self._current.id)

    def _granted(self, event: vocabulary.Granted) -> Iterator[vocabulary.Instruction]:
        node = self._nodes.get(event.node)
        if node is None:
            return
        node.advance("granted")
        if node.state is _NodeState.RELEASING:
            assert self._current is not None
            yield vocabulary.Release(node.id, self._current.id)

    def _refused(self, event: vocabulary.Refused) -> Iterator[vocabulary.Instruction]:
        node = self._nodes.get(event.node)
        if node is None:
            return
        node.advance("refused")
        if node.state is _NodeState.TAKEN:
            yield vocabulary.RetryLater(node.id)
        else:
            yield from self._over_if_all_released()

    def _retry(self, event: vocabulary.Retry) -> Iterator[vocabulary.Instruction]:
        node = self._nodes.get(event.node)
        if node is None or node.state is not _NodeState.TAKEN:
            return
        node.advance("retry")
        if self.current is not None:
            yield self._reserve(node)

    def _released(self, event: vocabulary.Released) -> Iterator[vocabulary.Instruction]:
        node = self._nodes.get(event.node)
        if node is None:
            return
        node.advance("released")
        if node.initialized:
            yield self._tell(Status.NodeClosed, node.address)
        yield from self._over_if_all_released()

    def _node_lost(self, event: vocabulary.NodeLost) -> Iterator[vocabulary.Instruction]:
        node = self._nodes.pop(event.node, None)
        if node is None:
            return
        for server in [each for each in self._servers.values() if each.node is node]:
            yield from self._forget(server, f"node {node.address} was lost: {event.reason}")
        if self._current is not None:
            yield self._tell(Status.NodeDisconnected, node.address)
        yield from self._over_if_all_released()

    # Servers.

    def _server_started(self, event: vocabulary.ServerStarted) -> Iterator[vocabulary.Instruction]:
        node = self._nodes.get(event.node)
        # Its news may overtake the node's answer to the reservation.
        if node is None or node.state not in (_NodeState.RESERVING, _NodeState.RESERVED):
            return
        if event.server in self._servers:
            return  # a node that is asked again tells again
        assert self._current is not None
        self._servers[event.server] = _Server(event.server, node, event.location)
        yield self._tell(Status.ServerDiscovered, event.location)
        yield vocabulary.SetUp(event.server, self._current.id)

    def _set_up_done(self, event: vocabulary.SetUpDone) -> Iterator[vocabulary.Instruction]:
        server = self._servers.get(event.server)
        if server is None or server.state is _ServerState.SILENT:
            return
        assert self._current is not None
        server.advance("set_up")
        if not server.node.initialized:
            server.node.initialized = True
            yield self._tell(Status.NodeInitialized, server.node.address)
        yield vocabulary.ServerReady(server.id, self._current.id)
        yield self._tell(Status.ServerInitialized, server.location)

    def _set_up_failed(self, event: vocabulary.SetUpFailed) -> Iterator[vocabulary.Instruction]:
        server = self._servers.get(event.server)
        if server is None or server.state is _ServerState.SILENT:
            return
        server.advance("failed")
        server.problem = event.reason
        yield self._tell(Status.ServerIgnore, server.location)

    def _server_silent(self, event: vocabulary.ServerSilent) -> Iterator[vocabulary.Instruction]:
        server = self._servers.get(event.server)
        if server is not None and server.state in (_ServerState.SETTING_UP, _ServerState.READY):
            server.advance("silent")
        yield from ()

    def _server_lost(self, event: vocabulary.ServerLost) -> Iterator[vocabulary.Instruction]:
        server = self._servers.get(event.server)
        if server is not None:
            yield from self._forget(server, event.explanation)

    def _forget(self, server: _Server, explanation: str) -> Iterator[vocabulary.Instruction]:
        assert self._current is not None
        del self._servers[server.id]
        yield vocabulary.ServerGone(server.id, self._current.id, explanation)
        yield self._tell(Status.ServerDisconnected, server.location)

    def _tell(self, code: int, info: Any) -> vocabulary.Tell:
        assert self._current is not None
        return vocabulary.Tell(self._current.id, Status(code, info))


_HANDLERS: dict[type, Callable[[SchedulerState, Any], Iterator[vocabulary.Instruction]]] = {
    vocabulary.Submitted: SchedulerState._submitted,
    vocabulary.CloseRequested: SchedulerState._close,
    vocabulary.NodeUp: SchedulerState._node_up,
    vocabulary.NodeLost: SchedulerState._node_lost,
    vocabulary.Granted: SchedulerState._granted,
    vocabulary.Refused: SchedulerState._refused,
    vocabulary.Retry: SchedulerState._retry,
    vocabulary.Released: SchedulerState._released,
    vocabulary.ServerStarted: SchedulerState._server_started,
    vocabulary.SetUpDone: SchedulerState._set_up_done,
    vocabulary.SetUpFailed: SchedulerState._set_up_failed,
    vocabulary.ServerSilent: SchedulerState._server_silent,
    vocabulary.ServerLost: SchedulerState._server_lost,
}
