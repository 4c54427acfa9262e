"""Reaching those again whose connection broke though they may well live.

Both sides try, first the one that had dialled, for the other may not be able to. Each tries until somebody else answers
or nobody listens (the process is gone), and for no longer than a silent peer is waited for. A firewall that refuses
speaks as a place where nobody listens does: who had dialled us, and need not have died, is refused twice before it is
gone. And who was dialled at a place that is not its own (a forwarded port, a relay) is tried at its own before it is
gone, for whoever forwards may end without it.

Where one connection after another breaks, the pauses between them grow, though not so far that a peer that can be
reached would count as silent.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable

from greencoro.distributed.dial import OnDone
from greencoro.distributed.link import Link
from greencoro.distributed.location import Location
from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.reactor import Reactor, Timer
from greencoro.errors import AuthenticationError, IncompatibleVersion, NetworkError, PeerLost, RemoteProtocolError
from greencoro.hub import native

__all__ = ["Redials"]

#: The first pause, in seconds; each one after it is twice as long.
_FIRST_SECONDS = 0.02
_LONGEST_SECONDS = 5.0
#: Where a link waits for it, the first pause is at most so often doubled, however many breaks there were before.
_MOST_DOUBLED = 3
#: The side that had been dialled waits so much longer.
_OTHER_SIDE_SECONDS = 0.1
#: So long one has to come back who had dialled us, and where we are refused; and so long one is tried for at the place
#: that it says is its own, where nothing else speaks for that. With the pauses before it, this is less than the second
#: in which a process that died is missed.
_REFUSED_SECONDS = 0.5
#: So many are tried for at once, and so many breaks remembered; of those beyond them nobody is dialled again.
_MAX = 1000

#: (location, on_done, incarnation, only_that, once); what is returned gives it up.
Reach = Callable[[Location, OnDone, "bytes | None", bool, bool], Callable[[], None]]


class _Broken:
    """A peer whose connection broke."""

    def __init__(
        self,
        location: Location,
        other_place: Location | None,
        is_where_it_says: bool,
        incarnation: bytes,
        until: float,
        pauses: int,
        on_gone: Callable[[], None] | None,
        may_dial: bool,
    ) -> None:
        self.location = location
        #: Where it is tried for once it is not at ``location`` any more.
        self.other_place = other_place
        self.is_where_it_says = is_where_it_says
        self.incarnation = incarnation
        self.until = until
        self.pauses = pauses
        self.on_gone = on_gone
        #: May one who is alive, and dials us, be behind the first refusal?
        self.may_dial = may_dial
        self.timer: Timer | None = None


class Redials:
    """See the module; on the reactor's thread.

    Args:
        peer_timeout_seconds (float): How long one is tried for.

        tick_seconds (float): The longest pause, where that is shorter than `_LONGEST_SECONDS`.
    """

    def __init__(self, reactor: Reactor, reach: Reach, peer_timeout_seconds: float, tick_seconds: float) -> None:
        self._reactor = reactor
        self._reach = reach
        self._seconds = peer_timeout_seconds
        self._longest = min(_LONGEST_SECONDS, tick_seconds)
        self._broken: dict[bytes, _Broken] = {}
        # Pauses made for one whose connection broke a short while ago, and when; oldest first.
        self._breaks: OrderedDict[bytes, tuple[int, float]] = OrderedDict()
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Is nobody tried for any more?"""
        return self._closed

    def broke(
        self,
        info: PeerInfo,
        place: Location | None,
        on_gone: Callable[[], None] | None = None,
        is_where_it_says: bool = False,
        may_dial: bool = False,
    ) -> None:
        """The connection to a peer broke.

        Args:
            place (Location | None): Where it had been dialled; None: it had dialled us.

            on_gone: Where its link waits for another connection: called when that one will not come, for nobody
                listens there, or somebody else.

            is_where_it_says: Its connection came from the address at which it says to be: there it is tried for as long
                as at ``place``, once it is not at that any more.

            may_dial: It had dialled us, and nothing says that it ended: where it is, others may be refused.
        """
        self.came(info.incarnation)
        if self._closed or len(self._broken) >= _MAX:
            return
        now = native.monotonic()
        pauses, at = self._breaks.pop(info.incarnation, (0, now))
        if now - at >= self._seconds:
            pauses = 0
        if on_gone is not None:
            pauses = min(pauses, _MOST_DOUBLED)
        location = info.location if place is None else place
        other_place = info.location if on_gone is not None and location != info.location else None
        broken = self._broken[info.incarnation] = _Broken(
            location, other_place, is_where_it_says, info.incarnation, now + self._seconds, pauses, on_gone, may_dial
        )
        self._pause(broken, _OTHER_SIDE_SECONDS if place is None else 0.0)

    def _pause(self, broken: _Broken, more_seconds: float = 0.0) -> None:
        # The jitter keeps those that lost each other in one moment from dialling in one moment.
        seconds = min(self._longest, _FIRST_SECONDS * 2 ** min(broken.pauses, 10)) * random.uniform(0.5, 1.5)
        broken.pauses += 1
        self._breaks[broken.incarnation] = broken.pauses, native.monotonic()
        self._breaks.move_to_end(broken.incarnation)
        if len(self._breaks) > _MAX:
            self._breaks.popitem(last=False)
        broken.timer = self._reactor.call_later(seconds + more_seconds, self._try, broken)

    def _try(self, broken: _Broken) -> None:
        def on_done(link: Link | None, error: NetworkError | None) -> None:
            if self._broken.get(broken.incarnation) is not broken:
                return
            is_gone = link is None and _is_final(error, broken.on_gone is not None)
            if is_gone and broken.other_place is not None:
                broken.location, broken.other_place = broken.other_place, None
                if not broken.is_where_it_says:
                    self._try_last(broken)
                    return
                is_gone = False
            if is_gone and broken.may_dial and _is_refused(error):
                broken.may_dial = False
                broken.timer = self._reactor.call_later(_REFUSED_SECONDS, self._try, broken)
            elif link is None and not is_gone and native.monotonic() < broken.until:
                self._pause(broken)
            else:
                self._end(broken, is_gone)

        broken.timer = None
        self._reach(broken.location, on_done, broken.incarnation, True, False)

    def _try_last(self, broken: _Broken) -> None:
        """Try for one where it says to be, once; whether that leads to it, or anywhere, is not known."""

        def on_done(link: Link | None, error: NetworkError | None) -> None:
            # Who cuts a connection off may do so because it dials us itself: it has the rest of the time for that.
            if self._broken.get(broken.incarnation) is broken and (link is not None or _is_final(error, True)):
                self._end(broken, link is None)

        def on_time() -> None:
            give_up()
            self._end(broken, True)

        broken.timer = self._reactor.call_later(_REFUSED_SECONDS, on_time)
        give_up = self._reach(broken.location, on_done, broken.incarnation, True, True)

    def _end(self, broken: _Broken, is_gone: bool) -> None:
        self.came(broken.incarnation)
        if is_gone and broken.on_gone is not None:
            broken.on_gone()

    def came(self, incarnation: bytes) -> None:
        """A peer is online, or lost for good: nobody need be dialled for it."""
        broken = self._broken.pop(incarnation, None)
        if broken is not None and broken.timer is not None:
            broken.timer.cancel()

    def close(self) -> None:
        """Try for nobody any more."""
        self._closed = True
        for incarnation in list(self._broken):
            self.came(incarnation)


def _is_final(error: NetworkError | None, is_awaited: bool) -> bool:
    """Does this say that the one who was there is there no more, or will never let us in?"""
    if isinstance(error, AuthenticationError):
        # Who cuts a handshake off looks like one with another secret; and a moment ago it had the right one.
        return not is_awaited
    if isinstance(error, IncompatibleVersion | RemoteProtocolError | PeerLost):
        return True
    return _is_refused(error)


def _is_refused(error: NetworkError | None) -> bool:
    return error is not None and isinstance(error.__cause__, ConnectionRefusedError)
