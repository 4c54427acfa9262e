"""Reaching those again whose connection broke though they may well live.

Both sides try, first the one that had dialled, for the other may not be able to. Each tries until somebody else answers
or nobody listens (the process is gone), and for no longer than a silent peer is waited for. Where one connection after
another breaks, the pauses between them grow.
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
_FIRST_SECONDS = 0.1
_LONGEST_SECONDS = 5.0
#: The side that had been dialled waits so much longer.
_OTHER_SIDE_SECONDS = 0.4
#: So many are tried for at once, and so many breaks remembered; of those beyond them nobody is dialled again.
_MAX = 1000

#: (location, on_done, incarnation, only_that)
Reach = Callable[[Location, OnDone, "bytes | None", bool], None]


class _Broken:
    """A peer whose connection broke."""

    def __init__(self, location: Location, incarnation: bytes, until: float, pauses: int) -> None:
        self.location = location
        self.incarnation = incarnation
        self.until = until
        self.pauses = pauses
        self.timer: Timer | None = None


class Redials:
    """See the module; on the reactor's thread.

    Args:
        peer_timeout_seconds (float): How long one is tried for.
    """

    def __init__(self, reactor: Reactor, reach: Reach, peer_timeout_seconds: float) -> None:
        self._reactor = reactor
        self._reach = reach
        self._seconds = peer_timeout_seconds
        self._broken: dict[bytes, _Broken] = {}
        # Pauses made for one whose connection broke a short while ago, and when; oldest first.
        self._breaks: OrderedDict[bytes, tuple[int, float]] = OrderedDict()
        self._closed = False

    def broke(self, info: PeerInfo, place: Location | None) -> None:
        """The connection to a peer broke.

        Args:
            place (Location | None): Where it had been dialled; None: it had dialled us.
        """
        if self._closed or len(self._broken) >= _MAX:
            return
        now = native.monotonic()
        pauses, at = self._breaks.pop(info.incarnation, (0, now))
        if now - at >= self._seconds:
            pauses = 0
        location = info.location if place is None else place
        broken = self._broken[info.incarnation] = _Broken(location, info.incarnation, now + self._seconds, pauses)
        self._pause(broken, _OTHER_SIDE_SECONDS if place is None else 0.0)

    def _pause(self, broken: _Broken, more_seconds: float = 0.0) -> None:
        # The jitter keeps those that lost each other in one moment from dialling in one moment.
        seconds = min(_LONGEST_SECONDS, _FIRST_SECONDS * 2 ** min(broken.pauses, 10)) * random.uniform(0.5, 1.5)
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
            if link is not None or _is_final(error) or native.monotonic() >= broken.until:
                del self._broken[broken.incarnation]
            else:
                self._pause(broken)

        broken.timer = None
        self._reach(broken.location, on_done, broken.incarnation, True)

    def came(self, incarnation: bytes) -> None:
        """A peer is online: nobody need be dialled for it."""
        broken = self._broken.pop(incarnation, None)
        if broken is not None and broken.timer is not None:
            broken.timer.cancel()

    def close(self) -> None:
        """Try for nobody any more."""
        self._closed = True
        for incarnation in list(self._broken):
            self.came(incarnation)


def _is_final(error: NetworkError | None) -> bool:
    """Does this say that the one who was there is there no more, or will never let us in?"""
    if isinstance(error, AuthenticationError | IncompatibleVersion | RemoteProtocolError | PeerLost):
        return True
    return error is not None and isinstance(error.__cause__, ConnectionRefusedError)
