"""RemoteCoroScheduler on a cluster: one job at a time at a server, in order."""

import itertools
import os
import signal
import threading
import time

import pytest

from greencoro import (
    Computation,
    ComputationClosed,
    Coro,
    CoroTerminated,
    Job,
    NoMatchingServer,
    PackagingError,
    RemoteCoroScheduler,
    RemoteError,
    ServerDied,
    sleep,
)
from greencoro.hub.completion import Completion
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster

OFFSET = 1000


class Refused(Exception):
    pass


def add_offset(x):
    return x + OFFSET


def leave(x):
    if x == 1:
        raise SystemExit(3)
    return x


def process_id():
    return os.getpid()


def fail(reason):
    raise Refused(reason)


def echo(coro=None):
    while True:
        sender, message = coro.receive()
        if message is None:
            return "bye"
        sender.send((coro.name, message * 2))


def compute(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return os.getpid()


def note(x):
    globals().setdefault("notes", []).append(x)
    return x


def noted():
    return globals().get("notes", [])


def sometimes_fail(x):
    if x % 10 == 3:
        raise ValueError(x)
    return x * x


def lanes_of(scheduler):
    with scheduler._dispatcher._lock:
        return list(scheduler._dispatcher._lanes._lanes.values())


def jobs_seem_short(scheduler):
    """From now on several are sent to each server, however slow the machine is."""
    for lane in lanes_of(scheduler):
        lane.estimate(0.001)


def test_map_results_keeps_order_and_puts_exceptions_in_their_places(computation):
    results = RemoteCoroScheduler(computation).map_results(sometimes_fail, range(500))
    assert len(results) == 500
    for x, result in enumerate(results):
        if x % 10 == 3:
            assert type(result) is ValueError
            assert result.args == (x,)
            assert isinstance(result.__cause__, RemoteError)
        else:
            assert result == x * x


def test_map_results_spreads_only_tuples(computation):
    whole = os.terminal_size((80, 25))  # a tuple with names is one thing to its user
    results = RemoteCoroScheduler(computation).map_results(lambda *args: args, [(1, 2), [1, 2], "ab", 3, whole])
    assert results == [(1, 2), ([1, 2],), ("ab",), (3,), (whole,)]


def test_map_results_puts_arguments_that_cannot_be_shipped_in_their_place(computation):
    results = RemoteCoroScheduler(computation).map_results(add_offset, [1, threading.RLock(), 2])
    assert results[0::2] == [1001, 1002]
    assert isinstance(results[1], PackagingError)


def test_map_results_refuses_a_function_that_cannot_be_shipped(computation):
    lock = threading.RLock()
    with pytest.raises(PackagingError):
        RemoteCoroScheduler(computation).map_results(lambda x: lock, range(3))


def test_map_results_uses_every_server(computation):
    results = RemoteCoroScheduler(computation).map_results(compute, [0.02] * 20)
    assert len(set(results)) == 2


def test_remote_coro_scheduler_runs_one_job_at_a_time_at_a_server(computation):
    scheduler = RemoteCoroScheduler(computation)

    def overlap(n):
        global running
        running = globals().get("running", 0) + 1
        most = running
        for _ in range(3):
            sleep(0.002)
            most = max(most, running)
        running -= 1
        return most

    assert set(scheduler.map_results(overlap, range(60))) == {1}


def test_schedule_waits_for_a_free_server(computation):
    scheduler = RemoteCoroScheduler(computation)
    first = [scheduler.schedule(echo) for _ in range(2)]
    assert first[0].location != first[1].location
    third = Completion()
    coro = Coro(lambda: third.set(scheduler.schedule(echo)))
    poll_until(lambda: list(scheduler._dispatcher._waiting()))
    for location in computation.servers():  # there and back: what it might have started would be known by now
        computation.run_at(location, process_id).value(10)
    assert not third.done
    first[1].send((None, None))
    assert third.wait(5)
    assert third.value.location == first[1].location
    for job in (first[0], third.value):
        job.send((None, None))
    scheduler.finish()
    assert not first[0].is_alive()
    coro.value(5)


def test_execute_returns_the_result_or_raises(computation):
    scheduler = RemoteCoroScheduler(computation)
    assert scheduler.execute(add_offset, 1) == 1001
    assert scheduler.execute_at(computation.servers()[1], add_offset, 2) == 1002
    with pytest.raises(Refused):
        scheduler.execute(fail, "x")


def test_submit_at_begins_at_a_given_place_whatever_runs_there_and_finish_waits_for_it(computation):
    scheduler = RemoteCoroScheduler(computation)
    place = computation.servers()[1]
    busy = scheduler.submit_at(place, echo)
    job = scheduler.submit_at(place, process_id)
    by_address = scheduler.submit_at(place.addr, add_offset, 1)
    assert (busy.location, job.location) == (place, place)
    assert job.value(10) == computation.run_at(place, process_id).value(10)
    assert by_address.value(10) == 1001
    finishing = Coro(scheduler.finish)
    computation.run_at(place, process_id).value(10)
    assert finishing.is_alive()
    busy.send((None, None))
    finishing.value(10)
    assert busy.value(10) == "bye"


def test_map_results_that_is_terminated_withdraws_its_jobs(computation):
    scheduler = RemoteCoroScheduler(computation)
    stuck = [scheduler.schedule(echo) for _ in range(2)]
    jobs_seem_short(scheduler)
    waiting = Coro(lambda: scheduler.map_results(note, range(4)))
    poll_until(lambda: len(scheduler._dispatcher.outstanding) == 6)
    waiting.terminate()
    with pytest.raises(CoroTerminated):
        waiting.value(5)
    poll_until(lambda: sum(lane.load for lane in lanes_of(scheduler)) == 2)
    jobs_seem_short(scheduler)
    # The jobs of the next one wait for those that are stuck, although the ones before them are gone.
    again = Coro(lambda: scheduler.map_results(note, range(10, 14)))
    poll_until(lambda: len(scheduler._dispatcher.outstanding) == 6)
    servers = computation.servers()
    assert [computation.run_at(location, noted).value(10) for location in servers] == [[], []]
    for job in stuck:
        job.send((None, None))
    assert again.value(5) == list(range(10, 14))
    at_each = [computation.run_at(location, noted).value(10) for location in servers]
    assert sorted(at_each[0] + at_each[1]) == [10, 11, 12, 13]
    scheduler.finish()


def test_finish_waits_for_submitted_jobs_and_closes(cluster):
    with Computation() as computation:
        scheduler = RemoteCoroScheduler(computation)
        job = scheduler.submit(compute, 0.2)
        scheduler.finish(close=True)
        assert job.value(0) > 0
        with pytest.raises(ComputationClosed):
            computation.run(process_id)


def test_map_results_survives_the_death_of_a_server(computation):
    pid = computation.run_at(computation.servers()[0], process_id).value(10)
    scheduler = RemoteCoroScheduler(computation)

    def elements():
        for x in range(1000):
            if x == 500:
                os.kill(pid, signal.SIGKILL)
            yield x

    results = scheduler.map_results(sometimes_fail, elements())
    died = [result for result in results if isinstance(result, ServerDied)]
    assert 0 <= len(died) <= 64  # at most what was under way there
    for x, result in enumerate(results):
        if not isinstance(result, ServerDied):
            assert result.args == (x,) if x % 10 == 3 else result == x * x
    poll_until(lambda: len(computation.servers()) == 2, 10)


def test_J3_a_job_that_exits_is_that_elements_outcome_only(computation):
    results = RemoteCoroScheduler(computation).map_results(leave, range(3))
    assert (results[0], results[2]) == (0, 2)
    assert type(results[1]) is RemoteError
    assert results[1].message == "SystemExit: 3"
    assert "raise SystemExit(3)" in results[1].traceback_text


def test_J3_a_thousand_elements_keep_their_order_though_a_tenth_raise_and_a_server_dies(cluster, tmp_path):
    with Computation() as computation:
        cluster.wait_for_servers()
        scheduler = RemoteCoroScheduler(computation)
        victim = computation.run_at(computation.servers()[0], process_id).value(10)

        def elements():
            for x in range(1000):
                if x == 500:
                    os.kill(victim, signal.SIGKILL)
                yield x

        def logged(x, path):
            with open(f"{path}/{x}", "a") as log:
                log.write("run\n")
            return sometimes_fail(x)

        again = Job(logged, retries=3)
        results = scheduler.map_results(again, ((x, str(tmp_path)) for x in elements()))
    for x, result in enumerate(results):
        if x % 10 == 3:
            assert type(result) is ValueError
            assert result.args == (x,)
        else:
            assert result == x * x
    # J2: lines are attempts, and those of the server that died were at most what it had.
    runs = [len((tmp_path / str(x)).read_text().splitlines()) for x in range(1000)]
    assert set(runs) <= {1, 2}
    assert sum(runs) - 1000 <= 64


def test_schedule_is_not_kept_waiting_by_a_map_that_fills_the_servers(computation):
    scheduler = RemoteCoroScheduler(computation)
    flow = scheduler.imap(compute, itertools.repeat(0.005))
    next(flow)
    taker = Coro(lambda: [next(flow) for _ in itertools.takewhile(lambda _: not done.done, itertools.count())])
    done = Completion()
    try:
        assert [scheduler.execute(add_offset, x) for x in range(5)] == [1000, 1001, 1002, 1003, 1004]
    finally:
        done.set()
        taker.value(10)
        flow.close()
    scheduler.finish()


def test_imap_takes_endless_inputs_no_further_than_its_window(computation):
    scheduler = RemoteCoroScheduler(computation)
    taken = []

    def numbers():
        for number in itertools.count():
            taken.append(number)
            yield number

    flow = scheduler.imap(add_offset, numbers(), window=5)
    assert [next(flow) for _ in range(30)] == list(range(1000, 1030))
    assert len(taken) <= 35
    flow.close()
    scheduler.finish()


def test_imap_gives_results_as_they_come_where_the_order_does_not_matter(computation):
    scheduler = RemoteCoroScheduler(computation)
    jobs = scheduler.imap(lambda x, coro=None: x if x else coro.receive(), range(20), ordered=False)
    assert sorted(itertools.islice(jobs, 19)) == list(range(1, 20))
    jobs.close()
    scheduler.finish()


def test_imap_that_is_closed_ends_what_is_under_way(computation):
    scheduler = RemoteCoroScheduler(computation)
    flow = scheduler.imap(lambda x, coro=None: coro.receive() if x else x, range(5))
    assert next(flow) == 0
    flow.close()
    scheduler.finish()
    assert scheduler.execute(add_offset, 1) == 1001


@pytest.mark.parametrize("window", [0, "all"])
def test_imap_refuses_what_is_no_window(window):
    with pytest.raises((ValueError, TypeError), match="window"):
        RemoteCoroScheduler(Computation()).imap(add_offset, [], window=window)


def test_many_coroutines_that_execute_wait_for_their_turns(computation):
    scheduler = RemoteCoroScheduler(computation)
    coros = [Coro(scheduler.execute, add_offset, x) for x in range(500)]
    assert [coro.value(60) for coro in coros] == list(range(1000, 1500))


def test_job_of_whoever_gives_up_waiting_leaves_no_place_taken(computation):
    scheduler = RemoteCoroScheduler(computation)
    stuck = [scheduler.schedule(echo) for _ in range(2)]
    waiting = [Coro(scheduler.schedule, echo) for _ in range(3)]
    poll_until(lambda: len(scheduler._dispatcher._waiting()) == 3)
    for coro in waiting:
        coro.terminate()
    poll_until(lambda: not scheduler._dispatcher._waiting())
    scheduler.cancel(stuck)
    assert scheduler.execute(add_offset, 1) == 1001
    poll_until(lambda: sum(lane.load for lane in lanes_of(scheduler)) == 0)


def test_cancel_ends_one_many_and_all(computation):
    scheduler = RemoteCoroScheduler(computation)
    one, *others = [scheduler.submit(echo) for _ in range(5)]
    assert scheduler.cancel(one) == 1
    with pytest.raises(CoroTerminated):
        one.value(5)
    assert scheduler.cancel(others[:2]) == 2
    for job in others[:2]:
        with pytest.raises(CoroTerminated):
            job.value(5)
    assert others[2].is_alive()
    stuck = [scheduler.schedule(echo) for _ in range(2)]
    mapping = Coro(scheduler.map_results, note, range(5))
    poll_until(lambda: scheduler._dispatcher._waiting())
    assert scheduler.cancel() == 4
    for job in [*others[2:], *stuck]:
        with pytest.raises(CoroTerminated):
            job.value(5)
    with pytest.raises(CoroTerminated):
        mapping.value(5)
    assert scheduler.cancel() == 0
    assert scheduler.execute(add_offset, 1) == 1001


def test_a_job_to_be_run_again_is_refused_where_a_reference_is_wanted(computation):
    scheduler = RemoteCoroScheduler(computation)
    for start in (scheduler.schedule, scheduler.submit):
        with pytest.raises(TypeError, match="retried"):
            start(Job(add_offset, retries=1), 1)
    assert scheduler.execute(Job(add_offset, retries=1), 1) == 1001
    assert scheduler.execute_at(None, Job(add_offset, retries=1), 2) == 1002


def test_J1_whoever_waits_for_a_place_hears_of_the_close(cluster):
    with Computation() as computation:
        scheduler = RemoteCoroScheduler(computation)
        for _ in range(2):
            scheduler.schedule(echo)
        waiting = [Coro(scheduler.execute, process_id), Coro(scheduler.map_results, add_offset, range(3))]
        poll_until(lambda: len(scheduler._dispatcher._waiting()) == 2)
    for coro in waiting:
        with pytest.raises(ComputationClosed):
            coro.value(10)


def test_J1_whoever_waits_where_there_is_no_server_is_told_in_time(cluster):
    with Computation(timeout=0.3, node_filters=[lambda facts: False]) as computation:
        scheduler = RemoteCoroScheduler(computation)
        for call in (
            lambda: scheduler.schedule(process_id),
            lambda: scheduler.execute(process_id),
            lambda: scheduler.submit(process_id),
            lambda: scheduler.map_results(add_offset, range(3)),
        ):
            with pytest.raises(NoMatchingServer):
                call()
