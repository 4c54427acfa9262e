import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greencoro.compute.job_log import JobLog, JobState
from greencoro.errors import LocalProtocolError


def explain(log, job, now):
    record = log.find(job)
    return [] if record is None else list(record.lines(now))


@pytest.fixture
def log():
    return JobLog()


def test_the_story_of_a_job_that_ran_twice(log):
    log.submitted(7, "render", 0.0, "no server is ready")
    log.waits(7, "no server is ready", 1.0)
    log.waits(7, "all servers are busy", 2.0)
    log.sent(7, "host-1", 3.0)
    log.begun(7, 3.25)
    log.lost(7, "was killed by SIGKILL", "all servers are busy", 10.0)
    log.sent(7, "host-2", 11.5)
    assert explain(log, 7, 12.0) == [
        "job 7 render: submitted 12 s ago",
        "waited 2 s: no server is ready",
        "waited 1 s: all servers are busy",
        "attempt 1 at host-1 for 7 s, begun after 0.25 s: was killed by SIGKILL",
        "waited 1.5 s: all servers are busy",
        "attempt 2 at host-2 for 0.5 s so far, not known to have begun",
    ]
    log.over(7, "exception", 212.0, "ValueError: too hot")
    assert explain(log, 7, 1000.0)[0] == "job 7 render: submitted 1000 s ago"
    assert explain(log, 7, 1000.0)[-2:] == [
        "attempt 2 at host-2 for 200 s, not known to have begun",
        "exception after 212 s: ValueError: too hot",
    ]


def test_the_story_of_a_job_that_waits(log):
    log.submitted(1, "f", 5.0)
    assert explain(log, 1, 6.0) == ["job 1 f: submitted 1 s ago", "has been waiting for 1 s"]


def test_the_story_of_a_job_that_was_cancelled_before_it_was_sent(log):
    log.submitted(1, "f", 5.0, "all servers are busy")
    log.over(1, "terminated", 7.0)
    assert explain(log, 1, 9.0)[1:] == ["waited 2 s: all servers are busy", "terminated after 2 s"]


def test_the_story_of_a_job_that_waits_again_until_it_is_given_up(log):
    log.submitted(1, "f", 0.0)
    log.sent(1, "host-1", 1.0)
    log.lost(1, "died", "all servers are busy", 2.0)
    log.over(1, "lost", 5.0, "x" * 10_000)
    assert explain(log, 1, 9.0)[3] == "waited 3 s: all servers are busy"
    assert len(explain(log, 1, 9.0)[4]) < 600


def test_things_of_one_moment_are_told_in_the_order_in_which_they_happened(log):
    log.submitted(1, "f", 0.0)
    for _ in range(2):
        log.sent(1, "host-1", 0.0)
        log.lost(1, "died", "", 0.0)
    first_words = [line.split()[0] for line in explain(log, 1, 0.0)]
    assert first_words == ["job", "waited", "attempt", "waited", "attempt", "has"]


def test_of_an_unknown_job_nothing_is_told_and_nothing_changes(log):
    log.sent(1, "host-1", 0.0)
    log.begun(1, 0.0)
    log.lost(1, "", "", 0.0)
    log.waits(1, "", 0.0)
    log.over(1, "finished", 0.0)
    assert explain(log, 1, 0.0) == list(log.records()) == []


def test_a_job_is_found_by_its_reference_too(log):
    for job in (1, 2, 3):
        log.submitted(job, "f", 0.0)
        log.referred(job, "f/1@host:1" if job < 3 else "f/2@host:1")
    log.sent(2, "host-1", 1.0)
    log.over(2, "finished", 2.0)
    log.referred(9, "f/1@host:1")
    assert explain(log, "f/1@host:1", 3.0)[0] == "job 2 f (f/1@host:1): submitted 3 s ago"
    assert explain(log, "f/3@host:1", 3.0) == []


def test_a_job_in_one_line(log):
    log.submitted(1, "f", 0.0, "no server")
    (record,) = log.records()
    assert record.line(2.0) == "job 1 f: has been waiting for 2 s: no server"
    log.sent(1, "host-1", 3.0)
    assert record.line(4.0) == "job 1 f: attempt 1 at host-1 for 1 s so far, not known to have begun"
    log.over(1, "finished", 5.0)
    assert record.line(9.0) == "job 1 f: finished after 5 s"


