"""One attempt to reach a peer: the owner of its connection until the other side lets us in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from greencoro.distributed.control import Resumed
from greencoro.distributed.hello import Hello
from greencoro.distributed.link import Link
from greencoro.distributed.location import Location
from greencoro.distributed.messages import Bye, Message, Ping, Pong, Welcome
from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.reactor import Timer
from greencoro.distributed.wire import Wire
from greencoro.errors import AuthenticationError, IncompatibleVersion, NetworkError, RemoteProtocolError

__all__ = ["REFUSALS", "Dial", "OnDone", "Waiter", "pause_after", "take_heartbeat"]

#: Whoever was refused for good, until somebody changes a secret or a version, is not tried again before.
_REFUSED_PAUSE_SECONDS = 30.0
#: So much may wait for one to read whom this runtime is not a peer of yet.
_MAX_UNSENT = 1000

#: What is said aloud of an attempt; anything else that ends one is the network's everyday.
REFUSALS = AuthenticationError | IncompatibleVersion | RemoteProtocolError

OnDone = Callable[["Link | None", "NetworkError | None"], None]


class Waiter(NamedTuple):
    """Somebody who waits for what comes of a dial."""

    #: Whose link it is to be, where nobody else's will do.
    wanted: bytes | None
    on_done: OnDone
    #: No connection is made for it but the first.
    once: bool = False

    def takes(self, incarnation: bytes) -> bool:
        return self.wanted in (None, incarnation)


class Dial:
    """One attempt to reach a location, and who waits for it.

    Args:
        dialling: Told of what comes of it.

        incarnation (bytes | None): Whose it is meant to be; once it is established, whose it is.

        began (float): The present, in seconds on a monotonic clock.
    """

    def __init__(self, dialling: Any, location: Location, incarnation: bytes | None, began: float) -> None:
        self.dialling = dialling
        self.location = location
        self.incarnation = incarnation
        self.began = began
        self.tries = 0
        self.waiting: list[Waiter] = []
        self.wire: Wire | None = None
        self.give_up: Callable[[], None] | None = None
        #: Runs from its proof to the other side's welcome.
        self.deadline: Timer | None = None

    @property
    def is_connected(self) -> bool:
        """Is there a connection that is likely to be established? What a firewall drops never comes so far."""
        return self.wire is not None and not self.wire.is_closed

    @property
    def is_established(self) -> bool:
        """Has the other side proved itself?"""
        return self.wire is not None and not self.wire.is_closed and self.wire.connection.established

    def takes(self, incarnation: bytes) -> bool:
        """Does anybody wait for this one, or for whoever is there?"""
        return any(waiter.takes(incarnation) for waiter in self.waiting)

    def crosses(self, wire: Wire, hello: Hello) -> bool:
        """Is there a connection that leads to where one that came in is from, as that one says and its address does?"""
        if self.is_established:
            return self.incarnation == hello.incarnation
        if not self.is_connected or not self.takes(hello.incarnation):
            return False
        return self.location == hello.location and wire.stream.peer_address == hello.location.addr

    def aims_at(self, info: PeerInfo | Hello) -> bool:
        """Is this who is, or was to be, reached?"""
        return bool(self.waiting_for(info))

    def waiting_for(self, info: PeerInfo | Hello) -> list[Waiter]:
        """Those whose wait is over with this one, wherever it came from.

        Where somebody says to be is as good as any other place for whoever named no more than that.
        """
        named = self.location == info.location or self.incarnation == info.incarnation
        return [each for each in self.waiting if each.takes(info.incarnation) and (named or each.wanted is not None)]

    def on_introduced(self, wire: Wire, hello: Hello) -> None:
        """Who dials learns who is there with the proof of that."""

    def on_established(self, wire: Wire, hello: Hello) -> None:
        self.dialling.established(self, wire, hello)

    def on_message(self, wire: Wire, message: Message | Resumed) -> None:
        if isinstance(message, Welcome):
            self.dialling.welcomed(self, wire)
        elif isinstance(message, Resumed):
            self.dialling.resumed(self, wire)
        elif isinstance(message, Bye):
            self.dialling.turned_away(self, message.reason)
        elif not take_heartbeat(wire, message):
            raise RemoteProtocolError("the peer speaks before it has let this runtime in")

    def on_closed(self, wire: Wire, error: NetworkError) -> None:
        self.dialling.closed(self, error)


def take_heartbeat(wire: Wire, message: Message | Resumed) -> bool:
    """Answer a heartbeat; False where the message is something else.

    Raises:
        RemoteProtocolError: The peer does not read the answers.
    """
    if isinstance(message, Ping):
        if wire.connection.waiting_control >= _MAX_UNSENT:
            raise RemoteProtocolError("the peer asks, and does not read the answers")
        wire.connection.push_control(Pong().encode())
    return isinstance(message, Ping | Pong)


def pause_after(error: NetworkError | None, tick_seconds: float) -> float:
    """How long to wait, in seconds, before somebody is dialled again whom this kept from being reached."""
    if isinstance(error, AuthenticationError | IncompatibleVersion):
        return max(_REFUSED_PAUSE_SECONDS, tick_seconds)
    return tick_seconds
