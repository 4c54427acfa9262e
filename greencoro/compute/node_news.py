"""What nodes tell the scheduler that has reserved them, as what has happened to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greencoro.compute import node_words
from greencoro.compute import scheduler_vocabulary as vocabulary
from greencoro.compute.words import Word
from greencoro.distributed.runtime import Runtime

__all__ = ["hear_nodes"]


def hear_nodes(
    runtime: Runtime, has_lease: Callable[[str, int, str], bool], feed: Callable[[vocabulary.Event], None]
) -> None:
    """Take in what nodes tell from now on.

    Args:
        has_lease: Does the token belong to what the node is reserved for, with that attempt? Nothing counts without it.

        feed: Called with each event, on the user hub.
    """
    for word, event_of in _EVENTS.items():
        runtime.handle(word.operation, _taking(word, event_of, has_lease, feed))


def _taking(
    word: type[Any],
    event_of: Callable[[str, Any], vocabulary.Event],
    has_lease: Callable[[str, int, str], bool],
    feed: Callable[[vocabulary.Event], None],
) -> Callable[[Any], None]:
    def handle(request: Any) -> None:
        told = word.from_header(request.header)
        node = request.peer.incarnation.hex()
        if has_lease(node, told.attempt, told.token):
            feed(event_of(node, told))

    return handle


def _server_started(node: str, told: node_words.ServerStarted) -> vocabulary.Event:
    return vocabulary.ServerStarted(node, told.attempt, told.incarnation, told.location, told.name)


def _server_draining(node: str, told: node_words.ServerDraining) -> vocabulary.Event:
    return vocabulary.ServerDraining(node, told.attempt, told.incarnation)


def _server_died(node: str, told: node_words.ServerDied) -> vocabulary.Event:
    return vocabulary.ServerDied(node, told.attempt, told.incarnation, told.explanation)


def _lease_ended(node: str, told: node_words.LeaseEnded) -> vocabulary.Event:
    return vocabulary.LeaseEnded(node, told.attempt, told.reason)


_EVENTS: dict[type[Word], Callable[[str, Any], vocabulary.Event]] = {
    node_words.ServerStarted: _server_started,
    node_words.ServerDraining: _server_draining,
    node_words.ServerDied: _server_died,
    node_words.LeaseEnded: _lease_ended,
}
