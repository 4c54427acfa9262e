"""Finding what is registered under a name: here, at one peer, or at any."""

from __future__ import annotations

import itertools
from typing import Any

from greencoro.distributed import refs
from greencoro.distributed.dial import pause_after
from greencoro.distributed.dispatch import Dispatcher
from greencoro.distributed.link import Link
from greencoro.distributed.location import Location
from greencoro.distributed.messages import Forget, Locate, Located
from greencoro.distributed.refs import MAX_NAME_CHARACTERS, Reference
from greencoro.distributed.search import Named
from greencoro.errors import BusyResource, NetworkError, RemoteProtocolError
from greencoro.hub import native
from greencoro.hub.completion import Completion
from greencoro.hub.names import KINDS, Names
from greencoro.hub.waiting import seconds

__all__ = ["Locator"]

#: A peer has at most this many names outstanding here, and this runtime as many at each peer.
MAX_OUTSTANDING = 10_000


class _Query:
    """One `locate` that waits."""

    def __init__(self, kind: str, name: str, location: Location | None) -> None:
        self.kind = kind
        self.name = name
        self.location = location
        self.named = None if location is None else Named(location)
        #: Who was reached at ``location``, whatever that one says of where it is.
        self.reached: bytes | None = None
        self.found = Completion()
        #: The incarnation that was found; None where it is this runtime's own.
        self.owner: bytes | None = None
        self.asked: list[Link] = []
        #: Of these, who does not look for it, for want of a key.
        self.unheard: set[Link] = set()


