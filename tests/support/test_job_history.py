"""Histories of jobs that break a promise, each found by the checker; and some that look odd and break none."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.history import Event
from tests.support.job_history import violations_of_jobs

#: The attempts of jobs; the first number is the process.
FIRST, SECOND, THIRD = "7/1", "8/1", "9/1"


def at(who: str, ev: str, **fields: Any) -> Event:
    return {"who": who, "ev": ev, **fields}


def submit(job: int = 4, attempts: int = 1, **fields: Any) -> Event:
    return at("c", "submit", id=job, attempts=attempts, **fields)


def begins(who: str = FIRST, job: int = 4) -> Event:
    return at(who, "job", id=job)


def ends(who: str = FIRST, kind: str = "value", job: int = 4) -> Event:
    return at(who, "job over", id=job, kind=kind)


def ran(who: str = FIRST, kind: str = "value", job: int = 4) -> list[Event]:
    return [begins(who, job), ends(who, kind, job)]


def killed(who: str = FIRST) -> Event:
    return at(who.partition("/")[0], "killed")


def outcome(kind: str = "value", of: str | None = FIRST, job: int = 4) -> Event:
    return at("c", "outcome", id=job, kind=kind, of=of)


def results(*ids: int | None) -> Event:
    return at("c", "results", map="m", ids=list(ids))


LOST, CANCEL = outcome("lost", None), at("c", "cancel", id=4)
THREE = [submit(job, map="m") for job in (1, 2, 3)]
#: The first and the third came to a value; the second raised.
CAME = [
    *ran("7/1", job=1),
    *ran("8/1", "exception", job=2),
    *ran("7/2", job=3),
    outcome(of="7/1", job=1),
    outcome("exception", of="8/1", job=2),
    outcome(of="7/2", job=3),
]


def found(events: list[Event]) -> list[str]:
    return violations_of_jobs([{"t": float(number), **event} for number, event in enumerate(events, 1)])


@pytest.mark.parametrize(
    ("events", "violation"),
    [
        ([submit(), *ran()], "J1: job 4 has no outcome"),
        ([submit(), *ran(), outcome(), outcome()], "J1: job 4 has 2 outcomes: value, value"),
        ([submit(), *ran(), killed(), outcome(), LOST], "J1: job 4 has 2 outcomes: value, lost"),
        ([*ran(), outcome()], "J1: job 4 was never submitted"),
        ([*ran()], "J1: job 4 was never submitted"),
        ([submit(), outcome()], "J1: the outcome of job 4 is 'value', and it has no line of its own"),
        ([submit(), outcome("exception")], "J1: the outcome of job 4 is 'exception', and it has no line of its own"),
        ([submit(), *ran(), outcome(of=SECOND)], "J1: the outcome of job 4 is 'value' of 8/1, where it never ran"),
        (
            [submit(attempts=2), *ran(), killed(), *ran(SECOND), outcome(of=FIRST)],
            "J1: the outcome of job 4 is 'value' of 7/1, and its last attempt was 8/1",
        ),
        ([submit(), begins(), outcome()], "J1: the outcome of job 4 is 'value', and 7/1 came to no end"),
        (
            [submit(), *ran(kind="exception"), outcome()],
            "J1: the outcome of job 4 is 'value', and 7/1 came to 'exception'",
        ),
        (
            [submit(), *ran(), outcome("exception")],
            "J1: the outcome of job 4 is 'exception', and 7/1 came to 'value'",
        ),
        (
            [submit(), begins(), outcome("terminated", None)],
            "J1: the outcome of job 4 is 'terminated', and nobody cancelled it",
        ),
        ([submit(), outcome("well")], "J1: the outcome of job 4 is 'well', which means nothing"),
        (
            [submit(), begins(), killed(SECOND), LOST],
            "J1: the outcome of job 4 is 'lost', and 7/1, where it ran last, was not killed",
        ),
        (
            [submit(attempts=2), begins(), killed(), begins(SECOND), LOST],
            "J1: the outcome of job 4 is 'lost', and 8/1, where it ran last, was not killed",
        ),
        (
            [submit(), begins(), killed(), *ran(SECOND), outcome(of=SECOND)],
            "J2: job 4 ran 2 times, and 1 were allowed",
        ),
        (
            [
                submit(attempts=2),
                begins(),
                killed(),
                begins(SECOND),
                killed(SECOND),
                begins(THIRD),
                killed(THIRD),
                LOST,
            ],
            "J2: job 4 ran 3 times, and 2 were allowed",
        ),
        (
            [submit(attempts=2), begins(), *ran(SECOND), outcome(of=SECOND)],
            "J2: job 4 ran again at 8/1, and 7/1 was not killed before",
        ),
        (
            [submit(attempts=2), *ran(), *ran(SECOND), killed(), outcome(of=SECOND)],
            "J2: job 4 ran again at 8/1, and 7/1 was not killed before",
        ),
        (
            [submit(attempts=2), begins(), begins(SECOND), ends(), killed(), ends(SECOND), outcome(of=SECOND)],
            "J2: job 4 ran again at 8/1, and 7/1 was not killed before",
        ),
        ([submit(), begins(), *ran(), outcome()], "J2: 7/1 ran job 4 twice"),
        ([*THREE, *CAME], "J3: there are no results of m"),
        ([*THREE, *CAME, results(1, None)], "J3: 2 results of m, which has 3 elements"),
        ([*THREE, *CAME, results(1, None, 3, 3)], "J3: 4 results of m, which has 3 elements"),
        ([*THREE, *CAME, results(3, None, 1)], "J3: place 0 of m has the result 3 and not that of job 1"),
        ([*THREE, *CAME, results(1, 2, 3)], "J3: place 1 of m has the result 2 and not that of job 2"),
        ([*THREE, *CAME, results(1, None, None)], "J3: place 2 of m has the result None and not that of job 3"),
    ],
)
def test_a_broken_promise_is_found(events: list[Event], violation: str) -> None:
    assert violation in found(events)


@pytest.mark.parametrize(
    "events",
    [
        [submit(), *ran(), outcome()],
        [submit(), *ran(kind="exception"), outcome("exception")],
        # Cancelled before it began anywhere, and while it ran.
        [submit(), CANCEL, outcome("terminated", None)],
        [submit(), begins(), CANCEL, ends(kind="exception"), outcome("terminated", None)],
        # It had come to its end when that was asked for.
        [submit(), *ran(), CANCEL, outcome()],
        # It waited at a server that was killed, ran in one, or had returned when its process was killed.
        [submit(), LOST],
        [submit(), begins(), killed(), LOST],
        [submit(), *ran(), killed(), LOST],
        [submit(), *ran(), killed(), outcome()],
        # Again, after the server was lost; also where it had returned there.
        [submit(attempts=2), begins(), killed(), *ran(SECOND), outcome(of=SECOND)],
        [submit(attempts=2), *ran(), killed(), *ran(SECOND), outcome(of=SECOND)],
        [submit(attempts=2), begins(), killed(), begins(SECOND), killed(SECOND), LOST],
        [*THREE, *CAME, results(1, None, 3)],
    ],
)
def test_what_breaks_no_promise_is_let_pass(events: list[Event]) -> None:
    assert found(events) == []


def test_events_of_several_files_are_taken_in_the_order_of_time() -> None:
    history = [submit(attempts=2), begins(), killed(), *ran(SECOND), outcome(of=SECOND)]
    assert found(history) == []
    timed = [{"t": float(number), **event} for number, event in enumerate(history)]
    assert violations_of_jobs(reversed(timed)) == []
