"""A node daemon's end of what it and those who reserve it say to each other.

Requests, and the loss of whoever sent them, come to the inbox in the order in which the reactor saw them: the loss of a
link never passes for that of the next one.
"""

from __future__ import annotations

import functools
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from greencoro.compute.inbox import Inbox
from greencoro.compute.node_vocabulary import Holder
from greencoro.compute.node_words import (
    Attach,
    NodeFacts,
    Operate,
    Pulse,
    Pulsed,
    Release,
    Released,
    Replace,
    Reserve,
    ReserveAnswer,
)
from greencoro.compute.words import Word
from greencoro.distributed.calls import Request
from greencoro.distributed.link import Link
from greencoro.errors import NetworkError

__all__ = ["Holders", "Servant"]

_log = logging.getLogger(__name__)

#: Of what is to be done when a link is lost.
_KEY = "greencoro node"
#: Words that wait for room on the way to a holder that reads nothing, which is as good as lost beyond that.
_MAX_WAITING = 10_000
#: How often there is another look for room, in seconds.
_ROOM_SECONDS = 0.2


class Servant(Protocol):
    """Who does what is asked, in the thread that takes from the inbox."""

    def facts(self) -> NodeFacts:
        """What the node is."""

    def reserve(self, request: Request, asked: Reserve) -> None:
        """Somebody wants all servers; see `Holders.answer`."""

    def pulse(self, request: Request, asked: Pulse) -> None:
        """Somebody holds them still; see `Holders.answer`."""

    def release(self, request: Request, asked: Release) -> None:
        """Somebody needs them no more; see `Holders.answer`."""

    def replace(self, asked: Replace) -> None:
        """Somebody cannot reach one."""

    def operate(self, request: Request, asked: Operate) -> None:
        """Somebody says what whoever runs the node may say."""

    def holder_lost(self, holder: Holder, error: NetworkError) -> None:
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
        #: What could not be sent yet, in order.
        self._waiting: deque[tuple[Holder, Word]] = deque()
        self._serve(Attach, lambda request, asked: request.reply(servant.facts().to_header()))
        self._serve(Reserve, servant.reserve, self._hear_of_loss)
        self._serve(Pulse, servant.pulse, self._hear_of_loss)
        self._serve(Release, servant.release)
        self._serve(Replace, lambda request, asked: servant.replace(asked))
        self._serve(Operate, servant.operate)

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
        holder = Holder(request.peer.incarnation.hex(), link)
        link.when_lost(_KEY, lambda error: self._inbox.put(functools.partial(self._lost, holder, error)))

    # The thread that takes from the inbox; nothing here waits.

    def _lost(self, holder: Holder, error: NetworkError) -> None:
        self._waiting = deque(each for each in self._waiting if each[0] != holder)
        self._servant.holder_lost(holder, error)

    def answer(self, request: Request, word: ReserveAnswer | Pulsed | Released) -> None:
        """Answer a request."""
        request.reply(word.to_header())

    def tell(self, holder: Holder, word: Word) -> None:
        """Tell a holder by its link, in order; of one that is lost it is forgotten.

        One that reads nothing for long is as good as lost.
        """
        self._waiting.append((holder, word))
        self.send_waiting()
        if len(self._waiting) > _MAX_WAITING:
            self._lost(holder, NetworkError("it does not read what it is told"))

    def send_waiting(self) -> None:
        """Send what there is room for."""
        while self._waiting:
            holder, word = self._waiting[0]
            link: Link = holder.link
            if not link.is_lost and not self._runtime.post_nowait(link.info, word.operation, word.to_header()):
                return
            self._waiting.popleft()

    def next_due_at(self, now: float) -> float | None:
        """When `send_waiting` is to be called; None for no time soon."""
        return now + _ROOM_SECONDS if self._waiting else None


def _do(word: type[Word], do: Callable[[Request, Any], None], request: Request) -> None:
    try:
        do(request, word.from_header(request.header))
    except Exception as error:
        # One boundary: what a peer asks for must not end the daemon.
        _log.warning("a request of %s failed: %r", request.peer, error)
        request.fail(error)
