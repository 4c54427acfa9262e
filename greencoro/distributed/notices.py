"""The notices of ends that one side of a link waits for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greencoro.errors import NetworkError

__all__ = ["Notices", "OnNotice"]

#: Called once in the reactor's turn, with the notice and None, or with None and why there will be none.
OnNotice = Callable[[Any, "NetworkError | None"], object]


class Notices:
    """See the module. Any threads wait, the reactor's has the notices and the loss.

    Args:
        why_lost: Says why the link is lost, None where it is not.
    """

    def __init__(self, why_lost: Callable[[], NetworkError | None]) -> None:
        self._why_lost = why_lost
        # By the number of the watch. Whoever takes one out tells it.
        self._pending: dict[int, OnNotice] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def expect(self, watch: int, on_notice: OnNotice) -> None:
        """Have ``on_notice`` called for the watch of that number; at once where the link is lost."""
        self._pending[watch] = on_notice
        error = self._why_lost()
        if error is not None and self.forget(watch):
            on_notice(None, error)

    def forget(self, watch: int) -> bool:
        """Nobody waits for that any more; False where it was told before."""
        return self._pending.pop(watch, None) is not None

    def came(self, watch: int, notice: Any) -> None:
        """The notice for that watch came; one that nobody waits for any more is dropped."""
        on_notice = self._pending.pop(watch, None)
        if on_notice is not None:
            on_notice(notice, None)

    def lose(self, error: NetworkError, guard: Callable[..., None]) -> None:
        """The link is lost: everyone who waits is told; ``guard`` as for `Link.lose`."""
        for watch in list(self._pending):
            # Other threads take theirs out meanwhile.
            on_notice = self._pending.pop(watch, None)
            if on_notice is not None:
                guard(on_notice, None, error)
