"""What was made lately, to be found by what it was made from."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from greencoro.hub import native

__all__ = ["Remembered"]

T = TypeVar("T")


class Remembered(Generic[T]):
    """The last things that were made, each under a key; for any thread.

    Args:
        max_count (int): How many there are at most.

        max_bytes (int): How large they are together at most; the newest one is kept whatever its size.
    """

    def __init__(self, max_count: int, max_bytes: int = 0) -> None:
        self._max_count = max_count
        self._max_bytes = max_bytes
        # For changes; held for a few lines.
        self._lock = native.Lock()
        self._kept: dict[Hashable, tuple[T, int]] = {}
        self._bytes = 0

    def get(self, key: Hashable) -> T | None:
        """What was made, unless it is forgotten."""
        kept = self._kept.get(key)
        return None if kept is None else kept[0]

    def put(self, key: Hashable, value: T, size: int = 0) -> None:
        """Keep something of so many bytes, in place of what was kept there."""
        let_go = []  # what goes with it may run the user's code: without the lock
        with self._lock:
            if key in self._kept:
                let_go.append(self._forget(key))
            self._kept[key] = value, size
            self._bytes += size
            while len(self._kept) > 1 and (len(self._kept) > self._max_count or self._bytes > self._max_bytes):
                let_go.append(self._forget(next(iter(self._kept))))

    def _forget(self, key: Hashable) -> T:
        value, size = self._kept.pop(key)
        self._bytes -= size
        return value
