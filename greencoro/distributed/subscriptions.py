"""Subscribers of other processes to channels here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from greencoro.distributed import refs
from greencoro.distributed.calls import Request
from greencoro.distributed.elsewhere import Elsewhere
from greencoro.distributed.link import Link
from greencoro.distributed.refs import Reference
from greencoro.errors import BusyResource, RemoteProtocolError
from greencoro.hub.channel import Channel
from greencoro.hub.coroutine import Coro

__all__ = ["Subscriptions"]

#: A peer may ask for at most so many subscriptions here.
MAX_SUBSCRIPTIONS = 100_000


class Subscriptions:
    """Serves `RemoteChannel.subscribe` and `unsubscribe`, on the reactor; a lost peer subscribes to nothing.

    Args:
        find: The open channel with an id, if it is at home in this runtime.

        resolve: What a reference means here.
    """

    def __init__(
        self, find: Callable[[int], Channel | None], resolve: Callable[[Reference], Coro | Channel | Any]
    ) -> None:
        self._find = find
        self._resolve = resolve
        # Those that a peer asked for -> the channels it asked to subscribe to, until it is lost.
        self._asked: dict[Link, WeakSet[Channel]] = {}
        self._counts: dict[Link, int] = {}

    def serve(self, request: Request) -> None:
        """A peer lets somebody subscribe."""
        channel, subscriber = self._read(request)
        if channel is None or not channel.is_open_to_peers():
            request.reply({"result": -1})
            return
        link = request.link
        if self._counts.get(link, 0) >= MAX_SUBSCRIPTIONS:
            self._counts[link] = sum(_count(channel, link.info.incarnation) for channel in self._asked[link])
            if self._counts[link] >= MAX_SUBSCRIPTIONS:
                raise BusyResource(f"{link.info} has {MAX_SUBSCRIPTIONS} subscribers to channels here already")
        try:
            result = channel.subscribe(subscriber)
        except ValueError as error:
            request.reply({"circle": str(error)})
            return
        if result == 0:
            self._counts[link] = self._counts.get(link, 0) + 1
            if link not in self._asked:
                self._asked[link] = WeakSet()
                link.when_lost("subscriptions", lambda error: self._lost(link))
            self._asked[link].add(channel)
        request.reply({"result": result})

    def undo(self, request: Request) -> None:
        """A peer lets somebody unsubscribe."""
        channel, subscriber = self._read(request)
        request.reply({"result": -1 if channel is None else channel.unsubscribe(subscriber)})

    def _read(self, request: Request) -> tuple[Channel | None, Coro | Channel]:
        number = request.header.get("channel")
        subscriber = self._resolve(refs.from_json(request.header.get("subscriber")))
        if not isinstance(number, int) or not isinstance(subscriber, Coro | Channel):
            raise RemoteProtocolError("a request to subscribe names no channel, or no coroutine or channel")
        return self._find(number), subscriber

    def _lost(self, link: Link) -> None:
        self._counts.pop(link, None)
        for channel in self._asked.pop(link, ()):
            for subscriber in _of(channel, link.info.incarnation):
                channel.unsubscribe(subscriber)


def _of(channel: Channel, incarnation: bytes) -> list[Any]:
    everybody = channel.everybody()
    return [each for each in everybody if isinstance(each, Elsewhere) and each.incarnation == incarnation]


def _count(channel: Channel, incarnation: bytes) -> int:
    return len(_of(channel, incarnation))
