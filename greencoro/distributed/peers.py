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
from greencoro.distributed.admission import MAX_REASON, REFUSED, Admission
from greencoro.distributed.codec import PICKLE, Codec
from greencoro.distributed.connection import Connection, Limits
from greencoro.distributed.crossing import Crossings
from greencoro.distributed.dial import REFUSALS, OnDone
from greencoro.distributed.dialling import Dialling
from greencoro.distributed.flow import Unread
from greencoro.distributed.handshake_states import Role
from greencoro.distributed.hello import Hello
from greencoro.distributed.identity import Identity
from greencoro.distributed.incoming import Incoming
from greencoro.distributed.link import Link, LinkState
from greencoro.distributed.location import Location
from greencoro.distributed.messages import Bye, Message, Welcome
from greencoro.distributed.peer_info import PeerInfo, PeerLimits
from greencoro.distributed.reactor import Reactor
from greencoro.distributed.redial import Redials
from greencoro.distributed.referrals import Referrals
from greencoro.distributed.reports import Reports
from greencoro.distributed.resumption import Resumption, came_from_its_place
from greencoro.distributed.secret import Secret
from greencoro.distributed.stream import Stream, Transport
from greencoro.distributed.wire import Wire
from greencoro.errors import NetworkError, PeerLost, RemoteProtocolError
from greencoro.hub import native
from greencoro.hub.telling import tell_unheard
from greencoro.log import escape

__all__ = ["Peers"]

_log = logging.getLogger(__name__)

#: Incarnations that were lost are remembered, so that nobody dials for a reference to one.
_REMEMBER_LOST = 10_000
#: At the end, with messages queued for a peer that is being dialled, this often it is looked whether it is there.
_LOOK_AGAIN_SECONDS = 0.01
#: Who goes on trying with a wrong secret is told of once in so long.
_REPORT_SECONDS = 60.0
#: Those who set up no logging are told of an address that called, and was refused, once in so long: whoever is there
#: may try for ever, or be no greencoro at all.
_TELL_SECONDS = 3600.0
#: How the goodbye begins to a peer that this runtime, which goes on, has no more to do with.
_PARTED = "parted: "
#: So many of those that were refused are told of to whoever waits.
_MAX_REFUSED = 3


