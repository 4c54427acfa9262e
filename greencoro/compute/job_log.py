"""What became of the last jobs of a client, for `greencoro explain`.

::

    WAITING --sent--> SENT --begun--> RUNNING
       ^ <-----lost----+ <---lost-------+
    WAITING, SENT, RUNNING --over--> OVER

Whoever waits for a server's answer may say that a job has begun when it is lost or over: that changes nothing then.

Neither arguments nor results are kept.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from greencoro.errors import LocalProtocolError

__all__ = ["Attempt", "JobLog", "JobRecord", "JobState", "Step"]

#: Of one job the last so many attempts and waits are kept, and no text is longer than this.
_MAX_STEPS = 40
_MAX_CHARACTERS = 500

_Packed = tuple[Any, ...]
_STEP_FIELDS = 3


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

    #: That of enumerations is slow Python, and the table is asked with every step of every job.
    __hash__ = object.__hash__


_TABLE: dict[JobState, dict[str, JobState]] = {
    JobState.WAITING: {
        "waits": JobState.WAITING,
        "sent": JobState.SENT,
        "begun": JobState.WAITING,
        "over": JobState.OVER,
    },
    JobState.SENT: {"begun": JobState.RUNNING, "lost": JobState.WAITING, "over": JobState.OVER},
    JobState.RUNNING: {"begun": JobState.RUNNING, "lost": JobState.WAITING, "over": JobState.OVER},
    JobState.OVER: {"begun": JobState.OVER},
}


@dataclass(slots=True)
class Step:
    """A time in a job's life.

    Attributes:
        until (float | None): Its end; None while it lasts.

        why (str): What it waited for, or why an attempt came to nothing, where it did.
    """

    since: float
    why: str = ""
    until: float | None = None

    def packed(self) -> _Packed:
        """The fields, in their order."""
        return self.since, self.why, self.until

    def line(self, now: float) -> str:
        """For people."""
        why = f": {self.why}" if self.why else ""
        if self.until is None:
            return f"has been waiting for {_span(now - self.since)}{why}"
        return f"waited {_span(self.until - self.since)}{why}"

    def report(self, now: float) -> dict[str, Any]:
        """As JSON."""
        return {
            "seconds": round((now if self.until is None else self.until) - self.since, 6),
            "is_over": self.until is not None,
            "why": self.why,
        }


@dataclass(slots=True)
class Attempt(Step):
    """A time at a server.

    Attributes:
        number (int): Counted from 1.

        begun (float | None): When it began there; None where that is not known.

        has_finished (bool): The job has returned from it.
    """

    number: int = 0
    server: str = ""
    begun: float | None = None
    has_finished: bool = False

    def packed(self) -> _Packed:
        return self.since, self.why, self.until, self.number, self.server, self.begun, self.has_finished

    def line(self, now: float) -> str:
        if self.begun is not None:
            begun = f", begun after {_span(self.begun - self.since)}"
        else:
            begun = "" if self.has_finished else ", not known to have begun"
        why = f": {self.why}" if self.why else ""
        span = f"{_span(now - self.since)} so far" if self.until is None else _span(self.until - self.since)
        return f"attempt {self.number} at {self.server} for {span}{begun}{why}"

    def report(self, now: float) -> dict[str, Any]:
        begun_after = None if self.begun is None else round(self.begun - self.since, 6)
        about = {"attempt": self.number, "server": self.server, "begun_after_seconds": begun_after}
        return about | Step.report(self, now)


@dataclass(slots=True)
class JobRecord:
    """One job. Times are those of the caller's clock, in seconds.

    Attributes:
        steps: Where it has been, in that order; the last one is where it is.

        coro (str): The reference to it as it is printed; empty where there is none.

        attempts (int): How often it was sent.

        outcome (str): How it ended (``"finished"``, ``"exception"``, …); empty while it has not.

        explanation (str): More about that, for people.
    """

    id: int
    name: str
    submitted: float
    state: JobState = JobState.WAITING
    steps: list[Step] = field(default_factory=list)
    coro: str = ""
    attempts: int = 0
    ended: float | None = None
    outcome: str = ""
    explanation: str = ""

    def packed(self) -> _Packed:
        """It, once it is over, as numbers and texts in tuples."""
        steps = tuple([step.packed() for step in self.steps])
        about = self.id, self.name, self.submitted, self.coro, self.attempts, self.ended, self.outcome
        return *about, self.explanation, steps

    @classmethod
    def unpacked(cls, packed: _Packed) -> JobRecord:
        """What was `packed`."""
        number, name, submitted, coro, attempts, ended, outcome, explanation, steps = packed
        unpacked = [Step(*each) if len(each) == _STEP_FIELDS else Attempt(*each) for each in steps]
        over = JobState.OVER
        return cls(number, name, submitted, over, unpacked, coro, attempts, ended, outcome, explanation)

    def lines(self, now: float) -> Iterator[str]:
        """For people: where the job waited and ran, for how long, and how it ended, a line each."""
        coro = f" ({self.coro})" if self.coro else ""
        yield f"job {self.id} {self.name}{coro}: submitted {_span(now - self.submitted)} ago"
        for step in self.steps:
            yield step.line(now)
        if self.ended is not None:
            behind = f": {self.explanation}" if self.explanation else ""
            yield f"{self.outcome} after {_span(self.ended - self.submitted)}{behind}"

    def line(self, now: float) -> str:
        """For people: what it is at."""
        if self.ended is not None:
            return f"job {self.id} {self.name}: {self.outcome} after {_span(self.ended - self.submitted)}"
        return f"job {self.id} {self.name}: {self.steps[-1].line(now)}"

    def report(self, now: float) -> dict[str, Any]:
        """As JSON; times are in seconds."""
        return {
            "job": self.id,
            "name": self.name,
            "coro": self.coro,
            "state": self.state.value,
            "submitted_seconds_ago": round(now - self.submitted, 6),
            "steps": [step.report(now) for step in self.steps],
            "seconds": None if self.ended is None else round(self.ended - self.submitted, 6),
            "outcome": self.outcome,
            "explanation": self.explanation,
        }


class JobLog:
    """The records of all jobs that are not over, and of the last that are; of others nothing is known any more.

    What is told of a job without a record changes nothing. What cannot happen to a job at its state raises
    `LocalProtocolError` and changes nothing.

    Args:
        limit (int): How many are kept of those that are over.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        # In the order of submission, and in that of their ends. To find the first key of a dict takes longer, the more
        # were deleted before it.
        self._open: OrderedDict[int, JobRecord] = OrderedDict()
        # Packed: objects of ours the garbage collector would look at again and again, which with many short jobs took
        # a quarter of their time (measured, CPython 3.11).
        self._over: OrderedDict[int, _Packed] = OrderedDict()

    def submitted(self, job: int, name: str, now: float, why: str = "") -> None:
        """There is a new job, which waits."""
        if job in self._open or job in self._over:
            raise LocalProtocolError(f"job {job} was submitted before")
        first = Step(now, why[:_MAX_CHARACTERS])
        self._open[job] = JobRecord(job, name[:_MAX_CHARACTERS], now, steps=[first])

    def waits(self, job: int, why: str, now: float) -> None:
        """It goes on waiting, for something else."""
        record = self._advance(job, "waits")
        if record is not None and record.steps[-1].why != why[:_MAX_CHARACTERS]:
            self._wait(record, why, now)

    def sent(self, job: int, server: str, now: float) -> None:
        """It was sent to a server."""
        record = self._advance(job, "sent")
        if record is not None:
            record.attempts += 1
            self._step(record, Attempt(now, number=record.attempts, server=server[:_MAX_CHARACTERS]), now)

    def begun(self, job: int, now: float) -> None:
        """Its server said that it runs."""
        open_record = self._open.get(job)
        was_sent = open_record is not None and open_record.state is JobState.SENT
        record = self._advance(job, "begun")
        if record is not None and was_sent:
            attempt = record.steps[-1]
            assert isinstance(attempt, Attempt)
            attempt.begun = now

    def referred(self, job: int, coro: str) -> None:
        """There is a reference to it, printed so."""
        record = self._find(job)
        if record is not None:
            record.coro = coro[:_MAX_CHARACTERS]
            if job in self._over:
                self._over[job] = record.packed()

    def lost(self, job: int, explanation: str, why: str, now: float) -> None:
        """The attempt came to nothing; it waits for another."""
        record = self._advance(job, "lost")
        if record is not None:
            record.steps[-1].why = explanation[:_MAX_CHARACTERS]
            self._wait(record, why, now)

    def over(self, job: int, outcome: str, now: float, explanation: str = "") -> None:
        """It has its outcome."""
        record = self._advance(job, "over")
        if record is None:
            return
        step = record.steps[-1]
        step.until = now
        if isinstance(step, Attempt):
            step.has_finished = outcome == "finished"
        record.ended, record.outcome, record.explanation = now, outcome, explanation[:_MAX_CHARACTERS]
        del self._open[job]
        self._over[job] = record.packed()
        if len(self._over) > self._limit:
            self._over.popitem(last=False)

    def records(self) -> Iterator[JobRecord]:
        """Those that are over, in the order of their ends, then the others, in that of their submission."""
        yield from map(JobRecord.unpacked, self._over.values())
        yield from self._open.values()

    def find(self, job: int | str) -> JobRecord | None:
        """The record of a job by its number, or the last one with that reference; None where there is none.

        Of the reference the part before the "@" does, where it is that of one job alone.
        """
        if isinstance(job, int):
            return self._find(job)
        found = [record for record in self.records() if record.coro == job]
        if not found:
            found = [record for record in self.records() if record.coro.partition("@")[0] == job]
            if len(found) > 1:
                return None
        return max(found, key=lambda record: record.id, default=None)

    def is_waiting(self, job: int) -> bool:
        """Is it known that no server has it?"""
        record = self._open.get(job)
        return record is not None and record.state is JobState.WAITING

    def is_unsent(self, job: int) -> bool:
        """Is it known that it waits, and that no server has ever had it?"""
        record = self._open.get(job)
        return record is not None and record.state is JobState.WAITING and not record.attempts

    def _find(self, job: int) -> JobRecord | None:
        packed = self._over.get(job)
        return self._open.get(job) if packed is None else JobRecord.unpacked(packed)

    def _advance(self, job: int, event: str) -> JobRecord | None:
        """The record, where it is kept and the job not over; nothing that may happen later changes it."""
        record = self._open.get(job)
        if record is None and job not in self._over:
            return None
        state = JobState.OVER if record is None else record.state
        after = _TABLE[state].get(event)
        if after is None:
            raise LocalProtocolError(f"{event!r} cannot happen to job {job}, which is {state.value}")
        if record is not None:
            record.state = after
        return record

    def _wait(self, record: JobRecord, why: str, now: float) -> None:
        self._step(record, Step(now, why[:_MAX_CHARACTERS]), now)

    def _step(self, record: JobRecord, step: Step, now: float) -> None:
        if record.steps:
            record.steps[-1].until = now
        record.steps.append(step)
        if len(record.steps) > _MAX_STEPS:
            del record.steps[0]


def _span(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds < 100 else f"{seconds:.0f} s"
