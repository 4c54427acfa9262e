"""Who hears of a coroutine's end.

An observer is called once, with the coroutine, when that is over. The table of observers is its own protocol, without a
lock (the reactor adds observers while the coroutine may be ending on the user hub): the end takes the table away and
pops each observer from it; whoever added one and then finds the table taken away tries to pop his own again. Each dict
operation is atomic, so exactly one of the two gets it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Observers", "Watcher"]

_log = logging.getLogger(__name__)

Observer = Callable[[Any], object]

# No table is looked through for those who watch no more before it is this long.
_SWEEP_FROM = 64

_ABSENT: Any = object()


class Watcher(Protocol):
    """On whose behalf an observer is called."""

    def has_ended_for_good(self) -> bool:
        """Need it hear of nothing any more?"""


class Observers:
    """The observers of one coroutine."""

    __slots__ = ("_sweep_at", "_table")

    def __init__(self) -> None:
        # A dict for its order: adding, removing and looking for one take the same time however many there are.
        self._table: dict[Observer, Watcher | None] | None = {}
        # With how many observers the next look for those whose watcher has ended is due.
        self._sweep_at = _SWEEP_FROM

    def __len__(self) -> int:
        return len(self._table or ())

    def add(self, observer: Observer, watcher: Watcher | None = None) -> bool:
        """Have ``observer(coro)`` called at the end; one that was added already (an equal one) is called once still.

        Args:
            watcher (Watcher | None): Once that has ended for good the observer may be forgotten.

        Returns:
            bool: False where the end has come: it will not be called.
        """
        table = self._table
        if table is None:
            return False
        table[observer] = watcher
        if len(table) > self._sweep_at:
            self._sweep(table)
        # If the end came meanwhile: either it calls the observer, or it never saw it.
        return self._table is not None or table.pop(observer, _ABSENT) is _ABSENT

    def _sweep(self, table: dict[Observer, Watcher | None]) -> None:
        """Forget those whose watchers have ended: of a server that lives on, many come and go."""
        for observer in list(table):
            watcher = table.get(observer)
            if watcher is not None and watcher.has_ended_for_good():
                table.pop(observer, None)
        # Not before the table has doubled: so adding one costs the same in the mean however many there are.
        self._sweep_at = max(_SWEEP_FROM, 2 * len(table))

    def remove(self, observer: Observer) -> bool:
        """Do not call ``observer`` any more; False where it was called already, or will be now."""
        table = self._table
        return table is not None and table.pop(observer, _ABSENT) is not _ABSENT

    def tell(self, coro: Any) -> None:
        """Call every observer, in the order they were added; one that raises is logged and the others go on."""
        table, self._table = self._table, None
        while table:
            for observer in list(table):
                if table.pop(observer, _ABSENT) is _ABSENT:
                    continue
                try:
                    observer(coro)
                except Exception:
                    _log.exception("an observer of %r failed", coro)
