"""Those who are called when it is worth another try."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

__all__ = ["Waiters"]

Waiter = Callable[[], object]


class Waiters:
    """Any thread may wait; one calls them."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[Waiter] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def has_or_wait(self, attempt: Callable[[], bool], waiter: Waiter | None) -> bool:
        """``attempt()``; where that is False, ``waiter`` is called, once, when it is worth another."""
        if attempt():
            return True
        if waiter is None:
            return False
        # Then another look: what came before this finds no waiter to call.
        self._waiting.append(waiter)
        if not attempt():
            return False
        self.discard(waiter)
        return True

    def discard(self, waiter: Waiter) -> None:
        """Do not call ``waiter`` any more."""
        with contextlib.suppress(ValueError):  # it was taken out to be called
            self._waiting.remove(waiter)

    def wake(self) -> None:
        """Call everyone who waits."""
        # Those that wait now: whose next attempt fails is back in the list before this is through.
        for _ in range(len(self._waiting)):
            try:
                waiter = self._waiting.pop(0)
            except IndexError:
                return
            waiter()
