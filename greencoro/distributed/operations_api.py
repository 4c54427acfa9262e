"""The part of a `Runtime` that layers above are built on.

Operations that peers do for each other, watches, and waits of which people are told in the words of those layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from greencoro.distributed.calls import Calls, Reply, Request
from greencoro.distributed.contacts import Contacts
from greencoro.distributed.elsewhere import Home
from greencoro.distributed.fields import Header
from greencoro.distributed.link import Link
from greencoro.distributed.locate import Locator
from greencoro.distributed.location import Location
from greencoro.distributed.outcomes import Watch
from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.peers import Peers
from greencoro.distributed.proxies import RemoteCoro
from greencoro.distributed.reactor import Reactor
from greencoro.distributed.reference_classes import ReferenceClasses
from greencoro.distributed.refs import Reference
from greencoro.distributed.repeating import Repetition, Repetitions
from greencoro.distributed.search import Named
from greencoro.distributed.watches import Watches
from greencoro.errors import NetworkError, PeerUnreachable
from greencoro.hub import names, native, waiting
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro

__all__ = ["OperationsApi"]


class OperationsApi:
    """See the module. `Runtime` sets the attributes."""

    peer_table: Peers
    watches: Watches
    reactor: Reactor
    _calls: Calls
    _contacts: Contacts
    _locator: Locator
    _repetitions: Repetitions
    reference_classes: ReferenceClasses

    def serve_basics(self) -> None:
        """Serve what every runtime does for its peers: answer, and say what its clock shows."""
        self.handle("greencoro.ping", lambda request: request.reply(), on_reactor=True)
        self.handle(
            "greencoro.clock",
            lambda request: request.reply({"wall_clock_seconds": native.wall_clock()}),
            on_reactor=True,
        )

    def handle(self, operation: str, handler: Callable[[Request], None], on_reactor: bool = False) -> None:
        """Serve an operation for peers; see `calls.Calls.handle`."""
        self._calls.handle(operation, handler, on_reactor)

    def request(
        self,
        to: PeerInfo | Location,
        operation: str,
        header: Header,
        parts: Sequence[bytes] = (),
        timeout: float | None = None,
    ) -> Reply:
        """Have a peer do an operation; see `calls.Calls.request`, and `connect` for a location that is no peer yet."""
        return self._calls.request(self._link_of(to, timeout), operation, header, parts, timeout)

    def request_nowait(
        self,
        to: PeerInfo,
        operation: str,
        header: dict[str, Any],
        on_answer: Callable[[Reply | None, Exception | None], None],
    ) -> bool:
        """As `request`, of one that is a peer, from any thread and never waiting; see `calls.Calls.request_nowait`."""
        link = self.peer_table.links.get(to.incarnation)
        return link is not None and self._calls.request_nowait(link, operation, header, on_answer)

    def post(self, to: PeerInfo | Location, operation: str, header: Header, parts: Sequence[bytes] = ()) -> int:
        """Have a peer do an operation, without an answer; 0 where that is queued, -1 where the peer is lost.

        Raises:
            BusyResource: There was no room on the way to it for ``send_timeout`` seconds, or at all where nothing may
                wait: on the reactor, or beside a loop of asyncio.

            LocalProtocolError: It is larger than what this side or the peer takes.
        """
        try:
            link = self._link_of(to, None)
        except NetworkError:
            return -1
        return self._calls.post(link, operation, header, parts)

    def post_nowait(self, to: PeerInfo, operation: str, header: dict[str, Any], parts: Sequence[bytes] = ()) -> bool:
        """As `post`, to one that is a peer, from any thread and never waiting.

        Returns:
            bool: False where it is not queued: there is no room on the way to it now, or it is no peer any more.
        """
        link = self.peer_table.links.get(to.incarnation)
        return link is not None and self._calls.post_nowait(link, operation, header, parts)

    def every(self, seconds: float, callback: Callable[[], object]) -> Repetition:
        """Call ``callback()`` on the reactor every ``seconds``, first in so many, until what is returned is stopped.

        From any thread. It goes on while coroutines compute, and ends with this runtime. Calls that were missed, as
        while the process was stopped, are not made up for. What it raises is logged. Only code that keeps to the
        reactor's rules (`reactor`) belongs there.

        Raises:
            TypeError, ValueError: ``seconds`` is no number above 0 of seconds.
        """
        interval = waiting.seconds(seconds, "every")
        if interval is None or interval <= 0:
            raise ValueError(f"every takes a number of seconds above 0, not {seconds!r}")
        return self._repetitions.start(interval, callback)

    def last_heard(self, peer: PeerInfo) -> float | None:
        """When anything of ``peer`` arrived last, on the monotonic clock; None: it is not online. Any thread.

        On a quiet connection something arrives every ``tick_seconds``.
        """
        link = self.peer_table.links.get(peer.incarnation)
        wire = None if link is None else link.wire
        return None if wire is None else wire.connection.heard_at

    def _link_of(self, to: PeerInfo | Location, timeout: float | None) -> Link:
        if isinstance(to, Location):
            return self._contacts.connect(to, timeout)
        link = self.peer_table.links.get(to.incarnation)
        if link is None:
            raise PeerUnreachable(f"{to} is no peer (any more)")
        return link

    def connect_to(self, location: Location, timeout: float | None, what: str) -> PeerInfo:
        """As `Runtime.connect`, for a location with its port.

        Args:
            what (str): What people are told that is waited for, before the location.
        """
        return self._contacts.connect(location, timeout, what=what).info

    def find_registered(self, name: str, timeout: float | None, what: str) -> Coro | None:
        """As `Coro.locate` at all peers, for a name that is not the user's own.

        Args:
            what (str): What people are told that is waited for.
        """
        found: Coro | None = self._locator.locate("coro", name, None, timeout, what)
        return found

    def locate_elsewhere(self, kind: str, name: str, location: Location | None, timeout: float | None) -> Any:
        """As `Coro.locate` and its like, at peers alone: what is registered here is not looked at.

        Args:
            kind (str): ``"coro"``, ``"channel"`` or ``"rci"``.

            location (Location | None): Ask only there; nobody is found at this runtime's own.
        """
        return self._locator.locate(kind, names.checked(name), location, timeout, elsewhere=True)

    def wait_aloud(
        self, outcome: Completion, timeout: float | None, what: str, lacking: str, at: Named | None = None
    ) -> bool:
        """Wait for what is registered by name, and say every few seconds what is waited for; was it there in time?

        Args:
            lacking (str): What peers that are online have not done; empty: nothing is said of that.

            at: The only one that is asked; None: all peers are.
        """
        return self._contacts.wait_for_name(outcome, timeout, what, lacking, at)

    def open_watch(self, peer: PeerInfo) -> Watch:
        """A watch for a coroutine that ``peer`` is about to start; its number goes into the request."""
        watch = Watch()
        watch.id = self.watches.open(self._link_of(peer, None), watch.hear)
        return watch

    def serve_watch(self, request: Request, watch_id: int, coro: Coro) -> None:
        """Send the asker of ``request`` the notice for its watch when ``coro`` is over."""
        self.watches.serve(request.link, watch_id, coro)

    def reference(
        self, peer: PeerInfo, coro_id: int, name: str, outcome: Completion | None = None, key: bytes = b""
    ) -> RemoteCoro:
        """A reference to a coroutine of ``peer``, which may be closed (`reach`).

        Args:
            outcome (Completion | None): What is set to the outcome, as a `Watch`.
        """
        reference = Reference(peer.location, peer.incarnation, coro_id, name, key)
        made: RemoteCoro = self.reference_classes.coro(cast(Home, self), reference, outcome)
        return made
