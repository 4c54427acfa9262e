"""Who hears of a coroutine's end.

An observer is called once, with the coroutine, when that is over. The table of observers is its own protocol, without a
lock (the reactor adds observers while the coroutine may be ending on the user hub): the end takes the table away and
pops each observer from it; whoever added one and then finds the table taken away tries to pop his own again. Each dict
operation is atomic, so exactly one of the two gets it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

__all__ = ["Observers"]

_log = logging.getLogger(__name__)

Observer = Callable[[Any], object]


class Observers:
    """The observers of one coroutine."""

    __slots__ = ("_table",)

    def __init__(self) -> None:
        # A dict for its order: adding, removing and looking for one take the same time however many there are.
        self._table: dict[Observer, bool] | None = {}

    def add(self, observer: Observer) -> bool:
        """Have ``observer(coro)`` called at the end; one that was added already (an equal one) is called once still.

        Returns:
            bool: False where the end has come: it will not be called.
        """
        table = self._table
        if table is None:
            return False
        table[observer] = True
        # If the end came meanwhile: either it calls the observer, or it never saw it.
        return self._table is not None or not table.pop(observer, False)

    def remove(self, observer: Observer) -> None:
        """Do not call ``observer`` any more; where it was called already, nothing."""
        table = self._table
        if table is not None:
            table.pop(observer, None)

    def tell(self, coro: Any) -> None:
        """Call every observer, in the order they were added; one that raises is logged and the others go on."""
        table, self._table = self._table, None
        while table:
            for observer in list(table):
                if not table.pop(observer, False):
                    continue
                try:
                    observer(coro)
                except Exception:
                    _log.exception("an observer of %r failed", coro)
