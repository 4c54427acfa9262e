"""Which server a job goes to."""

from __future__ import annotations

import math
from collections.abc import Iterable
from operator import attrgetter
from typing import NamedTuple, Protocol

__all__ = ["Candidate", "Loaded", "lane_depth", "least_loaded"]

#: Jobs that take longer are handed out one by one: what a server idles between two of them is under a hundredth.
_ONE_BY_ONE_SECONDS = 0.1
#: What may wait at a server for its turn, in seconds of its work: more than a round trip, less than a person notices.
_QUEUED_SECONDS = 0.02
_MAX_DEPTH = 64


class Loaded(Protocol):
    """What is asked of a server that could take the job; `Candidate` says what that is."""

    @property
    def server(self) -> str: ...

    @property
    def node(self) -> str: ...

    @property
    def load(self) -> int: ...


class Candidate(NamedTuple):
    """A server that could take the job.

    Attributes:
        server (str): Its id.

        node (str): Its node's id.

        load (int): Jobs there that are not over.
    """

    server: str
    node: str
    load: int


def least_loaded(candidates: Iterable[Loaded]) -> str | None:
    """The id of the least loaded server on the node with the fewest jobs for each of its servers.

    Among equals the first wins. None where there are no candidates.
    """
    by_node: dict[str, list[Loaded]] = {}
    for candidate in candidates:
        by_node.setdefault(candidate.node, []).append(candidate)
    if not by_node:
        return None
    nodes = by_node.values()
    # Asked for with every job, and mostly there are few to choose from.
    node = min(nodes, key=_mean_load) if len(nodes) > 1 else next(iter(nodes))
    return min(node, key=_load).server if len(node) > 1 else node[0].server


_load = attrgetter("load")


def _mean_load(servers: list[Loaded]) -> float:
    return sum(each.load for each in servers) / len(servers)


def lane_depth(job_seconds: float | None) -> int:
    """How many jobs of a queue that are run one by one may be at a server at once, the running one included.

    With one, a server idles for a round trip after each job; with many, the last jobs of a queue may wait at one server
    while another has nothing to do.

    Args:
        job_seconds (float | None): What a job takes there, on average; None where that is not known yet.
    """
    if job_seconds is None or job_seconds >= _ONE_BY_ONE_SECONDS:
        return 1
    if job_seconds <= 0:
        return _MAX_DEPTH
    return min(_MAX_DEPTH, 1 + math.ceil(_QUEUED_SECONDS / job_seconds))
