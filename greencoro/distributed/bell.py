"""A bell that one native thread waits for and any other rings."""

from __future__ import annotations

from greencoro.hub import native

__all__ = ["Bell"]


class Bell:
    """Rings are not counted: whoever hears one looks at everything there may be to do."""

    __slots__ = ("_silence",)

    def __init__(self) -> None:
        # Held while nobody has rung; released at most once ahead.
        self._silence = native.Lock()
        self._silence.acquire()

    def ring(self) -> None:
        """Wake the thread that waits, or the next one that would. Never blocks."""
        try:
            self._silence.release()
        except RuntimeError:
            return  # it has been rung already

    def wait(self, timeout: float | None = None) -> None:
        """Block this thread until it rings, ``timeout`` seconds at most (None: no limit)."""
        self._silence.acquire(True, -1 if timeout is None else min(max(timeout, 0.0), 1e6))
