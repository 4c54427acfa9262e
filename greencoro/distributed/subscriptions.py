"""Subscribers of other processes to channels here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from greencoro.distributed import refs
from greencoro.distributed.calls import Request
from greencoro.distributed.elsewhere import Elsewhere
from greencoro.distributed.link import Link
from greencoro.distributed.refs import Reference
from greencoro.errors import BusyResource, RemoteProtocolError
from greencoro.hub.channel import Channel
from greencoro.hub.coroutine import Coro

__all__ = ["Subscriptions"]

#: An incarnation may have asked for so many subscriptions here that still last.
MAX_SUBSCRIPTIONS = 100_000


class Subscriptions:
    """Serves `RemoteChannel.subscribe` and `unsubscribe`, on the reactor; nobody in a lost process subscribes.

    Each subscription counts for the incarnation that asked for it, whoever subscribes, for as long as it lasts.

    Args:
        find: The open channel that a peer names by its id, if it is at home in this runtime and the peer is let in.

        resolve: What a reference means here.
    """

    def __init__(
        self, find: Callable[[Link, int], Channel | None], resolve: Callable[[Reference], Coro | Channel | Any]
    ) -> None:
        self._find = find
        self._resolve = resolve
        # For each channel its subscribers, and the incarnations that asked for that.
        self._asked: WeakKeyDictionary[Channel, dict[Any, bytes]] = WeakKeyDictionary()
        # Never less than there are; those that ended, or whose channel did, are found out when there are too many.
        self._counts: Counter[bytes] = Counter()

    def serve(self, request: Request) -> None:
        """A peer lets somebody subscribe."""
        channel, subscriber = self._read(request)
        if channel is None or not channel.is_open_to_peers():
            request.reply({"result": -1})
            return
        peer = request.link.info.incarnation
        # First: one that cannot be reached does not subscribe.
        link = subscriber.reach_for(peer) if isinstance(subscriber, Elsewhere) else None
        is_new = subscriber not in self._asked.get(channel, {})
        if is_new and self._counts[peer] >= MAX_SUBSCRIPTIONS:
            self._sweep(None)
            if self._counts[peer] >= MAX_SUBSCRIPTIONS:
                raise BusyResource(f"{request.link.info} has {MAX_SUBSCRIPTIONS} subscribers to channels here already")
        try:
            result = channel.subscribe(subscriber)
        except ValueError as error:
            request.reply({"circle": str(error)})
            return
        if result == 0:
            if is_new:
                self._asked.setdefault(channel, {})[subscriber] = peer
                self._counts[peer] += 1
            if link is not None:
                self._watch(link)
        request.reply({"result": result})

    def undo(self, request: Request) -> None:
        """A peer lets somebody unsubscribe."""
        channel, subscriber = self._read(request)
        if channel is None:
            request.reply({"result": -1})
            return
        peer = self._asked.get(channel, {}).pop(subscriber, None)
        if peer is not None:
            self._counts[peer] -= 1
        request.reply({"result": channel.unsubscribe(subscriber)})

    def _read(self, request: Request) -> tuple[Channel | None, Coro | Channel]:
        number = request.header.get("channel")
        subscriber = self._resolve(refs.from_json(request.header.get("subscriber")))
        if not isinstance(number, int) or not isinstance(subscriber, Coro | Channel):
            raise RemoteProtocolError("a request to subscribe names no channel, or no coroutine or channel")
        return self._find(request.link, number), subscriber

    def _watch(self, link: Link) -> None:
        """Have those leave when their process is lost, which need not be the one that asked."""
        lost = link.info.incarnation
        link.when_lost("subscriptions", lambda error: self._sweep(lost))

    def _sweep(self, lost: bytes | None) -> None:
        """Forget who does not subscribe any more; those of the incarnation that is ``lost`` do not from now on."""
        self._counts.clear()
        for channel, asked in list(self._asked.items()):
            subscribing = set(channel.everybody())
            for subscriber in list(asked):
                if lost is not None and getattr(subscriber, "incarnation", None) == lost:
                    channel.unsubscribe(subscriber)
                    del asked[subscriber]
                elif subscriber not in subscribing:
                    del asked[subscriber]
            self._counts.update(asked.values())
            if not asked:
                del self._asked[channel]
