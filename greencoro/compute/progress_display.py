"""Shows people how far many jobs have come."""

from __future__ import annotations

from greencoro.compute.progress import Progress
from greencoro.compute.terminal import is_terminal, show
from greencoro.hub import native

__all__ = ["ProgressDisplay"]

#: How often something is shown: on a terminal, and elsewhere.
_TERMINAL_SECONDS, _LOG_SECONDS = 0.1, 5.0


class ProgressDisplay:
    """On standard error: in one line on a terminal, in some lines elsewhere. Any thread may call it.

    Attributes:
        progress (Progress): What is counted.
    """

    def __init__(self) -> None:
        self._is_terminal = is_terminal()
        self.progress = Progress(_TERMINAL_SECONDS if self._is_terminal else _LOG_SECONDS)
        self._is_closed = False

    def over(self, failed: bool) -> None:
        """A job is over."""
        self.progress.over(failed)
        self._show(self.progress.line(native.monotonic()), end="")

    def close(self) -> None:
        """There are no more jobs; may be called again."""
        if self._is_closed:
            return
        self._is_closed = True
        self._show(self.progress.last_line(native.monotonic()), end="\n")

    def _show(self, line: str | None, end: str) -> None:
        if line is None:
            return
        if self._is_terminal:
            show(f"\r\033[K{line}", end)
        else:
            show(f"greencoro: {line}")
