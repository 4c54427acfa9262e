"""Histories of jobs whose servers are killed, checked against what greencoro promises of jobs (guarantees.md).

The events of `history`, a line of JSON each; ``id`` is a job's, ``who`` of what happens in a server the attempt's:

    {"t": 1.0, "who": "c", "ev": "submit", "id": 4, "attempts": 1}           (so often it may run: retries + 1)
    {"t": 1.0, "who": "c", "ev": "submit", "id": 5, "attempts": 1, "map": "m"}   (an element of an input, in its order)
    {"t": 1.1, "who": "7/1", "ev": "job", "id": 4}                           (an attempt begins: process 7, its 1st job)
    {"t": 1.2, "who": "7/1", "ev": "job over", "id": 4, "kind": "value"}     (as the job sees it; before it returns)
    {"t": 1.2, "who": "7", "ev": "killed"}                                   (a process, when that was about to be done)
    {"t": 1.2, "who": "c", "ev": "cancel", "id": 4}
    {"t": 1.3, "who": "c", "ev": "outcome", "id": 4, "kind": "value", "of": "7/1"}
    {"t": 2.0, "who": "c", "ev": "results", "map": "m", "ids": [5, null]}    (null: an element that failed)

The kind of an outcome is "value", "exception", "terminated" or "lost". ``of`` is the attempt that made a value or an
exception: what a job returns or raises has to say so.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from tests.support.history import Event

__all__ = ["violations_of_jobs"]

#: What a job that ran to its end can have come to.
_ENDS = ("value", "exception")


def violations_of_jobs(events: Iterable[Event]) -> list[str]:
    """Every broken promise, as a sentence that begins with the promise's name."""
    story = _Story(sorted(events, key=lambda event: event["t"]))
    return [*_one_outcome(story), *_true_outcomes(story), *_attempts(story), *_order(story)]


class _Attempt:
    """One run of a job in a server."""

    def __init__(self, began: Event) -> None:
        self.who: str = began["who"]
        self.began: float = began["t"]
        #: What it came to; None where nothing says that it came to an end.
        self.kind: str | None = None

    @property
    def process(self) -> str:
        return self.who.partition("/")[0]


class _Story:
    """The events by job."""

    def __init__(self, events: list[Event]) -> None:
        self.submitted: dict[int, Event] = {}
        self.attempts: dict[int, dict[str, _Attempt]] = defaultdict(dict)
        self.repeated: list[Event] = []
        self.outcomes: dict[int, list[Event]] = defaultdict(list)
        self.cancelled: set[int] = set()
        #: By process, when it was about to be killed.
        self.killed: dict[str, float] = {}
        self.results: dict[str, list[Any]] = {}
        for event in events:
            kind = event["ev"]
            if kind == "submit":
                self.submitted[event["id"]] = event
            elif kind == "job":
                of_job = self.attempts[event["id"]]
                if event["who"] in of_job:
                    self.repeated.append(event)
                of_job[event["who"]] = _Attempt(event)
            elif kind == "job over":
                self.attempts[event["id"]][event["who"]].kind = event["kind"]
            elif kind == "outcome":
                self.outcomes[event["id"]].append(event)
            elif kind == "cancel":
                self.cancelled.add(event["id"])
            elif kind == "killed":
                self.killed[event["who"]] = event["t"]
            elif kind == "results":
                self.results[event["map"]] = event["ids"]


def _one_outcome(story: _Story) -> Iterable[str]:
    """J1: never none, never two."""
    for job in story.submitted:
        kinds = [event["kind"] for event in story.outcomes[job]]
        if not kinds:
            yield f"J1: job {job} has no outcome"
        elif len(kinds) > 1:
            yield f"J1: job {job} has {len(kinds)} outcomes: {', '.join(kinds)}"
    for job in sorted({*story.outcomes, *story.attempts} - set(story.submitted)):
        yield f"J1: job {job} was never submitted"


def _true_outcomes(story: _Story) -> Iterable[str]:
    """J1: an outcome is what the job's last attempt came to, or says truly that there is none."""
    for job, outcomes in story.outcomes.items():
        attempts = sorted(story.attempts[job].values(), key=lambda attempt: attempt.began)
        for event in outcomes:
            kind = event["kind"]
            what = f"the outcome of job {job} is {kind!r}"
            if kind in _ENDS:
                yield from _true_end(what, event, attempts)
            elif kind == "terminated":
                if job not in story.cancelled:
                    yield f"J1: {what}, and nobody cancelled it"
            elif kind != "lost":
                yield f"J1: {what}, which means nothing"
            elif attempts and attempts[-1].process not in story.killed:
                yield f"J1: {what}, and {attempts[-1].who}, where it ran last, was not killed"


def _true_end(what: str, event: Event, attempts: list[_Attempt]) -> Iterable[str]:
    if not attempts:
        yield f"J1: {what}, and it has no line of its own"
        return
    by = next((attempt for attempt in attempts if attempt.who == event["of"]), None)
    if by is None:
        yield f"J1: {what} of {event['of']}, where it never ran"
    elif by is not attempts[-1]:
        yield f"J1: {what} of {by.who}, and its last attempt was {attempts[-1].who}"
    elif by.kind is None:
        yield f"J1: {what}, and {by.who} came to no end"
    elif by.kind != event["kind"]:
        yield f"J1: {what}, and {by.who} came to {by.kind!r}"


def _attempts(story: _Story) -> Iterable[str]:
    """J2: at most so many as were allowed, one after another, the next one only where a server was lost."""
    for event in story.repeated:
        yield f"J2: {event['who']} ran job {event['id']} twice"
    for job, by_who in story.attempts.items():
        attempts = sorted(by_who.values(), key=lambda attempt: attempt.began)
        allowed = story.submitted.get(job, {}).get("attempts", 1)
        if len(attempts) > allowed:
            yield f"J2: job {job} ran {len(attempts)} times, and {allowed} were allowed"
        for earlier, later in itertools.pairwise(attempts):
            killed_at = story.killed.get(earlier.process)
            if killed_at is None or later.began < killed_at:
                yield f"J2: job {job} ran again at {later.who}, and {earlier.who} was not killed before"


def _order(story: _Story) -> Iterable[str]:
    """J3: as many results as elements, each in its element's place; only those that failed are missing."""
    inputs: dict[str, list[int]] = defaultdict(list)
    for job, event in story.submitted.items():
        if "map" in event:
            inputs[event["map"]].append(job)
    for name, wanted in inputs.items():
        came = story.results.get(name)
        if came is None:
            yield f"J3: there are no results of {name}"
            continue
        if len(came) != len(wanted):
            yield f"J3: {len(came)} results of {name}, which has {len(wanted)} elements"
        for place, (job, result) in enumerate(zip(wanted, came, strict=False)):
            has_value = any(event["kind"] == "value" for event in story.outcomes[job])
            if result != (job if has_value else None):
                yield f"J3: place {place} of {name} has the result {result} and not that of job {job}"
