"""One attempt to reach a peer: the owner of its connection until that is established."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greencoro.distributed.handshake import Hello
from greencoro.distributed.link import Link
from greencoro.distributed.location import Location
from greencoro.distributed.messages import Message
from greencoro.distributed.wire import Wire
from greencoro.errors import NetworkError, PeerLost

__all__ = ["Dial", "OnDone"]

OnDone = Callable[["Link | None", "NetworkError | None"], None]


class Dial:
    """One attempt to reach a location, and who waits for it.

    Args:
        peers: Told of what comes of it.
    """

    def __init__(self, peers: Any, location: Location, incarnation: bytes | None) -> None:
        self.peers = peers
        self.location = location
        self.incarnation = incarnation
        self.waiting: list[OnDone] = []
        self.wire: Wire | None = None
        self.give_up: Callable[[], None] | None = None

    @property
    def is_under_way(self) -> bool:
        """Is there an attempt that may come up, rather than one that waits or was refused?"""
        return self.give_up is not None or (self.wire is not None and not self.wire.is_closed)

    def on_introduced(self, wire: Wire, hello: Hello) -> bool:
        return True

    def on_established(self, wire: Wire, hello: Hello) -> None:
        self.peers.dial_established(self, wire, hello)

    def on_message(self, wire: Wire, message: Message) -> None:
        raise PeerLost("a message came before the connection was taken over")

    def on_closed(self, wire: Wire, error: NetworkError) -> None:
        self.peers.dial_refused(self, error)
