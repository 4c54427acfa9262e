"""Which part handles which kind of message: a table that the parts fill."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greencoro.distributed.link import Link
from greencoro.distributed.messages import Message
from greencoro.errors import RemoteProtocolError

__all__ = ["Dispatcher"]

Handler = Callable[[Link, Any], None]


class Dispatcher:
    """Calls the handler of a message's class, in the reactor's turn; handlers do not block.

    Those of `hub_io.HUB_KINDS` may be called on the user hub's thread: they use no timers or watchers of the reactor.
    """

    def __init__(self) -> None:
        self._handlers: dict[type[Any], Handler] = {}

    def register(self, kind: type[Any], handler: Handler) -> None:
        """Let ``handler(link, message)`` have every message of the class ``kind``."""
        self._handlers[kind] = handler

    def __call__(self, link: Link, message: Message) -> None:
        handler = self._handlers.get(type(message))
        if handler is None:
            raise RemoteProtocolError(f"a {type(message).__name__} is not expected here")
        handler(link, message)
