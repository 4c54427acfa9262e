"""How far many jobs have come, in a line for people."""

from __future__ import annotations

__all__ = ["Progress"]


class Progress:
    """Counts jobs; time comes in as an argument.

    Args:
        every (float): A line is due so many seconds after the last one.
    """

    def __init__(self, every: float) -> None:
        self._every = every
        self._begun: float | None = None
        self._shown: float | None = None
        self._wanted = 0
        self._over = 0
        self._failed = 0

    def wanted(self, now: float) -> None:
        """There is a job more."""
        if self._begun is None:
            self._begun = now
        self._wanted += 1

    def over(self, failed: bool) -> None:
        """A job is over."""
        self._over += 1
        self._failed += failed

    def cancelled(self) -> None:
        """A job will not be run."""
        self._wanted -= 1

    def line(self, now: float) -> str | None:
        """What to show now; None where something was shown a moment ago."""
        if self._shown is not None and now - self._shown < self._every:
            return None
        return self.last_line(now)

    def last_line(self, now: float) -> str:
        """What to show now, whatever was shown."""
        self._shown = now
        seconds = 0.0 if self._begun is None else now - self._begun
        failed = f", {self._failed} failed" if self._failed else ""
        rate = f", {self._over / seconds:.1f} a second" if seconds > 0 and self._over else ""
        return f"{self._over} of {self._wanted} jobs{failed}{rate}"
