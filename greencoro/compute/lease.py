"""One lease of a node: who has the servers, and how long."""

from __future__ import annotations

import enum
import hmac
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from greencoro.compute.lease_clock import LeaseClock, Overdue
from greencoro.compute.node_vocabulary import Answer, Holder, Instruction, Tell
from greencoro.compute.node_words import LeaseEnded, Released, Reserve, ServerDied, ServerDraining, ServerStarted
from greencoro.compute.pulse_clock import SILENT_PULSES
from greencoro.compute.slots import Slot

__all__ = ["Lease", "LeaseState"]

#: The last deaths of servers, which a holder whose link broke may not have heard of. It finds out about those before
#: them when it wants to reach the servers.
_MAX_DEATHS = 100


class LeaseState(enum.Enum):
    """What a lease is at; from each to every later one."""

    #: Its holder may start jobs.
    HELD = "held"
    #: Its servers take no more jobs; it is over with the last one.
    DRAINING = "draining"
    #: Its servers are being ended.
    OVER = "over"


class Lease:
    """See the module.

    Args:
        asked (Reserve): What it was given for.

        holder (Holder): Who has it.

        zombie_period (float): Of the node's own; 0: none.

        now (float): The present, on a monotonic clock.
    """

    def __init__(self, asked: Reserve, holder: Holder, zombie_period: float, now: float) -> None:
        periods = [period for period in (asked.zombie_period, zombie_period) if period]
        self.asked = asked
        self.holder = holder
        self.clock = LeaseClock(asked.pulse_interval, min(periods, default=0.0), now)
        self.state = LeaseState.HELD
        #: Was a server handed over?
        self.was_used = False
        #: Slots whose process served this lease and has not ended yet, once it is over.
        self.ending: set[int] = set()
        self._releases: list[Any] = []
        self._deaths: deque[ServerDied] = deque(maxlen=_MAX_DEATHS)

    def is_of(self, token: str) -> bool:
        """Does the token prove that whoever shows it may speak of this lease?"""
        return hmac.compare_digest(self.asked.token, token)

    def is_held_by(self, holder: Holder, token: str) -> bool:
        """Is that its holder, by whichever link, and does the lease go on?"""
        return not self.is_over and self.is_of(token) and self.holder.incarnation == holder.incarnation

    @property
    def is_over(self) -> bool:
        """Has it been ended?"""
        return self.state is LeaseState.OVER

    def take_up(self, holder: Holder, slots: Iterable[Slot], now: float) -> Iterator[Instruction]:
        """Its holder has another link: tell what it may have missed."""
        self.holder = holder
        self.clock.back(now)
        for death in self._deaths:
            yield Tell(holder, death)
        for slot in slots:
            if slot.is_leased:
                yield self.started(slot)
                if self.state is LeaseState.DRAINING:
                    yield self.draining(slot)

    def overdue(self, now: float) -> str | None:
        """Why it is over by time, as `ended` wants it; None while it is not."""
        why = self.clock.overdue(now)
        if why is Overdue.IDLE:
            return f"was ended by its node, for no job ran for {self.clock.zombie_period:g} s (zombie_period)"
        if why is Overdue.CUT_OFF:
            return "was ended by its node, whose connection to the computation broke"
        if why is Overdue.SILENT:
            seconds = SILENT_PULSES * self.asked.pulse_interval
            return f"was ended by its node, which heard nothing of the computation for {seconds:g} s"
        return None

    # What its holder is told.

    def started(self, slot: Slot) -> Tell:
        """The slot's server serves it."""
        asked, identity = self.asked, slot.known
        self.was_used = True
        word = ServerStarted(
            asked.token, asked.attempt, identity.incarnation, identity.location, identity.name, identity.pid
        )
        return Tell(self.holder, word)

    def draining(self, slot: Slot) -> Tell:
        """The slot's server takes no more jobs."""
        return Tell(self.holder, ServerDraining(self.asked.token, self.asked.attempt, slot.known.incarnation))

    def died(self, slot: Slot, explanation: str, now: float) -> Tell:
        """The slot's server is gone."""
        self.clock.idle(slot.number, now)
        word = ServerDied(self.asked.token, self.asked.attempt, slot.known.incarnation, explanation)
        self._deaths.append(word)
        return Tell(self.holder, word)

    def ended(self, reason: str) -> Tell:
        """It is over, and nobody asked for that."""
        return Tell(self.holder, LeaseEnded(self.asked.token, self.asked.attempt, reason))

    # Its release.

    def await_end(self, request: Any) -> None:
        """A request to be answered when its servers have ended."""
        self._releases.append(request)

    def answer_releases(self) -> Iterator[Instruction]:
        """They have."""
        for request in self._releases:
            yield Answer(request, Released())
        self._releases.clear()
