"""A node daemon's end of what it and those who reserve it say to each other.

Requests, and the loss of whoever sent them, come to the inbox in the order in which the reactor saw them: the loss of a
link never passes for that of the next one. A holder is the link that its reservation came by.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, Protocol

from greencoro.compute.inbox import Inbox
from greencoro.compute.node_words import Attach, NodeFacts, Release, Released, Replace, Reserve, ReserveAnswer
from greencoro.compute.words import Word
from greencoro.distributed.calls import Request
from greencoro.distributed.link import Link
from greencoro.errors import BusyResource, NetworkError

__all__ = ["Holders", "Servant"]

_log = logging.getLogger(__name__)

#: Of what is to be done when a link is lost.
_KEY = "greencoro node"


class Servant(Protocol):
    """Who does what is asked, in the thread that takes from the inbox."""

    def facts(self) -> NodeFacts:
        """What the node is."""

    def reserve(self, request: Request, asked: Reserve) -> None:
        """Somebody wants all servers; see `Holders.answer`."""

    def release(self, request: Request, asked: Release) -> None:
        """Somebody needs them no more; see `Holders.answer`."""

    def replace(self, asked: Replace) -> None:
        """Somebody cannot reach one."""

    def holder_lost(self, holder: Link, error: NetworkError) -> None:
        """A link by which somebody wanted the servers is lost."""


class Holders:
    """The operations of a node daemon, and words to its holder.

    Args:
        runtime: Where requests come in.

        inbox: Where they go.

        servant: Who does what they ask for.
    """

    def __init__(self, runtime: Any, inbox: Inbox, servant: Servant) -> None:
        self._runtime = runtime
        self._inbox = inbox
        self._servant = servant
        self._serve(Attach, lambda request, asked: request.reply(servant.facts().to_header()))
        self._serve(Reserve, servant.reserve, self._hear_of_loss)
        self._serve(Release, servant.release)
        self._serve(Replace, lambda request, asked: servant.replace(asked))

    def _serve(
        self,
        word: type[Word],
        do: Callable[[Request, Any], None],
        then: Callable[[Request], None] = lambda request: None,
    ) -> None:
        def handle(request: Request) -> None:
            self._inbox.put(functools.partial(_do, word, do, request))
            then(request)

        self._runtime.handle(word.operation, handle, on_reactor=True)

    # The reactor's thread.

    def _hear_of_loss(self, request: Request) -> None:
        # After the request is in the inbox: where the link is lost already, that is told now.
        link = request.link
        link.when_lost(_KEY, lambda error: self._inbox.put(functools.partial(self._lost, link, error)))

    # The thread that takes from the inbox.

    def _lost(self, link: Link, error: NetworkError) -> None:
        self._servant.holder_lost(link, error)

    def answer(self, request: Request, word: ReserveAnswer | Released) -> None:
        """Answer a request."""
        request.reply(word.to_header())

    def tell(self, holder: Link, word: Word) -> None:
        """Tell a holder; one that takes nothing is as good as lost, for it would wait for ever for what it missed."""
        try:
            self._runtime.post(holder.info, word.operation, word.to_header())
        except BusyResource as error:
            self._inbox.put(functools.partial(self._lost, holder, NetworkError(f"it takes no message: {error}")))


def _do(word: type[Word], do: Callable[[Request, Any], None], request: Request) -> None:
    try:
        do(request, word.from_header(request.header))
    except Exception as error:
        # One boundary: what a peer asks for must not end the daemon.
        _log.warning("a request of %s failed: %r", request.peer, error)
        request.fail(error)
