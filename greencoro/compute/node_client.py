"""What a scheduler asks of node daemons."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from greencoro.compute import scheduler_vocabulary as vocabulary
from greencoro.compute.node_words import Attach, NodeFacts, Refusal, Release, Replace, Reserve, ReserveAnswer
from greencoro.compute.words import Word
from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.runtime import Runtime
from greencoro.errors import BusyResource, GreencoroError

__all__ = ["NodeClient"]

_log = logging.getLogger(__name__)

#: Longest wait for a node's answer to what it can do at once, in seconds.
_ANSWER_SECONDS = 10.0


class NodeClient:
    """Requests to node daemons, each in a coroutine; what comes of them is an event for the scheduler.

    Args:
        feed: Called with the events.

    Attributes:
        peers: The daemons in reach, by id (incarnation as hex).
    """

    def __init__(self, runtime: Runtime, feed: Callable[[vocabulary.Event], None]) -> None:
        self.peers: dict[str, PeerInfo] = {}
        self._runtime = runtime
        self._feed = feed

    def look(self, node: str, facts: NodeFacts) -> None:
        """Ask what it is and has free; `Looked` follows, with what was known where it does not say."""
        self._spawn(self._look, node, facts)

    def reserve(self, node: str, attempt: int, word: Reserve) -> None:
        """Ask for its servers; `Granted`, `Refused` or `Unanswered` follows."""
        self._spawn(self._reserve, node, attempt, word)

    def release(self, node: str, attempt: int, word: Release) -> None:
        """Give them back; `Released` follows."""
        self._spawn(self._release, node, attempt, word)

    def replace(self, node: str, word: Replace) -> None:
        """Have it end a server; nothing follows."""
        self._spawn(self._replace, node, word)

    def _spawn(self, function: Callable[..., None], *args: Any) -> None:
        self._runtime.spawn(function, *args).set_daemon()

    def _request(self, node: str, word: Word) -> dict[str, Any]:
        peer = self.peers[node]
        return self._runtime.request(peer, word.operation, word.to_header(), timeout=_ANSWER_SECONDS).header

    def _look(self, node: str, facts: NodeFacts) -> None:
        try:
            facts = NodeFacts.from_header(self._request(node, Attach()))
        except (GreencoroError, KeyError) as error:
            _log.debug("node %s does not say what it has free: %r", facts.address, error)
        self._feed(vocabulary.Looked(node, facts))

    def _reserve(self, node: str, attempt: int, word: Reserve) -> None:
        try:
            answer = ReserveAnswer.from_header(self._request(node, word))
        except (GreencoroError, KeyError) as error:
            # A node that is not known any more was lost, which is told.
            why = "was lost" if isinstance(error, KeyError) else f"could not be reserved: {error}"
            self._feed(vocabulary.Unanswered(node, attempt, why))
            return
        if answer.refusal is None:
            self._feed(vocabulary.Granted(node, attempt))
        else:
            in_use = answer.refusal is Refusal.BUSY
            why = "is in use by another computation" if in_use else f"does not take the computation: {answer.reason}"
            self._feed(vocabulary.Refused(node, attempt, why))

    def _release(self, node: str, attempt: int, word: Release) -> None:
        try:
            self._request(node, word)
        except (GreencoroError, KeyError) as error:
            if not isinstance(error, KeyError):
                _log.warning("a node did not say that its servers have ended: %s", error)
        self._feed(vocabulary.Released(node, attempt))

    def _replace(self, node: str, word: Replace) -> None:
        peer = self.peers.get(node)
        if peer is None:
            return
        try:
            self._runtime.post(peer, word.operation, word.to_header())
        except BusyResource as error:
            _log.warning("the node %s could not be asked to replace a server: %s", peer, error)
