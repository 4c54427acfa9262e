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
from typing import Any, cast

from greencoro.config import Settings
from greencoro.distributed.admission import MAX_REASON, REFUSED, Admission
from greencoro.distributed.dial import REFUSALS, Dial, OnDone, Waiter
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
        self,
        location: Location,
        on_done: OnDone,
        incarnation: bytes | None = None,
        only_that: bool = False,
        once: bool = False,
    ) -> Callable[[], None]:
        """Reach the runtime at ``location``; ``on_done(link, None)`` or ``on_done(None, error)`` follows.

        Args:
            incarnation (bytes | None): Who is expected there.

            only_that (bool): Nobody else will do, and is no peer for it: that fails with `PeerLost`.

            once (bool): A connection that ends too early is not followed by another one, save for others who wait.

        Returns:
            Callable: Gives it up, and the attempt with it where nobody else waits for that; ``on_done`` is not called
            then. Where it was called already, nothing.
        """
        link = self._online_at(location)
        if link is not None and not (only_that and link.info.incarnation != incarnation):
            on_done(link, None)
            return lambda: None
        if self._closed:
            on_done(None, PeerUnreachable("this runtime is finished"))
            return lambda: None
        waiter = Waiter(incarnation if only_that else None, on_done, once)
        dial = self._dials.get(location)
        if dial is None:
            dial = self._dials[location] = Dial(self, location, incarnation, native.monotonic())
            dial.waiting.append(waiter)
            self._begin(dial)
        else:
            dial.waiting.append(waiter)
        return functools.partial(self._leave, dial, waiter)

    def _leave(self, dial: Dial, waiter: Waiter) -> None:
        if waiter in dial.waiting:
            dial.waiting.remove(waiter)
            if not dial.waiting:
                self._end(dial, None, None)

    def _online_at(self, location: Location) -> Link | None:
        for link in self._peers.online():
            # One whose connection broke is to be reached.
            if link.info.location == location and link.state is LinkState.UP:
                return cast(Link, link)
        link = self._peers.links.get(self._reached.get(location))
        return link if link is not None and link.state is LinkState.UP else None

    def _begin(self, dial: Dial) -> None:
        if self._peers.incoming.has_one_of(dial):
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
        if not dial.takes(hello.incarnation):
            wire.abort()
            self._end(dial, None, _another_answers(dial))
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
            self._peers.incoming.drop(hello.incarnation)
        if link is not None and link.state is LinkState.SUSPENDED:
            # That it is the one shows in its answer, which it can give without being asked for a proof of its claims.
            dial.deadline = self._reactor.call_later(self._welcome_seconds, self._not_welcomed, dial, wire)
            wire.connection.ask_to_resume(link.session)
            return
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

    def resumed(self, dial: Dial, wire: Wire) -> None:
        """The dialled side goes on where another connection broke."""
        _stop_clock(dial)
        link = self._peers.links.get(dial.incarnation)
        if self._is_over(dial) or link is None or link.session is not wire.connection.session:
            # Lost since, or the other side's dial was the one to stay.
            wire.abort()
            self._end(dial, None, PeerUnreachable(f"{dial.location} goes on with what is over here"))
            return
        self._peers.resumption.resume(link, wire)
        self._remember(dial)
        self._end(dial, link, None)

    def welcomed(self, dial: Dial, wire: Wire) -> None:
        """The dialled side lets us in; where it was to go on with a link, it knows that no more."""
        _stop_clock(dial)
        self._peers.resumption.is_unknown(wire.connection.peer_incarnation)
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
        error = PeerUnreachable(f"cannot connect to {dial.location}: it said goodbye: {escape(reason, MAX_REASON)}")
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
        may_be_there = is_there or (is_early and (self._peers.incoming.has_any or self._came_at >= dial.began))
        if may_be_there and not all(waiter.once for waiter in dial.waiting):
            self._reactor.call_later(random.uniform(*_PAUSE_SECONDS), self._begin, dial)
        else:
            self._failed(dial, error)

    def _failed(self, dial: Dial, error: NetworkError) -> None:
        """The attempt is over without a connection."""
        if self._is_over(dial):
            return
        if isinstance(error, REFUSALS) and not self._peers.resumption.awaits(dial.incarnation):
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
        for waiter in waiting:
            if link is None or waiter.takes(link.info.incarnation):
                waiter.on_done(link, error)
            else:
                waiter.on_done(None, _another_answers(dial))

    # What is asked and told by the table of peers.

    def crossed(self, wire: Wire, hello: Hello) -> Dial | None:
        """A dial of ours whose connection is likely to become one to who came in by ``wire``; None: there is none."""
        return next((dial for dial in self._dials.values() if dial.crosses(wire, hello)), None)

    def has_reached(self, incarnation: bytes) -> bool:
        """Did this incarnation answer a dial of ours, which only waits to be let in?"""
        return any(dial.is_established and dial.incarnation == incarnation for dial in self._dials.values())

    def came(self, link: Link) -> None:
        """A peer is online: whoever still dials it has reached it."""
        self._came_at = native.monotonic()
        for dial in [dial for dial in self._dials.values() if dial.wire is not link.wire]:
            reached = dial.waiting_for(link.info)
            if len(reached) == len(dial.waiting) or (dial.is_established and dial.incarnation == link.info.incarnation):
                self._end(dial, link, None)
                continue
            # Where it says to be is no proof that whom the others wait for is not there.
            dial.waiting = [waiter for waiter in dial.waiting if waiter not in reached]
            for waiter in reached:
                waiter.on_done(link, None)

    def place_of(self, incarnation: bytes) -> Location | None:
        """Where a peer was reached; None where it had dialled us."""
        places = self._places.get(incarnation)
        return places[0] if places else None

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


def _another_answers(dial: Dial) -> PeerLost:
    return PeerLost(f"another runtime answers at {dial.location}")


def _stop_clock(dial: Dial) -> None:
    if dial.deadline is not None:
        dial.deadline.cancel()
        dial.deadline = None
