"""What jobs do with `multiprocessing` works, and stops nobody else."""

import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor

import psutil
import pytest

from greencoro import Computation, LocalCluster, sleep
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster

# What a script declares: none of it is in a module that the server could import.
SCRIPT = """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from greencoro import Computation, LocalCluster

    BASE = 10

    class Point:
        def __init__(self, x):
            self.x = x

    def square(x):
        return BASE + x * x

    def point(x):
        return Point(square(x))

    def with_pool():
        with multiprocessing.Pool(2) as pool:
            return pool.map(square, range(5)), [made.x for made in pool.imap(point, range(3))]

    def with_executor():
        with ProcessPoolExecutor(2) as executor:
            return [made.x for made in executor.map(point, range(5))]

    with LocalCluster(servers=1), Computation() as computation:
        jobs = [computation.run(with_pool), computation.run(with_executor)]
        print([job.value(60) for job in jobs], flush=True)
"""


def test_functions_and_classes_of_the_clients_script_are_there(programs):
    program = programs.script(SCRIPT)
    squares = [10, 11, 14, 19, 26]
    assert program.line() == str([(squares, squares[:3]), squares])
    assert program.wait() == 0


def square(x):
    return x * x


def with_executor(n):
    with ProcessPoolExecutor(2) as executor:
        return sum(executor.map(square, range(n)))


def with_pool(n):
    with multiprocessing.Pool(2) as pool:
        return sum(pool.imap(square, range(n)))


def echo(queue, go_on):
    queue.put("ready")
    if go_on.wait(30):
        queue.put("x" * 1_000_000)


def with_queue_and_event():
    queue, go_on = multiprocessing.Queue(), multiprocessing.Event()
    process = multiprocessing.Process(target=echo, args=(queue, go_on))
    process.start()
    first = queue.get(timeout=30)
    go_on.set()
    second = queue.get(timeout=30)
    process.join(30)
    return first, len(second), process.exitcode


def with_manager():
    with multiprocessing.Manager() as manager:
        kept = manager.dict(a=1)
        kept["b"] = 2
        return dict(kept)


def hold(lock, held, seconds):
    with lock:
        held.set()
        time.sleep(seconds)


def while_another_process_holds_a_lock():
    lock, held = multiprocessing.Lock(), multiprocessing.Event()
    process = multiprocessing.Process(target=hold, args=(lock, held, 0.5))
    process.start()
    held.wait(30)
    assert not lock.acquire(False)
    assert not lock.acquire(timeout=0.01)
    with lock:
        process.join(30)
    return process.exitcode


def longest_pause():
    longest = 0.0
    for _ in range(100):
        began = time.monotonic()
        sleep(0.01)
        longest = max(longest, time.monotonic() - began)
    return longest


def test_pools_and_executors_work_side_by_side(computation):
    total = sum(n * n for n in range(100))
    jobs = [computation.run(function, 100) for function in (with_executor, with_pool, with_executor)]
    assert [job.value(60) for job in jobs] == [total] * 3


def test_queues_events_and_managers_work(computation):
    assert computation.run(with_queue_and_event).value(60) == ("ready", 1_000_000, 0)
    assert computation.run(with_manager).value(60) == {"a": 1, "b": 2}


def test_other_jobs_go_on_while_one_waits_for_another_process(computation):
    jobs = [computation.run(while_another_process_holds_a_lock), computation.run(with_pool, 10)]
    pauses = computation.run(longest_pause)
    assert jobs[0].value(60) == 0
    jobs[1].value(60)
    assert pauses.value(60) < 0.45  # the lock is held for longer


def leave_process_behind():
    process = multiprocessing.Process(target=time.sleep, args=(600,), daemon=True)
    process.start()
    return process.pid, os.getpid()


def test_J5_at_the_end_of_the_computation_none_of_its_processes_is_left(cluster):
    with Computation() as computation:
        pids = computation.run(leave_process_behind).value(60)
        assert all(map(psutil.pid_exists, pids))
    poll_until(lambda: not any(map(psutil.pid_exists, pids)), 20)


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(servers=1) as cluster:
        yield cluster


@pytest.fixture
def computation(cluster):
    with Computation() as computation:
        yield computation
