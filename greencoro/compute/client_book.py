"""What a scheduler keeps of computations whose clients are in other processes: whose they are, when they are over.

A computation is discarded when its client is lost, or silent for five pulses.
"""

from __future__ import annotations

import dataclasses
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from greencoro.compute import client_words as words
from greencoro.compute.pulse_clock import SILENT_PULSES, PulseClock
from greencoro.errors import BusyResource, ComputationClosed, LocalProtocolError

__all__ = ["ClientBook"]

#: Computations that are not over: of one client, of all.
MOST_OF_A_CLIENT = 1000
MOST_OF_ALL = 10_000
#: What `ClientBook.rows` lists.
_MOST_ROWS = 1000


@dataclass
class _Entry:
    """A computation that is not over."""

    client: str
    token: str
    name: str
    #: Where its client is, for people.
    where: str
    submitted_at: float
    clock: PulseClock[None]
    #: Its place in the queue; None: it has its turn.
    position: int | None = 0
    begun_at: float | None = None
    #: Why it is being discarded, or "" where its client closes it; None: neither.
    closing: str | None = None
    servers: set[str] = field(default_factory=set)

    @property
    def state(self) -> str:
        """For people."""
        if self.closing is not None:
            return "closing"
        return "queued" if self.position is not None else "running"


class ClientBook:
    """The computations, by number. Times are those of a monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}
        #: By client.
        self._of: dict[str, set[int]] = {}

    @property
    def numbers(self) -> list[int]:
        """Of all computations that are not over."""
        return list(self._entries)

    # Clients.

    def check(self, client: str, token: str) -> None:
        """Is there room for another computation of that client?

        Raises:
            BusyResource: Not for this one's, or for none.

            ComputationClosed: It is there already.
        """
        if len(self._entries) >= MOST_OF_ALL:
            raise BusyResource(f"the scheduler has {len(self._entries)} computations already")
        mine = self._of.get(client, set())
        if len(mine) >= MOST_OF_A_CLIENT:
            raise BusyResource(f"the scheduler has {len(mine)} computations of this client already")
        if any(hmac.compare_digest(self._entries[number].token, token) for number in mine):
            raise ComputationClosed("the computation was submitted already: make another")

    def submitted(self, number: int, client: str, where: str, ask: words.Ask, now: float) -> None:
        """A computation is queued.

        Args:
            client (str): Incarnation of its client's runtime.

            where (str): That runtime's location.
        """
        clock: PulseClock[None] = PulseClock(ask.pulse_interval, now)
        clock.watch(None, now)
        self._entries[number] = _Entry(client, ask.token, ask.name, where, now, clock)
        self._of.setdefault(client, set()).add(number)

    def check_token(self, number: int, client: str, shown: str) -> None:
        """May that client speak of the computation?

        Raises:
            ComputationClosed: There is no such computation, or it is none of this client's.
        """
        entry = self._entries.get(number)
        if entry is None or entry.client != client or not hmac.compare_digest(entry.token, shown):
            raise ComputationClosed("the scheduler has no such computation (any more)")

    def token(self, number: int) -> str:
        """What shows its client that the scheduler speaks of a computation."""
        return self._entries[number].token

    def withdrawn(self, client: str, token: str) -> int | None:
        """The number of the client's computation with that token; None where there is none."""
        for number in self._of.get(client, ()):
            if hmac.compare_digest(self._entries[number].token, token):
                self._entries[number].closing = ""
                return number
        return None

    def pulse(self, number: int, now: float) -> None:
        """The client of a computation spoke."""
        self._entries[number].clock.heard(None, now)

    def asked(self, request: words.Request) -> None:
        """A client asks for something; what is over has no say."""
        entry = self._entries.get(request.computation)
        if entry is not None and isinstance(request, words.Close) and entry.closing is None:
            entry.closing = ""

    # Computations that are to be closed.

    def lost(self, client: str, reason: str) -> list[int]:
        """A client cannot be reached any more; the computations to close."""
        return self.discard(self._of.get(client, ()), f"its client was lost: {reason}")

    def silent(self, now: float) -> list[int]:
        """Those to close whose clients were not heard; to be asked twice in the shortest pulse interval."""
        found = [number for number, entry in self._entries.items() if entry.clock.silent(now)]
        return self.discard(found, f"nothing was heard of its client for {SILENT_PULSES} pulse intervals")

    def discard(self, numbers: Iterable[int], reason: str) -> list[int]:
        """Of these computations those that are not being closed; they count as being closed for that reason."""
        found = [number for number in numbers if self._entries[number].closing is None]
        for number in found:
            self._entries[number].closing = reason
        return found

    def shortest_pulse(self) -> float | None:
        """The shortest interval of those that pulse, in seconds; None: nobody does."""
        intervals = [entry.clock.interval for entry in self._entries.values() if entry.clock.interval]
        return min(intervals, default=None)

    # What the clients are told.

    def tell(self, notice: words.Notice, now: float) -> words.Notice:
        """Take in a notice; as it goes to the client.

        Raises:
            LocalProtocolError: The computation is over.
        """
        entry = self._entries.get(notice.computation)
        if entry is None:
            raise LocalProtocolError(f"computation {notice.computation} is over, and cannot be told {notice}")
        if isinstance(notice, words.Queued):
            entry.position = notice.position
        elif isinstance(notice, words.Begun):
            entry.position, entry.begun_at = None, now
        elif isinstance(notice, words.ServerStarted):
            entry.servers.add(notice.server)
        elif isinstance(notice, words.ServerGone):
            entry.servers.discard(notice.server)
        elif isinstance(notice, words.Ended):
            del self._entries[notice.computation]
            mine = self._of[entry.client]
            mine.discard(notice.computation)
            if not mine:
                del self._of[entry.client]
            return dataclasses.replace(notice, reason=entry.closing or notice.reason)
        return notice

    # For people.

    def rows(self, now: float) -> list[dict[str, Any]]:
        """The next 1000 computations in the order of their turns, without what only their clients may know."""
        entries = sorted(self._entries.items(), key=lambda item: (item[1].begun_at is None, item[1].position, item[0]))
        return [
            {
                "computation": number,
                "name": entry.name,
                "client": entry.where,
                "position": entry.position,
                "state": entry.state,
                "waiting_seconds": round((now if entry.begun_at is None else entry.begun_at) - entry.submitted_at, 3),
                "running_seconds": None if entry.begun_at is None else round(now - entry.begun_at, 3),
                "servers": len(entry.servers),
            }
            for number, entry in entries[:_MOST_ROWS]
        ]
