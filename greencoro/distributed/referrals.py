"""Dialling those whom references name, which peers may have made up.

A reference says where its incarnation is. A peer can name a wrong place, or somebody who never was: that keeps nobody
from reaching the true one, and makes this runtime no source of traffic.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from greencoro.distributed.link import Link, LinkState
from greencoro.distributed.location import Location
from greencoro.distributed.per_peer import PerPeer, Tally
from greencoro.distributed.reactor import Reactor
from greencoro.errors import BusyResource, NetworkError, PeerLost

__all__ = ["Referrals"]

#: Dials under way that one incarnation, and that all together, have caused by naming somebody who is no peer.
MAX_OF_ONE = 100
MAX_OF_ALL = 200
#: So many that were not found where a reference said are remembered, so that nobody dials there for it again.
_REMEMBER = 10_000


class Referrals:
    """See the module.

    Args:
        peers: The table of peers: dials, and gives links up.
    """

    def __init__(self, peers: Any, reactor: Reactor) -> None:
        self._peers = peers
        self._reactor = reactor
        self._not_found: OrderedDict[tuple[Location, bytes], None] = OrderedDict()
        # Where those links are being dialled that are not up; the reactor's.
        self._places: dict[Link, set[Location]] = {}
        self._of_one = PerPeer(lambda: Tally(MAX_OF_ONE, 0))
        self._of_all = Tally(MAX_OF_ALL, 0)

    # Any thread.

    def is_not_found(self, location: Location, incarnation: bytes) -> bool:
        """Was this one, who never was online, dialled there in vain?"""
        return (location, incarnation) in self._not_found

    def enter(self, asker: bytes | None) -> Callable[[], None]:
        """Count a dial that the incarnation ``asker`` caused; what is returned is to be called once, when it is over.

        Raises:
            BusyResource: There are too many already.
        """
        if asker is None:
            return _nothing
        own = self._of_one.of(asker)
        if not own.enter(0):
            raise BusyResource(f"{own.items} runtimes that this peer named are being dialled already")
        if not self._of_all.enter(0):
            own.leave(0)
            raise BusyResource(f"{self._of_all.items} runtimes that peers named are being dialled already")

        def over() -> None:
            own.leave(0)
            self._of_all.leave(0)

        return over

    def dial(self, link: Link, location: Location, over: Callable[[], None]) -> None:
        """Reach the incarnation of ``link`` at ``location`` too; with the last place where it is not it is lost.

        Args:
            over: What `enter` returned.
        """
        self._reactor.post(self._dial, link, location, over)

    # The reactor's thread.

    def _dial(self, link: Link, location: Location, over: Callable[[], None]) -> None:
        if link.state is not LinkState.DIALING or location in self._places.get(link, ()):
            over()
            return
        places = self._places.setdefault(link, set())
        places.add(location)

        def on_done(reached: Link | None, error: NetworkError | None) -> None:
            over()
            places.discard(location)
            if not places:
                del self._places[link]
            if link.state is not LinkState.DIALING:
                return
            # In this order: whoever finds no link must find that it was lost.
            self._not_found[location, link.info.incarnation] = None
            if len(self._not_found) > _REMEMBER:
                self._not_found.popitem(last=False)
            if not places:
                lost = error or PeerLost(f"{link.info} is gone: another runtime answers at its place")
                self._peers.lose(link, lost)

        self._peers.dial(location, on_done, link.info.incarnation)


def _nothing() -> None:
    """Nobody counts a dial that a user caused."""
