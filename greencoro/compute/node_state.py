"""The decisions of a node daemon about its servers and their lease.

Every *slot* holds one server process at a time. Processes are started ahead and wait, warm, for a lease; one that was
leased never serves a second computation: it ends with the lease and a fresh one takes its slot.

::

    slot   STARTING --ready--> WARM --lease--> LEASED --end--> ENDING --exited--> (started again)
              STARTING, WARM, LEASED --exited--> (started again, or WAITING --due--> STARTING)
              STARTING, WARM --end--> ENDING;  where the node stops, ENDED comes in place of a start

A process that ends soon after its start is started again at once the first time, then after longer and longer pauses.
"""

from __future__ import annotations

import enum
import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from greencoro.errors import LocalProtocolError

__all__ = [
    "Assign",
    "Drain",
    "EndServer",
    "Grant",
    "NodeState",
    "Refuse",
    "StartServer",
    "Stopped",
    "TellDied",
    "TellDraining",
    "TellReady",
    "TellReleased",
]

#: A process that lived longer than this did not fail at its start.
_SOON_SECONDS = 5.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 10.0


# What is to be done.


@dataclass(frozen=True)
class StartServer:
    """Start a process in the slot; `run` tells it from those before it."""

    slot: int
    run: int


@dataclass(frozen=True)
class EndServer:
    """End the slot's process and what it started; soon, if need be by force.

    Attributes:
        at_once (bool): It has no jobs that could want to clean up.
    """

    slot: int
    at_once: bool = False


@dataclass(frozen=True)
class Assign:
    """Hand the lease's token to the slot's process."""

    slot: int
    token: str


@dataclass(frozen=True)
class Drain:
    """Have the slot's process take no more jobs, and report when it has none left."""

    slot: int


@dataclass(frozen=True)
class Grant:
    """Answer the request: the node is reserved."""

    request: Any


@dataclass(frozen=True)
class Refuse:
    """Answer the request: no, and why."""

    request: Any
    reason: str


@dataclass(frozen=True)
class TellReady:
    """Tell the lease's holder of a server that waits for it; `identity` is what its process reported."""

    holder: Any
    token: str
    slot: int
    identity: Any


@dataclass(frozen=True)
class TellDied:
    """Tell the lease's holder that a server it knew of is gone, and how it ended."""

    holder: Any
    token: str
    identity: Any
    explanation: str


@dataclass(frozen=True)
class TellDraining:
    """Tell the lease's holder of a server that takes no more jobs, because its node is ending."""

    holder: Any
    token: str
    identity: Any


@dataclass(frozen=True)
class TellReleased:
    """Answer the request: the lease is over and its servers are gone."""

    request: Any


@dataclass(frozen=True)
class Stopped:
    """No process is left; the daemon may end."""


Instruction = (
    StartServer
    | EndServer
    | Assign
    | Drain
    | Grant
    | Refuse
    | TellReady
    | TellDied
    | TellDraining
    | TellReleased
    | Stopped
)


class SlotState(enum.Enum):
    """What a slot's process is at."""

    #: Started, has not reported yet.
    STARTING = "starting"
    #: Waits for a lease.
    WARM = "not used"
    #: Serves a computation.
    LEASED = "in use"
    #: Was told to end.
    ENDING = "ending"
    #: There is none: the next one waits for its time.
    WAITING = "failed, will be started again"
    #: There is none and there will be none.
    ENDED = "ended"


_TABLE: dict[SlotState, dict[str, SlotState]] = {
    SlotState.STARTING: {
        "ready": SlotState.WARM,
        "exited": SlotState.STARTING,
        "failed": SlotState.WAITING,
        "end": SlotState.ENDING,
        "stopped": SlotState.ENDED,
    },
    SlotState.WARM: {
        "lease": SlotState.LEASED,
        "exited": SlotState.STARTING,
        "failed": SlotState.WAITING,
        "end": SlotState.ENDING,
        "stopped": SlotState.ENDED,
    },
    SlotState.LEASED: {
        "exited": SlotState.STARTING,
        "failed": SlotState.WAITING,
        "end": SlotState.ENDING,
        "stopped": SlotState.ENDED,
    },
    SlotState.ENDING: {"exited": SlotState.STARTING, "stopped": SlotState.ENDED},
    SlotState.WAITING: {"due": SlotState.STARTING, "stopped": SlotState.ENDED},
    SlotState.ENDED: {},
}


