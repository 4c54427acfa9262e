"""The part of a `Runtime` that is about references: to its coroutines, and to what they stand for here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from greencoro.distributed import homes, refs
from greencoro.distributed.elsewhere import Home
from greencoro.distributed.link import Link
from greencoro.distributed.peers import Peers
from greencoro.distributed.reach import Reach
from greencoro.distributed.reference_classes import ReferenceClasses
from greencoro.distributed.refs import Reference
from greencoro.distributed.services import Services
from greencoro.hub import coroutine
from greencoro.hub.coroutine import Coro

__all__ = ["ReferencesApi"]


class ReferencesApi:
    """See the module. `Runtime` sets the attributes."""

    incarnation: bytes
    peer_table: Peers
    reach: Reach
    services: Services
    _finished: bool
    #: What stands for things elsewhere here.
    reference_classes = ReferenceClasses()

    def spawn(self, target: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Coro:
        """Start a coroutine that is at home in this runtime, which matters where a process has several."""
        return Coro.at_home(cast(coroutine.Home, self), target, args, kwargs)

    def link_for(self, reference: Reference, asker: bytes | None = None) -> Link | None:
        """The link to a reference's incarnation, as `Peers.link_to`."""
        if self._finished:
            return None
        location, incarnation = reference.location, reference.incarnation
        link = self.peer_table.link_to(location, str(location), incarnation, asker)
        if link is not None and reference.key:
            self.reach.show(link, reference.key)
        return link

    def _find(self, coro_id: int) -> Coro | None:
        """The live coroutine with this id, if it is at home here: peers have no access to other runtimes' ones."""
        coro = coroutine.find(coro_id)
        return coro if coro is not None and homes.home_of(coro) is self else None

    def resolve(self, reference: Reference) -> Any:
        """What a reference means here: the thing itself at its home, else a `RemoteCoro` or the like."""
        if refs.kind_of(reference.id)[0] != "coro":
            return self.services.resolve(reference)
        if reference.incarnation == self.incarnation and self.reach.is_own(reference.key):
            coro = self._find(reference.id)
            if coro is not None:
                return coro
        return self.reference_classes.coro(cast(Home, self), reference)
