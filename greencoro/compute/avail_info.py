"""How much of a node is free."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NodeAvailInfo"]


@dataclass(frozen=True, slots=True)
class NodeAvailInfo:
    """What of a node's resources is free at a moment, as its daemon measured it.

    Where the daemon lives in a container, or under another limit of a control group, that limit counts.

    Attributes:
        cpu (float): Of its CPUs, in percent: near 100 it does nothing, near 0 all of them compute.

        memory (int): Memory in bytes that could be had without swapping.

        disk (int): Bytes on the partition of its `--dest_path`.

        swap (float): Of its swap space, in percent; 0 where it has none.

        addr (str): The node's address.
    """

    cpu: float
    memory: int
    disk: int
    swap: float = 0.0
    addr: str = ""
