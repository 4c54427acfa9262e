"""When a node's lease is over by time.

Its holder may be silent for too long, and its servers may have been without a job for too long.
"""

from __future__ import annotations

import enum

from greencoro.compute.pulse_clock import PulseClock

__all__ = ["LeaseClock", "Overdue"]

#: A holder whose link broke makes another one within a few seconds, or is dead.
_LINK_SECONDS = 5.0
#: `LeaseClock.overdue` is asked for at least so often, in seconds, where the holder's pulses do not say how often.
_LOOK_SECONDS = 10.0


class Overdue(enum.Enum):
    """Why a lease is over."""

    #: Nothing was heard of its holder for five pulse intervals.
    SILENT = "its holder was not heard"
    #: Its holder has had no link for too long.
    CUT_OFF = "its holder has no link"
    #: No job ran for the zombie period.
    IDLE = "no job ran"


class LeaseClock:
    """The clocks of one lease.

    Times are those of a monotonic clock, in seconds: what somebody does to the clock on the wall is no time that
    passed. `overdue` is to be asked as often as `next_look_at` says. Time in which it was not, because this process was
    stopped, counts neither as silence nor as idleness.

    Args:
        pulse_interval (float): Seconds between the holder's pulses; 0: it does not pulse, its link alone counts.

        zombie_period (float): Seconds without a job after which the lease is over; 0: it is never for that.

        now (float): The present.
    """

    def __init__(self, pulse_interval: float, zombie_period: float, now: float) -> None:
        self.zombie_period = zombie_period
        self._holder: PulseClock[None] = PulseClock(pulse_interval, now)
        self._holder.watch(None, now)
        self._longest_look = pulse_interval or _LOOK_SECONDS
        #: Since when the holder has no link; None: it has one.
        self._cut_off_since: float | None = None
        self._looked = now
        self._busy: set[int] = set()
        #: Since when no slot is busy; None: one is.
        self._idle_since: float | None = now

    def pulse(self, now: float) -> None:
        """The holder spoke."""
        self._holder.heard(None, now)

    def lost(self, now: float) -> None:
        """The link to the holder broke, which may soon have another one; a holder without pulses may not."""
        if self._cut_off_since is None:
            self._cut_off_since = now

    def back(self, now: float) -> None:
        """The holder has a link again."""
        self._cut_off_since = None
        self.pulse(now)

    @property
    def is_linked(self) -> bool:
        """Has the holder a link?"""
        return self._cut_off_since is None

    def busy(self, slot: int) -> None:
        """The slot's server runs a job."""
        self._busy.add(slot)
        self._idle_since = None

    def idle(self, slot: int, now: float) -> None:
        """The slot's server runs no job any more, or is gone."""
        self._busy.discard(slot)
        if not self._busy and self._idle_since is None:
            self._idle_since = now

    def overdue(self, now: float) -> Overdue | None:
        """Why the lease is over; None while it is not."""
        not_looked = now - self._looked - self._longest_look
        self._looked = now
        if not_looked > 0 and self._idle_since is not None:
            self._idle_since = min(now, self._idle_since + not_looked)
        if not_looked > 0 and self._cut_off_since is not None:
            self._cut_off_since = now
        if self._holder.silent(now):
            return Overdue.SILENT
        cut_off_at = self._cut_off_at()
        if cut_off_at is not None and now >= cut_off_at:
            return Overdue.CUT_OFF
        if self.zombie_period and self._idle_since is not None and now - self._idle_since >= self.zombie_period:
            return Overdue.IDLE
        return None

    def next_look_at(self) -> float:
        """When `overdue` is to be asked again, at the latest: twice in a pulse interval, to see when this process was
        stopped, and when the lease is over if nothing happens until then.
        """
        idle_at = None if self._idle_since is None or not self.zombie_period else self._idle_since + self.zombie_period
        dues = [at for at in (idle_at, self._cut_off_at(), self._holder.next_due_at()) if at is not None]
        return min([*dues, self._looked + self._longest_look / 2])

    def _cut_off_at(self) -> float | None:
        """When the holder has had no link for too long; None where it has one."""
        if self._cut_off_since is None:
            return None
        return self._cut_off_since + (_LINK_SECONDS if self._holder.interval else 0.0)
