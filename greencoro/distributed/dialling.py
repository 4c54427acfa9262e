"""Dialling: who is being reached, where, and for whom.

There is one attempt per location, whoever waits for it. The dialled side proves itself first, and is judged
(`admission`) before it hears the proof of ours. Then it judges us, and its `Welcome` makes both peers. So nobody is
told of a peer that is refused.
"""

from __future__ import annotations

import errno
import functools
import math
import random
from collections.abc import Callable
from typing import Any

from greencoro.config import Settings
from greencoro.distributed.admission import REFUSED, Admission
from greencoro.distributed.dial import REFUSALS, Dial, OnDone
from greencoro.distributed.handshake_states import Role
from greencoro.distributed.hello import Hello
from greencoro.distributed.link import Link, LinkState
from greencoro.distributed.location import Location
from greencoro.distributed.reactor import Reactor
from greencoro.distributed.stream import Stream, Transport
from greencoro.distributed.wire import Wire
from greencoro.errors import NetworkError, PeerLost, PeerUnreachable
from greencoro.hub import native
from greencoro.log import escape

__all__ = ["Dialling"]

#: A place is not dialled for so long where whoever is there dials us, and has only to prove itself.
_CROSSED_SECONDS = 1.0
#: Whoever's dial has to give way waits so long for the other side's to come up.
_REFUSED_SECONDS = 0.3
#: A connection that ends before the other side has let us in is tried again until an attempt has lasted so long: many
#: that dial one place at once are more than it lets wait for their handshake.
_TRY_AGAIN_SECONDS = 3.0
#: And so often at least, where something is there that cuts it off or is slow: on a busy machine a try takes seconds.
_TRIES = 6
#: Between two tries there are so many seconds at least and at most, so that those many do not come at once again.
_PAUSE_SECONDS = (0.0, 0.4)
#: Under so many names one peer is remembered.
_MAX_PLACES = 16
#: A text of a peer's goes this far into messages of ours.
_MAX_REASON = 200


