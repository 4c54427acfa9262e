"""The peers of one runtime: dialling them, letting them in, giving them up.

One link per incarnation. When both sides dial at once, the dial of the lower incarnation stays: a responder that itself
is connected to the other side and has the lower incarnation refuses, before anything was answered, and goes on. A
side that has answered already, and has not heard the last of it, does not begin to dial before that is decided.

Who dials a place that the other side does not know as its own (a port that a gateway or ssh forwards) learns only from
the answer whom it dials. Then the higher incarnation waits a moment for the other one's dial before it takes its own.
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
from greencoro.distributed.dial import Dial, OnDone
from greencoro.distributed.handshake import Hello, Role
from greencoro.distributed.link import Link, LinkState, PeerInfo, PeerLimits
from greencoro.distributed.location import Location
from greencoro.distributed.messages import Bye, Message
from greencoro.distributed.reactor import Reactor
from greencoro.distributed.reports import Reports
from greencoro.distributed.secret import Secret
from greencoro.distributed.stream import Listener, Stream, Transport
from greencoro.distributed.wire import Wire
from greencoro.errors import (
    AuthenticationError,
    IncompatibleVersion,
    NetworkError,
    PeerLost,
    PeerUnreachable,
    RemoteProtocolError,
)
from greencoro.hub import native
from greencoro.log import escape

__all__ = ["Peers"]

_log = logging.getLogger(__name__)

#: Incarnations that were lost are remembered, so that nobody dials for a reference to one.
_REMEMBER_LOST = 10_000
#: Where both sides dial, whoever's dial has to give way waits so long for the other one's to come up.
_CROSSED_SECONDS = 1.0
#: The same where nobody dials us so far.
_REFUSED_SECONDS = 0.3
#: At the end, with messages queued for a peer that is being dialled, this often it is looked whether it is there.
_LOOK_AGAIN_SECONDS = 0.01
#: A text of a peer's goes this far into messages of ours.
_MAX_REASON = 200

#: Who goes on trying with a wrong secret is told of once in so long.
_REPORT_SECONDS = 60.0
#: What the one line is about; anything else that ends an attempt is the network's everyday.
_REFUSALS = AuthenticationError | IncompatibleVersion | RemoteProtocolError


class Peers:
    """See the module; everything but `link_to` and the properties runs on the reactor's thread.

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
        self._dials: dict[Location, Dial] = {}
        self._closed = False
        self._closing: set[Wire] = set()
        self._gave_up = False
        self._reports = Reports(_REPORT_SECONDS)
        self._admission = Admission(self, reactor, hello)
        self.links: dict[bytes, Link] = {}
        self.lost: OrderedDict[bytes, None] = OrderedDict()

    # Any thread: single dict operations.

    def link_to(self, location: Location, name: str, incarnation: bytes) -> Link | None:
        """The link to an incarnation, dialling where there is none; None where that incarnation was lost."""
        link = self.links.get(incarnation)
        if link is not None:
            return link
        if incarnation in self.lost or incarnation == self._hello.incarnation:
            return None
        link = self.links.setdefault(incarnation, self._new_link(PeerInfo(location, name, incarnation)))
        self._reactor.post(self._dial_for, link)
        return link

    def online(self) -> list[Link]:
        """The links that are up."""
        return [link for link in tuple(self.links.values()) if link.state is LinkState.UP]

    def _new_link(self, info: PeerInfo) -> Link:
        return Link(info, self._reactor.post, _limits_of(self._hello))

    # The reactor's thread: coming in.

    def serve(self, listener: Listener) -> None:
        """Let peers in at ``listener``."""
        listener.start(self._accept)

    def _accept(self, stream: Stream) -> None:
        if self._closed:
            stream.abort()
            return
        per_address = [w for w in self._unproven if w.stream.peer_address == stream.peer_address]
        if len(per_address) >= self._settings.max_unauthenticated_per_address:
            self._drop_oldest(per_address)
        elif len(self._unproven) >= self._settings.max_unauthenticated:
            self._drop_oldest(list(self._unproven))
        wire = self._new_wire(stream, Role.RESPONDER, self)
        self._unproven[wire] = None
        wire.open()

    def _drop_oldest(self, wires: list[Wire]) -> None:
        # Those that showed that they know the secret come last: nobody can fill the places with such.
        self._drop_unproven(min(wires, key=lambda wire: self._unproven[wire] is not None))

    def _drop_unproven(self, wire: Wire) -> None:
        del self._unproven[wire]
        wire.abort()

    def _new_wire(self, stream: Stream, role: Role, owner: Any) -> Wire:
        connection = Connection(
            role, self._psk, self._hello, os.urandom(32), self._fingerprint, self._limits, native.monotonic()
        )
        return Wire(
            self._reactor, stream, connection, owner, self._settings.tick_seconds, self._settings.handshake_seconds
        )

    # As the owner of wires: those that came in, and all once they belong to a link.

    def on_introduced(self, wire: Wire, hello: Hello) -> bool:
        if wire in self._unproven:
            if self._hello.incarnation < hello.incarnation and self._is_dialling(hello):
                del self._unproven[wire]
                return False
            self._unproven[wire] = hello
        return True

    def _is_dialling(self, hello: Hello) -> bool:
        return any(dial.is_connected and dial.aims_at(hello) for dial in self._dials.values())

    def on_established(self, wire: Wire, hello: Hello) -> None:
        self._unproven.pop(wire, None)
        self._admission.let_in(wire, hello, lambda link, error: None)

    def on_message(self, wire: Wire, message: Message) -> None:
        link = self.links.get(wire.connection.peer_hello.incarnation)
        if link is None or link.wire is not wire:
            return
        if isinstance(message, Bye):
            reason = escape(message.reason, _MAX_REASON)
            if message.reason.startswith(REFUSED):
                self.report("%s does not take this runtime as a peer: %s", link.info.location, PeerLost(reason))
            self.lose(link, PeerLost(f"{link.info} left: {reason}"))
            return
        self._on_message(link, message)

    def on_closed(self, wire: Wire, error: NetworkError) -> None:
        if wire in self._unproven:
            del self._unproven[wire]
            if isinstance(error, _REFUSALS):
                self.report("refused a connection from %s: %s", wire.stream.peer_address, error)
            return
        link = self.links.get(wire.connection.peer_hello.incarnation)
        if link is not None and link.wire is wire:
            if isinstance(error, RemoteProtocolError):
                self._reactor.log.log(_log, logging.WARNING, "cut off %s: %s", link.info, str(error))
            self.lose(link, error if isinstance(error, PeerLost) else PeerLost(f"{link.info}: {error}"))

    def report(self, line: str, address: object, error: NetworkError) -> None:
        """Log why a connection did not come about, unless the same was said of that address a short while ago."""
        if self._reports.is_new(address, (line, type(error)), native.monotonic()):
            self._reactor.log.log(_log, logging.WARNING, line, address, str(error))

    def adopt(self, wire: Wire, hello: Hello) -> Link:
        """Make an established connection the one of its peer's link."""
        info = PeerInfo(hello.location, hello.name, hello.incarnation)
        self.lost.pop(hello.incarnation, None)
        link = self.links.setdefault(hello.incarnation, self._new_link(info))
        wire.owner = self
        limits = _limits_of(hello)
        if not link.up(wire, info, limits):
            reason = f"what was queued for {info} before it answered is more than it takes ({limits})"
            self._reactor.log.log(_log, logging.WARNING, "dropped: %s", reason)
            self.lose(link, PeerLost(reason))
            # In this order: whoever finds no link finds that it was lost, and makes none.
            link = self.links[hello.incarnation] = self._new_link(info)
            del self.lost[hello.incarnation]
            link.up(wire, info, limits)
        for dial in [d for d in self._dials.values() if d.wire is not wire and d.aims_at(info)]:
            self._end_dial(dial, link, None)
        self._reactor.log.log(_log, logging.INFO, "peer.online name=%s location=%s", info.name, info.location)
        self._on_change(link, True, "", 0)
        return link

    def lose(self, link: Link, error: NetworkError) -> None:
        """Give a link up; where it is lost already, nothing."""
        if link.state is LinkState.LOST:
            return
        was_up = link.state is LinkState.UP
        wire = link.wire
        incarnation = link.info.incarnation
        # In this order: whoever finds no link must find that it was lost.
        self.lost[incarnation] = None
        if self.links.get(incarnation) is link:
            del self.links[incarnation]
        while len(self.lost) > _REMEMBER_LOST:
            self.lost.popitem(last=False)
        dropped = link.lose(error)
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

    # Dialling.

    def dial(self, location: Location, on_done: OnDone, incarnation: bytes | None = None) -> None:
        """Reach the runtime at ``location``; ``on_done(link, None)`` or ``on_done(None, error)`` follows."""
        for link in self.online():
            if link.info.location == location:
                on_done(link, None)
                return
        if self._closed:
            on_done(None, PeerUnreachable("this runtime is finished"))
            return
        dial = self._dials.get(location)
        if dial is not None:
            dial.waiting.append(on_done)
            return
        dial = self._dials[location] = Dial(self, location, incarnation)
        dial.waiting.append(on_done)
        if any(hello is not None and dial.aims_at(hello) for hello in self._unproven.values()):
            self._reactor.call_later(_CROSSED_SECONDS, self._start_dial, dial)
        else:
            self._start_dial(dial)

    def _start_dial(self, dial: Dial) -> None:
        if self._dials.get(dial.location) is dial and not self._closed:
            dial.give_up = self._transport.dial(
                dial.location,
                self._settings.connect_timeout_seconds,
                lambda stream, error: self._dialled(dial, stream, error),
            )

    def _dial_for(self, link: Link) -> None:
        if link.state is not LinkState.DIALING:
            return

        def on_done(reached: Link | None, error: NetworkError | None) -> None:
            if link.state is not LinkState.DIALING:
                return
            if error is None:
                error = PeerLost(f"{link.info} is gone: another runtime answers at its place")
            self.lose(link, error)

        self.dial(link.info.location, on_done, link.info.incarnation)

    def _dialled(self, dial: Dial, stream: Stream | None, error: OSError | None) -> None:
        dial.give_up = None
        if stream is None:
            reason = (error.strerror or str(error)) if error is not None else "no connection"
            self.dial_failed(dial, PeerUnreachable(f"cannot reach {dial.location}: {reason}"))
            return
        dial.wire = self._new_wire(stream, Role.INITIATOR, dial)
        dial.wire.open()

    def gives_way(self, dial: Dial) -> bool:
        """Is the connection of ``dial``, which is established, to wait for one that the other side dialled?"""
        assert dial.incarnation is not None
        # What came in may be a replay: more than a moment it is not worth.
        if dial.incarnation >= self._hello.incarnation or not self._incoming(dial.incarnation):
            return False
        self._reactor.call_later(_CROSSED_SECONDS, dial.take_over)
        return True

    def _incoming(self, incarnation: bytes) -> list[Wire]:
        return [
            wire for wire, hello in self._unproven.items() if hello is not None and hello.incarnation == incarnation
        ]

    def dial_established(self, dial: Dial, wire: Wire, hello: Hello) -> None:
        """The dialled side proved itself."""
        self._reports.forget(dial.location)
        for crossing in self._incoming(hello.incarnation):
            self._drop_unproven(crossing)
        self._admission.let_in(wire, hello, functools.partial(self._end_dial, dial))

    def dial_refused(self, dial: Dial, error: NetworkError) -> None:
        """The other side did not accept the connection; perhaps because it dials as well."""
        self._reactor.call_later(_REFUSED_SECONDS, self._judge_refusal, dial, error)

    def _judge_refusal(self, dial: Dial, error: NetworkError) -> None:
        if self._unproven:
            self._reactor.call_later(_CROSSED_SECONDS - _REFUSED_SECONDS, self.dial_failed, dial, error)
        else:
            self.dial_failed(dial, error)

    def dial_failed(self, dial: Dial, error: NetworkError) -> None:
        """The attempt is over without a connection."""
        if self._dials.get(dial.location) is not dial:
            return
        for link in self.online():
            if dial.aims_at(link.info):
                # The other side's dial was the one to stay.
                self._end_dial(dial, link, None)
                return
        if isinstance(error, _REFUSALS):
            self.report("cannot connect to %s: %s", dial.location, error)
            error = type(error)(f"cannot connect to {dial.location}: {error}")
        elif isinstance(error, PeerLost):
            error = PeerUnreachable(f"cannot reach {dial.location}: {error}")
        self._end_dial(dial, None, error)

    def _end_dial(self, dial: Dial, link: Link | None, error: NetworkError | None) -> None:
        if self._dials.get(dial.location) is dial:
            del self._dials[dial.location]
        if dial.give_up is not None:
            dial.give_up()
            dial.give_up = None
        if dial.wire is not None and dial.wire.owner is dial:
            dial.wire.abort()
        waiting, dial.waiting = dial.waiting, []
        for on_done in waiting:
            on_done(link, error)

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
        for dial in list(self._dials.values()):
            self._end_dial(dial, None, PeerUnreachable("this runtime is finished"))
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


def _limits_of(hello: Hello) -> PeerLimits:
    return PeerLimits(hello.max_queue_messages, hello.max_queue_bytes, hello.max_message_bytes)
