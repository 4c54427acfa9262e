"""What asyncoro's computations and their status coroutines say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from greencoro.compute.filters import NodeFilter
from greencoro.compute.status import CoroInfo, Status
from greencoro.distributed.location import Location

__all__ = [
    "CoroInfo",
    "DiscoroCoroInfo",
    "DiscoroNodeAvailInfo",
    "DiscoroNodeFilter",
    "DiscoroNodeInfo",
    "DiscoroServerInfo",
    "DiscoroStatus",
]

DiscoroStatus = Status
DiscoroCoroInfo = CoroInfo


class DiscoroNodeInfo(str):
    """A node: its address as text, with what else is known of it.

    Attributes:
        name (str): What it calls itself.

        addr (str): The address.

        cpus (int): Its servers.

        platform (str): ``platform.platform()`` there.

        avail_info (DiscoroNodeAvailInfo | None): What is free there.
    """

    name: str
    addr: str
    cpus: int
    platform: str
    avail_info: Any

    def __new__(cls, name: str, addr: str, cpus: int, platform: str, avail_info: Any = None) -> DiscoroNodeInfo:
        info = super().__new__(cls, addr)
        info.name, info.addr, info.cpus, info.platform, info.avail_info = name, addr, cpus, platform, avail_info
        return info

    def __reduce__(self) -> tuple[Any, ...]:
        return DiscoroNodeInfo, (self.name, self.addr, self.cpus, self.platform, self.avail_info)


class DiscoroServerInfo(Location):
    """A server: its location, with its name.

    Attributes:
        name (str): What it calls itself.
    """

    __slots__ = ("name",)

    def __init__(self, name: str, location: Location) -> None:
        super().__init__(location.addr, location.port)
        object.__setattr__(self, "name", name)

    @property
    def location(self) -> Location:
        """That alone."""
        return Location(self.addr, self.port)

    # It is to be found among locations, and those by it; of different classes they would not be equal.

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Location) and (self.addr, self.port) == (other.addr, other.port)

    __hash__ = Location.__hash__

    def __reduce__(self) -> tuple[Any, ...]:
        return DiscoroServerInfo, (self.name, self.location)  # type: ignore[attr-defined]  # a slot


@dataclass(frozen=True)
class DiscoroNodeAvailInfo:
    """How much of a node is free.

    Attributes:
        addr (str): The node's address.

        cpu (float): Of its CPUs, in percent.

        memory (int): Bytes of memory.

        disk (int): Bytes where its servers keep files.

        swap (float): Of its swap space, in percent.
    """

    addr: str
    cpu: float
    memory: int
    disk: int
    swap: float = 0.0


class DiscoroNodeFilter(NodeFilter):
    """Which nodes a computation accepts: the first filter whose ``ip_addr`` matches an address decides about that node.

    Args:
        ip_addr (str): Regular expression that the address begins with.

        cpus (int): So many servers at least.

        memory (int): So many bytes of free memory at least.

        disk (int): So many bytes of free disk at least.

        platform (str): Regular expression that occurs in ``platform.platform()`` there, in lower or upper case.
    """

    def __init__(self, ip_addr: str = ".*", cpus: int = 0, memory: int = 0, disk: int = 0, platform: str = "") -> None:
        super().__init__(ip_addr, cpus, memory, disk, platform)