class Locator:
    """Both sides of `locate` of one runtime.

    Args:
        runtime: Gives the peers, reaches locations, makes references.
    """

    def __init__(self, dispatcher: Dispatcher, runtime: Any, names: Names) -> None:
        self._runtime = runtime
        self._names = names
        self._numbers = itertools.count(1)
        self._queries: dict[int, _Query] = {}
        # Those that a peer may still count; held for a comparison and an addition.
        self._outstanding = 0
        self._lock = native.Lock()
        self._closed = False
        dispatcher.register(Locate, self._on_locate)
        dispatcher.register(Located, self._on_located)
        dispatcher.register(Forget, self._on_forget)

    # The side that looks for a name.

    def locate(
        self,
        kind: str,
        name: str,
        location: Location | str | None,
        timeout: float | None,
        what: str = "",
        elsewhere: bool = False,
    ) -> Any:
        """A reference to what is registered, waiting for it to appear; None where ``timeout`` was over first.

        None as well where this runtime finishes meanwhile.

        Args:
            location: Where to look, with its port; None: here and at all peers.

            what (str): What people are told that is waited for, where the name is not of their choice.

            elsewhere (bool): Look at peers alone.

        Raises:
            TypeError, ValueError: ``location`` is none, or has no port; the name is too long.

            BusyResource: This runtime looks for too many names already.
        """
        timeout = seconds(timeout, "locate")
        if len(name) > MAX_NAME_CHARACTERS:
            raise ValueError(f"a name has at most {MAX_NAME_CHARACTERS} characters; this one begins with {name[:32]!r}")
        place = None if location is None else Location.of(location, "locate")
        if place is not None and not place.port:
            raise ValueError(f"locate looks at one runtime, so its location needs a port, and {place} has none")
        ends = None if timeout is None else native.monotonic() + timeout
        while True:
            query = self._look(kind, name, place, None if ends is None else ends - native.monotonic(), what, elsewhere)
            # Whoever had it may be lost by the time that this one goes on.
            if query.owner is None or query.owner not in self._runtime.peer_table.lost:
                return query.found.value

    def _look(
        self, kind: str, name: str, location: Location | None, timeout: float | None, what: str, elsewhere: bool
    ) -> _Query:
        query = _Query(kind, name, location)
        is_own = location is not None and self._runtime.is_own(location)
        if is_own and elsewhere:
            query.found.set(None)
            return query
        here = not elsewhere and (location is None or is_own)
        if here:
            found = self._names.lookup(kind, name)
            if found is not None:
                query.found.set(found)
                return query
        self._take_place()
        number = next(self._numbers)

        def on_bound(target: Any) -> None:
            query.found.set(target)

        try:
            if here:
                self._names.listen(kind, name, on_bound)
            self._queries[number] = query
            # In this order: whoever closes looks for queries after it has said so.
            if self._closed:
                query.found.set(None)
            elif location is None or not here:
                self._runtime.reactor.post(self._ask_all, number)
            lacking = "" if what else "registered that name"
            what = what or f"{KINDS.get(kind, kind)} {name!r}"
            self._runtime.wait_aloud(query.found, timeout, what, lacking, query.named)
        finally:
            self._queries.pop(number, None)
            if here:
                self._names.unlisten(kind, name, on_bound)
            self._runtime.reactor.post(self._forget, number, query)
        return query

    def _take_place(self) -> None:
        with self._lock:
            if self._outstanding >= MAX_OUTSTANDING:
                raise BusyResource(f"{self._runtime.name} looks for {MAX_OUTSTANDING} names already")
            self._outstanding += 1

    def _ask_all(self, number: int) -> None:
        query = self._queries.get(number)
        if query is None:
            return
        for link in self._runtime.peer_table.online():
            self._ask(number, query, link)
        if query.location is not None and not query.asked:
            self._runtime.peer_table.dial(query.location, lambda link, error: self._dialled(number, link, error))

    def _dialled(self, number: int, link: Link | None, error: NetworkError | None) -> None:
        query = self._queries.get(number)
        if query is None:
            return
        if link is None:
            if query.named is not None:
                query.named.error = error
            pause = pause_after(error, self._runtime.settings.tick_seconds)
            self._runtime.reactor.call_later(pause, self._ask_all, number)
            return
        query.reached = link.info.incarnation
        self._ask(number, query, link)

    def close(self) -> None:
        """Nothing will be found any more: whoever waits, or comes to wait, is let go."""
        self._closed = True
        for query in list(self._queries.values()):
            query.found.set(None)

    def peer_came(self, link: Link) -> None:
        """Ask a peer for all that it was not asked for: it is new, or took a key of ours; reactor's thread."""
        for number, query in tuple(self._queries.items()):
            self._ask(number, query, link)

    def peer_left(self, link: Link) -> None:
        """What was asked of a lost peer may be asked of its successor; reactor's thread."""
        for number, query in tuple(self._queries.items()):
            if link in query.asked:
                query.asked.remove(link)
                query.unheard.discard(link)
                if query.named is not None:
                    query.named.online = bool(query.asked)
                    self._runtime.reactor.post(self._ask_all, number)

    def _ask(self, number: int, query: _Query, link: Link) -> None:
        info = link.info
        is_meant = query.location in (None, info.location) or query.reached == info.incarnation
        if is_meant and (link not in query.asked or link in query.unheard):
            if link in query.unheard:
                query.unheard.remove(link)
            else:
                query.asked.append(link)
            if query.named is not None:
                query.named.online, query.named.error = True, None
            link.send(None, Locate(number, True, query.kind, query.name).encode())

    def _forget(self, number: int, query: _Query) -> None:
        for link in query.asked:
            link.send(None, Forget(number).encode())
        # Only now: whoever takes the place is asked for after this on each link.
        with self._lock:
            self._outstanding -= 1

    def _on_located(self, link: Link, located: Located) -> None:
        query = self._queries.get(located.request)
        if query is None or query.found.done or link not in query.asked:
            return
        if not located.target:
            # Nobody looks there for what comes; it is to be asked again where it takes a key of ours.
            query.unheard.add(link)
            return
        if refs.kind_of(located.target)[0] != query.kind:
            raise RemoteProtocolError(f"the peer says that {located.target:#x} is {KINDS[query.kind]} that name")
        key = link.standing.key
        reference = Reference(link.info.location, link.info.incarnation, located.target, located.name, key)
        query.owner = link.info.incarnation
        query.found.set(self._runtime.resolve(reference))

    # The side that has names.

    def _on_locate(self, link: Link, request: Locate) -> None:
        if len(request.name) > MAX_NAME_CHARACTERS:
            raise RemoteProtocolError("the peer looks for a name that is too long")
        if request.kind not in KINDS:
            raise RemoteProtocolError("the peer looks for something that has no names")
        if not self._runtime.reach.lets_in(link):
            link.send_urgent(Located(request.request, 0, request.name).encode())
            return
        bound = self._names.lookup(request.kind, request.name)
        if bound is not None:
            link.send_urgent(Located(request.request, refs.number(request.kind, bound.id), bound.name).encode())
            return
        if not request.wait:
            link.send_urgent(Located(request.request, 0, request.name).encode())
            return
        if request.request in link.locates or len(link.locates) >= MAX_OUTSTANDING:
            raise RemoteProtocolError("the peer looks for one name twice, or for too many")

        def on_bound(target: Any) -> None:
            link.send_urgent(Located(request.request, refs.number(request.kind, target.id), target.name).encode())

        if not link.locates:
            link.when_lost("locates", lambda error: self._forget_all(link))
        link.locates[request.request] = lambda: self._names.unlisten(request.kind, request.name, on_bound)
        self._names.listen(request.kind, request.name, on_bound)

    def _on_forget(self, link: Link, request: Forget) -> None:
        unlisten = link.locates.pop(request.request, None)
        if unlisten is not None:
            unlisten()

    def _forget_all(self, link: Link) -> None:
        while link.locates:
            _, unlisten = link.locates.popitem()
            unlisten()
