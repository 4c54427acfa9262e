"""What became of the last jobs of a computation, for `greencoro explain`.

::

    WAITING --sent--> SENT --begun--> RUNNING
       ^ <-----lost----+ <---lost-------+
    WAITING, SENT, RUNNING --over--> OVER

Neither arguments nor results are kept.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from greencoro.errors import LocalProtocolError

__all__ = ["Attempt", "JobLog", "JobRecord", "JobState", "Step"]

#: Of one job the last so many attempts and waits are kept, and no text is longer than this.
_MAX_STEPS = 40
_MAX_CHARACTERS = 500


class JobState(enum.Enum):
    """What a job is at."""

    #: No server has it.
    WAITING = "waiting"
    #: A server has it, and has not begun it as far as is known.
    SENT = "sent"
    #: A server runs it.
    RUNNING = "running"
    #: It has its outcome.
    OVER = "over"


_TABLE: dict[JobState, dict[str, JobState]] = {
    JobState.WAITING: {"waits": JobState.WAITING, "sent": JobState.SENT, "over": JobState.OVER},
    JobState.SENT: {"begun": JobState.RUNNING, "lost": JobState.WAITING, "over": JobState.OVER},
    JobState.RUNNING: {"lost": JobState.WAITING, "over": JobState.OVER},
    JobState.OVER: {},
}


@dataclass
class Step:
    """A time in a job's life.

    Attributes:
        until (float | None): Its end; None while it lasts.

        why (str): What it waited for, or why an attempt came to nothing, where it did.
    """

    since: float
    why: str = ""
    until: float | None = None

    def line(self, now: float) -> str:
        """For people."""
        why = f": {self.why}" if self.why else ""
        if self.until is None:
            return f"has been waiting for {_span(now - self.since)}{why}"
        return f"waited {_span(self.until - self.since)}{why}"


@dataclass
class Attempt(Step):
    """A time at a server.

    Attributes:
        number (int): Counted from 1.

        begun (float | None): When it began there; None where that is not known.
    """

    number: int = 0
    server: str = ""
    begun: float | None = None

    def line(self, now: float) -> str:
        begun = "not known to have begun" if self.begun is None else f"begun after {_span(self.begun - self.since)}"
        why = f": {self.why}" if self.why else ""
        span = f"{_span(now - self.since)} so far" if self.until is None else _span(self.until - self.since)
        return f"attempt {self.number} at {self.server} for {span}, {begun}{why}"


@dataclass
class JobRecord:
    """One job. Times are those of the caller's clock, in seconds.

    Attributes:
        steps: Where it has been, in that order; the last one is where it is.

        attempts (int): How often it was sent.

        outcome (str): How it ended (``"finished"``, ``"exception"``, …); empty while it has not.

        explanation (str): More about that, for people.
    """

    id: int
    name: str
    submitted: float
    state: JobState = JobState.WAITING
    steps: deque[Step] = field(default_factory=lambda: deque(maxlen=_MAX_STEPS))
    attempts: int = 0
    ended: float | None = None
    outcome: str = ""
    explanation: str = ""


class JobLog:
    """The records of the last jobs; of others nothing is known any more.

    What is told of a job without a record changes nothing. What cannot happen to a job at its state raises
    `LocalProtocolError` and changes nothing.

    Args:
        limit (int): How many are kept; those that are over go first.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        # In the order of submission, and in that of their ends.
        self._open: dict[int, JobRecord] = {}
        self._over: dict[int, JobRecord] = {}
        # Also those without a record.
        self._waiting: set[int] = set()

    def submitted(self, job: int, name: str, now: float, why: str = "") -> None:
        """There is a new job, which waits."""
        if job in self._open or job in self._over:
            raise LocalProtocolError(f"job {job} was submitted before")
        record = self._open[job] = JobRecord(job, name[:_MAX_CHARACTERS], now)
        self._wait(record, why, now)
        while len(self._open) + len(self._over) > self._limit:
            oldest = self._over or self._open
            del oldest[next(iter(oldest))]

    def waits(self, job: int, why: str, now: float) -> None:
        """It goes on waiting, for something else."""
        record = self._advance(job, "waits")
        if record is not None and record.steps[-1].why != why[:_MAX_CHARACTERS]:
            self._wait(record, why, now)

    def sent(self, job: int, server: str, now: float) -> None:
        """It was sent to a server."""
        record = self._advance(job, "sent")
        self._waiting.discard(job)
        if record is not None:
            record.attempts += 1
            self._step(record, Attempt(now, number=record.attempts, server=server[:_MAX_CHARACTERS]), now)

    def begun(self, job: int, now: float) -> None:
        """Its server said that it runs."""
        record = self._advance(job, "begun")
        if record is not None:
            attempt = record.steps[-1]
            assert isinstance(attempt, Attempt)
            attempt.begun = now

    def lost(self, job: int, explanation: str, why: str, now: float) -> None:
        """The attempt came to nothing; it waits for another."""
        record = self._advance(job, "lost")
        if record is not None:
            record.steps[-1].why = explanation[:_MAX_CHARACTERS]
            self._wait(record, why, now)

    def over(self, job: int, outcome: str, now: float, explanation: str = "") -> None:
        """It has its outcome."""
        record = self._advance(job, "over")
        self._waiting.discard(job)
        if record is None:
            return
        record.steps[-1].until = now
        record.ended, record.outcome, record.explanation = now, outcome, explanation[:_MAX_CHARACTERS]
        self._over[job] = self._open.pop(job)

    def waiting_for_capacity(self) -> int:
        """How many jobs no server has."""
        return len(self._waiting)

    def records(self) -> Iterator[JobRecord]:
        """Those that are over, in the order of their ends, then the others, in that of their submission."""
        yield from self._over.values()
        yield from self._open.values()

    def explain(self, job: int, now: float) -> list[str]:
        """Where the job waited and ran, for how long, and how it ended, a line each; empty where nothing is known."""
        record = self._open.get(job) or self._over.get(job)
        if record is None:
            return []
        lines = [f"job {job} {record.name}: submitted {_span(now - record.submitted)} ago"]
        lines += [step.line(now) for step in record.steps]
        if record.ended is not None:
            behind = f": {record.explanation}" if record.explanation else ""
            lines.append(f"{record.outcome} after {_span(record.ended - record.submitted)}{behind}")
        return lines

    def _advance(self, job: int, event: str) -> JobRecord | None:
        record = self._open.get(job) or self._over.get(job)
        if record is not None:
            after = _TABLE[record.state].get(event)
            if after is None:
                raise LocalProtocolError(f"{event!r} cannot happen to job {job}, which is {record.state.value}")
            record.state = after
        return record

    def _wait(self, record: JobRecord, why: str, now: float) -> None:
        self._step(record, Step(now, why[:_MAX_CHARACTERS]), now)
        self._waiting.add(record.id)

    def _step(self, record: JobRecord, step: Step, now: float) -> None:
        if record.steps:
            record.steps[-1].until = now
        record.steps.append(step)


def _span(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds < 100 else f"{seconds:.0f} s"
