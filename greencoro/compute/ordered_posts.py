"""Words to one peer in their order, given by whoever may not wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.runtime import Runtime
from greencoro.errors import BusyResource, GreencoroError

__all__ = ["OrderedPosts"]

#: What may wait for room on the way to the peer.
_MAX_WAITING = 10_000


class OrderedPosts:
    """See the module. All calls are made on the user hub.

    Args:
        on_failure: Called with the reason when one of them could not be sent; none is sent after that.
    """

    def __init__(self, runtime: Runtime, to: PeerInfo, on_failure: Callable[[str], None]) -> None:
        self._runtime = runtime
        self._to = to
        self._on_failure = on_failure
        self._waiting: deque[tuple[str, dict[str, Any]]] = deque()
        self._is_sending = False
        self._failed = False

    @property
    def is_idle(self) -> bool:
        """Is nothing left to be queued on the way to the peer?"""
        return not self._is_sending

    def put(self, operation: str, header: dict[str, Any]) -> None:
        """Have it sent."""
        if self._failed:
            return
        if not self._is_sending and self._runtime.post_nowait(self._to, operation, header):
            return
        if len(self._waiting) >= _MAX_WAITING:
            self._fail(f"{self._to} does not read what it is told")
            return
        self._waiting.append((operation, header))
        if not self._is_sending:
            self._is_sending = True
            self._runtime.spawn(self._send_all).set_daemon()

    def _send_all(self) -> None:
        try:
            while self._waiting:
                if self._runtime.post(self._to, *self._waiting.popleft()) < 0:
                    self._fail(f"{self._to} is gone")
        except BusyResource:
            self._fail(f"{self._to} does not read what it is told")
        except GreencoroError as error:
            self._fail(str(error))
        finally:
            self._is_sending = False

    def _fail(self, reason: str) -> None:
        if not self._failed:
            self._failed = True
            self._waiting.clear()
            self._on_failure(reason)
