"""How runtimes that were not named find each other: by pings, and by what peers tell of those beside them.

Over its links a runtime does three things for its peers, all of them about the peer itself, as its link knows it, or
about this runtime's own machine:

- ``greencoro.siblings``: say which runtimes are on this machine and UDP port, and tell those of the asker;
- ``greencoro.meet``: dial a runtime that such a sibling was asked by;
- ``greencoro.relay``: broadcast the asker's location on the networks here.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from greencoro.distributed import messages
from greencoro.distributed.addresses import Channel
from greencoro.distributed.calls import Calls, Request
from greencoro.distributed.datagrams import Ping
from greencoro.distributed.discovery import START_PINGS_SECONDS, Discovery, Rate
from greencoro.distributed.discovery_socket import DiscoverySocket, Target, send_once
from greencoro.distributed.link import Link
from greencoro.distributed.location import Location
from greencoro.distributed.peers import Peers
from greencoro.distributed.presence import NOTHING_SPECIAL
from greencoro.distributed.reactor import Reactor, Timer
from greencoro.errors import BusyResource, GreencoroError, NetworkError
from greencoro.hub import native

__all__ = ["Neighbours"]

_log = logging.getLogger(__name__)

#: Siblings told of at once.
MAX_SIBLINGS = 256
#: Of those that were told of so many are dialled at once, the others after so many seconds each time.
_MEET_AT_ONCE = 50
_MEET_AGAIN_SECONDS = 1.0
#: So many may wait for that; whoever is told of beyond them is not dialled.
_MAX_TO_MEET = 4 * MAX_SIBLINGS


class Neighbours:
    """See the module; everything but `__init__` runs on the reactor's thread.

    Args:
        locations: Where this runtime can be dialled; first the one that it tells its peers.

        told: The networks to be heard on, each with the location to tell there; none: no part is taken in discovery.

        addresses: This machine's, at which single datagrams are heard.

        ping_interval (float | None): Seconds between two pings; None: only at the start.

    Raises:
        OSError: The UDP port cannot be had.
    """

    def __init__(
        self,
        reactor: Reactor,
        peers: Peers,
        calls: Calls,
        discovery: Discovery,
        locations: Sequence[Location],
        told: Mapping[Channel, Location],
        addresses: Sequence[str],
        udp_port: int,
        ping_interval: float | None,
    ) -> None:
        self.udp_port = udp_port
        self.told = told
        self.location = locations[0]
        self._locations = locations
        self._hosts = {location.addr for location in (*locations, *told.values())}
        self._reactor = reactor
        self._peers = peers
        self._calls = calls
        self._discovery = discovery
        self._ping_interval = ping_interval
        self._again: Timer | None = None
        self._online = _Online(peers)
        self._introductions = Rate()
        self._relays = Rate()
        # Siblings to be dialled, in the order they were told of, and the pause before the next.
        self._to_meet: dict[Location, Ping] = {}
        self._pause: Timer | None = None
        self._meetings = Rate(a_second=_MAX_TO_MEET)
        self._closed = False
        self._ignores = False
        self._timers: list[Timer] = []
        self._socket: DiscoverySocket | None = None
        if told:
            self._socket = DiscoverySocket(reactor, list(told), addresses, udp_port, self._on_datagram)
        calls.handle("greencoro.siblings", self._on_siblings, on_reactor=True)
        calls.handle("greencoro.meet", self._on_meet, on_reactor=True)
        calls.handle("greencoro.relay", self._on_relay, on_reactor=True)

    @property
    def is_open(self) -> bool:
        """Does this runtime take part in discovery?"""
        return bool(self.told)

    def start(self) -> None:
        """Begin to hear, and tell those who are there of this runtime."""
        if self._socket is None:
            return
        self._socket.start()
        self._timers = [self._reactor.call_later(seconds, self._announce) for seconds in START_PINGS_SECONDS]
        self._announce_every(self._ping_interval)

    def close(self) -> None:
        """Neither hear nor tell any more."""
        self._closed = True
        if self._pause is not None:
            self._pause.cancel()
        while self._timers:
            self._timers.pop().cancel()
        self._announce_every(None)
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def set_ping_interval(self, seconds: float | None) -> None:
        """Tell of this runtime now and every ``seconds``; None: no more than at the start."""
        if self._socket is not None:
            if seconds is not None:
                self._announce()
            self._announce_every(seconds)

    def _announce_every(self, seconds: float | None) -> None:
        if self._again is not None:
            self._again.cancel()
        self._again = None if seconds is None else self._reactor.call_every(seconds, self._announce)

    def _announce(self) -> None:
        if self._socket is not None and not self._ignores:
            self._socket.broadcast(lambda way: self._discovery.ping(self.told[way]))

    def announce_once(self, ways: Mapping[Channel, Location], udp_port: int) -> None:
        """Tell those who hear at a UDP port of some networks of this runtime, whether it hears there itself or not.

        Args:
            ways: Each with the location to tell there.
        """
        if not self._closed:
            for way, location in ways.items():
                send_once(Target(way.family, way.target, way.interface), udp_port, self._discovery.ping(location))

    def ignore_pings(self, flag: bool) -> None:
        """Neither dial those who tell of themselves nor tell of this runtime unasked, or do so again."""
        self._ignores = flag
        self._announce()

    def _on_datagram(self, datagram: bytes, host: str, port: int) -> bytes | None:
        if self._ignores:
            return None
        now = native.monotonic()
        ping = self._discovery.heard(datagram, self._online, now)
        if ping is not None:
            self._meet(ping)
        return self._discovery.echo(datagram, host, port, now)

    def _meet(self, ping: Ping) -> None:
        if not self._closed:
            self._peers.dial(ping.location, _nobody_waits, ping.incarnation)

    # The side that was contacted.

    def _on_siblings(self, request: Request) -> None:
        asker = _ping_of(request.link)
        siblings = self._siblings(request.link)[:MAX_SIBLINGS]
        if self._introductions.allows(asker.incarnation, native.monotonic()):
            for link in siblings:
                # Who has no room for it now has heard of the asker by its pings, or is dialled by it.
                self._calls.post_nowait(link, "greencoro.meet", {"peer": _as_json(asker)}, ())
        request.reply({"siblings": [_as_json(_ping_of(link)) for link in siblings]})

    def _siblings(self, asker: Link) -> list[Link]:
        """The peers at one of this runtime's addresses, on the same UDP port, that ``asker`` is to meet."""
        if not self.is_open:
            return []
        presence = _ping_of(asker).presence
        return [
            link
            for link in self._peers.online()
            if link is not asker
            and link.info.location.addr in self._hosts
            and _udp_port_of(link) == self.udp_port
            and presence.meets(_ping_of(link).presence)
        ]

    def _on_meet(self, request: Request) -> None:
        ping = _from_json(request.header.get("peer"))
        if self.is_open and not self._ignores and self._discovery.may_dial(ping, self._online, native.monotonic()):
            self._meet(ping)
        request.reply()

    def _on_relay(self, request: Request) -> None:
        if self._socket is None:
            raise GreencoroError(f"{self.location} takes no part in discovery, so it relays nothing")
        if not self._relays.allows(request.peer.incarnation, native.monotonic()):
            raise BusyResource(f"{self.location} relayed for this peer a moment ago")
        # What is known of the asker by its link; it is not asked for whom.
        datagram = self._discovery.relayed(_ping_of(request.link))
        if not self._socket.broadcast(lambda way: datagram):
            raise GreencoroError(f"no network of {self.location} took the broadcast")
        request.reply()

    # The side that contacted somebody.

    def introduce(self, link: Link) -> None:
        """Get to know the siblings of a peer."""
        number = link.answers.expect(functools.partial(self._told_siblings, link), messages.Reply)
        link.send(None, messages.Request(number, "greencoro.siblings", {}, ()).encode())

    def _told_siblings(self, link: Link, reply: Any, error: NetworkError | None) -> None:
        if error is not None or not reply.succeeded:
            reason = str(error) if error is not None else str(reply.header.get("message", ""))
            self._reactor.log.log(_log, logging.INFO, "%s does not tell who is beside it: %s", link.info, reason)
            return
        siblings = reply.header.get("siblings")
        for entry in siblings[:MAX_SIBLINGS] if isinstance(siblings, list) else ():
            try:
                ping = _from_json(entry)
            except GreencoroError as wrong:
                self._reactor.log.log(_log, logging.WARNING, "%s tells nonsense of its siblings: %s", link.info, wrong)
                return
            if ping.location not in self._locations and len(self._to_meet) < _MAX_TO_MEET:
                self._to_meet.setdefault(ping.location, ping)
        if self._pause is None:
            self._meet_some()

    def _meet_some(self) -> None:
        """Dial the next of those that were told of; the others after a pause."""
        self._pause = None
        if self._closed or not self._to_meet:
            return
        for location in list(self._to_meet)[:_MEET_AT_ONCE]:
            ping = self._to_meet.pop(location)
            if ping.incarnation not in self._online and self._meetings.allows(location, native.monotonic()):
                self._meet(ping)
        self._pause = self._reactor.call_later(_MEET_AGAIN_SECONDS, self._meet_some)


