"""The way of a computation's news to its status coroutine."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from greencoro.distributed.proxies import RemoteCoro
from greencoro.hub.coroutine import Coro
from greencoro.hub.mailbox import Encoded

__all__ = ["StatusFeed"]

_log = logging.getLogger(__name__)

#: What may wait for a coroutine elsewhere to take it; what comes then is dropped, and that is said.
_MAX_WAITING = 10_000


class StatusFeed:
    """In order, and whether or not the coroutine's mailbox has a limit.

    Args:
        status_coro (Coro | None): Here or elsewhere; None: nobody is told anything.

        spawn: Starts a coroutine.
    """

    def __init__(self, status_coro: Coro | None, spawn: Callable[..., Coro]) -> None:
        self._coro = status_coro
        self._spawn = spawn
        self._waiting: deque[Any] = deque()
        self._sender: Coro | None = None

    @property
    def is_heard(self) -> bool:
        """Is there anybody to tell?"""
        return self._coro is not None

    def tell(self, message: Any) -> None:
        """Have it told; on the user hub, without waiting."""
        coro = self._coro
        if coro is None:
            return
        if not isinstance(coro, RemoteCoro):
            coro.put_past_limit(message)
            return
        if len(self._waiting) >= _MAX_WAITING:
            _log.warning("the status coroutine %s is behind: it is not told %r", coro, message)
            return
        self._waiting.append(message)
        if self._sender is None:
            # A coroutine, for it may have to wait until the other process has taken what came before.
            self._sender = self._spawn(self._send_all, coro)
            self._sender.set_daemon()

    def _send_all(self, receiver: RemoteCoro) -> None:
        try:
            while self._waiting:
                message = self._waiting.popleft()
                try:
                    if isinstance(message, Encoded):
                        _, message = message.decode()
                    told = receiver.send(message) == 0
                except Exception as error:
                    # Its own code, and the users' objects, pickle and unpickle here.
                    _log.warning("the status coroutine %s was not told of something: %s", receiver, error)
                else:
                    if not told:
                        _log.warning("the status coroutine %s is over or cannot be reached", receiver)
                        self._coro = None
                        self._waiting.clear()
        finally:
            self._sender = None