def test_a_job_as_json(log):
    log.submitted(1, "f", 0.0, "no server")
    log.sent(1, "host-1", 1.5)
    log.begun(1, 1.75)
    log.over(1, "lost", 2.0, "it died")
    assert json.loads(json.dumps(log.find(1).report(4.0))) == {
        "job": 1,
        "name": "f",
        "coro": "",
        "state": "over",
        "submitted_seconds_ago": 4.0,
        "steps": [
            {"seconds": 1.5, "is_over": True, "why": "no server"},
            {
                "attempt": 1,
                "server": "host-1",
                "begun_after_seconds": 0.25,
                "seconds": 0.5,
                "is_over": True,
                "why": "",
            },
        ],
        "seconds": 2.0,
        "outcome": "lost",
        "explanation": "it died",
    }


def test_an_answer_that_comes_late_does_not_say_when_a_job_began(log):
    log.submitted(1, "f", 0.0)
    log.sent(1, "host-1", 1.0)
    log.over(1, "finished", 2.0)
    log.begun(1, 3.0)
    assert explain(log, 1, 4.0)[2] == "attempt 1 at host-1 for 1 s"


def test_a_job_is_named_by_the_part_of_its_reference_that_is_its_alone(log):
    for job, coro in [(1, "slow/3@host-1:1"), (2, "slow/3@host-2:1"), (3, "slow/4@host-1:1")]:
        log.submitted(job, "slow", 0.0)
        log.referred(job, coro)
    assert log.find("slow/4").id == 3
    assert log.find("slow/3@host-1:1").id == 1
    assert log.find("slow/3") is log.find("slow") is log.find("") is None


def test_all_jobs_are_kept_that_are_not_over_and_the_last_that_are():
    log = JobLog(limit=2)
    for job in range(1, 7):
        log.submitted(job, "f", 0.0)
        log.sent(job, "host-1", 0.0)
    log.over(3, "finished", 1.0)
    log.over(2, "finished", 2.0)
    assert [record.id for record in log.records()] == [3, 2, 1, 4, 5, 6]
    log.over(5, "finished", 3.0)
    assert [record.id for record in log.records()] == [2, 5, 1, 4, 6]
    assert log.find(3) is None


def test_a_job_that_is_tried_for_ever_takes_bounded_room(log):
    log.submitted(1, "n" * 10_000, 0.0, "w" * 10_000)
    for attempt in range(1, 101):
        log.sent(1, "s" * 10_000, float(attempt))
        log.lost(1, "e" * 10_000, "w" * 10_000, attempt + 0.5)
    lines = explain(log, 1, 200.0)
    assert len(lines) <= 1 + 40
    assert max(map(len, lines)) < 1200
    assert any(line.startswith("attempt 100 at sss") for line in lines)


def test_a_job_is_submitted_once(log):
    log.submitted(1, "f", 0.0)
    with pytest.raises(LocalProtocolError, match="job 1 was submitted before"):
        log.submitted(1, "f", 0.0)
    log.over(1, "finished", 0.0)
    with pytest.raises(LocalProtocolError, match="job 1 was submitted before"):
        log.submitted(1, "f", 0.0)


EVENTS = {
    "waits": lambda log, now: log.waits(1, "why", now),
    "sent": lambda log, now: log.sent(1, "host", now),
    "begun": lambda log, now: log.begun(1, now),
    "lost": lambda log, now: log.lost(1, "how", "why", now),
    "over": lambda log, now: log.over(1, "finished", now),
}
LEGAL = {
    JobState.WAITING: {"waits", "sent", "begun", "over"},
    JobState.SENT: {"begun", "lost", "over"},
    JobState.RUNNING: {"begun", "lost", "over"},
    JobState.OVER: {"begun"},
}


@given(st.lists(st.sampled_from(sorted(EVENTS)), max_size=12))
def test_what_cannot_happen_raises_and_changes_nothing(events):
    log = JobLog()
    log.submitted(1, "f", 0.0)
    for now, event in enumerate(events, 1):
        (record,) = log.records()
        before = explain(log, 1, 100.0), record.state
        if event in LEGAL[record.state]:
            EVENTS[event](log, float(now))
        else:
            with pytest.raises(LocalProtocolError, match=f"'{event}' cannot happen to job 1"):
                EVENTS[event](log, float(now))
            assert (explain(log, 1, 100.0), record.state) == before
