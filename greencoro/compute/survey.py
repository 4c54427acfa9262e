"""Finds out what a node daemon says of itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from greencoro.compute import server_words
from greencoro.compute.availability import Availability
from greencoro.compute.node_report import NodeReport, ServerReport
from greencoro.compute.node_state import NodeState
from greencoro.compute.node_words import Free
from greencoro.compute.server_crew import ServerCrew
from greencoro.hub import native

__all__ = ["Survey"]

_log = logging.getLogger(__name__)

#: How long servers have to say how many jobs they run.
_COUNT_SECONDS = 0.5
#: What is free is measured once in so long, at most.
_MEASURE_SECONDS = 1.0


class Survey:
    """Counts jobs, measures what is free; in the daemon's main thread, and nothing here waits.

    Args:
        runtime: The daemon's.

        availability (Availability): Measures.
    """

    def __init__(self, runtime: Any, state: NodeState, crew: ServerCrew, availability: Availability) -> None:
        self._runtime = runtime
        self._state = state
        self._crew = crew
        self._availability = availability
        #: Whoever waits for a report, and how many jobs each server has said that it runs.
        self._askers: list[Callable[[NodeReport], None]] = []
        self._jobs: dict[int, int] = {}
        self._until = 0.0
        self._free: Free | None = None
        self._measure_at = 0.0

    def free(self) -> Free | None:
        """How much of the node is free, or was a moment ago; None where that cannot be found out."""
        now = native.monotonic()
        if now >= self._measure_at:
            self._measure_at = now + _MEASURE_SECONDS
            try:
                self._free = Free.of(self._availability.measure())
            except OSError as error:
                self._free = None
                _log.warning("what is free of this machine cannot be measured: %s", error)
        return self._free

    def ask(self, asker: Callable[[NodeReport], None]) -> None:
        """Have ``asker(report)`` called once the servers have said how many jobs they run, or their time is over."""
        self._askers.append(asker)
        if len(self._askers) == 1:
            self._jobs, self._until = {}, native.monotonic() + _COUNT_SECONDS
            self._crew.send_all(server_words.CountJobs())

    def counted(self, slot: int, jobs: int) -> None:
        """The slot's server has said how many it runs."""
        self._jobs[slot] = jobs

    def next_due_at(self) -> float | None:
        """When `look` has something to do at the latest; None for no time soon."""
        return self._until if self._askers else None

    def look(self, now: float) -> None:
        """Report, if it is time for that."""
        if self._askers and (now >= self._until or len(self._jobs) >= self._crew.size):
            askers, self._askers = self._askers, []
            report = self._report()
            for asker in askers:
                asker(report)

    def _report(self) -> NodeReport:
        name, state = self._runtime.name, self._state
        servers = [
            ServerReport(
                f"{name}-{slot.number}",
                slot.state.value,
                None if slot.identity is None else slot.identity.pid,
                None if slot.identity is None else slot.identity.location,
                slot.is_leased,
                self._jobs.get(slot.number) if slot.is_leased else None,
            )
            for slot in state.slots
        ]
        return NodeReport(name, self._runtime.location, state.phase.value, servers, state.in_use_by, self.free())
