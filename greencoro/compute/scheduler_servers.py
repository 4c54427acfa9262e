"""The part of a `SchedulerState` that decides about servers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from greencoro.compute import client_words as client
from greencoro.compute import scheduler_vocabulary as vocabulary
from greencoro.compute.scheduler_records import (
    Computation,
    ComputationState,
    Node,
    NodeState,
    Server,
    ServerState,
)

__all__ = ["Instructions", "ServerDecisions"]

Instructions = Iterator[vocabulary.Instruction]


@dataclass
class ServerDecisions:
    """See the module.

    Args:
        location: Where the scheduler is; told to clients.
    """

    location: Any
    nodes: dict[str, Node] = field(default_factory=dict)
    #: Those that the current computation was told of.
    servers: dict[str, Server] = field(default_factory=dict)
    _current: Computation | None = None

    @property
    def current(self) -> int | None:
        """The computation whose turn it is and that is not being closed."""
        current = self._current
        return current.id if current is not None and current.state is ComputationState.CURRENT else None

    def _current_if(self, computation: int) -> Computation | None:
        """The current computation, if it is that one."""
        current = self._current
        return current if current is not None and self.current == computation else None

    def _at(self, node: str, attempt: int) -> Node | None:
        """The node, if that is its present reservation."""
        known = self.nodes.get(node)
        return known if known is not None and known.attempt == attempt else None

    def _server_started(self, event: vocabulary.ServerStarted) -> Instructions:
        node = self._at(event.node, event.attempt)
        # Its news may overtake the node's answer to the reservation.
        if node is None or node.state not in (NodeState.RESERVING, NodeState.RESERVED):
            return
        if event.server in self.servers:
            return  # a node that is asked again tells again
        assert self._current is not None
        self.servers[event.server] = node.servers[event.server] = Server(event.server, node, event.location)
        yield self._current.tell(
            client.ServerStarted,
            node=node.id,
            attempt=node.attempt,
            server=event.server,
            location=event.location,
            name=event.name,
        )

    def _server_of(self, event: client.SetUpDone | client.SetUpFailed | client.Unreachable) -> Server | None:
        return None if self._current_if(event.computation) is None else self.servers.get(event.server)

    def _set_up_done(self, event: client.SetUpDone) -> Instructions:
        server = self._server_of(event)
        if server is not None and server.state is not ServerState.SILENT:
            server.advance("set_up")
            server.node.last_end = ""
        yield from ()

    def _set_up_failed(self, event: client.SetUpFailed) -> Instructions:
        server = self._server_of(event)
        if server is not None and server.state is not ServerState.SILENT:
            server.advance("failed")
            server.problem = event.reason
        yield from ()

    def _unexplained(self, event: vocabulary.Unexplained) -> Instructions:
        server = self.servers.get(event.server)
        if server is None:
            return  # its node has explained
        assert self._current is not None
        # It may hang, or hold the interpreter lock: nobody can use it any more.
        yield vocabulary.Replace(server.node.id, self._current.id, server.node.attempt, server.id)
        yield self._forget(server, f"cannot be reached any more: {event.reason}")

    def _server_draining(self, event: vocabulary.ServerDraining) -> Instructions:
        server = self.servers.get(event.server)
        if server is not None and server.node.attempt == event.attempt:
            assert self._current is not None
            server.advance("silent")
            server.problem = "takes no more jobs, for its node is ending"
            yield self._current.tell(client.ServerDraining, server=server.id)

    def _server_died(self, event: vocabulary.ServerDied) -> Instructions:
        server = self.servers.get(event.server)
        if server is not None and server.node.attempt == event.attempt:
            server.node.last_end = event.explanation
            yield self._forget(server, event.explanation)

    def _forget_servers(self, node: Node, explanation: str, closed: bool = False) -> Instructions:
        for server in list(node.servers.values()):
            yield self._forget(server, explanation, closed)

    def _forget(self, server: Server, explanation: str, closed: bool = False) -> vocabulary.Tell:
        assert self._current is not None
        del self.servers[server.id], server.node.servers[server.id]
        return self._current.tell(client.ServerGone, server=server.id, explanation=explanation, closed=closed)
