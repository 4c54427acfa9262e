"""Which nodes a computation accepts.

Filters are asked in their order, and the first that is meant for a node decides about it. A node that none is meant for
is accepted::

    node_filters=[
        NodeFilter("10.0.0.5$", platform="^none"),      # not this one: nothing has such a platform
        NodeFilter("10.0.0.", memory=8 * 2**30),        # of its network those with 8 GiB free
        lambda facts: facts.tags.get("room") != "lab",  # of the others all that are not in the lab
    ]
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from greencoro.compute.avail_info import NodeAvailInfo

__all__ = ["Filter", "NodeFacts", "NodeFilter", "check_filters", "decide"]

_MAX_REASON_CHARACTERS = 500


@dataclass(frozen=True)
class NodeFacts:
    """What a filter may go by.

    Attributes:
        address (str): The node's IP address.

        name (str): What it calls itself.

        servers (int): Server processes it has.

        platform (str): What it runs on, such as ``Linux-6.1.0-x86_64-with-glibc2.36``.

        tags (Mapping[str, str]): What it was started with (``--tag k=v``).

        avail (NodeAvailInfo | None): What is free there; None where that is not known.
    """

    address: str
    name: str
    servers: int
    platform: str
    tags: Mapping[str, str] = field(default_factory=dict)
    avail: NodeAvailInfo | None = None


@dataclass(frozen=True)
class NodeFilter:
    """Decides about nodes by their address, with constraints that all must hold for a node to be accepted.

    Args:
        ip_addr (str): Regular expression that a node's address begins with, for this filter to be meant for it.

        cpus (int): So many servers at least; 0: any number.

        memory (int): So many bytes of memory free at least; 0: any number.

        disk (int): So many bytes free at least on the partition that the node uses; 0: any number.

        platform (str): Regular expression that occurs in its `NodeFacts.platform`, in lower or upper case.

        tags (Mapping[str, str]): Tags that the node has, with these values.

    Memory and disk are not checked at a node of which is not known what is free there. A node that is rejected is asked
    again in every pulse interval, for what is free there changes.

    Raises:
        TypeError: An argument has another type.

        ValueError: A number is negative, or an expression is none.
    """

    ip_addr: str = ".*"
    cpus: int = 0
    memory: int = 0
    disk: int = 0
    platform: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("ip_addr", "platform"):
            _check_expression(name, getattr(self, name))
        for name in ("cpus", "memory", "disk"):
            _check_number(name, getattr(self, name))
        if not isinstance(self.tags, Mapping) or not all(
            isinstance(word, str) for item in self.tags.items() for word in item
        ):
            raise TypeError(f"NodeFilter takes tags as a dict of texts, not {self.tags!r}")
        # What the caller does to it later changes nothing here.
        object.__setattr__(self, "tags", dict(self.tags))

    # The tags are a dict, which has no hash.
    def __hash__(self) -> int:
        return hash((self.ip_addr, self.cpus, self.memory, self.disk, self.platform, frozenset(self.tags.items())))

    def is_for(self, facts: NodeFacts) -> bool:
        """Is it meant for this node?"""
        return re.match(self.ip_addr, facts.address) is not None

    def refusal(self, facts: NodeFacts) -> str:
        """The constraint that does not hold, for people; empty where all do."""
        for tag, value in self.tags.items():
            if facts.tags.get(tag) != value:
                there = f"it is {facts.tags[tag]!r}" if tag in facts.tags else "it has none"
                return f"tag {tag!r} should be {value!r}, {there}"
        if facts.servers < self.cpus:
            return f"{self.cpus} servers wanted, it has {facts.servers}"
        if re.search(self.platform, facts.platform, re.IGNORECASE) is None:
            return f"platform {self.platform!r} wanted, it is {facts.platform!r}"
        avail = facts.avail
        if avail is None:
            return ""
        if avail.memory < self.memory:
            return f"{self.memory} bytes of memory wanted, {avail.memory} are free"
        if avail.disk < self.disk:
            return f"{self.disk} bytes of disk wanted, {avail.disk} are free"
        return ""


#: A function decides with True or False, and with None leaves it to the next filter.
Filter = NodeFilter | Callable[[NodeFacts], bool | None]


def check_filters(filters: Iterable[Filter]) -> tuple[Filter, ...]:
    """The filters, once each is known to be one.

    Raises:
        TypeError: One is neither a `NodeFilter` nor callable, or it is no list of them.
    """
    if isinstance(filters, NodeFilter) or not isinstance(filters, Iterable):
        raise TypeError(f"node_filters takes a list of filters, not {filters!r}")
    checked = tuple(filters)
    for number, one in enumerate(checked, 1):
        # A class is callable as well, and would accept every node by giving an object of it.
        if not isinstance(one, NodeFilter) and (isinstance(one, type) or not callable(one)):
            raise TypeError(f"node_filters: number {number} is neither a NodeFilter nor a function: {one!r}")
    return checked


def decide(filters: Iterable[Filter], facts: NodeFacts) -> tuple[bool, str]:
    """Is the node accepted? If not, with the reason for people.

    A function among the filters that raises, or returns anything but True, False or None, rejects the node.
    """
    for number, one in enumerate(filters, 1):
        if isinstance(one, NodeFilter):
            if not one.is_for(facts):
                continue
            refusal = one.refusal(facts)
        else:
            try:
                verdict = one(facts)
            except Exception as error:
                verdict, refusal = False, f"{_name(one)} raised {type(error).__name__}: {_text(error)}"
            else:
                refusal = _refusal_of(one, verdict)
            if verdict is None:
                continue
        return not refusal, f"filter {number}: {refusal}"[:_MAX_REASON_CHARACTERS] if refusal else ""
    return True, ""


def _refusal_of(function: Callable[..., object], verdict: object) -> str:
    if verdict is True or verdict is None:
        return ""
    if verdict is False:
        return f"{_name(function)} returned False"
    return f"{_name(function)} returned a {type(verdict).__name__}, not True, False or None"


def _name(function: Callable[..., object]) -> str:
    return str(getattr(function, "__qualname__", type(function).__name__))


def _text(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # what users define may do anything
        return "(its text cannot be had)"


def _check_expression(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"NodeFilter takes {name} as a regular expression, a text, not {value!r}")
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"NodeFilter: {name} {value!r} is no regular expression: {error}") from None


def _check_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"NodeFilter takes {name} as a whole number, not {value!r}")
    if value < 0:
        raise ValueError(f"NodeFilter takes {name} as 0 or more, not {value}")
