import pytest

from greencoro import Coro
from greencoro.compute.idleness import Idleness
from tests.support.polling import poll_until


def on_hub(function):
    return Coro(function).value(5)


@pytest.fixture
def said():
    return []


@pytest.fixture
def idleness(said):
    return Idleness(said.append)


def test_a_job_is_told_at_once_and_the_end_of_the_last_one_soon(idleness, said):
    on_hub(idleness.busy)
    assert said == [True]
    on_hub(idleness.idle)
    poll_until(lambda: said == [True, False])
    on_hub(idleness.busy)
    assert said == [True, False, True]


def test_moments_without_a_job_are_not_told(idleness, said):
    def short_jobs():
        for _ in range(100):
            idleness.busy()
            idleness.idle()
        idleness.busy()

    on_hub(short_jobs)
    poll_until(lambda: idleness._timer is None)
    assert said == [True]


def test_J6_idleness_after_many_short_jobs_is_told(idleness, said):
    def short_jobs():
        for _ in range(100):
            idleness.busy()
            idleness.idle()

    on_hub(short_jobs)
    poll_until(lambda: said == [True, False])
    assert idleness._timer is None
