"""Who has been silent for too long.

Pulses are counted on reactors, so they come also while coroutines compute. What counts as heard is anything that shows
the other side alive, a pulse at the least.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["SILENT_PULSES", "PulseClock"]

#: Whoever is not heard for so many pulse intervals is lost.
SILENT_PULSES = 5

Who = TypeVar("Who", bound=Hashable)


class PulseClock(Generic[Who]):
    """When each of several others was heard.

    Times are those of a monotonic clock, in seconds; one thread makes all calls. `silent` is to be asked at least twice
    in an interval: where it was not for more than an interval, because this process was stopped, nobody was listened
    to, and what came meanwhile lies unread. Then everybody counts as heard at that moment.

    Args:
        interval (float): Seconds between two pulses; 0: nobody pulses, nobody is ever silent.

        now (float): The present.
    """

    def __init__(self, interval: float, now: float) -> None:
        self.interval = interval
        #: The longest time, in seconds, for which this process did not look: others may have given it up meanwhile.
        self.longest_gap = 0.0
        self._heard: dict[Who, float] = {}
        self._looked = now

    def watch(self, who: Who, now: float) -> None:
        """From now on this one is expected to pulse."""
        self._heard[who] = now

    def forget(self, who: Who) -> None:
        """This one is not expected any more; where it was not, nothing."""
        self._heard.pop(who, None)

    def heard(self, who: Who, now: float) -> bool:
        """This one spoke; is it expected to?"""
        if who not in self._heard:
            return False
        self._heard[who] = now
        return True

    def silent(self, now: float) -> list[Who]:
        """Those not heard for `SILENT_PULSES` intervals; each until it is heard or forgotten."""
        if not self.interval:
            return []
        gap = now - self._looked
        self._looked = now
        if gap > self.interval:
            self.longest_gap = max(self.longest_gap, gap)
            self._heard = dict.fromkeys(self._heard, now)
        return [who for who, heard in self._heard.items() if now - heard >= SILENT_PULSES * self.interval]

    def next_due_at(self) -> float | None:
        """When somebody would be silent; None for never. Look more often than that, for the gaps."""
        if not self.interval:
            return None
        return min((heard + SILENT_PULSES * self.interval for heard in self._heard.values()), default=None)
