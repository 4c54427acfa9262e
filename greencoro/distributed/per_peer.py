"""What each incarnation of a peer has under way here, whatever becomes of its links.

A bound that is kept for a link begins anew whenever the connection breaks, and a peer can break it as often as it
likes. So these objects belong to an incarnation, and nobody owns them: whatever is under way (a message in a mailbox, a
request that is worked on) holds the object that counts it, and so does the link. With the last of these it is gone;
hence no more of them are remembered than there are things under way.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

from greencoro.hub import native

__all__ = ["PerPeer", "Tally"]

T = TypeVar("T")


class PerPeer(Generic[T]):
    """One object for each incarnation and subject, for as long as somebody else holds it; any thread.

    Args:
        make: Makes one. Its class needs the slot ``__weakref__``.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._held: WeakValueDictionary[tuple[bytes, Hashable], T] = WeakValueDictionary()
        # Held for a few lines that run no code but ours. An RLock, because a destructor may come in the middle.
        self._lock = native.RLock()

    def of(self, incarnation: bytes, subject: Hashable = None) -> T:
        """The object that counts what ``incarnation`` has under way to ``subject``; made where there is none."""
        key = incarnation, subject
        with self._lock:
            found = self._held.get(key)
            if found is None:
                found = self._held[key] = self._make()
            return found

    def subjects(self, incarnation: bytes) -> list[Any]:
        """To what ``incarnation`` has something under way."""
        with self._lock:
            return [subject for whose, subject in self._held if whose == incarnation]

    def __len__(self) -> int:
        return len(self._held)


class Tally:
    """How many things are under way, and their bytes; any thread.

    Args:
        max_items, max_bytes: What there may be at once. One alone may have any size.
    """

    __slots__ = ("__weakref__", "_lock", "items", "max_bytes", "max_items", "size")

    def __init__(self, max_items: int, max_bytes: int) -> None:
        self.max_items = max_items
        self.max_bytes = max_bytes
        self.items = 0
        self.size = 0
        self._lock = native.RLock()

    def enter(self, size: int) -> bool:
        """One more of ``size`` bytes; False, and it is not counted, where that is too much."""
        with self._lock:
            if not self.has_room(size):
                return False
            self.items += 1
            self.size += size
            return True

    def has_room(self, size: int) -> bool:
        """Might one of ``size`` bytes enter now?"""
        return not self.items or (self.items < self.max_items and self.size + size <= self.max_bytes)

    def leave(self, size: int) -> None:
        """One that entered with ``size`` bytes is over."""
        with self._lock:
            self.items -= 1
            self.size -= size
