"""The decisions of a node daemon about its servers and their lease.

Every *slot* holds one server process at a time. Processes are started ahead and wait, warm, for a lease; one that was
leased never serves a second computation: it ends with the lease and a fresh one takes its slot. A lease that has ended,
however it did, never comes back: its token is refused from then on.

::

    node   OPEN --drain--> DRAINING --stop--> STOPPING --stopped--> STOPPED
           OPEN, DRAINING --retire--> RETIRED --stop--> STOPPING
           OPEN --stop--> STOPPING

A process that ends soon after its start is started again at once the first time, then after longer and longer pauses.
"""

from __future__ import annotations

import enum
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from greencoro.compute.node_vocabulary import (
    Answer,
    Assign,
    Drain,
    EndServer,
    Identity,
    Instruction,
    StartServer,
    Stopped,
    Tell,
)
from greencoro.compute.node_words import (
    LeaseEnded,
    Refusal,
    Release,
    Released,
    Replace,
    Reserve,
    ReserveAnswer,
    ServerDied,
    ServerDraining,
    ServerStarted,
)
from greencoro.compute.slots import Slot, SlotState
from greencoro.errors import LocalProtocolError

__all__ = ["NodePhase", "NodeState"]

#: A process that lived longer than this did not fail at its start.
_SOON_SECONDS = 5.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 10.0
#: Leases that have ended, by token: so many are known as such.
_MAX_ENDED = 10_000


class NodePhase(enum.Enum):
    """What a node is at."""

    #: May be reserved.
    OPEN = "in service"
    #: Serves the jobs that it has, then stops.
    DRAINING = "waits for the last jobs"
    #: Starts no process any more, because it is going to be stopped.
    RETIRED = "about to end"
    #: Ends its processes.
    STOPPING = "ending"
    #: Has none any more.
    STOPPED = "ended"


_PHASES: dict[NodePhase, dict[str, NodePhase]] = {
    NodePhase.OPEN: {"drain": NodePhase.DRAINING, "retire": NodePhase.RETIRED, "stop": NodePhase.STOPPING},
    NodePhase.DRAINING: {"retire": NodePhase.RETIRED, "stop": NodePhase.STOPPING},
    NodePhase.RETIRED: {"stop": NodePhase.STOPPING},
    NodePhase.STOPPING: {"stopped": NodePhase.STOPPED},
    NodePhase.STOPPED: {},
}


@dataclass
class _Lease:
    asked: Reserve
    holder: Any
    #: Slots whose process served this lease and has not ended yet, once it is being released.
    ending: set[int] = field(default_factory=set)
    #: Requests to be answered when they have.
    waiting: list[Any] = field(default_factory=list)
    over: bool = False

    def is_of(self, token: str) -> bool:
        """Does the token prove that whoever shows it may speak of this lease?"""
        return hmac.compare_digest(self.asked.token, token)