class _Online:
    """The incarnations that nobody dials for a ping: those online, and those that were parted from.

    One that is only being dialled may be so at a wrong place.
    """

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    def __contains__(self, incarnation: object) -> bool:
        link = self._peers.links.get(incarnation)  # type: ignore[call-overload]
        return (link is not None and link.is_online) or incarnation in self._peers.parted


def _udp_port_of(link: Link) -> int:
    """The UDP port at which a peer takes part in discovery; 0 where it does not."""
    wire = link.wire
    return wire.connection.peer_hello.udp_port if wire is not None else 0


def _ping_of(link: Link) -> Ping:
    """What a peer would say of itself."""
    wire = link.wire
    presence = wire.connection.peer_hello.presence if wire is not None else NOTHING_SPECIAL
    return Ping(link.info.incarnation, link.info.location, presence)


def _as_json(ping: Ping) -> list[Any]:
    return [ping.location.addr, ping.location.port, ping.incarnation.hex()]


def _from_json(entry: Any) -> Ping:
    try:
        host, port, incarnation = entry
        ping = Ping(bytes.fromhex(incarnation), Location(host, port))
    except (TypeError, ValueError) as error:
        raise GreencoroError(f"this is no location with an incarnation: {error}") from None
    if len(ping.incarnation) != 16 or not ping.location.port:
        raise GreencoroError("this is no location with an incarnation")
    return ping


def _nobody_waits(link: Link | None, error: NetworkError | None) -> None:
    """Whoever is dialled because somebody told of it is a peer then, or is not there: neither is anybody's business."""
