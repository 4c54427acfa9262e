"""What pycos' clients and their status tasks say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from greencoro.compute.filters import NodeFacts
from greencoro.distributed.location import Location
from greencoro.legacy.logger import logger
from greencoro.legacy.pycos_scheduler import PycosNames

__all__ = [
    "DispycosNodeAllocate",
    "DispycosNodeAvailInfo",
    "DispycosNodeInfo",
    "DispycosStatus",
    "DispycosTaskInfo",
    "StatusNumbers",
    "number_of",
]


class StatusNumbers:
    """The values of `DispycosStatus.status`, and two types of `MonitorStatus`."""

    NodeIgnore = 1
    NodeDiscovered = 2
    NodeInitialized = 3
    NodeClosed = 6
    NodeDisconnected = 7
    ServerIgnore = 11
    ServerDiscovered = 12
    ServerInitialized = 13
    ServerClosed = 16
    ServerDisconnected = 17
    TaskStarted = TaskCreated = 21
    TaskAbandoned = 23
    TaskTerminated = 24
    ClientScheduled = 31
    ClientClosed = 32


#: What asyncoro called otherwise.
_RENAMED = {
    "CoroCreated": "TaskStarted",
    "ComputationScheduled": "ClientScheduled",
    "ComputationClosed": "ClientClosed",
}


def number_of(name: str) -> int:
    """The number here of what has this name in `greencoro.compute.status.StatusCodes`."""
    number: int = getattr(StatusNumbers, _RENAMED.get(name, name))
    return number


class DispycosStatus(NamedTuple):
    """One message of the scheduler to a client's status task.

    Attributes:
        status (int): One of the constants of `Scheduler`.

        info: A `DispycosNodeInfo`, the `Location` of a server, a `DispycosTaskInfo`, or the scheduler's `Location`.
    """

    status: int
    info: Any


@dataclass
class DispycosTaskInfo:
    """A task that was started at a server.

    Attributes:
        task (Task): A reference to it.

        args (tuple), kwargs (dict): Its arguments.

        start_time (float): When it was, in seconds since the epoch.
    """

    task: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    start_time: float


@dataclass
class DispycosNodeAvailInfo:
    """How much of a node is free.

    Attributes:
        location (Location): Its address; the port is 0, for files are sent to servers.

        cpu (float): Of its CPUs, in percent.

        memory (int), disk (int): Bytes of memory, and where its servers keep files.

        swap (float): Of its swap space, in percent.
    """

    location: Location
    cpu: float
    memory: int
    disk: int
    swap: float


@dataclass
class DispycosNodeInfo:
    """A node.

    Attributes:
        name (str): What it calls itself.

        addr (str): Its address.

        cpus (int): Its servers.

        platform (str): ``platform.platform()`` there.

        avail_info (DispycosNodeAvailInfo | None): What is free there.
    """

    name: str
    addr: str
    cpus: int
    platform: str
    avail_info: DispycosNodeAvailInfo | None


class DispycosNodeAllocate:
    """Which nodes a client uses: the first whose ``node`` matches an address, and that does not pass, decides.

    Args:
        node (str): Host name or address; ``*`` in an address stands for anything.

        port: Ignored: a node is known by its address.

        platform (str): Regular expression that occurs in ``platform.platform()`` there, in lower case; where it does
            not, this one passes.

        cpus (int | None): So many servers at least; 0: not this node. Where it is used, it is with all its servers.

        memory, disk (int | None): So many bytes free at least.

    Raises:
        ValueError: ``cpus`` is negative.
    """

    def __init__(
        self,
        node: str,
        port: Any = None,
        platform: str = "",
        cpus: int | None = None,
        memory: int | None = None,
        disk: int | None = None,
    ) -> None:
        if cpus is not None and cpus < 0:
            raise ValueError(
                f"cpus is how many servers a node has at least, or 0, not {cpus}: nodes are used as a whole"
            )
        address = node if "*" in node else PycosNames.host_ipaddr(node)
        if address is None:
            logger.warning("there is no host %r", node)
        #: Matches the addresses that it is meant for; None: there are none.
        self.ip_rex = None if address is None else re.escape(address).replace(r"\*", ".*")
        self.port = port
        self.platform = platform.lower()
        self.cpus = cpus
        self.memory = memory
        self.disk = disk

    def allocate(self, ip_addr: str, name: str, platform: str, cpus: int, memory: int | None, disk: int | None) -> int:
        """How many servers to use of a node: 0 for none, and less to leave it to the next; may be overridden."""
        if self.platform and not re.search(self.platform, platform.lower()):
            return -1
        if (self.memory and memory and memory < self.memory) or (self.disk and disk and disk < self.disk):
            return 0
        if self.cpus is None:
            return cpus
        return self.cpus if self.cpus <= cpus else 0

    def verdict(self, facts: NodeFacts) -> bool | None:
        """Is the node to be used? None where that is left to the next."""
        if self.ip_rex is None or re.fullmatch(self.ip_rex, facts.address) is None:
            return None
        free = facts.avail
        memory, disk = (None, None) if free is None else (free.memory, free.disk)
        number = self.allocate(facts.address, facts.name, facts.platform, facts.servers, memory, disk)
        return None if number < 0 else number > 0