class NodeState:
    """The slots of a node and who has them.

    Args:
        slots (int): Number of server processes, at least 1.
    """

    def __init__(self, slots: int) -> None:
        self.slots = [Slot(number) for number in range(1, slots + 1)]
        self.phase = NodePhase.OPEN
        self._lease: _Lease | None = None
        #: Tokens of leases that have ended, the oldest first. They are of no use to anybody: no secrets any more.
        self._ended: dict[str, None] = {}

    @property
    def in_use_by(self) -> str | None:
        """The name of the computation that has the lease; None where nobody has."""
        return None if self._lease is None or self._lease.over else self._lease.asked.name

    @property
    def ready_count(self) -> int:
        """Servers that serve a computation, or could at once."""
        return sum(slot.is_leased or slot.state is SlotState.WARM for slot in self.slots)

    @property
    def is_stopping(self) -> bool:
        """Has `stop` been called?"""
        return self.phase in (NodePhase.STOPPING, NodePhase.STOPPED)

    def start(self, now: float) -> list[Instruction]:
        """Begin: start a process in every slot."""
        return [instruction for slot in self.slots for instruction in self._start(slot, "due", now)]

    def _advance(self, event: str) -> None:
        """The one place where `phase` changes."""
        try:
            self.phase = _PHASES[self.phase][event]
        except KeyError:
            raise LocalProtocolError(f"a node, {self.phase.value}, cannot take {event!r}") from None

    # The lease.

    def reserve(self, request: Any, holder: Any, asked: Reserve) -> list[Instruction]:
        """``holder`` asks for all servers."""
        if self.phase is not NodePhase.OPEN:
            return [_refusal(request, Refusal.ENDING, "the node is ending")]
        if asked.token in self._ended:
            return [_refusal(request, Refusal.EXPIRED, "the lease has ended")]
        lease = self._lease
        if lease is not None:
            if lease.over or lease.holder != holder or not lease.is_of(asked.token):
                return [_refusal(request, Refusal.BUSY, f"the node is in use by {lease.asked.name}")]
            # Its first answer came too late for the holder, which asks again.
            leased = [slot for slot in self.slots if slot.is_leased]
            return [Answer(request, ReserveAnswer()), *(Tell(holder, _started(lease, slot)) for slot in leased)]
        lease = self._lease = _Lease(asked, holder)
        instructions: list[Instruction] = [Answer(request, ReserveAnswer())]
        for slot in self.slots:
            if slot.state is SlotState.WARM:
                instructions += self._hand_over(slot, lease)
        return instructions

    def release(self, request: Any, asked: Release) -> list[Instruction]:
        """Give back what the token stands for; answered when its servers are gone, at once where there are none."""
        lease = self._lease
        if lease is None or not lease.is_of(asked.token):
            return [Answer(request, Released())]
        lease.waiting.append(request)
        return list(self._end_lease(lease, None))

    def replace(self, asked: Replace) -> list[Instruction]:
        """A server cannot be reached: end it, so that a fresh one takes its place."""
        lease = self._lease
        if lease is None or lease.over or not lease.is_of(asked.token):
            return []
        leased = [slot for slot in self.slots if slot.is_leased]
        return [
            EndServer(slot.number, at_once=True)
            for slot in leased
            if slot.identity is not None and slot.identity.incarnation == asked.incarnation
        ]

    def holder_lost(self, holder: Any) -> list[Instruction]:
        """``holder`` cannot be reached any more."""
        lease = self._lease
        if lease is None or lease.holder != holder:
            return []
        return list(self._end_lease(lease, None))

    def close(self) -> list[Instruction]:
        """Whoever runs the node wants the computation closed."""
        if self._lease is None:
            return []
        return list(self._end_lease(self._lease, "was closed by whoever runs its node"))

    def _end_lease(self, lease: _Lease, reason: str | None) -> Iterator[Instruction]:
        """End the lease for good; a holder that did not want it is told of the reason."""
        if not lease.over:
            lease.over = True
            self._ended[lease.asked.token] = None
            if len(self._ended) > _MAX_ENDED:
                del self._ended[next(iter(self._ended))]
            if reason is not None:
                yield Tell(lease.holder, LeaseEnded(lease.asked.token, lease.asked.attempt, reason))
            for slot in self.slots:
                if slot.is_leased:
                    slot.advance("end")
                    lease.ending.add(slot.number)
                    yield EndServer(slot.number)
        yield from self._free_if_all_ended(lease)

    def _free_if_all_ended(self, lease: _Lease) -> Iterator[Instruction]:
        if lease.over and not lease.ending:
            self._lease = None
            for request in lease.waiting:
                yield Answer(request, Released())
            yield from self._stop_if_drained()

    # Server processes.

    def ready(self, number: int, run: int, identity: Identity) -> list[Instruction]:
        """The slot's process reported."""
        slot = self._slot(number, run)
        if slot is None or slot.state is not SlotState.STARTING:
            return []
        slot.advance("ready")
        slot.identity = identity
        lease = self._lease
        return [] if lease is None or lease.over or self.phase is not NodePhase.OPEN else self._hand_over(slot, lease)

    def _hand_over(self, slot: Slot, lease: _Lease) -> list[Instruction]:
        slot.advance("lease")
        return [Assign(slot.number, lease.asked.token), Tell(lease.holder, _started(lease, slot))]

    def exited(self, number: int, run: int, explanation: str, now: float) -> list[Instruction]:
        """The slot's process is gone, with all it started."""
        slot = self._slot(number, run)
        if slot is None:
            return []
        return list(self._exited(slot, explanation, now))

    def _exited(self, slot: Slot, explanation: str, now: float) -> Iterator[Instruction]:
        lease = self._lease
        if lease is not None and not lease.over and slot.is_leased:
            asked = lease.asked
            yield Tell(lease.holder, ServerDied(asked.token, asked.attempt, _incarnation(slot), explanation))
        slot.identity = None
        if self.phase is not NodePhase.OPEN:
            slot.advance("stopped")
        elif slot.is_ending:
            slot.quick_ends = 0
            yield from self._start(slot, "exited", now)
        else:
            slot.quick_ends = slot.quick_ends + 1 if now - slot.started_at < _SOON_SECONDS else 0
            if slot.quick_ends <= 1:
                yield from self._start(slot, "exited", now)
            else:
                slot.advance("failed")
                slot.due_at = now + min(_FIRST_PAUSE_SECONDS * 2.0 ** (slot.quick_ends - 2), _LONGEST_PAUSE_SECONDS)
        if lease is not None and slot.number in lease.ending:
            lease.ending.discard(slot.number)
            yield from self._free_if_all_ended(lease)
        yield from self._stop_if_drained()
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
        return min((slot.due_at for slot in self.slots if slot.state is SlotState.WAITING), default=None)

    def due(self, now: float) -> list[Instruction]:
        """Start what has waited long enough."""
        waiting = [slot for slot in self.slots if slot.state is SlotState.WAITING and slot.due_at <= now]
        return [instruction for slot in waiting for instruction in self._start(slot, "due", now)]

    def _wait_no_more(self) -> None:
        for slot in self.slots:
            if slot.state is SlotState.WAITING:
                slot.advance("stopped")

    # The end.

    def retire(self) -> None:
        """Start no process any more: the next thing to come is `stop`."""
        if self.phase in (NodePhase.OPEN, NodePhase.DRAINING):
            self._advance("retire")
            self._wait_no_more()

    def drain(self) -> list[Instruction]:
        """Take no more jobs, and stop when the last one is over."""
        if self.phase is not NodePhase.OPEN:
            return []
        self._advance("drain")
        self._wait_no_more()
        return list(self._drain_servers())

    def _drain_servers(self) -> Iterator[Instruction]:
        for slot in self.slots:
            if slot.state is SlotState.LEASED and self._lease is not None:
                asked = self._lease.asked
                yield Drain(slot.number)
                yield Tell(self._lease.holder, ServerDraining(asked.token, asked.attempt, _incarnation(slot)))
        yield from self._stop_if_drained()

    def drained(self, number: int, run: int) -> list[Instruction]:
        """The slot's process takes no more jobs and has none left."""
        slot = self._slot(number, run)
        if slot is None or slot.state is not SlotState.LEASED:
            return []
        slot.advance("drained")
        return list(self._stop_if_drained())

    def _stop_if_drained(self) -> Iterator[Instruction]:
        if self.phase is NodePhase.DRAINING and not any(slot.state is SlotState.LEASED for slot in self.slots):
            yield from self._stop()

    def stop(self) -> list[Instruction]:
        """End every process; `Stopped` comes when the last one has."""
        return list(self._stop())

    def _stop(self) -> Iterator[Instruction]:
        if self.is_stopping:
            return
        self._advance("stop")
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


def _refusal(request: Any, refusal: Refusal, reason: str) -> Answer:
    return Answer(request, ReserveAnswer(refusal, reason))


def _started(lease: _Lease, slot: Slot) -> ServerStarted:
    asked, identity = lease.asked, slot.identity
    assert identity is not None
    return ServerStarted(
        asked.token, asked.attempt, identity.incarnation, identity.location, identity.name, identity.pid
    )


def _incarnation(slot: Slot) -> str:
    assert slot.identity is not None
    return slot.identity.incarnation
