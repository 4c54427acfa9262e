import pytest
from hypothesis import given
from hypothesis import strategies as st

from greencoro.compute.job_log import JobLog, JobState
from greencoro.errors import LocalProtocolError


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
    assert log.explain(7, 12.0) == [
        "job 7 render: submitted 12 s ago",
        "waited 2 s: no server is ready",
        "waited 1 s: all servers are busy",
        "attempt 1 at host-1 for 7 s, begun after 0.25 s: was killed by SIGKILL",
        "waited 1.5 s: all servers are busy",
        "attempt 2 at host-2 for 0.5 s so far, not known to have begun",
    ]
    log.over(7, "exception", 212.0, "ValueError: too hot")
    assert log.explain(7, 1000.0)[0] == "job 7 render: submitted 1000 s ago"
    assert log.explain(7, 1000.0)[-2:] == [
        "attempt 2 at host-2 for 200 s, not known to have begun",
        "exception after 212 s: ValueError: too hot",
    ]


def test_the_story_of_a_job_that_waits(log):
    log.submitted(1, "f", 5.0)
    assert log.explain(1, 6.0) == ["job 1 f: submitted 1 s ago", "has been waiting for 1 s"]


def test_the_story_of_a_job_that_was_cancelled_before_it_was_sent(log):
    log.submitted(1, "f", 5.0, "all servers are busy")
    log.over(1, "terminated", 7.0)
    assert log.explain(1, 9.0)[1:] == ["waited 2 s: all servers are busy", "terminated after 2 s"]


def test_the_story_of_a_job_that_waits_again_until_it_is_given_up(log):
    log.submitted(1, "f", 0.0)
    log.sent(1, "host-1", 1.0)
    log.lost(1, "died", "all servers are busy", 2.0)
    log.over(1, "lost", 5.0, "x" * 10_000)
    assert log.explain(1, 9.0)[3] == "waited 3 s: all servers are busy"
    assert len(log.explain(1, 9.0)[4]) < 600


def test_things_of_one_moment_are_told_in_the_order_in_which_they_happened(log):
    log.submitted(1, "f", 0.0)
    for _ in range(2):
        log.sent(1, "host-1", 0.0)
        log.lost(1, "died", "", 0.0)
    first_words = [line.split()[0] for line in log.explain(1, 0.0)]
    assert first_words == ["job", "waited", "attempt", "waited", "attempt", "has"]


def test_of_an_unknown_job_nothing_is_told_and_nothing_changes(log):
    log.sent(1, "host-1", 0.0)
    log.begun(1, 0.0)
    log.lost(1, "", "", 0.0)
    log.waits(1, "", 0.0)
    log.over(1, "finished", 0.0)
    assert log.explain(1, 0.0) == list(log.records()) == []
    assert log.waiting_for_capacity() == 0


def test_Z1_jobs_that_wait_for_capacity_are_counted(log):
    for job in range(5):
        log.submitted(job, "f", 0.0)
    assert log.waiting_for_capacity() == 5
    log.sent(0, "host-1", 1.0)
    log.sent(1, "host-1", 1.0)
    assert log.waiting_for_capacity() == 3
    log.lost(0, "its node drains", "", 2.0)
    assert log.waiting_for_capacity() == 4
    log.over(2, "terminated", 2.0)
    log.over(1, "finished", 2.0)
    assert log.waiting_for_capacity() == 3


def test_the_last_jobs_are_kept_and_those_that_are_over_go_first():
    log = JobLog(limit=3)
    for job in (1, 2, 3):
        log.submitted(job, "f", 0.0)
        log.sent(job, "host-1", 0.0)
    log.over(3, "finished", 1.0)
    log.over(2, "finished", 2.0)
    log.submitted(4, "f", 3.0)
    assert [record.id for record in log.records()] == [2, 1, 4]
    log.submitted(5, "f", 3.0)
    assert [record.id for record in log.records()] == [1, 4, 5]
    log.submitted(6, "f", 3.0)
    assert [record.id for record in log.records()] == [4, 5, 6]


def test_waiting_jobs_without_a_record_count_until_they_are_sent_or_over():
    log = JobLog(limit=2)
    for job in range(4):
        log.submitted(job, "f", 0.0)
    assert log.waiting_for_capacity() == 4
    log.sent(0, "host-1", 1.0)
    log.over(1, "terminated", 1.0)
    assert log.waiting_for_capacity() == 2


def test_a_job_that_is_tried_for_ever_takes_bounded_room(log):
    log.submitted(1, "n" * 10_000, 0.0, "w" * 10_000)
    for attempt in range(1, 101):
        log.sent(1, "s" * 10_000, float(attempt))
        log.lost(1, "e" * 10_000, "w" * 10_000, attempt + 0.5)
    lines = log.explain(1, 200.0)
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
    JobState.WAITING: {"waits", "sent", "over"},
    JobState.SENT: {"begun", "lost", "over"},
    JobState.RUNNING: {"lost", "over"},
    JobState.OVER: set(),
}


@given(st.lists(st.sampled_from(sorted(EVENTS)), max_size=12))
def test_what_cannot_happen_raises_and_changes_nothing(events):
    log = JobLog()
    log.submitted(1, "f", 0.0)
    for now, event in enumerate(events, 1):
        (record,) = log.records()
        before = log.explain(1, 100.0), record.state, log.waiting_for_capacity()
        if event in LEGAL[record.state]:
            EVENTS[event](log, float(now))
            assert log.waiting_for_capacity() == (record.state is JobState.WAITING)
        else:
            with pytest.raises(LocalProtocolError, match=f"'{event}' cannot happen to job 1"):
                EVENTS[event](log, float(now))
            assert (log.explain(1, 100.0), record.state, log.waiting_for_capacity()) == before
