"""What the servers of a computation tell its client beside the ends of jobs."""

from __future__ import annotations

import hmac
import weakref
from collections.abc import Callable
from typing import Any

from greencoro.compute.job_words import MAX_SIBLINGS, LooksForNames, Printed, Siblings
from greencoro.compute.output_book import Batch
from greencoro.compute.output_display import OutputDisplay
from greencoro.compute.server_pool import Server
from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.runtime import Runtime

__all__ = ["ServerNews"]

#: After so long a server is told what there was no room for on the way to it.
_AGAIN_SECONDS = 1.0

#: By runtime and incarnation: to whom a server belongs. Operations are those of a runtime, which may have several
#: computations, one after another.
_owners: weakref.WeakKeyDictionary[Runtime, dict[bytes, ServerNews]] = weakref.WeakKeyDictionary()


class ServerNews:
    """Listens to the servers of one computation, shows what they print, and introduces them to each other."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._display = OutputDisplay()
        #: By incarnation: those that are heard; of these, those that are set up, and those that look for names.
        self._servers: dict[bytes, Server] = {}
        self._ready: dict[bytes, Server] = {}
        self._looking: dict[bytes, PeerInfo] = {}
        owners = _owners.get(runtime)
        if owners is None:
            owners = _owners.setdefault(runtime, {})
            runtime.handle(Printed.operation, _for_owner(owners, ServerNews._printed), on_reactor=True)
            runtime.handle(LooksForNames.operation, _for_owner(owners, ServerNews._looks_for_names), on_reactor=True)
        self._owners = owners

    # Any thread; the rest is the reactor's.

    def hear(self, server: Server) -> None:
        """Listen to a server that is about to be set up."""
        incarnation = bytes.fromhex(server.id)
        self._servers[incarnation] = server
        self._owners[incarnation] = self

    def ready(self, server: Server) -> None:
        """It is set up."""
        self._runtime.reactor.post(self._introduce, server)

    def forget(self, server: Server) -> None:
        """It is gone."""
        self._runtime.reactor.post(self._forget, bytes.fromhex(server.id))

    def _forget(self, incarnation: bytes) -> None:
        self._owners.pop(incarnation, None)
        for table in (self._servers, self._ready, self._looking):
            table.pop(incarnation, None)

    def _introduce(self, server: Server) -> None:
        incarnation = bytes.fromhex(server.id)
        if incarnation in self._servers:
            self._ready[incarnation] = server
            for peer in self._looking.values():
                self._name(peer, [server])

    def _printed(self, server: Server, request: Any) -> None:
        self._display.take(server.name, Batch.from_wire(request.header))

    def _looks_for_names(self, server: Server, request: Any) -> None:
        peer = request.peer
        if peer.incarnation not in self._looking:
            self._looking[peer.incarnation] = peer
            others = [other for other in self._ready.values() if other.id != server.id]
            for first in range(0, len(others), MAX_SIBLINGS):
                self._name(peer, others[first : first + MAX_SIBLINGS])

    def _name(self, peer: PeerInfo, servers: list[Server]) -> None:
        server = self._servers.get(peer.incarnation)
        if server is None:
            return
        word = Siblings(server.token, {other.id: str(other.location) for other in servers})
        if not self._runtime.post_nowait(peer, word.operation, word.to_header()):
            self._runtime.reactor.call_later(_AGAIN_SECONDS, self._name, peer, servers)


def _for_owner(
    owners: dict[bytes, ServerNews], take: Callable[[ServerNews, Server, Any], None]
) -> Callable[[Any], None]:
    """A handler that passes on what a server says of itself; what others say is nobody's."""

    def handle(request: Any) -> None:
        owner = owners.get(request.peer.incarnation)
        server = None if owner is None else owner._servers.get(request.peer.incarnation)
        token = request.header.get("token")
        if owner is None or server is None or not isinstance(token, str):
            return
        if hmac.compare_digest(server.token.encode(), token.encode()):
            take(owner, server, request)

    return handle
