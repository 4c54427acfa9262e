"""The way of a computation's news to its status coroutine."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from greencoro.compute.avail_info import NodeAvailInfo
from greencoro.distributed.proxies import RemoteCoro
from greencoro.hub.coroutine import Coro
from greencoro.hub.mailbox import Encoded

__all__ = ["StatusFeed"]

_log = logging.getLogger(__name__)

#: When so much waits for a coroutine elsewhere, that is said.
_MANY_WAITING = 10_000


class _Free(NamedTuple):
    """In the place of a `NodeAvailInfo` that waits: what is told is the newest one of that address."""

    address: str


class StatusFeed:
    """All of it in order, whether or not the coroutine's mailbox has a limit; for as long as the coroutine lives.

    While a coroutine elsewhere is behind, of what is free at a node it is told the newest only.

    Args:
        status_coro (Coro | None): Here or elsewhere; None: nobody is told anything.

        spawn: Starts a coroutine.
    """

    def __init__(self, status_coro: Coro | None, spawn: Callable[..., Coro]) -> None:
        self._coro = status_coro
        self._spawn = spawn
        self._waiting: deque[Any] = deque()
        self._free: dict[str, NodeAvailInfo] = {}
        self._said_that_it_is_behind = False
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
        if isinstance(message, NodeAvailInfo):
            is_waiting = message.addr in self._free
            self._free[message.addr] = message
            if is_waiting:
                return
            message = _Free(message.addr)
        self._waiting.append(message)
        if len(self._waiting) >= _MANY_WAITING and not self._said_that_it_is_behind:
            self._said_that_it_is_behind = True
            _log.warning("the status coroutine %s is behind: %d messages wait for it", coro, len(self._waiting))
        if self._sender is None:
            # A coroutine, for it may have to wait until the other process has taken what came before.
            self._sender = self._spawn(self._send_all, coro)
            self._sender.set_daemon()

    def _send_all(self, receiver: RemoteCoro) -> None:
        try:
            while self._waiting:
                message = self._waiting.popleft()
                if isinstance(message, _Free):
                    message = self._free.pop(message.address)
                try:
                    if isinstance(message, Encoded):
                        _, message = message.decode()
                    told = self._send(receiver, message)
                except Exception as error:
                    # Its own code, and the users' objects, pickle and unpickle here.
                    _log.warning("the status coroutine %s was not told of something: %s", receiver, error)
                else:
                    if not told:
                        _log.warning("the status coroutine %s is over or cannot be reached", receiver)
                        self._coro = None
                        self._waiting.clear()
                        self._free.clear()
        finally:
            self._sender = None

    @staticmethod
    def _send(receiver: RemoteCoro, message: Any) -> bool:
        while receiver.send(message) != 0:
            if not receiver.is_alive():
                return False
            # It has read nothing for the whole send_timeout, and lives: it will read this some day.
        return True