class Dialling:
    """See the module; everything runs on the reactor's thread.

    Args:
        peers: The table of peers: says who is online or coming in, makes links.

        new_wire: Makes the shell of a connection: (stream, role, owner).
    """

    def __init__(
        self,
        peers: Any,
        reactor: Reactor,
        transport: Transport,
        hello: Hello,
        settings: Settings,
        admission: Admission,
        new_wire: Callable[[Stream, Role, Any], Wire],
    ) -> None:
        self._peers = peers
        self._reactor = reactor
        self._transport = transport
        self._hello = hello
        self._connect_seconds = settings.connect_timeout_seconds
        # Each side may have to ask a rival, who has the whole peer time-out to answer.
        self._welcome_seconds = max(2 * settings.peer_timeout_seconds, settings.handshake_seconds)
        self._admission = admission
        self._new_wire = new_wire
        self._dials: dict[Location, Dial] = {}
        # Where those who are online were reached: it may not be where they say they are (a forwarded port).
        self._reached: dict[Location, bytes] = {}
        self._places: dict[bytes, list[Location]] = {}
        # When somebody came online last.
        self._came_at = -math.inf
        self._closed = False

    def dial(
        self, location: Location, on_done: OnDone, incarnation: bytes | None = None, only_that: bool = False
    ) -> None:
        """Reach the runtime at ``location``; ``on_done(link, None)`` or ``on_done(None, error)`` follows.

        Args:
            incarnation (bytes | None): Who is expected there.

            only_that (bool): Let nobody else be a peer for it.
        """
        link = self._online_at(location)
        if link is not None and not (only_that and link.info.incarnation != incarnation):
            on_done(link, None)
            return
        if self._closed:
            on_done(None, PeerUnreachable("this runtime is finished"))
            return
        dial = self._dials.get(location)
        if dial is None:
            dial = self._dials[location] = Dial(self, location, incarnation, only_that, native.monotonic())
            dial.waiting.append(on_done)
            self._begin(dial)
        else:
            dial.only_that = dial.only_that and only_that
            dial.waiting.append(on_done)

    def _online_at(self, location: Location) -> Link | None:
        for link in self._peers.online():
            if link.info.location == location:
                return _as_link(link)
        link = self._peers.links.get(self._reached.get(location))
        return link if link is not None and link.state is LinkState.UP else None

    def _begin(self, dial: Dial) -> None:
        if self._peers.is_coming_in(dial):
            self._reactor.call_later(_CROSSED_SECONDS, self._connect, dial)
        else:
            self._connect(dial)

    def _connect(self, dial: Dial) -> None:
        if self._is_over(dial):
            return
        dial.tries += 1
        dial.give_up = self._transport.dial(
            dial.location, self._connect_seconds, lambda stream, error: self._connected(dial, stream, error)
        )

    def _is_over(self, dial: Dial) -> bool:
        return self._dials.get(dial.location) is not dial

    def _connected(self, dial: Dial, stream: Stream | None, error: OSError | None) -> None:
        dial.give_up = None
        if error is not None and error.errno == errno.ECONNRESET:
            # It was taken, and dropped before this thread looked.
            self.closed(dial, PeerLost("the connection broke: Connection reset by peer"))
            return
        if stream is None:
            reason = (error.strerror or str(error)) if error is not None else "no connection"
            failed = PeerUnreachable(reason)
            failed.__cause__ = error
            self._failed(dial, failed)
            return
        dial.wire = self._new_wire(stream, Role.INITIATOR, dial)
        dial.wire.open()

    # What a `Dial` tells.

    def established(self, dial: Dial, wire: Wire, hello: Hello) -> None:
        """The dialled side proved itself; it has heard nothing yet that would prove us."""
        if dial.only_that and hello.incarnation != dial.incarnation:
            wire.abort()
            self._end(dial, None, PeerLost(f"another runtime answers at {dial.location}"))
            return
        dial.incarnation = hello.incarnation
        self._peers.is_well(dial.location)
        link = self._peers.links.get(hello.incarnation)
        if link is not None and link.state is LinkState.UP:
            # Dialled under another name, or the other side's dial was the one to stay. This one was none yet.
            wire.abort()
            self._remember(dial)
            self._end(dial, link, None)
            return
        if self._hello.incarnation < hello.incarnation:
            self._peers.drop_incoming(hello.incarnation)
        wire.held = True
        dial.deadline = self._reactor.call_later(self._welcome_seconds, self._not_welcomed, dial, wire)
        self._admission.judge(wire, hello, functools.partial(self._judged, dial, wire))

    def _not_welcomed(self, dial: Dial, wire: Wire) -> None:
        error = PeerUnreachable(f"{dial.location} did not let this runtime in within {self._welcome_seconds:g} s")
        self._end(dial, None, error)
        # Where its claim is being judged it is not the dial's.
        wire.fail(error)

    def _judged(self, dial: Dial, wire: Wire, error: NetworkError | None) -> None:
        if error is not None:
            self._end(dial, None, error)
        elif self._is_over(dial):
            wire.abort()
        else:
            wire.owner = dial
            wire.held = False
            wire.flush()

    def welcomed(self, dial: Dial, wire: Wire) -> None:
        """The dialled side lets us in."""
        _stop_clock(dial)
        # Again: somebody may have come meanwhile who has something in common with it.
        self._admission.judge(wire, wire.connection.peer_hello, functools.partial(self._let_in, dial, wire))

    def _let_in(self, dial: Dial, wire: Wire, error: NetworkError | None) -> None:
        if error is not None:
            self._end(dial, None, error)
        elif self._is_over(dial):
            wire.abort()
        else:
            link = self._peers.adopt(wire, wire.connection.peer_hello)
            if link.state is LinkState.UP:
                self._remember(dial)
            self._end(dial, link, None)

    def turned_away(self, dial: Dial, reason: str) -> None:
        """The dialled side does not let us in."""
        error = PeerUnreachable(f"cannot connect to {dial.location}: it said goodbye: {escape(reason, _MAX_REASON)}")
        if reason.startswith(REFUSED):
            self._peers.report_refusal(dial.location, reason)
        self._end(dial, None, error)

    def closed(self, dial: Dial, error: NetworkError) -> None:
        """The connection ended before we were let in; perhaps because the other side dials as well."""
        self._peers.crossings.look()
        self._reactor.call_later(_REFUSED_SECONDS, self._after_end, dial, error)

    def _after_end(self, dial: Dial, error: NetworkError) -> None:
        if self._is_over(dial):
            return
        _stop_clock(dial)
        dial.wire = None
        # Through a forwarded port, whom the other side cuts off because it dials us may look as refused for its secret.
        is_early = native.monotonic() - dial.began < _TRY_AGAIN_SECONDS
        is_there = isinstance(error, PeerLost) and (is_early or dial.tries < _TRIES)
        if is_there or (is_early and (self._peers.has_incoming or self._came_at >= dial.began)):
            self._reactor.call_later(random.uniform(*_PAUSE_SECONDS), self._begin, dial)
        else:
            self._failed(dial, error)

    def _failed(self, dial: Dial, error: NetworkError) -> None:
        """The attempt is over without a connection."""
        if self._is_over(dial):
            return
        if isinstance(error, REFUSALS):
            self._peers.report("cannot connect to %s: %s", dial.location, error)
            error = type(error)(f"cannot connect to {dial.location}: {error}")
            self._end(dial, None, error)
            return
        failed = PeerUnreachable(f"cannot reach {dial.location}: {error}")
        failed.__cause__ = error.__cause__
        self._end(dial, None, failed)

    def _end(self, dial: Dial, link: Link | None, error: NetworkError | None) -> None:
        if not self._is_over(dial):
            del self._dials[dial.location]
        _stop_clock(dial)
        if dial.give_up is not None:
            dial.give_up()
            dial.give_up = None
        if dial.wire is not None and dial.wire.owner is dial and not dial.wire.is_closed:
            dial.wire.abort()
        self._peers.crossings.look()
        waiting, dial.waiting = dial.waiting, []
        for on_done in waiting:
            on_done(link, error)

    # What is asked and told by the table of peers.

    def crosses(self, wire: Wire, hello: Hello) -> bool:
        """Is there a connection, dialled here, that is likely to become one to who came in by ``wire``?"""
        return any(dial.crosses(wire, hello) for dial in self._dials.values())

    def has_reached(self, incarnation: bytes) -> bool:
        """Did this incarnation answer a dial of ours, which only waits to be let in?"""
        return any(dial.is_established and dial.incarnation == incarnation for dial in self._dials.values())

    def came(self, link: Link) -> None:
        """A peer is online: whoever still dials it has reached it."""
        self._came_at = native.monotonic()
        for dial in [dial for dial in self._dials.values() if dial.wire is not link.wire and dial.aims_at(link.info)]:
            self._end(dial, link, None)

    def gone(self, incarnation: bytes) -> Location | None:
        """A peer is not online any more; where it was reached, None where it had dialled us."""
        places = self._places.pop(incarnation, [])
        for place in places:
            del self._reached[place]
        return places[0] if places else None

    def _remember(self, dial: Dial) -> None:
        assert dial.incarnation is not None
        places = self._places.setdefault(dial.incarnation, [])
        if len(places) < _MAX_PLACES and dial.location not in self._reached:
            places.append(dial.location)
            self._reached[dial.location] = dial.incarnation

    def close(self) -> None:
        """Reach nobody any more."""
        self._closed = True
        for dial in list(self._dials.values()):
            self._end(dial, None, PeerUnreachable("this runtime is finished"))


def _stop_clock(dial: Dial) -> None:
    if dial.deadline is not None:
        dial.deadline.cancel()
        dial.deadline = None


def _as_link(link: Any) -> Link:
    found: Link = link
    return found
