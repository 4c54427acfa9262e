"""What may be asked for a job."""

import pickle

import pytest

from greencoro import Job, JobTimeLimit
from greencoro.compute.job import plain


def test_a_function_is_a_job_that_runs_once_and_has_time():
    assert plain(len) == Job(len, retries=0, time_limit=None)
    assert plain(Job(len, 3)) == Job(len, retries=3)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((3,), TypeError),
        ((Job(len),), TypeError),
        ((len, -1), ValueError),
        ((len, 1.5), TypeError),
        ((len, True), TypeError),
        ((len, 0, 0), ValueError),
        ((len, 0, -1.0), ValueError),
        ((len, 0, float("nan")), ValueError),
        ((len, 0, "1"), TypeError),
    ],
)
def test_what_cannot_be_asked_for_is_refused_at_once(arguments, error):
    with pytest.raises(error):
        Job(*arguments)


def test_a_time_limit_that_is_no_limit_is_none():
    assert Job(len, time_limit=float("inf")).time_limit is None


def test_news_of_a_time_limit_travel():
    assert str(pickle.loads(pickle.dumps(JobTimeLimit("too long")))) == "too long"
