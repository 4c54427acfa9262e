"""The decisions of a scheduler: what happened goes in, what is to be done comes out (`scheduler_vocabulary`).

Computations have their turn one after another, in the order submitted. The one whose turn it is (the *current* one) is
offered every node there is; those that it accepts are reserved, and it is told of every server of theirs. Setting
servers up, and their jobs, are its own business: see `server_pool`.

Whether a reservation that was not answered has been made is not known: so the node is asked to release it, always. A
node or server that is lost is forgotten; what comes about it later (an answer that was under way), or about an earlier
reservation than the present one, is ignored.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from greencoro.compute import client_words as client
from greencoro.compute import scheduler_vocabulary as vocabulary
from greencoro.compute.scheduler_records import (
    NODE_TABLE,
    Computation,
    ComputationState,
    Node,
    NodeState,
    ServerState,
)
from greencoro.compute.scheduler_servers import Instructions, ServerDecisions

__all__ = ["SchedulerState"]


@dataclass
class SchedulerState(ServerDecisions):
    """Every computation, node and server a scheduler knows.

    Args:
        location: Where the scheduler is; told to clients.
    """

    queue: deque[Computation] = field(default_factory=deque)
    _attempts: int = 0

    def handle(self, event: vocabulary.Event) -> list[vocabulary.Instruction]:
        """Take in what happened.

        Returns:
            What is to be done, in this order.

        Raises:
            LocalProtocolError: It cannot have happened in this state; nothing has changed.
        """
        handler: Callable[[SchedulerState, Any], Instructions] = _HANDLERS[type(event)]
        return list(handler(self, event))

    # Questions.

    def lease_of(self, node: str) -> tuple[int, int] | None:
        """The computation that a node is or may be reserved for, with the number of the reservation."""
        known = self.nodes.get(node)
        if known is None or self._current is None or known.state not in _MAY_HAVE_SERVERS:
            return None
        return self._current.id, known.attempt

    # Computations.

    def _submitted(self, event: vocabulary.Submitted) -> Instructions:
        computation = Computation(event.computation, event.pulses)
        self.queue.append(computation)
        if self._current is None:
            yield from self._next_turn()
        else:
            yield computation.tell(client.Queued, position=len(self.queue) - 1)

    def _next_turn(self) -> Instructions:
        if not self.queue:
            return
        computation = self._current = self.queue.popleft()
        computation.advance("turn")
        yield computation.tell(client.Begun, location=self.location)
        yield from self._tell_places()
        for node in self.nodes.values():
            node.advance("offer")
            node.problem = node.last_end = ""
            # What was free there when it came may be gone.
            yield vocabulary.Look(node.id, node.facts)

    def _tell_places(self) -> Instructions:
        for position, computation in enumerate(self.queue):
            yield computation.tell(client.Queued, position=position)

    def _close(self, event: client.Close) -> Instructions:
        for queued in self.queue:
            if queued.id == event.computation:
                self.queue.remove(queued)
                yield queued.tell(client.Ended)
                yield from self._tell_places()
                return
        current = self._current_if(event.computation)
        if current is not None:
            yield from self._end(current, "")

    def _overslept(self, event: vocabulary.Overslept) -> Instructions:
        current = self._current_if(event.computation)
        if current is not None:
            yield from self._end(current, event.reason)

    def _end(self, current: Computation, reason: str) -> Instructions:
        current.advance("close")
        current.reason = reason
        self.servers.clear()
        for node in list(self.nodes.values()):
            node.servers.clear()
            if node.state is NodeState.AWAY:
                # It ends the servers by itself, for it hears no more of this computation.
                del self.nodes[node.id]
                yield self._node_changed(node, client.NodeChange.LOST)
            elif node.state is NodeState.RESERVED:
                yield vocabulary.Release(node.id, current.id, node.attempt)
            if "release" in NODE_TABLE[node.state]:
                node.advance("release")
        yield from self._over_if_all_released()

    def _over_if_all_released(self) -> Instructions:
        current = self._current
        if current is None or current.state is not ComputationState.CLOSING:
            return
        if any(node.state in (NodeState.RELEASING, NodeState.WITHDRAWING) for node in self.nodes.values()):
            return
        self._current = None
        yield current.tell(client.Ended, reason=current.reason)
        yield from self._next_turn()

    # Nodes.

    def _node_up(self, event: vocabulary.NodeUp) -> Instructions:
        known = self.nodes.get(event.node)
        if known is not None:
            if known.state is NodeState.AWAY:
                assert self._current is not None
                known.advance("back")
                known.problem = ""
                # The same lease, which goes on; the node tells again of all servers.
                yield vocabulary.Reserve(known.id, self._current.id, known.attempt)
            return
        node = self.nodes[event.node] = Node(event.node, event.facts)
        if self.current is not None:
            node.advance("offer")
            yield self._offer(node)

    def _looked(self, event: vocabulary.Looked) -> Instructions:
        node = self.nodes.get(event.node)
        if node is None:
            return
        node.facts = event.facts
        if node.state is NodeState.IGNORED:
            node.advance("offer")
        if node.state is NodeState.OFFERED:
            yield self._offer(node)

    def _offer(self, node: Node) -> vocabulary.Tell:
        assert self._current is not None
        return self._current.tell(client.NodeOffered, node=node.id, facts=node.facts)

    def _verdict(self, event: client.Verdict) -> Instructions:
        node = self.nodes.get(event.node)
        current = self._current_if(event.computation)
        if node is None or current is None:
            return
        if node.state is NodeState.RESERVED and not event.accepted:
            node.advance("rejected")
            node.problem = f"is not used any more: {event.reason}"
            yield from self._forget_servers(node, f"was given back: {event.reason}", closed=True)
            yield self._release(node)
        elif node.state is not NodeState.OFFERED:
            return
        elif event.accepted:
            node.problem = ""
            yield self._reserve(node, "accepted")
        else:
            node.advance("ignored")
            node.problem = f"is not used: {event.reason}"
            yield vocabulary.LookLater(node.id, node.facts, current.id)

    def _reserve(self, node: Node, event: str) -> vocabulary.Reserve:
        assert self._current is not None
        node.advance(event)
        self._attempts += 1
        node.attempt = self._attempts
        return vocabulary.Reserve(node.id, self._current.id, node.attempt)

    def _granted(self, event: vocabulary.Granted) -> Instructions:
        node = self._at(event.node, event.attempt)
        if node is None or "granted" not in NODE_TABLE[node.state]:
            return  # it has ended the lease, or went away, before its answer was here
        node.advance("granted")
        node.problem = ""
        if node.state is NodeState.RELEASING:
            yield self._release(node)
            return
        assert self._current is not None
        yield vocabulary.Watch(node.id, self._current.id, node.attempt)

    def _release(self, node: Node) -> vocabulary.Release:
        assert self._current is not None
        return vocabulary.Release(node.id, self._current.id, node.attempt)

    def _refused(self, event: vocabulary.Refused) -> Instructions:
        node = self._at(event.node, event.attempt)
        if node is None or "refused" not in NODE_TABLE[node.state]:
            return
        node.advance("refused")
        if node.state is NodeState.TAKEN:
            node.problem = event.reason
            # There are some where the node was away for too long.
            yield from self._forget_servers(node, f"was given up: its node {event.reason}", closed=True)
            yield vocabulary.RetryLater(node.id, node.attempt)
        else:
            yield from self._over_if_all_released()

    def _unanswered(self, event: vocabulary.Unanswered) -> Instructions:
        node = self._at(event.node, event.attempt)
        if node is None or "unanswered" not in NODE_TABLE[node.state]:
            return
        node.advance("unanswered")
        node.problem = event.reason
        yield from self._forget_servers(node, "could not be kept: its node did not answer", closed=True)
        yield self._release(node)

    def _retry(self, event: vocabulary.Retry) -> Instructions:
        node = self._at(event.node, event.attempt)
        if node is not None and node.state is NodeState.TAKEN:
            yield self._reserve(node, "retry")

    def _released(self, event: vocabulary.Released) -> Instructions:
        node = self._at(event.node, event.attempt)
        if node is None:
            return
        node.advance("released")
        if node.state is NodeState.TAKEN:
            yield vocabulary.RetryLater(node.id, node.attempt)
            return
        yield self._node_changed(node, client.NodeChange.CLOSED)
        yield from self._over_if_all_released()

    def _lease_ended(self, event: vocabulary.LeaseEnded) -> Instructions:
        node = self._at(event.node, event.attempt)
        if node is None or "ended" not in NODE_TABLE[node.state]:
            return
        node.advance("ended")
        node.problem = f"takes no jobs of this computation any more: its reservation {event.reason}"
        yield from self._forget_servers(node, event.reason, closed=True)
        yield self._node_changed(node, client.NodeChange.CLOSED)
        current = self._current
        is_last = not any(each.state in _OF_USE for each in self.nodes.values())
        # No node gives a computation servers again that it has closed.
        if is_last and current is not None and self.current is not None:
            yield from self._end(current, f"the reservation of the last of its nodes {event.reason}")

    def _node_lost(self, event: vocabulary.NodeLost) -> Instructions:
        node = self.nodes.get(event.node)
        if node is None:
            return
        current = self._current
        may_return = current is not None and current.pulses and not event.for_good
        # Where a server cannot be reached either, its machine or its daemon is dead.
        is_silent = any(server.state is ServerState.SILENT for server in node.servers.values())
        if may_return and node.servers and not is_silent and "lost" in NODE_TABLE[node.state]:
            node.advance("lost")
            node.problem = event.reason
        elif node.state is not NodeState.AWAY or event.for_good:
            yield from self._give_up(node, event.reason)

    def _give_up(self, node: Node, reason: str) -> Instructions:
        del self.nodes[node.id]
        yield from self._forget_servers(node, f"was lost with its node {node.facts.address}: {reason}")
        if self._current is not None:
            yield self._node_changed(node, client.NodeChange.LOST)
        yield from self._over_if_all_released()

    def _node_free(self, event: vocabulary.NodeFree) -> Instructions:
        node = self._at(event.node, event.attempt)
        if node is not None and node.state is NodeState.RESERVED and self.current is not None:
            node.facts = dataclasses.replace(node.facts, free=event.free)
            assert self._current is not None
            yield self._current.tell(client.NodeFree, node=node.id, address=node.facts.address, free=event.free)

    def _unreachable(self, event: client.Unreachable) -> Instructions:
        server = self._server_of(event)
        if server is None:
            return
        server.advance("silent")
        server.problem = f"does not answer: {event.reason}"
        if server.node.state is NodeState.AWAY:
            yield from self._give_up(server.node, server.node.problem)
        else:
            yield vocabulary.AwaitExplanation(server.id, event.reason)

    def _node_changed(self, node: Node, change: client.NodeChange) -> vocabulary.Tell:
        assert self._current is not None
        return self._current.tell(client.NodeChanged, node=node.id, address=node.facts.address, change=change)


#: A node in one of these has servers for the current computation, or may have some soon.
_OF_USE = (NodeState.OFFERED, NodeState.RESERVING, NodeState.REVOKING, NodeState.RESERVED, NodeState.AWAY)
#: A node in one of these may tell of servers.
_MAY_HAVE_SERVERS = (NodeState.RESERVING, NodeState.RESERVED)

_HANDLERS: dict[type, Callable[[SchedulerState, Any], Instructions]] = {
    vocabulary.Submitted: SchedulerState._submitted,
    client.Close: SchedulerState._close,
    client.Verdict: SchedulerState._verdict,
    client.SetUpDone: SchedulerState._set_up_done,
    client.SetUpFailed: SchedulerState._set_up_failed,
    client.Unreachable: SchedulerState._unreachable,
    vocabulary.NodeUp: SchedulerState._node_up,
    vocabulary.Looked: SchedulerState._looked,
    vocabulary.NodeLost: SchedulerState._node_lost,
    vocabulary.NodeFree: SchedulerState._node_free,
    vocabulary.Overslept: SchedulerState._overslept,
    vocabulary.Granted: SchedulerState._granted,
    vocabulary.Refused: SchedulerState._refused,
    vocabulary.Unanswered: SchedulerState._unanswered,
    vocabulary.Retry: SchedulerState._retry,
    vocabulary.Released: SchedulerState._released,
    vocabulary.LeaseEnded: SchedulerState._lease_ended,
    vocabulary.ServerStarted: SchedulerState._server_started,
    vocabulary.ServerDraining: SchedulerState._server_draining,
    vocabulary.ServerDied: SchedulerState._server_died,
    vocabulary.Unexplained: SchedulerState._unexplained,
}
