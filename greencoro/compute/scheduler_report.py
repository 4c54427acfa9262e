"""What a scheduler is at, for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from greencoro.compute.scheduler_records import NodeState, ServerState
from greencoro.compute.scheduler_state import SchedulerState
from greencoro.compute.shown import counted

__all__ = ["ANOTHER_IS_OPEN", "lines", "problems", "ready_locations", "report", "summary"]

#: What a computation waits for at a scheduler of its own process.
ANOTHER_IS_OPEN = (
    "its turn: another one of this process is open, close() that first; where an Executor of this process has it, "
    "shutdown() that, or use Executor(computation)"
)


def ready_locations(state: SchedulerState) -> list[Any]:
    """Where the servers are that the current computation has set up."""
    return [each.location for each in state.servers.values() if each.state is ServerState.READY]


def problems(state: SchedulerState) -> list[str]:
    """Why servers and nodes that are there take no jobs."""
    servers = state.servers.values()
    found = [
        f"server {each.location} could not be set up: {each.problem}"
        for each in servers
        if each.state is ServerState.REJECTED
    ]
    found += [f"server {each.location} is still being set up" for each in servers if each.state is ServerState.TOLD]
    found += [f"server {each.location} {each.problem}" for each in servers if each.state is ServerState.SILENT]
    for node in state.nodes.values():
        address = node.facts.address
        if node.state in (NodeState.TAKEN, NodeState.IGNORED, NodeState.CLOSED, NodeState.REJECTED):
            found.append(f"node {address} {node.problem}")
        elif node.state is NodeState.AWAY:
            found.append(f"node {address} cannot be reached now: {node.problem}")
        elif node.state is NodeState.OFFERED:
            found.append(f"node {address} {node.problem or 'has not passed the node_filters yet'}")
        elif node.state in (NodeState.RESERVING, NodeState.REVOKING):
            found.append(f"node {address} {node.problem or 'has not answered yet'}")
        elif node.state is NodeState.RESERVED and not node.servers:
            before = f", the last one {node.last_end}" if node.last_end else ""
            found.append(f"node {address} has no server running yet{before}")
    return found


def summary(state: SchedulerState) -> str:
    """In a few words."""
    open_ones = 0 if state.current is None else 1
    return (
        f"{counted(len(state.nodes), 'node')}, {counted(len(ready_locations(state)), 'server')}, "
        f"{counted(open_ones, 'computation')} open, {len(state.queue)} waiting"
    )


def report(state: SchedulerState) -> dict[str, Any]:
    """All of it, as JSON: the number of the computation that has its turn, those that wait, and every node."""
    return {
        "location": str(state.location),
        "current": state.current,
        "waiting": [computation.id for computation in state.queue],
        "nodes": [
            {
                "name": node.facts.name,
                "address": node.facts.address,
                "state": node.state.value,
                "problem": node.problem,
                "free": None if node.facts.free is None else node.facts.free.to_header(),
                "servers": [
                    {"location": str(server.location), "state": server.state.value, "problem": server.problem}
                    for server in node.servers.values()
                ],
            }
            for node in state.nodes.values()
        ],
    }


def lines(status: dict[str, Any]) -> Iterator[str]:
    """The lines that show a person what `Scheduler.status` returns."""
    yield f"scheduler at {status['location']}"
    if not status["computations"]:
        yield "  no computation"
    for computation in status["computations"]:
        yield f"  {computation['name']}: {'has its turn' if computation['has_turn'] else 'waits for its turn'}"
    if not status["nodes"]:
        yield "  no node"
    for node in status["nodes"]:
        problem = f" ({node['problem']})" if node["problem"] else ""
        yield f"  node {node['name']} at {node['address']}: {node['state']}{problem}, servers: {len(node['servers'])}"
        for server in node["servers"]:
            problem = f" ({server['problem']})" if server["problem"] else ""
            yield f"    server at {server['location']}: {server['state']}{problem}"
