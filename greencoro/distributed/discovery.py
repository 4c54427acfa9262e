"""Which of the pings that are heard lead to a connection.

A ping is worth a dial where its author is not this runtime, is not online, the two want to meet, and its location was
not dialled a short while ago; and there are only so many dials a second in all. So whoever replays pings, or knows the
secret and invents them, makes no runtime a source of traffic.

Pure: datagrams and the time in, decisions out.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Container, Hashable

from greencoro.distributed.datagrams import Echo, Ping
from greencoro.distributed.location import Location
from greencoro.distributed.presence import NOTHING_SPECIAL, Presence

__all__ = ["START_PINGS_SECONDS", "Discovery", "Rate"]

#: When a runtime that has just started says so. Four times within two seconds, for datagrams get lost; at 6 s those who
#: dialled its predecessor at the same place dial there again. The rest is for networks that carry nothing at first: a
#: bridge that looks for loops forwards after half a minute.
START_PINGS_SECONDS = (0.0, 0.3, 0.8, 1.5, 6.0, 15.0, 35.0, 60.0)

#: One location is dialled at most once in so many seconds.
DIAL_AGAIN_SECONDS = 5.0
#: All together: so many dials a second.
MAX_DIALS_A_SECOND = 50
#: One address is answered at most once in so many seconds.
ECHO_AGAIN_SECONDS = 0.1


class Rate:
    """Allows one act per subject in so many seconds, and so many a second in all.

    Args:
        again_seconds (float): How long an act stands in the way of another one for the same subject.

        a_second (int): Acts a second, for all subjects together.
    """

    def __init__(self, again_seconds: float = DIAL_AGAIN_SECONDS, a_second: int = MAX_DIALS_A_SECOND) -> None:
        self._again_seconds = again_seconds
        # When the last ones were; oldest first. What is in both is bounded by ``a_second``.
        self._by_subject: OrderedDict[Hashable, float] = OrderedDict()
        self._all: deque[float] = deque(maxlen=a_second)

    def allows(self, subject: Hashable, now: float) -> bool:
        """May it be done for ``subject`` now? Where it may, it counts as done."""
        while self._by_subject:
            oldest, done = next(iter(self._by_subject.items()))
            if now - done < self._again_seconds:
                break
            del self._by_subject[oldest]
        if subject in self._by_subject:
            return False
        if len(self._all) == self._all.maxlen and now - self._all[0] < 1.0:
            return False
        self._all.append(now)
        self._by_subject[subject] = now
        return True


class Discovery:
    """One runtime's part in discovery.

    Args:
        incarnation: This runtime's.

        key: The secret's key for discovery.

        presence: This runtime's.
    """

    def __init__(self, incarnation: bytes, key: bytes, presence: Presence = NOTHING_SPECIAL) -> None:
        self._incarnation = incarnation
        self._key = key
        self._presence = presence
        self._dials = Rate()
        self._echoes = Rate(ECHO_AGAIN_SECONDS)

    def ping(self, location: Location) -> bytes:
        """The datagram that tells of this runtime, which is at ``location``."""
        return self.relayed(Ping(self._incarnation, location, self._presence))

    def relayed(self, ping: Ping) -> bytes:
        """The datagram that tells of another runtime."""
        return ping.encode(self._key)

    def heard(self, datagram: bytes, online: Container[bytes], now: float) -> Ping | None:
        """Whose ping this is, if that one is to be dialled; ``online``: the incarnations that are."""
        ping = Ping.decode(datagram, self._key)
        if ping is None or not ping.presence.meets(self._presence):
            return None
        return ping if self.may_dial(ping, online, now) else None

    def may_dial(self, ping: Ping, online: Container[bytes], now: float) -> bool:
        """Is the author of ``ping`` to be dialled? Where it is, that counts as done."""
        if ping.incarnation == self._incarnation or ping.incarnation in online:
            return False
        return self._dials.allows(ping.location, now)

    def echo(self, datagram: bytes, host: str, port: int, now: float) -> bytes | None:
        """What to answer where ``datagram`` came from; None: nothing, as to all but questions of that very place."""
        echo = Echo.asked(datagram, self._key)
        if echo is None or echo.asker != Location(host, port) or not self._echoes.allows(host, now):
            return None
        return echo.answer(self._key)
