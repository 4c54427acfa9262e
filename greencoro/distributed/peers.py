"""The peers of one runtime: letting them in, giving them up.

One link per incarnation. When both sides dial at once, the dial of the lower incarnation stays: a responder that itself
is connected to the other side and has the lower incarnation answers only where its own dial fails (`crossing`). A side
that has answered already, and has not heard the last of it, does not begin to dial before that is decided.

Who dials a place that the other side does not know as its own (a port that a gateway or ssh forwards) learns only from
the answer whom it dials. Where it has let the other side's dial in by then, that one stays.
"""

from __future__ import annotations

import functools
import logging
import os
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from greencoro.config import Settings
from greencoro.distributed.admission import REFUSED, Admission
from greencoro.distributed.connection import Connection, Limits
from greencoro.distributed.crossing import Crossings
from greencoro.distributed.dial import REFUSALS, Dial, OnDone
from greencoro.distributed.dialling import Dialling
from greencoro.distributed.flow import Unread
from greencoro.distributed.handshake_states import Role
from greencoro.distributed.hello import Hello
from greencoro.distributed.link import Link, LinkState
from greencoro.distributed.location import Location
from greencoro.distributed.messages import Bye, Message, Welcome
from greencoro.distributed.peer_info import PeerInfo, PeerLimits
from greencoro.distributed.reactor import Reactor
from greencoro.distributed.redial import Redials
from greencoro.distributed.referrals import Referrals
from greencoro.distributed.reports import Reports
from greencoro.distributed.secret import Secret
from greencoro.distributed.stream import Stream, Transport
from greencoro.distributed.wire import Wire
from greencoro.errors import NetworkError, PeerLost, RemoteProtocolError
from greencoro.hub import native
from greencoro.log import escape

__all__ = ["Peers"]

_log = logging.getLogger(__name__)

#: Incarnations that were lost are remembered, so that nobody dials for a reference to one.
_REMEMBER_LOST = 10_000
#: At the end, with messages queued for a peer that is being dialled, this often it is looked whether it is there.
_LOOK_AGAIN_SECONDS = 0.01
#: A text of a peer's goes this far into messages of ours.
_MAX_REASON = 200

#: Who goes on trying with a wrong secret is told of once in so long.
_REPORT_SECONDS = 60.0
#: So many of those that were refused are told of to whoever waits.
_MAX_REFUSED = 3


