"""The servers of one computation as its client sees them: which takes the next job.

::

    server   SETTING_UP --set_up--> READY;  SETTING_UP --failed--> REJECTED
             SETTING_UP, READY --silent--> SILENT, --drain--> DRAINING;  DRAINING --silent--> SILENT
             any --gone--> GONE (and forgotten here)

Jobs are counted by calls, because there may be many thousands a second.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field

from greencoro.compute.placement import Candidate
from greencoro.distributed.location import Location
from greencoro.distributed.peer_info import PeerInfo
from greencoro.errors import LocalProtocolError

__all__ = ["Server", "ServerPool", "ServerState", "Where"]

#: The `Location` of a server; the address of a node, for its servers; None for any.
Where = str | Location | None


#: Of the servers that died last it is known where they were.
_MOST_DEAD = 1000


class ServerState(enum.Enum):
    """What a server is at."""

    #: Is being sent the components.
    SETTING_UP = "setting up"
    #: Takes jobs.
    READY = "ready"
    #: Could not be set up.
    REJECTED = "rejected"
    #: Takes no more jobs, because its node is ending.
    DRAINING = "draining"
    #: Does not answer any more; how it has ended will be known.
    SILENT = "silent"
    #: There is none any more.
    GONE = "gone"


_TABLE: dict[ServerState, dict[str, ServerState]] = {
    ServerState.SETTING_UP: {
        "set_up": ServerState.READY,
        "failed": ServerState.REJECTED,
        "drain": ServerState.DRAINING,
        "silent": ServerState.SILENT,
        "gone": ServerState.GONE,
    },
    ServerState.READY: {"drain": ServerState.DRAINING, "silent": ServerState.SILENT, "gone": ServerState.GONE},
    ServerState.REJECTED: {
        "drain": ServerState.REJECTED,
        "silent": ServerState.REJECTED,
        "gone": ServerState.GONE,
    },
    ServerState.DRAINING: {"drain": ServerState.DRAINING, "silent": ServerState.SILENT, "gone": ServerState.GONE},
    ServerState.SILENT: {"drain": ServerState.SILENT, "silent": ServerState.SILENT, "gone": ServerState.GONE},
    ServerState.GONE: {},
}


@dataclass(eq=False)
class Server:
    """A server process of one computation.

    Attributes:
        id (str): Its incarnation, in hexadecimal digits.

        node (str): Its node daemon's.

        address (str): Its node's.

        location (Location): Where it is.

        name (str): Its runtime's.

        token (str): What it wants to see with every request.

        load (int): Jobs that were counted for it and are not over.

        is_closed (bool): Its node has ended it, with its jobs.

        is_set_up (bool): It has been ready once.

        explanation (str): How it ended, once it is gone.
    """

    id: str
    node: str
    address: str
    location: Location
    name: str
    token: str = field(repr=False)
    state: ServerState = ServerState.SETTING_UP
    load: int = 0
    is_closed: bool = False
    is_set_up: bool = False
    explanation: str = ""

    @functools.cached_property
    def peer(self) -> PeerInfo:
        """What it is for the network."""
        return PeerInfo(self.location, self.name, bytes.fromhex(self.id))

    @functools.cached_property
    def place(self) -> str:
        """Its location as text."""
        return str(self.location)

    def advance(self, event: str) -> None:
        """The one place where `state` changes."""
        try:
            self.state = _TABLE[self.state][event]
        except KeyError:
            raise LocalProtocolError(f"server {self.location}, {self.state.value}, cannot take {event!r}") from None

    @property
    def is_gone(self) -> bool:
        """Is it certain that nothing more comes from it?"""
        return self.state is ServerState.GONE

    def is_at(self, where: Where) -> bool:
        """Is it there?"""
        return where is None or where in (self.location, self.address)


class ServerPool:
    """The servers of one computation, but those that are gone."""

    def __init__(self) -> None:
        self._servers: dict[str, Server] = {}
        #: Where servers were, and none will be: how each ended.
        self._dead: dict[Location, str] = {}

    def add(self, server: Server) -> None:
        """A server that is about to be set up."""
        self._dead.pop(server.location, None)  # the system has given the port away again
        self._servers[server.id] = server

    def get(self, server: str) -> Server | None:
        """The server with that id; None where there is none, or it is gone."""
        return self._servers.get(server)

    def has_of(self, node: str) -> bool:
        """Is there a server of that node?"""
        return any(server.node == node for server in self._servers.values())

    def hands_back(self, server: Server) -> None:
        """A server has handed a job back, so it takes no more; its node may not have said so yet."""
        if self._servers.get(server.id) is server:
            server.advance("drain")

    def gone(self, server: Server, explanation: str, for_good: bool = False) -> None:
        """Nothing more comes from a server; ``for_good``: nor from another one at its place."""
        server.advance("gone")
        server.explanation = explanation
        if for_good:
            self._dead[server.location] = explanation
            if len(self._dead) > _MOST_DEAD:
                del self._dead[next(iter(self._dead))]
        del self._servers[server.id]

    def clear(self) -> list[Server]:
        """Forget all servers; those that took jobs."""
        ready = list(self.ready())
        self._servers.clear()
        return ready

    def death_at(self, where: Where) -> str:
        """How the server there ended, where there will be none any more; else empty."""
        return self._dead.get(where, "") if isinstance(where, Location) else ""

    def known(self, where: Where = None) -> Iterator[Server]:
        """The servers there, whatever they are at."""
        return (server for server in self._servers.values() if server.is_at(where))

    def ready(self, where: Where = None) -> Iterator[Server]:
        """The servers there that take jobs."""
        return (server for server in self.known(where) if server.state is ServerState.READY)

    def candidates(self, where: Where = None) -> Iterator[Candidate]:
        """As `ready`, for the choice among them."""
        for server in self.ready(where):
            yield Candidate(server.id, server.node, server.load)

    def job_started(self, server: str) -> Server:
        """Count a job for a candidate."""
        chosen = self._servers[server]
        chosen.load += 1
        return chosen

    def take(self, server: str) -> Server | None:
        """Count a job for a given server; None where it takes none."""
        chosen = self._servers.get(server)
        if chosen is None or chosen.state is not ServerState.READY:
            return None
        chosen.load += 1
        return chosen

    def job_over(self, server: Server) -> None:
        """Count a job less; the server may be gone."""
        server.load -= 1
