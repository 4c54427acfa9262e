"""One attempt to reach a peer: the owner of its connection until that is taken over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greencoro.distributed.handshake import Hello
from greencoro.distributed.link import Link, PeerInfo
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

        incarnation (bytes | None): Whose it is meant to be; once it is established, whose it is.
    """

    def __init__(self, peers: Any, location: Location, incarnation: bytes | None) -> None:
        self.peers = peers
        self.location = location
        self.incarnation = incarnation
        self.waiting: list[OnDone] = []
        self.wire: Wire | None = None
        self.give_up: Callable[[], None] | None = None

    @property
    def is_connected(self) -> bool:
        """Is there a connection that is likely to be established? What a firewall drops never comes so far."""
        return self.wire is not None and not self.wire.is_closed

    def aims_at(self, info: PeerInfo | Hello) -> bool:
        """Is this who is, or was to be, reached?"""
        return self.incarnation == info.incarnation or self.location == info.location

    def on_introduced(self, wire: Wire, hello: Hello) -> bool:
        return True

    def on_established(self, wire: Wire, hello: Hello) -> None:
        self.incarnation = hello.incarnation
        if not self.peers.gives_way(self):
            self.take_over()

    def take_over(self) -> None:
        """Make the connection the peer's, unless it is over or was made that."""
        wire = self.wire
        if wire is not None and wire.owner is self and not wire.is_closed:
            self.peers.dial_established(self, wire, wire.connection.peer_hello)

    def on_message(self, wire: Wire, message: Message) -> None:
        # It gave way, and the other side has taken this one over all the same.
        self.take_over()
        if wire.owner is self:
            raise PeerLost("a message came before the connection was taken over")
        wire.owner.on_message(wire, message)

    def on_closed(self, wire: Wire, error: NetworkError) -> None:
        self.peers.dial_refused(self, error)
