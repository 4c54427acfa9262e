"""What a node daemon says of itself when somebody asks for its status."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from greencoro.compute.node_words import Free
from greencoro.compute.shown import counted
from greencoro.compute.words import At, Count, Listed, Name, Part, Switch, Word

__all__ = ["NodeReport", "ServerReport"]

_MAX_SERVERS = 100_000


@dataclass(frozen=True)
class ServerReport(Word):
    """One server.

    Attributes:
        state (str): What it is at, for people.

        pid (int | None): None where there is no process.

        location (Location | None): None until it has started.

        is_leased (bool): Does it serve a computation?

        jobs (int | None): Of that computation; None where the server has not said in time.
    """

    name: Name
    state: Name
    pid: Annotated[int, Count(1)] | None = None
    location: At | None = None
    is_leased: Switch = False
    jobs: Annotated[int, Count()] | None = None


@dataclass(frozen=True)
class NodeReport(Word):
    """A node.

    Attributes:
        phase (str): What it is at, for people.

        in_use_by (str | None): Name of the computation that has its servers.

        free (Free | None): How much of it is free; None where that could not be found out.
    """

    name: Name
    location: At
    phase: Name
    servers: Annotated[Sequence[ServerReport], Listed(Part(ServerReport), _MAX_SERVERS)]
    in_use_by: Name | None = None
    free: Annotated[Free, Part(Free)] | None = None

    def lines(self) -> Iterator[str]:
        """For people: one for each server, after one for the node."""
        line = f"node {self.name} at {self.location}: {self.phase}"
        if self.in_use_by is not None:
            line += f", used by {self.in_use_by}"
        if self.free is not None:
            line += f"; {self.free.line()}"
        yield line
        for server in self.servers:
            yield self._line(server)

    def _line(self, server: ServerReport) -> str:
        where = "" if server.location is None else f" at {server.location}"
        pid = "" if server.pid is None else f", PID {server.pid}"
        line = f"{server.name}{where}{pid}: {server.state}"
        if server.is_leased:
            count = server.jobs
            busy = "busy" if count is None else counted(count, "coroutine")
            line += f", {busy} for {self.in_use_by}"
        return line
