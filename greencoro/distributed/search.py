"""Looking for those that a location stands for: one runtime, or all that a host name or a machine has."""

from __future__ import annotations

import functools
import ipaddress
import logging
from collections.abc import Callable
from typing import Any

from greencoro.distributed.addresses import resolve
from greencoro.distributed.dial import pause_after
from greencoro.distributed.discovery_socket import Target, send_once, targets_of
from greencoro.distributed.link import Link
from greencoro.distributed.location import Location
from greencoro.errors import (
    AuthenticationError,
    IncompatibleVersion,
    NetworkError,
    PeerLost,
    PeerUnreachable,
    RemoteProtocolError,
)
from greencoro.hub import native
from greencoro.hub.telling import tell, tell_unheard

__all__ = ["DEFAULT_PORT", "Kept", "Named", "Search"]

_log = logging.getLogger(__name__)

#: The seeds' UDP port for discovery; node daemons answer on the TCP port of the same number.
DEFAULT_PORT = 51350
#: A machine that was named without a port is pinged so often until somebody there answers.
_PING_SECONDS = 0.5

OnLink = Callable[[Link], object]
OnFailed = Callable[[NetworkError], object]


class Search:
    """One attempt to reach all runtimes that a location stands for; on the reactor's thread.

    A host name stands for all its addresses. A host without a port stands for the node daemon there, and for whoever
    hears a ping on the UDP port.

    Args:
        contacts: Those it is for.

        on_link: Called with each link that was found; perhaps more than once with the same.

        on_failed: Called once, where no address answered on TCP, or the host has none.

        pings (int): So many are sent at most, where there is no port.
    """

    def __init__(
        self,
        contacts: Any,
        location: Location,
        udp_port: int,
        on_link: OnLink,
        on_failed: OnFailed,
        pings: int,
    ) -> None:
        self._contacts = contacts
        self._location = location
        self._udp_port = udp_port
        self._on_link = on_link
        self._on_failed = on_failed
        self._pings = pings
        #: Those of the host, once they are known.
        self.addresses: list[str] = []
        self._targets: list[Target] = []
        self._left = 0
        self._reached = False
        self._closed = False

    def start(self) -> None:
        if self._location.port and _is_address(self._location.addr):
            self._look_for([self._location.addr], [])
        else:
            # The resolver blocks, and may for seconds.
            native.Thread(self._look_up, "greencoro-resolve").start()

    def _look_up(self) -> None:
        host, post = self._location.addr, self._contacts.runtime.reactor.post
        try:
            addresses = resolve(host)
        except OSError as error:
            post(self._on_failed, PeerUnreachable(f"cannot reach {host}: {error.strerror or error}"))
            return
        targets = [] if self._location.port else [target for each in addresses for target in targets_of(each)]
        post(self._look_for, addresses, targets)

    def _look_for(self, addresses: list[str], targets: list[Target]) -> None:
        contacts = self._contacts
        if self._closed or contacts.is_closed:
            return
        self.addresses = addresses
        table, is_own = contacts.runtime.peer_table, contacts.runtime.is_own
        port = self._location.port or DEFAULT_PORT
        places = [place for place in (Location(address, port) for address in addresses) if not is_own(place)]
        if not places and self._location.port:
            self._on_failed(PeerUnreachable(f"{self._location} is this runtime itself"))
            return
        if not self._location.port:
            self._targets = targets
            contacts.begin(self)
            for link in table.online():
                self.came(link)
            self._ping()
        self._left = len(places)
        for place in places:
            table.dial(place, self._dialled)

    def _ping(self) -> None:
        if self._closed or not self._pings:
            return
        self._pings -= 1
        # Of several locations who hears it may reach only some: from inside a gateway, or by IPv6 alone.
        for location in self._contacts.runtime.locations:
            datagram = self._contacts.discovery.ping(location)
            for target in self._targets:
                send_once(target, self._udp_port, datagram)
        self._contacts.runtime.reactor.call_later(_PING_SECONDS, self._ping)

    def came(self, link: Link) -> None:
        """A peer is online; it may be one of those looked for."""
        wire = link.wire
        at = {link.info.location.addr} | ({wire.stream.peer_address} if wire is not None else set())
        if at.intersection(self.addresses):
            self._found(link)

    def _dialled(self, link: Link | None, error: NetworkError | None) -> None:
        self._left -= 1
        if link is not None:
            self._found(link)
        elif error is not None and not self._left and not self._reached:
            self._on_failed(error)

    def _found(self, link: Link) -> None:
        self._reached = True
        self._on_link(link)

    def close(self) -> None:
        """Ping no more; dials that are under way go on."""
        self._closed = True
        self._contacts.end(self)


class Named:
    """A place that a person named, and how it stands there; any thread may read it."""

    def __init__(self, location: Location) -> None:
        self._location = location
        #: Is somebody reached there whom a query asks?
        self.online = False
        #: Why nobody was reached there the last time.
        self.error: NetworkError | None = None

    def __str__(self) -> str:
        return str(self._location) if self._location.port else self._location.addr


class Kept:
    """One of ``peers=``; on the reactor's thread, but for `named`."""

    def __init__(self, contacts: Any, location: Location, udp_port: int, is_told: bool) -> None:
        self._contacts = contacts
        self._location = location
        self.named = Named(location)
        self._udp_port = udp_port
        #: Are people still to be told of the first failure?
        self._is_to_tell = is_told
        self._answering: set[bytes] = set()
        self._search: Search | None = None

    def seek(self) -> None:
        """Try to reach it, unless somebody there is online."""
        if self._search is not None:
            self._search.close()
        if not self._answering and not self._contacts.is_closed:
            self._search = Search(self._contacts, self._location, self._udp_port, self._on_link, self._on_failed, 1)
            self._search.start()

    def _seek_later(self, error: NetworkError | None = None) -> None:
        pause = pause_after(error, self._contacts.runtime.settings.tick_seconds)
        self._contacts.runtime.reactor.call_later(pause, self.seek)

    def _on_link(self, link: Link) -> None:
        if link.is_lost or link.info.incarnation in self._answering:
            return
        self._answering.add(link.info.incarnation)
        self.named.error = None
        if not self._location.port or self._contacts.neighbours.is_open:
            self._contacts.neighbours.introduce(link)

    def _on_failed(self, error: NetworkError) -> None:
        if not self._contacts.is_closed:
            self.named.error = error
            if self._is_to_tell:
                self._is_to_tell = False
                # Standard error may block.
                native.Thread(functools.partial(_tell_failure, self.named, error), "greencoro-tell").start()
            else:
                log = self._contacts.runtime.reactor.log
                log.log(_log, logging.INFO, "still trying to reach a peer: %s", str(error))
            self._seek_later(error)

    def lost(self, link: Link) -> None:
        """A peer is lost; it may have been the last of those here."""
        if link.info.incarnation in self._answering:
            self._answering.discard(link.info.incarnation)
            if not self._answering and link.info.incarnation not in self._contacts.runtime.peer_table.parted:
                # Until it is known why nobody is reached there any more.
                self.named.error = PeerLost(f"{self.named} is lost: {link.error}")
                self._seek_later()


def _tell_failure(named: Named, error: NetworkError) -> None:
    line = f"{named}, one of the peers that were named, is not reached, and is tried again and again: {error}"
    if isinstance(error, AuthenticationError | IncompatibleVersion | RemoteProtocolError):
        tell_unheard(_log, line)  # the reactor logs it
    else:
        tell(_log, logging.WARNING, line)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
