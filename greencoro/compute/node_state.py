"""The decisions of a node daemon about its servers and their lease.

Every *slot* holds one server process at a time. Processes are started ahead and wait, warm, for a lease; one that was
leased never serves a second computation: it ends with the lease and a fresh one takes its slot. A lease that has ended,
however it did, never comes back: its token is refused from then on.

A process that ends soon after its start is started again at once the first time, then after longer and longer pauses.

Times are seconds of a monotonic clock, but for those called *wall*, in seconds since the epoch: service hours alone go
by the clock on the wall.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from greencoro.compute.hours_watch import HoursWatch
from greencoro.compute.lease import Lease, LeaseState
from greencoro.compute.node_options import NodeOptions
from greencoro.compute.node_phase import NodePhase, next_phase
from greencoro.compute.node_vocabulary import (
    Answer,
    AnswerPulse,
    Assign,
    Drain,
    EndServer,
    Holder,
    Identity,
    Instruction,
    StartServer,
    Stopped,
)
from greencoro.compute.node_words import Pulse, Pulsed, Refusal, Release, Released, Replace, Reserve, ReserveAnswer
from greencoro.compute.slots import Slot, SlotState

__all__ = ["NodeState"]

#: Leases that have ended, by token: so many are known as such.
_MAX_ENDED = 10_000
_HOURS_ARE_OVER = "was ended by its node, whose service hours are over"


class NodeState:
    """The slots of a node and who has them."""

    def __init__(self, options: NodeOptions) -> None:
        self.slots = [Slot(number) for number in range(1, options.servers + 1)]
        self.phase = NodePhase.OPEN
        self._options = options
        self._lease: Lease | None = None
        #: Tokens of leases that have ended, the oldest first. They are of no use to anybody: no secrets any more.
        self._ended: dict[str, None] = {}
        #: Leases that have ended and had servers.
        self._served = 0
        #: When the last jobs are ended; None: they are not.
        self._stop_at: float | None = None
        self._hours = None if options.hours is None else HoursWatch(options.hours)

    @property
    def in_use_by(self) -> str | None:
        """The name of the computation that has the lease; None where nobody has."""
        return None if self._lease is None or self._lease.is_over else self._lease.asked.name

    @property
    def ready_count(self) -> int:
        """Servers that serve a computation, or could at once."""
        return sum(slot.is_leased or slot.state is SlotState.WARM for slot in self.slots)

    @property
    def is_stopping(self) -> bool:
        """Has `stop` been called?"""
        return self.phase in (NodePhase.STOPPING, NodePhase.STOPPED)

    @property
    def is_counting_down(self) -> bool:
        """Have the last jobs been given a time?"""
        return self._stop_at is not None

    def start(self, now: float, wall: float) -> list[Instruction]:
        """Begin: start a process in every slot."""
        instructions = list(self._look_at_wall(now, wall))
        for slot in self.slots:
            instructions += self._start(slot, "due", now)
        return instructions

    def _advance(self, event: str) -> None:
        """The one place where `phase` changes."""
        self.phase = next_phase(self.phase, event)

    # The lease.

    def reserve(self, request: Any, holder: Holder, asked: Reserve, now: float) -> list[Instruction]:
        """``holder`` asks for all servers."""
        return list(self._reserve(request, holder, asked, now))

    def _reserve(self, request: Any, holder: Holder, asked: Reserve, now: float) -> Iterator[Instruction]:
        lease = self._lease
        if lease is not None and lease.is_held_by(holder, asked.token):
            # Its first answer came too late for the holder, or its link broke: it asks again.
            yield Answer(request, ReserveAnswer())
            yield from lease.take_up(holder, self.slots, now)
            return
        refusal = self._why_not(asked)
        if refusal is not None:
            yield Answer(request, refusal)
            return
        if lease is not None:
            yield Answer(request, ReserveAnswer(Refusal.BUSY, f"the node is in use by {lease.asked.name}"))
            if lease.holder.incarnation == holder.incarnation and not lease.clock.is_linked:
                # Who lost the link of that lease and asks for another one does not come back for it.
                yield from self._end_lease(lease, None)
            return
        lease = self._lease = Lease(asked, holder, self._options.zombie_period, now)
        yield Answer(request, ReserveAnswer())
        for slot in self.slots:
            if slot.state is SlotState.WARM:
                yield from self._hand_over(slot, lease)

    def _why_not(self, asked: Reserve) -> ReserveAnswer | None:
        """Why there is nothing for this one, whoever else has the node."""
        options, interval = self._options, asked.pulse_interval
        if self.phase.is_last:
            return ReserveAnswer(Refusal.ENDING, "the node is ending")
        if self.phase is not NodePhase.OPEN:
            return ReserveAnswer(Refusal.CLOSED, f"the node is not in service at this time of day ({options.hours})")
        if asked.token in self._ended:
            return ReserveAnswer(Refusal.EXPIRED, "the reservation has ended")
        if interval and not options.min_pulse_interval <= interval <= options.max_pulse_interval:
            limits = f"from {options.min_pulse_interval:g} s to {options.max_pulse_interval:g} s"
            return ReserveAnswer(Refusal.PULSES, f"the node takes a pulse_interval {limits}, not {interval:g} s")
        return None

    def pulse(self, request: Any, holder: Holder, asked: Pulse, now: float) -> list[Instruction]:
        """Somebody says that it holds the lease, perhaps by a new link."""
        lease = self._lease
        if lease is None or not lease.is_held_by(holder, asked.token):
            return [Answer(request, Pulsed(is_held=False))]
        lease.clock.pulse(now)
        if lease.holder.link is holder.link and lease.clock.is_linked:
            return [AnswerPulse(request)]
        return [AnswerPulse(request), *lease.take_up(holder, self.slots, now)]

    def release(self, request: Any, asked: Release) -> list[Instruction]:
        """Give back what the token stands for; answered when its servers are gone, at once where there are none."""
        lease = self._lease
        if lease is None or not lease.is_of(asked.token):
            return [Answer(request, Released())]
        lease.await_end(request)
        return list(self._end_lease(lease, None))

    def replace(self, asked: Replace) -> list[Instruction]:
        """A server cannot be reached: end it, so that a fresh one takes its place."""
        lease = self._lease
        if lease is None or lease.is_over or not lease.is_of(asked.token):
            return []
        found = [slot for slot in self.slots if slot.is_leased and slot.known.incarnation == asked.incarnation]
        return [EndServer(slot.number, at_once=True) for slot in found]

    def holder_lost(self, holder: Holder, now: float) -> list[Instruction]:
        """``holder`` cannot be reached by that link any more."""
        lease = self._lease
        if lease is None or lease.is_over or lease.holder != holder:
            return []
        lease.clock.lost(now)
        return list(self._end_if_overdue(lease, now))

    def close(self) -> list[Instruction]:
        """Whoever runs the node wants the computation closed."""
        if self._lease is None:
            return []
        return list(self._end_lease(self._lease, "was closed by whoever runs its node"))

    def _end_if_overdue(self, lease: Lease, now: float) -> Iterator[Instruction]:
        reason = lease.overdue(now)
        if reason is not None:
            yield from self._end_lease(lease, reason)

    def _end_lease(self, lease: Lease, reason: str | None) -> Iterator[Instruction]:
        """End the lease for good; a holder that did not want it is told of the reason."""
        if not lease.is_over:
            lease.state = LeaseState.OVER
            self._ended[lease.asked.token] = None
            if len(self._ended) > _MAX_ENDED:
                del self._ended[next(iter(self._ended))]
            if reason is not None:
                yield lease.ended(reason)
            for slot in self.slots:
                if slot.is_leased:
                    slot.advance("end")
                    lease.ending.add(slot.number)
                    yield EndServer(slot.number)
            self._served += lease.was_used
            if self._served == self._options.serve and not self.phase.is_last:
                yield from self._drain()
        yield from self._free_if_all_ended(lease)

    def _free_if_all_ended(self, lease: Lease) -> Iterator[Instruction]:
        if lease.is_over and not lease.ending and self._lease is lease:
            self._lease = None
            yield from lease.answer_releases()
            yield from self._go_on_if_drained()

    # Server processes.

    def ready(self, number: int, run: int, identity: Identity) -> list[Instruction]:
        """The slot's process reported."""
        slot = self._slot(number, run)
        if slot is None or slot.state is not SlotState.STARTING:
            return []
        slot.advance("ready")
        slot.identity = identity
        lease = self._lease
        if lease is None or lease.state is not LeaseState.HELD or self.phase is not NodePhase.OPEN:
            return []
        return list(self._hand_over(slot, lease))

    def _hand_over(self, slot: Slot, lease: Lease) -> Iterator[Instruction]:
        slot.advance("lease")
        yield Assign(slot.number, lease.asked.token)
        yield lease.started(slot)

    def busy(self, number: int, run: int) -> None:
        """The slot's process runs a job."""
        lease = self._lease_of(number, run)
        if lease is not None:
            lease.clock.busy(number)

    def idle(self, number: int, run: int, now: float) -> None:
        """The slot's process runs no job any more."""
        lease = self._lease_of(number, run)
        if lease is not None:
            lease.clock.idle(number, now)

    def _lease_of(self, number: int, run: int) -> Lease | None:
        slot = self._slot(number, run)
        return self._lease if slot is not None and slot.is_leased else None

    def exited(self, number: int, run: int, explanation: str, now: float) -> list[Instruction]:
        """The slot's process is gone, with all it started."""
        slot = self._slot(number, run)
        if slot is None:
            return []
        return list(self._exited(slot, explanation, now))

    def _exited(self, slot: Slot, explanation: str, now: float) -> Iterator[Instruction]:
        lease = self._lease
        if lease is not None and not lease.is_over and slot.is_leased:
            yield lease.died(slot, explanation, now)
        slot.identity = None
        if self.phase.is_last:
            slot.advance("stopped")
        elif slot.is_ending:
            slot.quick_ends = 0
            yield from self._start(slot, "exited", now)
        else:
            slot.due_at = now + slot.pause(now)
            if slot.due_at <= now:
                yield from self._start(slot, "exited", now)
            else:
                slot.advance("failed")
        if lease is not None:
            lease.ending.discard(slot.number)
            yield from self._free_if_all_ended(lease)
        yield from self._go_on_if_drained()
        yield from self._stopped_if_all_ended()

    def _start(self, slot: Slot, event: str, now: float) -> Iterator[Instruction]:
        slot.advance(event)
        slot.run += 1
        slot.started_at = now
        yield StartServer(slot.number, slot.run)

    def _slot(self, number: int, run: int) -> Slot | None:
        slot = self.slots[number - 1]
        return slot if slot.run == run else None

    # Time.

    def next_due_at(self) -> float | None:
        """When `due` is to be called next; None for no time soon."""
        dues = [slot.due_at for slot in self.slots if slot.state is SlotState.WAITING]
        if self._lease is not None and not self._lease.is_over:
            dues.append(self._lease.clock.next_look_at())
        if self._stop_at is not None:
            dues.append(self._stop_at)
        if self._hours is not None and not self.phase.is_last:
            dues.append(self._hours.next_look_at)
        return min(dues, default=None)

    def due(self, now: float, wall: float) -> list[Instruction]:
        """Do what it is time for."""
        return list(self._due(now, wall))

    def _due(self, now: float, wall: float) -> Iterator[Instruction]:
        for slot in self.slots:
            if slot.state is SlotState.WAITING and slot.due_at <= now:
                yield from self._start(slot, "due", now)
        if self._lease is not None and not self._lease.is_over:
            yield from self._end_if_overdue(self._lease, now)
        yield from self._look_at_wall(now, wall)
        if self._stop_at is not None and self._stop_at <= now:
            yield from self._stop()

    def _look_at_wall(self, now: float, wall: float) -> Iterator[Instruction]:
        if self._hours is None or self.phase.is_last or self._hours.next_look_at > now:
            return
        service, has_ended = self._hours.look(now, wall)
        self._advance(service.value)
        if self._lease is not None and has_ended:
            yield from self._end_lease(self._lease, _HOURS_ARE_OVER)
        elif self.phase is NodePhase.NO_NEW:
            yield from self._drain_lease()

    def _wait_no_more(self) -> None:
        for slot in self.slots:
            if slot.state is SlotState.WAITING:
                slot.advance("stopped")

    # The end.

    def retire(self) -> None:
        """Start no process any more: the next thing to come is `stop`."""
        if self.phase is NodePhase.DRAINING or not self.phase.is_last:
            self._advance("retire")
            self._wait_no_more()

    def drain(self, now: float, seconds: float | None = None) -> list[Instruction]:
        """Take no more jobs, and stop when the last one is over.

        Args:
            seconds: What the jobs that have begun are given; None: all the time they need.
        """
        if seconds is not None and not self.is_stopping:
            self._stop_at = now + seconds
        return [] if self.phase.is_last else list(self._drain())

    def _drain(self) -> Iterator[Instruction]:
        self._advance("drain")
        self._wait_no_more()
        yield from self._drain_lease()
        yield from self._go_on_if_drained()

    def _drain_lease(self) -> Iterator[Instruction]:
        lease = self._lease
        if lease is None or lease.state is not LeaseState.HELD:
            return
        lease.state = LeaseState.DRAINING
        for slot in self.slots:
            if slot.state is SlotState.LEASED:
                yield Drain(slot.number)
                yield lease.draining(slot)
        yield from self._go_on_if_drained()

    def drained(self, number: int, run: int) -> list[Instruction]:
        """The slot's process takes no more jobs and has none left."""
        slot = self._slot(number, run)
        if slot is None or slot.state is not SlotState.LEASED:
            return []
        slot.advance("drained")
        return list(self._go_on_if_drained())

    def _go_on_if_drained(self) -> Iterator[Instruction]:
        if any(slot.state is SlotState.LEASED for slot in self.slots):
            return
        if self.phase is NodePhase.DRAINING:
            yield from self._stop()
        elif self._lease is not None and self._lease.state is LeaseState.DRAINING:
            yield from self._end_lease(self._lease, _HOURS_ARE_OVER)

    def stop(self) -> list[Instruction]:
        """End every process; `Stopped` comes when the last one has."""
        return list(self._stop())

    def _stop(self) -> Iterator[Instruction]:
        if self.is_stopping:
            return
        self._advance("stop")
        self._stop_at = None
        self._wait_no_more()
        if self._lease is not None:
            yield from self._end_lease(self._lease, "was ended with its node")
        for slot in self.slots:
            if slot.state in (SlotState.STARTING, SlotState.WARM):
                slot.advance("end")
                yield EndServer(slot.number, at_once=True)
        yield from self._stopped_if_all_ended()

    def _stopped_if_all_ended(self) -> Iterator[Instruction]:
        if self.phase is NodePhase.STOPPING and all(slot.state is SlotState.ENDED for slot in self.slots):
            self._advance("stopped")
            yield Stopped()