class Peers:
    """See the module; everything but `link_to`, the properties and `on_message` runs on the reactor's thread.

    Args:
        on_message: Called with (link, message) for each message of an authenticated peer.

        on_change: Called with (link, online, reason, dropped) when a peer came or was lost.
    """

    def __init__(
        self,
        reactor: Reactor,
        transport: Transport,
        hello: Hello,
        secret: Secret,
        settings: Settings,
        on_message: Callable[[Link, Message], None],
        on_change: Callable[[Link, bool, str, int], None],
    ) -> None:
        self._reactor = reactor
        self._transport = transport
        self._hello = hello
        self._psk = secret.psk()
        self._fingerprint = secret.fingerprint
        self._settings = settings
        self._limits = Limits(
            tick_seconds=settings.tick_seconds,
            peer_timeout_seconds=settings.peer_timeout_seconds,
            max_handshake_frame_bytes=settings.max_handshake_frame_bytes,
            max_message_bytes=settings.max_message_bytes,
            chunk_bytes=settings.chunk_bytes,
        )
        self._on_message = on_message
        self._on_change = on_change
        # Connections that came in and have not proved themselves, oldest first; who they say they are, once they do.
        self._unproven: OrderedDict[Wire, Hello | None] = OrderedDict()
        self._closed = False
        self._closing: set[Wire] = set()
        self._gave_up = False
        self._reports = Reports(_REPORT_SECONDS)
        # By address, the latest last: why a connection did not come about that only a person can mend.
        self._refused: dict[object, str] = {}
        self._admission = Admission(self, reactor, hello, settings.peer_timeout_seconds)
        self._dialling = Dialling(self, reactor, transport, hello, settings, self._admission, self._new_wire)
        #: Those that wait for what comes of a dial of ours.
        self.crossings = Crossings(self._dialling.crosses, self._take_up)
        #: Those whose connection broke.
        self.redials = Redials(reactor, self._dialling.dial, settings.peer_timeout_seconds)
        self._unread = Unread()
        self.links: dict[bytes, Link] = {}
        #: Incarnations that were online and are not any more.
        self.lost: OrderedDict[bytes, None] = OrderedDict()
        self._referrals = Referrals(self, reactor)

    # Any thread: single dict operations.

    def link_to(self, location: Location, name: str, incarnation: bytes, asker: bytes | None = None) -> Link | None:
        """The link to an incarnation, dialling where there is none; None where it was lost, or is not there.

        Args:
            asker (bytes | None): The incarnation of the peer on whose behalf it is dialled.

        Raises:
            BusyResource: Peers have had too many dialled already.
        """
        link = self.links.get(incarnation)
        if link is not None and link.state is not LinkState.DIALING:
            return link
        if incarnation in self.lost or incarnation == self._hello.incarnation:
            return None
        if self._referrals.is_not_found(location, incarnation):
            return link
        over = self._referrals.enter(asker)
        # Where it is being dialled elsewhere it is dialled here as well: any peer may have named a wrong place.
        link = self.links.setdefault(incarnation, self._new_link(PeerInfo(location, name, incarnation)))
        self._referrals.dial(link, location, over)
        return link

    def online(self) -> list[Link]:
        """The links that are up."""
        return [link for link in tuple(self.links.values()) if link.state is LinkState.UP]

    def refused(self) -> list[str]:
        """Why the latest ones were refused, or refused us, that have not become peers since; a line for each."""
        return list(self._refused.values())

    def _new_link(self, info: PeerInfo) -> Link:
        return Link(info, self._reactor.post, _limits_of(self._hello), self._unread.of(info.incarnation))

    # The reactor's thread: coming in.

    def let_in(self, stream: Stream) -> None:
        """A connection came in."""
        if self._closed:
            stream.abort()
            return
        self._make_room(stream.peer_address)
        wire = self._new_wire(stream, Role.RESPONDER, self)
        self._unproven[wire] = None
        wire.open()

    def _take_up(self, wire: Wire, hello: Hello) -> None:
        """Go on with a connection that came in and was put off."""
        self._make_room(wire.stream.peer_address)
        self._unproven[wire] = hello

    def _make_room(self, address: str) -> None:
        per_address = [w for w in self._unproven if w.stream.peer_address == address]
        if len(per_address) >= self._settings.max_unauthenticated_per_address:
            self._drop_oldest(per_address)
        elif len(self._unproven) >= self._settings.max_unauthenticated:
            self._drop_oldest(list(self._unproven))

    def _drop_oldest(self, wires: list[Wire]) -> None:
        # Those that showed that they know the secret come last, before them those that said anything: nobody can fill
        # the places with such as easily.
        progress = {wire: (self._unproven[wire] is not None, wire.connection.heard_at is not None) for wire in wires}
        self._drop_unproven(min(wires, key=progress.__getitem__))

    def _drop_unproven(self, wire: Wire) -> None:
        del self._unproven[wire]
        wire.reset()

    def _new_wire(self, stream: Stream, role: Role, owner: Any) -> Wire:
        connection = Connection(
            role, self._psk, self._hello, os.urandom(32), self._fingerprint, self._limits, native.monotonic()
        )
        return Wire(
            self._reactor, stream, connection, owner, self._settings.tick_seconds, self._settings.handshake_seconds
        )

    # As the owner of wires: those that came in, and all once they belong to a link.

    def on_introduced(self, wire: Wire, hello: Hello) -> None:
        if self._hello.incarnation < hello.incarnation and self._dialling.crosses(wire, hello):
            del self._unproven[wire]
            self.crossings.put_off(wire, hello)
        else:
            self._unproven[wire] = hello

    def on_established(self, wire: Wire, hello: Hello) -> None:
        self._unproven.pop(wire, None)
        self.crossings.forget(wire)
        self._refused.pop(wire.stream.peer_address, None)
        self._admission.judge(wire, hello, functools.partial(self._judged, wire, hello))

    def _judged(self, wire: Wire, hello: Hello, error: NetworkError | None) -> None:
        if error is not None:
            return
        if self._hello.incarnation < hello.incarnation and self._dialling.has_reached(hello.incarnation):
            # Both sides were dialled by the other, and ours is the dial to stay.
            wire.abort()
            return
        self.adopt(wire, hello)

    def on_message(self, wire: Wire, message: Message) -> None:
        link = self.links.get(wire.connection.peer_incarnation)
        if link is None or link.wire is not wire:
            return
        if message.__class__ is Bye:
            if message.reason.startswith(REFUSED):
                self.report_refusal(link.info.location, message.reason)
            self.lose(link, PeerLost(f"{link.info} left: {escape(message.reason, _MAX_REASON)}"))
            return
        self._on_message(link, message)

    def on_closed(self, wire: Wire, error: NetworkError) -> None:
        if wire in self._unproven:
            del self._unproven[wire]
            if isinstance(error, REFUSALS):
                self.report("refused a connection from %s: %s", wire.stream.peer_address, error)
            return
        self.crossings.forget(wire)
        link = self.links.get(wire.connection.peer_hello.incarnation)
        if link is not None and link.wire is wire:
            is_bad = isinstance(error, RemoteProtocolError)
            if is_bad:
                self._reactor.log.log(_log, logging.WARNING, "cut off %s: %s", link.info, str(error))
            lost = error if isinstance(error, PeerLost) else PeerLost(f"{link.info}: {error}")
            self.lose(link, lost, may_live=not is_bad)

    def report(self, line: str, address: object, error: NetworkError) -> None:
        """Log why a connection did not come about, unless the same was said of that address a short while ago."""
        self._refused.pop(address, None)
        self._refused[address] = line % (address, error)
        if len(self._refused) > _MAX_REFUSED:
            del self._refused[next(iter(self._refused))]
        if self._reports.is_new(address, (line, type(error)), native.monotonic()):
            self._reactor.log.log(_log, logging.WARNING, line, address, str(error))

    def report_refusal(self, location: Location, reason: str) -> None:
        """Log that the runtime at ``location`` said goodbye with `admission.REFUSED`."""
        error = PeerLost(escape(reason, _MAX_REASON))
        self.report("%s does not take this runtime as a peer: %s", location, error)

    def adopt(self, wire: Wire, hello: Hello) -> Link:
        """Make an established connection the one of its peer's link."""
        info = PeerInfo(hello.location, hello.name, hello.incarnation, hello.presence.role)
        self.lost.pop(hello.incarnation, None)
        link = self.links.setdefault(hello.incarnation, self._new_link(info))
        wire.owner = self
        limits = _limits_of(hello)
        if wire.connection.role is Role.RESPONDER:
            welcome = Welcome().encode()
            wire.connection.push(None, welcome, len(welcome[0]))
        if not link.up(wire, info, limits):
            reason = f"what was queued for {info} before it answered is more than it takes ({limits})"
            # In this order: whoever finds no link finds that it was lost, and makes none.
            self.lost[hello.incarnation] = None
            self.lose(link, PeerLost(reason))
            link = self.links[hello.incarnation] = self._new_link(info)
            del self.lost[hello.incarnation]
            link.up(wire, info, limits)
        self._dialling.came(link)
        self.redials.came(info.incarnation)
        self._reactor.log.log(_log, logging.INFO, "peer.online name=%s location=%s", info.name, info.location)
        self._on_change(link, True, "", 0)
        return link

    def lose(self, link: Link, error: NetworkError, may_live: bool = False) -> None:
        """Give a link up; where it is lost already, nothing.

        Args:
            may_live (bool): The peer did not say goodbye: it is tried to reach it again.
        """
        if link.state is LinkState.LOST:
            return
        was_up = link.state is LinkState.UP
        wire = link.wire
        incarnation = link.info.incarnation
        # In this order: whoever finds no link must find that it was lost. See `Referrals` for others.
        if was_up:
            self.lost[incarnation] = None
            if len(self.lost) > _REMEMBER_LOST:
                self.lost.popitem(last=False)
        if self.links.get(incarnation) is link:
            del self.links[incarnation]
        place = self._dialling.gone(incarnation)
        dropped = link.lose(error)
        self._unread.remember(incarnation, link.unread())
        if wire is not None and not wire.is_closed:
            wire.abort()
        if was_up:
            self._reactor.log.log(
                _log,
                logging.INFO,
                "peer.offline name=%s location=%s dropped=%d reason=%s",
                link.info.name,
                link.info.location,
                dropped,
                str(error),
            )
            self._on_change(link, False, str(error), dropped)
            # Who dialled us is tried for only where it says to be at the address that it came from.
            if may_live and (place is not None or _is_from(wire, link.info.location)):
                self.redials.broke(link.info, place)
        elif dropped:
            # It never was online, so it cannot be told to go offline.
            line = "dropped %d messages that were queued for %s: %s"
            self._reactor.log.log(_log, logging.WARNING, line, dropped, link.info, str(error))

    # Dialling, and what `Dialling` asks and tells.

    def dial(
        self, location: Location, on_done: OnDone, incarnation: bytes | None = None, only_that: bool = False
    ) -> None:
        """Reach the runtime at ``location``; ``on_done(link, None)`` or ``on_done(None, error)`` follows."""
        self._dialling.dial(location, on_done, incarnation, only_that)

    @property
    def has_incoming(self) -> bool:
        """Are there connections that came in and have not proved themselves?"""
        return bool(self._unproven)

    def is_coming_in(self, dial: Dial) -> bool:
        """Did somebody whom ``dial`` aims at dial us, and has only to prove itself?"""
        return any(hello is not None and dial.aims_at(hello) for hello in self._unproven.values())

    def drop_incoming(self, incarnation: bytes) -> None:
        """Drop the connections that one has dialled who answered a dial of ours."""
        for wire, hello in list(self._unproven.items()):
            if hello is not None and hello.incarnation == incarnation:
                self._drop_unproven(wire)

    def is_well(self, location: Location) -> None:
        """Whoever is at ``location`` proved itself: what befalls it next is news."""
        self._reports.forget(location)
        self._refused.pop(location, None)

    # The end.

    def close(self, reason: str, on_closed: Callable[[], object]) -> None:
        """Say goodbye to every peer, after what is queued for it; nobody comes in any more.

        Args:
            on_closed: Called when the peers have taken what was queued, or will not any more.
        """
        if not self._gave_up and any(link.is_needed for link in self.links.values()):
            # What is queued for a peer that is being dialled goes as well.
            self._reactor.call_later(_LOOK_AGAIN_SECONDS, self.close, reason, on_closed)
            return
        self._closed = True
        self.redials.close()
        self._dialling.close()
        for wire in list(self._unproven):
            self._drop_unproven(wire)
        self._admission.close()
        links = list(self.links.values())
        self._closing = {link.wire for link in links if link.wire is not None}
        for wire in tuple(self._closing):
            wire.close(reason, functools.partial(self._sent, wire, on_closed))
        for link in links:
            self.lose(link, PeerLost("this runtime is finished"))
        if not self._closing:
            on_closed()

    def _sent(self, wire: Wire, on_closed: Callable[[], object]) -> None:
        self._closing.discard(wire)
        if not self._closing:
            on_closed()

    def abort(self) -> None:
        """End what `close` has left open for what is still to be sent."""
        self._gave_up = True
        if not self._closed:
            self.close("it finished", lambda: None)
        for wire in tuple(self._closing):
            wire.abort()


def _is_from(wire: Wire | None, location: Location) -> bool:
    return wire is not None and wire.stream.peer_address == location.addr


def _limits_of(hello: Hello) -> PeerLimits:
    return PeerLimits(hello.max_queue_messages, hello.max_queue_bytes, hello.max_message_bytes)
