"""Links whose connection broke, until another one goes on with them.

Nobody is told of such a break: what is queued waits, and what was sent and is not known to have come is sent again. The
peer is lost when nobody listens at its place any more or somebody else does, when it says that it does not know the
link, or when it is silent for the whole time-out, as `membership` counts it. Little of that is left at the break where
the other side heard nothing, gave this one up for it and reset the connection: this side does not wait as long anew.

Who comes with the proof that a link is its own is believed at once, even where the last connection seems to be well:
this side has not noticed that it is dead.
"""

from __future__ import annotations

import functools
import logging
from typing import Any

from greencoro.distributed.link import Link
from greencoro.distributed.link_states import LinkState
from greencoro.distributed.location import Location
from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.reactor import Reactor, Timer
from greencoro.distributed.redial import Redials
from greencoro.distributed.wire import Wire
from greencoro.errors import NetworkError, PeerLost
from greencoro.hub import native

__all__ = ["Resumption", "came_from_its_place"]

_log = logging.getLogger(__name__)


class Resumption:
    """See the module; on the reactor's thread.

    Args:
        peers: The table of peers: has the links, gives them up.

        dialling: Knows where each was reached.

        redials: Reach those again whose connection broke.

        tick_seconds (float): Half of it is how often it is looked whether a peer is silent for too long, at least.
    """

    def __init__(self, peers: Any, reactor: Reactor, dialling: Any, redials: Redials, tick_seconds: float) -> None:
        self._peers = peers
        self._reactor = reactor
        self._dialling = dialling
        self._redials = redials
        self._look_seconds = tick_seconds / 2
        # Why the connection broke, and the clock.
        self._waiting: dict[Link, tuple[NetworkError, Timer]] = {}

    def begins(self, link: Link, error: NetworkError) -> bool:
        """The connection of ``link`` broke; False where nobody is to wait for another one."""
        if self._redials.is_closed or link.wire is None:
            return False
        left = link.wire.connection.seconds_left(native.monotonic())
        if left <= 0:
            return False
        link.suspend()
        self._peers.is_broken(link)
        info = link.info
        self._reactor.log.log(_log, logging.INFO, "peer.broken name=%s reason=%s", info.name, str(error))
        self._look_again(link, error, left)
        place: Location | None = self._dialling.place_of(info.incarnation)
        # Who dialled us is tried for only where it says to be at the address that it came from.
        is_where_it_says = came_from_its_place(info, link.wire)
        if place is not None or is_where_it_says:
            # Who is not sure to have ended is dialled from a side that a firewall may refuse.
            may_dial = place is None and not link.wire.was_ended_there
            gone = functools.partial(self._lose, link, False)
            self._redials.broke(info, place, gone, is_where_it_says, may_dial)
        return True

    def _look(self, link: Link) -> None:
        error, _ = self._waiting[link]
        assert link.wire is not None
        left = link.wire.connection.seconds_left(native.monotonic())
        if left <= 0:
            self._lose(link, True)
        else:
            self._look_again(link, error, left)

    def _look_again(self, link: Link, error: NetworkError, left: float) -> None:
        self._waiting[link] = error, self._reactor.call_later(min(self._look_seconds, left), self._look, link)

    def _lose(self, link: Link, may_live: bool) -> None:
        error, _ = self._waiting[link]
        lost = error if isinstance(error, PeerLost) else PeerLost(f"{link.info}: {error}")
        self._peers.lose(link, lost, may_live)

    def over(self, link: Link) -> None:
        """Nobody waits for another connection of ``link`` any more: it is there, or the link is lost."""
        waiting = self._waiting.pop(link, None)
        if waiting is not None:
            waiting[1].cancel()
            self._redials.came(link.info.incarnation)

    def awaits(self, incarnation: bytes | None) -> bool:
        """Is another connection to this peer awaited?"""
        return any(link.info.incarnation == incarnation for link in self._waiting)

    def link_of(self, wire: Wire) -> Link | None:
        """The link that the side which dialled ``wire`` has proved to be its own; None where it has not."""
        link: Link | None = self._peers.links.get(wire.connection.peer_incarnation)
        if link is None or not link.is_online or link.wire is None or link.session is None:
            return None
        # The same incarnation says the same of itself.
        is_same = link.wire.connection.peer_hello == wire.connection.peer_hello
        return link if is_same and wire.connection.asks_to_resume(link.session) else None

    def resume(self, link: Link, wire: Wire) -> None:
        """Go on with ``link`` over ``wire``, as both sides have proved that they can."""
        wire.owner = self._peers
        last, session = link.wire, link.session
        assert last is not None and session is not None
        if wire.connection.asks_too_late(session):
            wire.abort()
            return
        if link.state is LinkState.UP:
            # Half open: what it brought comes first.
            last.give_way(functools.partial(self._go_on, link, last, wire))
        else:
            self._go_on(link, last, wire)

    def _go_on(self, link: Link, last: Wire, wire: Wire) -> None:
        session = link.session
        if link.wire is not last or session is None or not link.is_online:
            # Lost meanwhile, or gone on with over a third one, which is the one that the other side has.
            wire.abort()
            return
        if wire.is_closed or last.is_ruined:
            broke = PeerLost(f"{link.info}: the connection broke")
            wire.abort()
            if link.state is LinkState.UP and (last.is_ruined or not self.begins(link, broke)):
                self._peers.lose(link, broke, True)
            return
        try:
            if wire.connection.session is not session:
                wire.connection.resume(session)
        except NetworkError as error:
            wire.abort()
            self._peers.lose(link, PeerLost(f"{link.info}: {error}"))
            return
        again = session.unacknowledged
        self.over(link)
        link.resume(wire)
        self._peers.is_reached(link)
        self._reactor.log.log(_log, logging.INFO, "peer.resumed name=%s again=%d", link.info.name, again)
        # Last: it may find that this one broke, too.
        wire.flush()

    def is_unknown(self, incarnation: bytes) -> None:
        """This peer has forgotten the link that was to be gone on with, and makes a new one."""
        link = self._peers.links.get(incarnation)
        if link is not None and link.state is LinkState.SUSPENDED:
            self._lose(link, False)


def came_from_its_place(info: PeerInfo, wire: Wire | None) -> bool:
    """Did a connection come from the address at which its peer says to be?"""
    return wire is not None and wire.stream.peer_address == info.location.addr