class Peers:
    """See the module; everything but `link_to`, the properties and `on_message` runs on the reactor's thread.

    Args:
        on_message: Called with (link, message) for each message of an authenticated peer.

        on_change: Called with (link, online, reason, dropped) when a peer came or was lost.

        codec (Codec): How objects travel.
    """

    def __init__(
        self,
        reactor: Reactor,
        transport: Transport,
        hello: Hello,
        identity: Identity,
        secret: Secret,
        settings: Settings,
        on_message: Callable[[Link, Message], None],
        on_change: Callable[[Link, bool, str, int], None],
        codec: Codec = PICKLE,
    ) -> None:
        self._reactor = reactor
        self._codec = codec
        self._transport = transport
        self._hello = hello
        self._identity = identity
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
        #: Connections that came in and have not proved themselves.
        self.incoming = Incoming(settings, lambda stream: self._new_wire(stream, Role.RESPONDER, self))
        self._closed = False
        self._closing: set[Wire] = set()
        self._on_closed: Callable[[], object] | None = None
        self._gave_up = False
        self._reports = Reports(_REPORT_SECONDS)
        self._told = Reports(_TELL_SECONDS)
        # By address, the latest last: why a connection did not come about that only a person can mend.
        self._refused: dict[object, str] = {}
        self._admission = Admission(self, reactor, hello, settings.peer_timeout_seconds)
        self._dialling = Dialling(self, reactor, transport, hello, settings, self._admission, self._new_wire)
        #: Those that wait for what comes of a dial of ours.
        self.crossings = Crossings(self._dialling.crossed, self.incoming.take_up)
        #: Those whose connection broke.
        self.redials = Redials(reactor, self._dialling.dial, settings.peer_timeout_seconds, settings.tick_seconds)
        self.resumption = Resumption(self, reactor, self._dialling, self.redials, settings.tick_seconds)
        self._unread = Unread()
        self.links: dict[bytes, Link] = {}
        #: Incarnations that were online and are not any more.
        self.lost: OrderedDict[bytes, None] = OrderedDict()
        #: Incarnations that one of the two sides parted from: they are not dialled again without being asked for.
        self.parted: OrderedDict[bytes, None] = OrderedDict()
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
        """The links whose peers are there, be it that their connection broke and another one is being made."""
        return [link for link in tuple(self.links.values()) if link.is_online]

    def refused(self) -> list[str]:
        """Why the latest ones were refused, or refused us, that have not become peers since; a line for each."""
        return list(self._refused.values())

    def _new_link(self, info: PeerInfo) -> Link:
        unread = self._unread.of(info.incarnation)
        return Link(info, self._reactor.post, PeerLimits.of(self._hello), unread, self._codec)

    # The reactor's thread.

    def _new_wire(self, stream: Stream, role: Role, owner: Any) -> Wire:
        connection = Connection(
            role,
            self._psk,
            self._hello,
            self._identity,
            os.urandom(32),
            self._fingerprint,
            self._limits,
            native.monotonic(),
        )
        return Wire(
            self._reactor, stream, connection, owner, self._settings.tick_seconds, self._settings.handshake_seconds
        )

    # As the owner of wires: those that came in, and all once they belong to a link.

    def on_introduced(self, wire: Wire, hello: Hello) -> None:
        link = self.links.get(hello.incarnation)
        if link is not None and link.session is not None and link.session.received:
            # The other side has it, too: it has said what it says to its peers alone.
            wire.known_link = link
        if self._hello.incarnation < hello.incarnation and self._dialling.crossed(wire, hello) is not None:
            self.incoming.take_out(wire)
            self.crossings.put_off(wire, hello)
        else:
            self.incoming.introduced(wire, hello)

    def on_established(self, wire: Wire, hello: Hello) -> None:
        self.incoming.take_out(wire)
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
        link = self.resumption.link_of(wire)
        if link is not None:
            self.resumption.resume(link, wire)
        else:
            self.adopt(wire, hello)

    def on_message(self, wire: Wire, message: Message) -> None:
        link = self.links.get(wire.connection.peer_incarnation)
        if link is None or link.wire is not wire:
            if link is not None and link.session is wire.connection.session:
                # It is counted as heard and never sent again. Later: this may be the user hub's turn.
                gap = PeerLost(f"a bug in greencoro: a message of {link.info} came after its connection was replaced")
                self._reactor.post(self.lose, link, gap, True)
            return
        if message.__class__ is Bye:
            if message.reason.startswith(REFUSED):
                self.report_refusal(link.info.location, message.reason)
            elif message.reason.startswith(_PARTED):
                self._remember(self.parted, link.info.incarnation)
            self.lose(link, PeerLost(f"{link.info} left: {escape(message.reason, MAX_REASON)}"))
            return
        self._on_message(link, message)

    def on_closed(self, wire: Wire, error: NetworkError) -> None:
        if self.incoming.take_out(wire):
            if isinstance(error, REFUSALS):
                self.report("refused a connection from %s: %s", wire.stream.peer_address, error, is_ours_to_tell=True)
            return
        self.crossings.forget(wire)
        link = self.links.get(wire.connection.peer_hello.incarnation)
        if link is not None and link.wire is wire:
            if wire.is_broken and self.resumption.begins(link, error):
                return
            is_bad = isinstance(error, RemoteProtocolError)
            if is_bad:
                self._reactor.log.log(_log, logging.WARNING, "cut off %s: %s", link.info, str(error))
            lost = error if isinstance(error, PeerLost) else PeerLost(f"{link.info}: {error}")
            self.lose(link, lost, may_live=not is_bad)

    def report(self, line: str, address: object, error: NetworkError, is_ours_to_tell: bool = False) -> None:
        """Log why a connection did not come about, unless the same was said of that address a short while ago.

        Args:
            is_ours_to_tell (bool): Nobody waits for it who would tell those that set up no logging.
        """
        self._refused.pop(address, None)
        self._refused[address] = line % (address, error)
        if len(self._refused) > _MAX_REFUSED:
            del self._refused[next(iter(self._refused))]
        now, cause = native.monotonic(), (line, type(error))
        if self._reports.is_new(address, cause, now):
            tell = tell_unheard if is_ours_to_tell and self._told.is_new(address, cause, now) else None
            self._reactor.log.log(_log, logging.WARNING, line, address, str(error), tell=tell)

    def report_refusal(self, location: Location, reason: str) -> None:
        """Log that the runtime at ``location`` said goodbye with `admission.REFUSED`."""
        error = PeerLost(escape(reason, MAX_REASON))
        self.report("%s does not take this runtime as a peer: %s", location, error)

    def adopt(self, wire: Wire, hello: Hello) -> Link:
        """Make an established connection the one of its peer's link."""
        info = PeerInfo(hello.location, hello.name, hello.incarnation, hello.presence.role)
        self.lost.pop(hello.incarnation, None)
        self.parted.pop(hello.incarnation, None)
        link = self.links.setdefault(hello.incarnation, self._new_link(info))
        wire.owner = self
        limits = PeerLimits.of(hello)
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
        self.is_reached(link)
        self._reactor.log.log(_log, logging.INFO, "peer.online name=%s location=%s", info.name, info.location)
        self._on_change(link, True, "", 0)
        # Last: it may find that the connection broke.
        wire.flush()
        return link

    def is_reached(self, link: Link) -> None:
        """There is a connection: nobody need dial for one."""
        self._dialling.came(link)
        self.redials.came(link.info.incarnation)

    def is_broken(self, link: Link) -> None:
        """The connection of a link broke, and another one is awaited."""
        self._admission.broke(link)

    def lose(self, link: Link, error: NetworkError, may_live: bool = False) -> None:
        """Give a link up; where it is lost already, nothing.

        Args:
            may_live (bool): The peer did not say goodbye: it is tried to reach it again.
        """
        if link.state is LinkState.LOST:
            return
        was_up = link.is_online
        self.resumption.over(link)
        wire = link.wire
        incarnation = link.info.incarnation
        # In this order: whoever finds no link must find that it was lost. See `Referrals` for others.
        if was_up:
            self._remember(self.lost, incarnation)
        if self.links.get(incarnation) is link:
            del self.links[incarnation]
        place = self._dialling.gone(incarnation)
        dropped = link.lose(error, self._reactor.guard)
        self._unread.remember(incarnation, link.unread())
        if wire is not None and not wire.is_closed:
            wire.abort()
        if was_up:
            line = "peer.offline name=%s location=%s dropped=%d reason=%s"
            self._reactor.log.log(_log, logging.INFO, line, link.info.name, link.info.location, dropped, str(error))
            self._on_change(link, False, str(error), dropped)
            # Who dialled us is tried for only where it says to be at the address that it came from.
            if may_live and (place is not None or came_from_its_place(link.info, wire)):
                self.redials.broke(link.info, place)
        elif dropped:
            # It never was online, so it cannot be told to go offline.
            line = "dropped %d messages that were queued for %s: %s"
            self._reactor.log.log(_log, logging.WARNING, line, dropped, link.info, str(error))

    def _remember(self, kept: OrderedDict[bytes, None], incarnation: bytes) -> None:
        kept[incarnation] = None
        if len(kept) > _REMEMBER_LOST:
            kept.popitem(last=False)

    def part(self, link: Link, reason: str, on_sent: Callable[[], object]) -> None:
        """Say goodbye to one peer, after what is queued for it. Until either side is told to, neither dials the other.

        Args:
            on_sent: Called when the peer has taken what was queued, or will not any more.
        """
        self._remember(self.parted, link.info.incarnation)
        wire = link.wire
        if wire is None or wire.is_closed:
            on_sent()
        else:
            self._closing.add(wire)

            def sent() -> None:
                self._sent(wire)
                on_sent()

            wire.close(_PARTED + reason, sent)
        self.lose(link, PeerLost(f"this runtime parted from {link.info}"))

    # Dialling, and what `Dialling` asks and tells.

    def dial(
        self, location: Location, on_done: OnDone, incarnation: bytes | None = None, only_that: bool = False
    ) -> None:
        """Reach the runtime at ``location``; ``on_done(link, None)`` or ``on_done(None, error)`` follows."""
        self._dialling.dial(location, on_done, incarnation, only_that)

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
        self.incoming.close()
        self._admission.close()
        links = list(self.links.values())
        wires = {link.wire for link in links if link.wire is not None and not link.wire.is_closed}
        # Beside those of peers that were parted from a moment ago.
        self._closing |= wires
        for wire in wires:
            wire.close(reason, functools.partial(self._sent, wire))
        for link in links:
            self.lose(link, PeerLost("this runtime is finished"))
        self._on_closed = on_closed
        if not self._closing:
            on_closed()

    def _sent(self, wire: Wire) -> None:
        self._closing.discard(wire)
        if not self._closing and self._on_closed is not None:
            self._on_closed()

    def abort(self) -> None:
        """End what `close` has left open for what is still to be sent."""
        self._gave_up = True
        if not self._closed:
            self.close("it finished", lambda: None)
        for wire in tuple(self._closing):
            wire.abort()
