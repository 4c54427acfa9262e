"""What a computation's status coroutine is told, as asyncoro's programs know it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greencoro.compute.avail_info import NodeAvailInfo
from greencoro.compute.filters import NodeFacts
from greencoro.compute.status import Status
from greencoro.compute.status_feed import StatusFeed
from greencoro.distributed.runtime import runtime
from greencoro.errors import MonitorException
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro as NativeCoro
from greencoro.legacy.creating import NotCreated, without_word
from greencoro.legacy.discoro_words import DiscoroNodeAvailInfo, DiscoroNodeInfo, DiscoroServerInfo

__all__ = ["StatusNews"]

#: Longest wait for the facts about a node, which are under way when it is told of first.
_FACTS_SECONDS = 1.0

#: How long what comes last, such as the end of a job, may take behind the end of its computation.
_LATE_SECONDS = 2.0
_NOTHING = object()

_OF_NODES = (
    Status.NodeDiscovered,
    Status.NodeInitialized,
    Status.NodeClosed,
    Status.NodeIgnore,
    Status.NodeDisconnected,
)
_OF_SERVERS = (
    Status.ServerDiscovered,
    Status.ServerInitialized,
    Status.ServerClosed,
    Status.ServerIgnore,
    Status.ServerDisconnected,
)


class StatusNews:
    """Passes on what it is told, in other words.

    Args:
        receiver (Coro): The status coroutine, here or elsewhere.

        name_of: The name of the server at a location, where there is one.
    """

    def __init__(self, receiver: NativeCoro, name_of: Callable[[Any], str]) -> None:
        self._feed = StatusFeed(receiver, runtime().spawn)
        self._name_of = name_of
        #: By address: what is known of nodes.
        self._facts: dict[str, NodeFacts] = {}
        self._news = Completion()
        #: By location: servers that there were.
        self._servers: dict[Any, DiscoroServerInfo] = {}

    def learn(self, facts: NodeFacts) -> None:
        """A filter that is meant for no node, and so is asked about all."""
        self._facts[facts.address] = facts
        self._news.set()

    def run(self, coro: NativeCoro) -> None:
        """Pass on what ``coro``, in which this runs, is told, until the computation is closed and no more comes."""
        is_closed = False
        while (message := coro.receive(_LATE_SECONDS if is_closed else None, _NOTHING)) is not _NOTHING:
            self._feed.tell(self.in_old_words(message))
            is_closed = is_closed or (isinstance(message, Status) and message.status == Status.ComputationClosed)

    def in_old_words(self, message: Any) -> Any:
        """The message as programs of old know it."""
        if isinstance(message, NodeAvailInfo):
            return _avail_info(message)
        if isinstance(message, MonitorException):
            if message.kind == "lost":
                message.args = message.coro, (Status.ServerClosed, None)
            elif isinstance(message.error, NotCreated):
                message.args = message.coro, (message.error.failure[0], message.error)
            return message
        if isinstance(message, Status):
            if message.status in _OF_NODES:
                return Status(message.status, self._node(message.info))
            if message.status in _OF_SERVERS:
                return Status(message.status, self.server(message.info))
            if message.status == Status.CoroCreated:
                return Status(message.status, message.info._replace(kwargs=without_word(message.info.kwargs)))
        return message

    def server(self, location: Any) -> DiscoroServerInfo:
        """A server, by its location; the same one for as long as it is told of."""
        known = self._servers.get(location)
        if known is None:
            known = self._servers[location] = DiscoroServerInfo(self._name_of(location), location)
        return known

    def _node(self, address: str) -> DiscoroNodeInfo:
        if address not in self._facts:
            self._news.wait(_FACTS_SECONDS)
        facts = self._facts.get(address) or NodeFacts(address, address, 0, "")
        free = None if facts.avail is None else _avail_info(facts.avail)
        return DiscoroNodeInfo(facts.name, address, facts.servers, facts.platform, free)


def _avail_info(told: NodeAvailInfo) -> DiscoroNodeAvailInfo:
    return DiscoroNodeAvailInfo(told.addr, told.cpu, told.memory, told.disk, told.swap)
