"""A computation on a cluster: its turn, what its status coroutine hears of it, its end."""

import time

import pytest

from greencoro import Computation, ComputationClosed, ComputeError, Coro, Status
from greencoro.compute.client_phase import Phase
from greencoro.hub.completion import Completion
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster


class Refused(Exception):
    pass


def add(x, y):
    return x + y


def fail(reason):
    raise Refused(reason)


def receive(coro=None):
    return coro.receive()


def compute(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_status_coroutine_hears_of_servers_jobs_and_the_end(cluster):
    messages = []

    def listen(coro=None):
        while True:
            message = coro.receive()
            messages.append(message)
            if getattr(message, "status", None) == Status.ComputationClosed:
                return

    listener = Coro(listen)
    with Computation([add], status_coro=listener) as computation:
        cluster.wait_for_servers()
        job = computation.run(add, 1000, 1)
        with pytest.raises(Refused):
            computation.run(fail, "x").value(10)
        assert job.value(10) == 1001
    listener.value(5)
    names = [message.name for message in messages if isinstance(message, Status)]
    assert names[:2] == ["ComputationScheduled", "NodeDiscovered"]
    assert names.count("ServerInitialized") == names.count("ServerDiscovered") == names.count("ServerClosed") == 2
    assert names.index("NodeInitialized") < names.index("ServerInitialized")
    assert names.count("CoroCreated") == 2
    assert names[-2:] == ["NodeClosed", "ComputationClosed"]
    ends = {notice.coro.name: notice for notice in messages if not isinstance(notice, Status)}
    assert ends["add"].coro == job
    assert (ends["add"].kind, ends["add"].value) == ("finished", 1001)
    assert (ends["fail"].kind, type(ends["fail"].error)) == ("exception", Refused)


def test_whoever_waits_for_a_job_hears_of_the_close(cluster):
    with Computation() as computation:
        waiting, computing = computation.run(receive), computation.run(compute, 30)
    for job in (waiting, computing):
        with pytest.raises(ComputationClosed):
            job.value(5)


def test_job_of_a_computation_that_is_not_scheduled_is_refused(cluster):
    with pytest.raises(ComputationClosed, match="schedule"):
        Computation().run(add, 1, 1)


def test_second_computation_waits_for_its_turn(cluster):
    first, second = Computation(), Computation()
    assert first.schedule() == 0
    begun = Completion()
    coro = Coro(lambda: begun.set(second.schedule()))
    poll_until(lambda: second._jobs.client.phase is Phase.QUEUED)
    assert first.run(add, 1000, 1).value(10) == 1001
    assert not begun.done
    first.close()
    assert begun.wait(30)
    assert second.run(add, 1000, 1).value(10) == 1001
    second.close()
    coro.value(5)


def test_computation_that_is_closed_before_its_turn_says_so(computation):
    queued = Computation()
    raised = Completion()

    def schedule():
        try:
            queued.schedule()
        except ComputationClosed as error:
            raised.set(error)

    coro = Coro(schedule)
    poll_until(lambda: queued._jobs.client.phase is Phase.QUEUED)
    queued.close()
    assert raised.wait(5)
    coro.value(5)
    assert computation.run(add, 1000, 1).value(10) == 1001


def test_computation_is_scheduled_once(computation):
    with pytest.raises(ComputeError, match="once"):
        computation.schedule()
