"""Whether somebody has asked how a coroutine elsewhere ended."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Asked"]


class Asked:
    """A part of what refers to the coroutine."""

    __slots__ = ()

    # Slots of the class that is mixed with this one.
    _is_asked: bool
    _on_asked: Callable[[], object] | None

    def _not_asked(self) -> None:
        """Nobody has yet; to be called first."""
        self._is_asked = False  # type: ignore[misc]
        self._on_asked = None  # type: ignore[misc]

    def asked(self) -> None:
        """Somebody asks, or may do so elsewhere; any thread."""
        self._is_asked = True  # type: ignore[misc]
        function, self._on_asked = self._on_asked, None  # type: ignore[misc]
        if function is not None:
            function()

    @property
    def is_asked(self) -> bool:
        """Has somebody asked?"""
        return self._is_asked

    def when_asked(self, function: Callable[[], object]) -> None:
        """Have ``function()`` called once somebody asks, in that thread; at once where somebody has."""
        self._on_asked = function  # type: ignore[misc]
        if self._is_asked:
            self.asked()
