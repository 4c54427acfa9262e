"""Whether a peer is alive, judged by when it was last heard.

Anything that arrives says that it lives, and an answer that it hears us as well: on every link one side's ping makes
the other's pong. Where the network carries in one direction only, the side that still hears counts from the last
answer, and from what it heard last but a tick less: by then a side whose TCP is not acknowledged sends nothing new. So
it gives up when the other one does, which hears nothing, and not after it. A peer whose answers are late, behind
megabytes of its own on a slow network, goes on to be heard and is not given up.
"""

from __future__ import annotations

import enum

__all__ = ["Health", "Liveness"]

#: In ticks. A peer that falls silent was heard a tick ago at most, and is found silent half a tick late at most. So
#: much more than the time-out leaves as much on either side of it, where no more than a tick is promised.
_SLACK = 0.25
#: Looks come a little early or late: a heartbeat that is due by less than this is not put off until the next one.
_EARLY = 0.125


class Health(enum.Enum):
    """What `Liveness.check` finds."""

    #: Heard within the last tick.
    UP = enum.auto()
    #: Nothing heard for a tick or more: ask.
    SUSPECT = enum.auto()
    #: Without an answer for the whole time-out, and silent for all of that but a tick: given up, for good.
    LOST = enum.auto()


class Liveness:
    """One link's clock.

    Args:
        now (float): The present, in seconds on a monotonic clock.

        tick (float): Seconds between heartbeats on an otherwise quiet link.

        timeout (float): Seconds without an answer after which a silent peer is lost, a tick more or less.
    """

    def __init__(self, now: float, tick: float, timeout: float) -> None:
        self.tick = tick
        self._silent_seconds = timeout + _SLACK * tick
        #: When something arrived last; None: never.
        self.heard_at: float | None = None
        self._heard = now
        self._answered = now
        self._asked = now
        self._looked = now

    def heard(self, now: float, is_answer: bool = False) -> None:
        """Something arrived; is it an answer?"""
        self._heard = self.heard_at = now
        if is_answer:
            self._answered = now

    def answered(self, now: float) -> None:
        """What arrived last says that this side is heard."""
        self._answered = now

    def check(self, now: float) -> Health:
        """Judge; to be called about every half tick.

        Time in which nobody called this (a suspended laptop, a stopped process) is not held against the peer: it may
        well have spoken, and what it said lies unread in the socket.
        """
        if self.seconds_left(now) <= 0:
            return Health.LOST
        return Health.UP if now - self._heard < self.tick else Health.SUSPECT

    def seconds_left(self, now: float) -> float:
        """Until a peer that is not heard any more is lost; where there is no connection, to be called in the place of
        `check`, as often.
        """
        self._look(now)
        # Who does not hear us may be heard for a tick longer: what it asked last may have gone just before it was deaf.
        return max(self._answered, self._heard - self.tick) + self._silent_seconds - now

    def _look(self, now: float) -> None:
        slept = now - self._looked - self.tick
        self._looked = now
        if slept > 0:
            self._heard = min(now, self._heard + slept)
            self._answered = min(now, self._answered + slept)

    def should_ping(self, now: float) -> bool:
        """Is it time for another heartbeat? Once a tick."""
        if now - self._asked >= (1 - _EARLY) * self.tick:
            self._asked = now
            return True
        return False
