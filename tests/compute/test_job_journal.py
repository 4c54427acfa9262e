from types import SimpleNamespace

import pytest

from greencoro.compute.job_journal import JobJournal
from greencoro.errors import ComputeError, MonitorException, ServerDied


@pytest.fixture
def journal():
    return JobJournal()


def test_jobs_are_counted_from_one(journal):
    assert [journal.submitted("f") for _ in range(3)] == [1, 2, 3]
    lines, reports = journal.last(2)
    assert [line.split(":")[0] for line in lines] == ["job 2 f", "job 3 f"]
    assert [report["job"] for report in reports] == [2, 3]


def test_the_last_ones_are_listed_whether_they_are_over_or_not(journal):
    for _ in range(3):
        journal.submitted("f")
    journal.over(3, MonitorException(None, "finished", 1))
    journal.over(1, MonitorException(None, "finished", 1))
    assert [report["job"] for report in journal.last(10)[1]] == [1, 2, 3]


def test_of_what_is_not_known_it_is_said_so(journal):
    journal.submitted("f")
    for job in (2, "f/1@host:1"):
        with pytest.raises(ComputeError, match=f"nothing is known of job {job}: .*this process has had 1 jobs"):
            journal.lines(job)
        with pytest.raises(ComputeError):
            journal.report(job)


def test_a_job_that_has_a_server_meanwhile_waits_for_nothing(journal):
    journal.submitted("f")
    journal.sent(1, "host:1")
    journal.waits(1, "no server")
    journal.waits(2, "no server")
    assert not any("no server" in line for line in journal.lines(1))


def test_a_job_that_no_server_has_had_is_given_up_or_cancelled_once(journal):
    for _ in range(3):
        journal.submitted("f")
    journal.given_up(1, ServerDied("was killed"))
    journal.cancelled(1)
    assert journal.lines(1)[-1].endswith(": ServerDied: was killed")
    journal.cancelled(2)
    assert journal.lines(2)[-1].startswith("cancelled after ")
    journal.sent(3, "host:1")
    journal.lost(3, "it died", "for another server")
    journal.given_up(3, ServerDied("was killed"))
    assert journal.lines(3)[-1].startswith("has been waiting for ")


def test_S16_neither_results_nor_what_users_exceptions_say_are_kept(journal):
    class Hot(Exception):
        def __str__(self):
            raise AssertionError("this would run a user's code")

    notices = [
        MonitorException(None, "finished", "the result"),
        MonitorException(None, "exception", None, Hot("secret")),
        MonitorException(None, "lost", None, Hot("secret")),
        SimpleNamespace(kind="exception", error_type="ValueError"),
        MonitorException(None, "lost", None, ServerDied("was killed")),
    ]
    for notice in notices:
        journal.over(journal.submitted("f"), notice)
    ends = [(report["outcome"], report["explanation"]) for report in journal.last(10)[1]]
    assert ends == [
        ("finished", ""),
        ("exception", "Hot"),
        ("lost", "Hot"),
        ("exception", "ValueError"),
        ("lost", "ServerDied: was killed"),
    ]
