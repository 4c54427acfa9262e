"""The part of a `Runtime` that layers above are built on: operations that peers do for each other, and watches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from greencoro.distributed.calls import Calls, Reply, Request
from greencoro.distributed.contacts import Contacts
from greencoro.distributed.elsewhere import Home
from greencoro.distributed.link import Link, PeerInfo
from greencoro.distributed.location import Location
from greencoro.distributed.peers import Peers
from greencoro.distributed.proxies import RemoteCoro, outcome_setter
from greencoro.distributed.refs import Reference
from greencoro.distributed.watches import Watch, Watches
from greencoro.errors import NetworkError, PeerUnreachable
from greencoro.hub import native
from greencoro.hub.completion import Completion
from greencoro.hub.coroutine import Coro

__all__ = ["OperationsApi"]


class OperationsApi:
    """See the module. `Runtime` sets the attributes."""

    peer_table: Peers
    watches: Watches
    _calls: Calls
    _contacts: Contacts

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
        header: dict[str, Any],
        parts: Sequence[bytes] = (),
        timeout: float | None = None,
    ) -> Reply:
        """Have a peer do an operation; see `calls.Calls.request`, and `connect` for a location that is no peer yet."""
        return self._calls.request(self._link_of(to, timeout), operation, header, parts, timeout)

    def post(self, to: PeerInfo | Location, operation: str, header: dict[str, Any], parts: Sequence[bytes] = ()) -> int:
        """Have a peer do an operation, without an answer; 0 where that is queued, -1 where the peer is lost."""
        try:
            return self._calls.post(self._link_of(to, None), operation, header, parts)
        except NetworkError:
            return -1

    def _link_of(self, to: PeerInfo | Location, timeout: float | None) -> Link:
        if isinstance(to, Location):
            return self._contacts.connect(to, timeout)
        link = self.peer_table.links.get(to.incarnation)
        if link is None:
            raise PeerUnreachable(f"{to} is no peer (any more)")
        return link

    def open_watch(self, peer: PeerInfo, coro_name: str) -> Watch:
        """A watch for a coroutine that ``peer`` is about to start; its number goes into the request."""
        link = self._link_of(peer, None)
        outcome = Completion()
        stand_in = RemoteCoro(cast(Home, self), Reference(peer.location, peer.incarnation, 0, coro_name))
        return Watch(self.watches.open(link, outcome_setter(stand_in, outcome)), outcome)

    def serve_watch(self, request: Request, watch_id: int, coro: Coro) -> None:
        """Send the asker of ``request`` the notice for its watch when ``coro`` is over."""
        self.watches.serve(request.link, watch_id, coro)

    def reference(
        self, peer: PeerInfo, coro_id: int, name: str, watch: Watch | None = None, key: bytes = b""
    ) -> RemoteCoro:
        """A reference to a coroutine of ``peer``, which may be closed (`reach`); with ``watch`` its result is kept."""
        reference = Reference(peer.location, peer.incarnation, coro_id, name, key)
        return RemoteCoro(cast(Home, self), reference, None if watch is None else watch.outcome)
