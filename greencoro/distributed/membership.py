"""Whether a peer is alive, judged by when it was last heard.

Anything that arrives counts as heard. On a quiet link one side's ping makes the other's pong, so a silent peer is one
that was asked and did not answer.
"""

from __future__ import annotations

import enum

__all__ = ["Health", "Liveness"]


class Health(enum.Enum):
    """What `Liveness.check` finds."""

    #: Heard within the last tick.
    UP = enum.auto()
    #: Nothing heard for a tick or more: ask.
    SUSPECT = enum.auto()
    #: Silent for the whole time-out: given up, for good.
    LOST = enum.auto()


class Liveness:
    """One link's clock.

    Args:
        now (float): The present, in seconds on a monotonic clock.

        tick (float): Seconds between heartbeats on an otherwise quiet link.

        timeout (float): Seconds of silence after which the peer is lost.
    """

    def __init__(self, now: float, tick: float, timeout: float) -> None:
        self.tick = tick
        self.timeout = timeout
        #: When something arrived last; None: never.
        self.heard_at: float | None = None
        self._heard = now
        self._asked = now
        self._looked = now

    def heard(self, now: float) -> None:
        """Something arrived."""
        self._heard = self.heard_at = now

    def check(self, now: float) -> Health:
        """Judge; to be called about every half tick.

        Time in which nobody called this (a suspended laptop, a stopped process) is not held against the peer: it may
        well have spoken, and what it said lies unread in the socket.
        """
        slept = now - self._looked - self.tick
        self._looked = now
        if slept > 0:
            self._heard = min(now, self._heard + slept)
        silent = now - self._heard
        if silent >= self.timeout:
            return Health.LOST
        return Health.UP if silent < self.tick else Health.SUSPECT

    def should_ping(self, now: float) -> bool:
        """Is it time for another heartbeat? Once a tick."""
        if now - self._asked >= self.tick:
            self._asked = now
            return True
        return False
