"""Finding by name what jobs at the other servers of the computation have registered.

Servers are closed to each other as to everybody, and connect to nobody by themselves. The first `locate` of a name
without a place has the client name the other servers, each of which is then shown the reach key that all of them have.
"""

from __future__ import annotations

from typing import Any

from greencoro.compute.client_end import ClientEnd
from greencoro.compute.job_words import LooksForNames, Siblings
from greencoro.distributed.refs import Reference
from greencoro.distributed.runtime import Runtime
from greencoro.errors import BusyResource

__all__ = ["SiblingNames"]

#: More servers than this one connects to; a job that looks for a name there gives a location.
_MAX_KNOWN = 10_000


class SiblingNames:
    """Stands before a runtime's own search for names (`hub.names.Network`).

    Args:
        client: Names the siblings.
    """

    def __init__(self, runtime: Runtime, client: ClientEnd) -> None:
        self._runtime = runtime
        self._client = client
        self._network = runtime.names.network
        self._asked = False
        #: By incarnation; filled by the reactor.
        self._known: dict[bytes, Reference] = {}
        runtime.names.network = self
        runtime.handle(Siblings.operation, self._told, on_reactor=True)

    def locate(self, kind: str, name: str, location: Any, timeout: float | None) -> Any:
        """See `hub.names.Network`."""
        if location is None:
            if not self._asked:
                # Where there is no room the next one asks.
                self._asked = self._client.tell(LooksForNames)
            for sibling in tuple(self._known.values()):
                self._reach(sibling)
        assert self._network is not None
        return self._network.locate(kind, name, location, timeout)

    # The reactor.

    def _told(self, request: Any) -> None:
        told = Siblings.from_header(request.header)
        if not self._client.is_from_client(request.peer, told.token):
            return
        for incarnation, location in told.checked():
            if len(self._known) < _MAX_KNOWN:
                sibling = Reference(location, incarnation, 0, "", self._client.key)
                self._known[incarnation] = sibling
                self._reach(sibling)

    # Any thread.

    def _reach(self, sibling: Reference) -> None:
        """Connect where there is no connection, and show the key; what that one has registered can then be found."""
        try:
            if self._runtime.link_for(sibling) is None:
                self._known.pop(sibling.incarnation, None)  # lost, or not there
        except BusyResource:
            return  # so many are being dialled that this one has to wait for the next search
