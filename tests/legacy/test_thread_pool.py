"""AsyncThreadPool as old programs use it (legacy-api, section 3.7)."""

import threading

import pytest

from greencoro import Coro
from greencoro.hub import thread_pool
from greencoro.legacy.asyncoro import AsyncThreadPool
from tests.support.polling import poll_until


@pytest.fixture
def pool():
    made = AsyncThreadPool(2)
    yield made
    made.terminate()


def test_it_is_greencoros_own():
    assert AsyncThreadPool is thread_pool.AsyncThreadPool


TASKS = [
    # how async_task is called, and what the task was given
    (((1, 2), {}), ((1, 2), {})),
    (((1,), {"a": 2}), ((1,), {"a": 2})),
    (((), {"a": 2}), ((), {"a": 2})),
    (((), {"args": (1,), "kwargs": {"a": 2}}), ((1,), {"a": 2})),
    (((), {"kwargs": {"a": 2}}), ((), {"a": 2})),
]


@pytest.mark.parametrize(("call", "given"), TASKS)
def test_a_task_runs_in_a_daemon_thread_and_the_yield_gives_its_result(pool, call, given):
    def task(*args, **kwargs):
        return args, kwargs, threading.get_ident()

    def coroutine():
        result = yield pool.async_task(task, *call[0], **call[1])
        raise StopIteration(result, threading.get_ident())

    (args, kwargs, there), here = Coro(coroutine).value(10)
    assert (args, kwargs) == given
    assert there != here


def test_what_a_task_raises_is_raised_at_the_yield(pool):
    def coroutine():
        try:
            yield pool.async_task(int, "x")
        except ValueError:
            raise StopIteration("raised") from None

    assert Coro(coroutine).value(10) == "raised"


def test_a_coroutine_that_is_terminated_while_its_task_runs_just_ends(pool):
    begun, gate, over = threading.Event(), threading.Event(), threading.Event()

    def task():
        begun.set()
        gate.wait(10)
        over.set()

    def coroutine():
        yield pool.async_task(task)

    coro = Coro(coroutine)
    assert begun.wait(10)
    coro.terminate()
    poll_until(lambda: not coro.is_alive())
    assert not over.is_set()
    gate.set()
    pool.join()
    assert over.is_set()


@pytest.mark.parametrize("wait", ["join", "terminate"])
def test_join_and_terminate_wait_for_the_tasks_given(wait):
    pool = AsyncThreadPool(1)
    done = []

    def coroutine(number):
        yield pool.async_task(done.append, number)

    coros = [Coro(coroutine, number) for number in range(5)]
    poll_until(lambda: done or pool._queue.unfinished)
    for coro in coros:
        coro.value(10)
    getattr(pool, wait)()
    assert done == list(range(5))
    pool.terminate()
