"""Ending jobs: one, many, all, begun or not."""

import time

import pytest

from greencoro import Coro, CoroTerminated, Job, RemoteCoroScheduler
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster


def note(path):
    with open(path, "a") as file:
        file.write("ran\n")
    time.sleep(600)


def compute():
    while True:
        pass


def lines(path):
    return len(path.read_text().splitlines()) if path.exists() else 0


def assert_terminated(jobs):
    for job in jobs:
        with pytest.raises(CoroTerminated):
            job.value(20)


def test_one_job_is_cancelled_and_the_others_run_on(computation):
    first, second = computation.run(time.sleep, 600), computation.run(time.sleep, 1)
    assert computation.cancel(first) == 1
    assert_terminated([first])
    assert second.value(20) is None
    assert computation.cancel([first, second]) == 0


def test_many_jobs_are_cancelled(computation):
    jobs = [computation.run(time.sleep, 600) for _ in range(50)]
    goes_on = computation.run(time.sleep, 2)
    assert computation.cancel(iter(jobs)) == 50
    assert_terminated(jobs)
    assert goes_on.value(20) is None


def test_all_jobs_are_cancelled_also_one_that_computes(computation):
    jobs = [*computation.run_servers(compute), *computation.run_servers(time.sleep, 600)]
    assert computation.cancel() == 4
    assert_terminated(jobs)
    assert computation.cancel() == 0
    assert computation.run(pow, 2, 5).value(10) == 32


def test_J2_cancelled_job_is_not_run_again(computation, tmp_path):
    path = tmp_path / "lines"
    scheduler = RemoteCoroScheduler(computation)
    call = Coro(scheduler.execute, Job(note, retries=5), str(path))
    poll_until(lambda: lines(path) == 1, 20)
    assert computation.cancel() == 1
    with pytest.raises(CoroTerminated):
        call.value(20)
    assert lines(path) == 1


def test_what_is_no_job_is_not_cancelled(computation):
    job = computation.run(time.sleep, 0.1)
    with pytest.raises(TypeError, match="by its reference"):
        computation.cancel([job, "job"])
    assert computation.cancel(Coro(time.sleep, 0)) == 0
    assert job.value(10) is None