@dataclass
class Slot:
    """One place for a server process."""

    number: int
    state: SlotState = SlotState.WAITING
    run: int = 0
    started_at: float = 0.0
    quick_ends: int = 0
    due_at: float = 0.0
    #: What the process reported when it was ready; None before.
    identity: Any = None

    @property
    def is_ending(self) -> bool:
        """Was its process told to end?"""
        return self.state is SlotState.ENDING

    def advance(self, event: str) -> None:
        """The one place where `state` changes."""
        try:
            self.state = _TABLE[self.state][event]
        except KeyError:
            raise LocalProtocolError(f"server {self.number}, {self.state.value}, cannot take {event!r}") from None


@dataclass
class _Lease:
    token: str
    holder: Any
    name: str
    #: Slots whose process served this lease and has not ended yet, once it is being released.
    ending: set[int] = field(default_factory=set)
    #: Requests to be answered when they have.
    waiting: list[Any] = field(default_factory=list)
    over: bool = False


class NodeState:
    """The slots of a node and who has them.

    Args:
        slots (int): Number of server processes, at least 1.
    """

    def __init__(self, slots: int) -> None:
        self.slots = [Slot(number) for number in range(1, slots + 1)]
        self._lease: _Lease | None = None
        self._stopping = False
        self._retired = False
        #: While the node waits for the last jobs: the slots that have none left.
        self._drained: set[int] | None = None

    @property
    def in_use_by(self) -> str | None:
        """The name of the computation that has the lease; None where nobody has."""
        return None if self._lease is None or self._lease.over else self._lease.name

    @property
    def ready_count(self) -> int:
        """Servers that serve a computation, or could at once."""
        return sum(slot.state in (SlotState.WARM, SlotState.LEASED) for slot in self.slots)

    @property
    def is_stopping(self) -> bool:
        """Has `stop` been called?"""
        return self._stopping

    def start(self, now: float) -> list[Instruction]:
        """Begin: start a process in every slot."""
        return [instruction for slot in self.slots for instruction in self._start(slot, "due", now)]

    # The lease.

    def reserve(self, request: Any, holder: Any, token: str, name: str) -> list[Instruction]:
        """``holder`` asks for all servers, for the computation that ``token`` stands for."""
        if self._stopping or self._drained is not None:
            return [Refuse(request, "the node is ending")]
        lease = self._lease
        if lease is not None:
            if lease.over or lease.holder != holder or not hmac.compare_digest(lease.token, token):
                return [Refuse(request, f"the node is in use by {lease.name}")]
            # Its first answer came too late for the holder, which asks again.
            leased = [slot for slot in self.slots if slot.state is SlotState.LEASED]
            return [Grant(request), *(TellReady(holder, token, slot.number, slot.identity) for slot in leased)]
        lease = self._lease = _Lease(token, holder, name)
        instructions: list[Instruction] = [Grant(request)]
        for slot in self.slots:
            if slot.state is SlotState.WARM:
                instructions += self._hand_over(slot, lease)
        return instructions

    def release(self, request: Any, token: str) -> list[Instruction]:
        """The holder gives its servers back; with another token than the lease's, nothing is given back."""
        lease = self._lease
        if lease is None or not hmac.compare_digest(lease.token, token):
            return [TellReleased(request)]
        lease.waiting.append(request)
        return list(self._end_lease(lease, None))

    def replace(self, token: str, is_meant: Callable[[Any], bool]) -> list[Instruction]:
        """The holder cannot reach a server any more: end its process, so that a fresh one takes its place."""
        lease = self._lease
        if lease is None or lease.over or not hmac.compare_digest(lease.token, token):
            return []
        leased = [slot for slot in self.slots if slot.state is SlotState.LEASED]
        return [EndServer(slot.number, at_once=True) for slot in leased if is_meant(slot.identity)]

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
        """End the lease; a holder that did not want it is told of the reason."""
        if not lease.over:
            lease.over = True
            for slot in self.slots:
                if slot.state is SlotState.LEASED:
                    if reason is not None:
                        yield TellDied(lease.holder, lease.token, slot.identity, reason)
                    slot.advance("end")
                    lease.ending.add(slot.number)
                    yield EndServer(slot.number)
        yield from self._free_if_all_ended(lease)

    def _free_if_all_ended(self, lease: _Lease) -> Iterator[Instruction]:
        if lease.over and not lease.ending:
            self._lease = None
            for request in lease.waiting:
                yield TellReleased(request)
            yield from self._stop_if_drained()

    # Server processes.

    def ready(self, number: int, run: int, identity: Any) -> list[Instruction]:
        """The slot's process reported."""
        slot = self._slot(number, run)
        if slot is None or slot.state is not SlotState.STARTING:
            return []
        slot.advance("ready")
        slot.identity = identity
        lease = self._lease
        return [] if lease is None or lease.over or self._drained is not None else self._hand_over(slot, lease)

    def _hand_over(self, slot: Slot, lease: _Lease) -> list[Instruction]:
        slot.advance("lease")
        return [Assign(slot.number, lease.token), TellReady(lease.holder, lease.token, slot.number, slot.identity)]

    def exited(self, number: int, run: int, explanation: str, now: float) -> list[Instruction]:
        """The slot's process is gone, with all it started."""
        slot = self._slot(number, run)
        if slot is None:
            return []
        return list(self._exited(slot, explanation, now))

    def _exited(self, slot: Slot, explanation: str, now: float) -> Iterator[Instruction]:
        lease = self._lease
        if lease is not None and not lease.over and slot.state is SlotState.LEASED:
            yield TellDied(lease.holder, lease.token, slot.identity, explanation)
        slot.identity = None
        if self._stopping or self._retired:
            slot.advance("stopped")
        elif slot.state is SlotState.ENDING:
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

    # The end.

    def retire(self) -> None:
        """Start no process any more: the next thing to come is `stop`."""
        self._retired = True

    def drain(self) -> list[Instruction]:
        """Take no more jobs, and stop when the last one is over."""
        if self._drained is not None or self._stopping:
            return []
        self._drained = set()
        instructions: list[Instruction] = []
        for slot in self.slots:
            if slot.state is SlotState.LEASED and self._lease is not None:
                instructions.append(Drain(slot.number))
                instructions.append(TellDraining(self._lease.holder, self._lease.token, slot.identity))
        return [*instructions, *self._stop_if_drained()]

    def drained(self, number: int, run: int) -> list[Instruction]:
        """The slot's process has no jobs left."""
        if self._drained is None or self._slot(number, run) is None:
            return []
        self._drained.add(number)
        return list(self._stop_if_drained())

    def _stop_if_drained(self) -> Iterator[Instruction]:
        if self._drained is None or self._stopping:
            return
        if all(slot.state is not SlotState.LEASED or slot.number in self._drained for slot in self.slots):
            yield from self._stop()

    def stop(self) -> list[Instruction]:
        """End every process; `Stopped` comes when the last one has."""
        return list(self._stop())

    def _stop(self) -> Iterator[Instruction]:
        if self._stopping:
            return
        self._stopping = True
        if self._lease is not None:
            yield from self._end_lease(self._lease, "was ended with its node")
        for slot in self.slots:
            if slot.state is SlotState.WAITING:
                slot.advance("stopped")
            elif slot.state in (SlotState.STARTING, SlotState.WARM, SlotState.LEASED):
                slot.advance("end")
                yield EndServer(slot.number, at_once=True)
        yield from self._stopped_if_all_ended()

    def _stopped_if_all_ended(self) -> Iterator[Instruction]:
        if self._stopping and all(slot.state is SlotState.ENDED for slot in self.slots):
            yield Stopped()
