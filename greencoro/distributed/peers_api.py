"""The part of a `Runtime` that is about its peers: to reach them, to know them, to hear of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from greencoro.config import Settings
from greencoro.distributed import options
from greencoro.distributed.addresses import Channel
from greencoro.distributed.contacts import Contacts
from greencoro.distributed.listening import ListenerHandle, Listening
from greencoro.distributed.location import Location
from greencoro.distributed.neighbours import Neighbours
from greencoro.distributed.peer_events import PeerEvent, PeerObservers
from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.peer_status import StatusReports
from greencoro.distributed.peers import Peers
from greencoro.distributed.places import Place
from greencoro.distributed.reactor import Reactor
from greencoro.distributed.search import DEFAULT_PORT
from greencoro.hub import names
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro
from greencoro.hub.waiting import seconds

__all__ = ["PeersApi"]


class PeersApi:
    """See the module. `Runtime` sets the attributes."""

    location: Location
    name: str
    reactor: Reactor
    peer_table: Peers
    _listening: Listening
    _contacts: Contacts
    _neighbours: Neighbours
    _observers: PeerObservers
    _status: StatusReports
    _place: Place
    _ways: Mapping[Channel, Location]
    settings: Settings

    def is_own(self, location: Location) -> bool:
        """Does a location mean this runtime itself, whichever of its addresses it has?"""
        return location in self._place.own

    def peer(
        self,
        loc: Location | str,
        udp_port: int = DEFAULT_PORT,
        stream_send: bool = False,
        broadcast: bool = False,
        *,
        timeout: float | None = None,
    ) -> int:
        """Contact the runtime at ``loc`` so that this one and that know each other.

        Args:
            loc: A `Location`, or a host with or without a port, as text. A host name stands for all its addresses. A
                host without a port stands for the runtimes there: for the node daemon at TCP port 51350, for the one
                that hears a ping at ``udp_port`` (of several that share it, on another machine, one alone), and for
                those that these have beside them.

            udp_port (int): UDP port of those at a host without a port.

            stream_send (bool): As in the seeds. Connections stay open here, whatever it is.

            broadcast (bool): Have the peer broadcast this runtime's location on its networks, so that all there get to
                know it. The peer does so once in 5 seconds.

            timeout (float | None): Longest wait, in seconds; None: the settings' time for connecting.

        Returns:
            int: 0 where one is a peer now, and did what ``broadcast`` asks for; else -1, and one line says why: in the
                log (of a wrong secret once a minute), or on standard error where no logging is set up. Those beside it
                may be peers a little later.
        """
        location = Location.of(loc, "peer")
        return self._contacts.peer(location, options.as_udp_port(udp_port), broadcast, timeout)

    def connect(
        self, loc: Location | str, timeout: float | None = None, *, incarnation: bytes | None = None
    ) -> PeerInfo:
        """Reach one runtime and learn who it is; a host without a port stands for the node daemon there.

        Args:
            incarnation (bytes | None): Who is expected. Another one that was reached there, and is a peer still, is not
                taken for it: somebody else may have been given the port since.

        Raises:
            PeerUnreachable: No connection; the message says what was tried.

            PeerLost: Another runtime answers than the one expected.

            AuthenticationError: The other side does not know the secret.

            IncompatibleVersion: It speaks another version of the protocol, runs another minor version of Python, or has
                another serializer.

            RemoteProtocolError: It does not keep to the protocol.

            DeadlineExceeded: None of this within ``timeout`` seconds.
        """
        return self._contacts.connect(options.as_location(loc), timeout, incarnation).info

    def disconnect(self, loc: Location | str, timeout: float | None = None) -> int:
        """Say goodbye to one peer, after what is queued for it: both sides lose each other, and go on.

        Until one of them is told to reach the other, as by `peer`, they have nothing to do with each other, though they
        hear of each other by discovery or were named in ``peers=``.

        Args:
            timeout (float | None): Longest wait for what is queued to be taken, in seconds; None: ``peer_timeout``.

        Returns:
            int: 0; -1 where there is no such peer, or it had not taken all in time: it is lost then all the same.
        """
        location = options.as_location(loc, "disconnect")
        limit = seconds(timeout, "disconnect")
        for link in self.peer_table.online():
            if link.info.location == location:
                sent = Completion()
                self.reactor.post(self.peer_table.part, link, f"{self.name} closed this connection", sent.set)
                return 0 if sent.wait(self.settings.peer_timeout_seconds if limit is None else limit) else -1
        return -1

    def accept(self, on: bool) -> None:
        """Let peers in at this runtime's locations, or do not any more; it is so when this returns.

        Those who connect while it does not wait in the queue of the listening socket, for this runtime or for another
        process that has that socket. Peers stay, and this runtime goes on reaching others.

        Raises:
            TypeError: ``on`` is neither True nor False.

            OSError: A listening socket cannot be watched.
        """
        if not isinstance(on, bool):
            raise TypeError(f"accept takes True or False, not {on!r}")
        self._listening.accept(on)

    def add_listener(self, descriptor: int) -> ListenerHandle:
        """Let peers in at a listening TCP socket as well, which somebody else opened.

        Who comes in there meets this runtime, at its own `location`; the socket's is none of its `locations`. It is
        duplicated, and closed with the runtime.

        Returns:
            ListenerHandle: Accepts; its ``stop()``, ``start()`` and ``close()`` have done that when they return.

        Raises:
            TypeError: ``descriptor`` is no number.

            OSError, ValueError: It is no listening TCP socket; inside a `MemoryNetwork` there are none.

            ClosedResource: This runtime is finished.
        """
        if isinstance(descriptor, bool) or not isinstance(descriptor, int):
            raise TypeError(f"add_listener takes the number of a descriptor, not {descriptor!r}")
        return self._listening.add(descriptor)

    def peers(self) -> list[Location]:
        """The locations of the peers that are online."""
        return [link.info.location for link in self.peer_table.online()]

    def peer_infos(self) -> list[PeerInfo]:
        """Who is online."""
        return [link.info for link in self.peer_table.online()]

    def locate(self, name: str, timeout: float | None = None) -> Location | None:
        """The location of the peer runtime called ``name``, waiting for it to come; None after ``timeout`` seconds.

        None as well where this runtime finishes meanwhile.

        Raises:
            TypeError, ValueError: ``name`` is no text, or empty.
        """
        name = names.checked(name)
        return self.location if name == self.name else self._contacts.locate(name, timeout)

    def peer_status(self, coro: Coro | None) -> None:
        """Send ``coro`` a `PeerStatus` for each peer that is online now, and whenever one comes or is lost.

        For each incarnation of a peer Online and Offline alternate. One coroutine is registered at a time, the last
        one; None: nobody is any more.
        """
        if coro is not None and not isinstance(coro, Coro):
            raise TypeError(f"peer_status takes a coroutine or None, not {coro!r}")
        registered = self._status.register(coro)
        if registered is not None:
            self._observers.prepare()
            # There what is online and what is told of do not change meanwhile.
            self.reactor.post(lambda: self._status.begin(registered, self.peer_infos()))

    def watch_peers(self, callback: Callable[[PeerEvent], None], *, on_reactor: bool = False) -> None:
        """Call ``callback(event)`` when a peer comes or is lost, on the user hub, in order; it must not block.

        Args:
            on_reactor (bool): Call it on the reactor instead, in the order of what happens there: after the loss of an
                earlier connection, before the first operation that the peer asks for. Only code that keeps to the
                reactor's rules (`reactor`) belongs there.
        """
        if on_reactor:
            self._observers.add_at_once(callback)
        else:
            self._observers.add(callback)

    def unwatch_peers(self, callback: Callable[[PeerEvent], None]) -> None:
        """Do not call ``callback`` any more."""
        self._observers.remove(callback)

    def announce(self, udp_port: int | None = None) -> None:
        """Tell those on the networks of this runtime once that it is there; any thread, and also where it takes no part
        in discovery.

        Args:
            udp_port (int | None): Where they hear; None or 0: the one that this runtime has.

        Raises:
            ConfigError: ``udp_port`` is no port.
        """
        port = options.as_udp_port(udp_port) if udp_port else self._neighbours.udp_port
        self.reactor.post(self._neighbours.announce_once, self._ways, port)

    def ignore_pings(self, flag: bool) -> None:
        """Have nothing to do with those who are heard of by discovery, and tell of this runtime only by `announce`.

        False: as before, from now on. Whoever is a peer stays one. Any thread.
        """
        self.reactor.post(self._neighbours.ignore_pings, bool(flag))

    def set_ping_interval(self, interval: float | None) -> None:
        """Tell those on the networks of this runtime that it is there, now and every ``interval`` seconds; any thread.

        In place of the setting ``ping_interval_seconds``. None: not any more, save for what is left of the minute after
        the start. Where this runtime takes no part in discovery it makes no difference.

        Raises:
            ConfigError: ``interval`` is nothing that the setting may be.
        """
        checked = Settings(ping_interval_seconds=interval)
        self.reactor.post(self._neighbours.set_ping_interval, checked.ping_interval_seconds)
