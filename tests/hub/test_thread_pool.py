import gc
import logging
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from greencoro import Coro, CoroTerminated, WouldBlock, sleep
from greencoro.errors import ClosedResource
from greencoro.hub import native, stuck, userhub
from greencoro.hub.completion import Completion
from greencoro.hub.thread_pool import AsyncThreadPool
from tests.hub.conftest import Run
from tests.hub.places import everywhere
from tests.support.polling import poll_until


@pytest.fixture
def pool() -> Iterator[AsyncThreadPool]:
    with AsyncThreadPool(2) as pool:
        yield pool


def in_thread(function: Any) -> threading.Thread:
    thread = threading.Thread(target=function)
    thread.start()
    return thread


@everywhere
def test_a_task_runs_in_another_thread_and_its_result_comes_back(place: Any, pool: AsyncThreadPool) -> None:
    result, ident = place(lambda: pool.async_task(lambda *numbers: (sum(numbers), native.get_ident()), 1, 2, 3))
    assert result == 6
    assert ident not in (userhub.ident, threading.main_thread().ident)


@everywhere
def test_what_a_task_raises_is_raised_in_the_caller(place: Any, pool: AsyncThreadPool) -> None:
    def ask() -> BaseException:
        with pytest.raises(ZeroDivisionError) as raised:
            pool.async_task(divmod, 1, 0)
        return raised.value

    assert isinstance(place(ask), ZeroDivisionError)


def test_the_traceback_shows_the_task_and_not_the_pool_that_ran_it(pool: AsyncThreadPool) -> None:
    def task() -> None:
        raise ValueError("here")

    with pytest.raises(ValueError, match="here") as raised:
        pool.async_task(task)
    names = [entry.name for entry in raised.traceback]
    assert names[-1] == "task"
    assert "run" not in names


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, StopIteration, GeneratorExit])
def test_no_exception_of_a_task_ends_its_thread(kind: type[BaseException]) -> None:
    def task() -> None:
        raise kind

    with AsyncThreadPool(1) as pool:
        for _ in range(2):
            with pytest.raises(kind):
                pool.async_task(task)
        assert pool.async_task(int) == 0


def test_coroutines_go_on_while_tasks_block_their_threads(pool: AsyncThreadPool) -> None:
    gate = native.Event()
    blocked = [Coro(pool.async_task, gate.wait, 10) for _ in range(2)]
    assert Coro(lambda: [sleep() for _ in range(10)]).value(10) == [None] * 10
    assert all(coro.is_alive() for coro in blocked)
    gate.set()
    assert [coro.value(10) for coro in blocked] == [True, True]


def test_as_many_tasks_run_at_once_as_there_are_threads_and_the_others_wait_in_order() -> None:
    gate, running = native.Event(), []

    def task(number: int) -> None:
        running.append(number)
        gate.wait(10)

    with AsyncThreadPool(3) as pool:
        coros = []
        for number in range(6):
            coros.append(Coro(pool.async_task, task, number))
            poll_until(lambda number=number: len(pool._queue.unfinished) == number + 1)
        poll_until(lambda: len(running) == 3)
        assert sorted(running) == [0, 1, 2]
        gate.set()
        for coro in coros:
            coro.value(10)
    assert sorted(running[3:]) == [3, 4, 5]


def test_one_thread_runs_tasks_in_the_order_given() -> None:
    order: list[int] = []

    def give(pool: AsyncThreadPool) -> None:
        for coro in [Coro(pool.async_task, order.append, number) for number in range(20)]:
            coro.value()

    with AsyncThreadPool(1) as pool:
        Coro(give, pool).value(10)
    assert order == list(range(20))


def test_arguments_may_be_given_as_threads_take_them(pool: AsyncThreadPool) -> None:
    def task(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    assert pool.async_task(target=task) == ((), {})
    assert pool.async_task(target=task, args=(1, 2), kwargs={"a": 3}) == ((1, 2), {"a": 3})
    assert pool.async_task(task, args=[1]) == ((1,), {})
    assert pool.async_task(task, kwargs={"target": 1, "self": 2}) == ((), {"target": 1, "self": 2})
    assert pool.async_task(task, kwargs=None) == ((), {})
    assert pool.async_task(task, self=1, a=2) == ((), {"self": 1, "a": 2})
    assert pool.async_task(task, 1, args=2, kwargs=3) == ((1,), {"args": 2, "kwargs": 3})


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"target": 5}, "runs a function"),
        ({"target": int, "args": 5}, "a tuple as args="),
        ({"target": int, "kwargs": 5}, "a dictionary as kwargs="),
        ({"target": int, "args": (), "base": 5}, "not also"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_at_the_call(
    pool: AsyncThreadPool, arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(TypeError, match=sentence):
        pool.async_task(**arguments)
    assert not pool._queue.unfinished


@pytest.mark.parametrize(("number", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_the_number_of_threads_is_checked(number: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="thread"):
        AsyncThreadPool(number)


def test_a_terminated_coroutine_ends_at_once_and_the_result_is_dropped(pool: AsyncThreadPool) -> None:
    gate, begun = native.Event(), native.Event()
    coro = Coro(pool.async_task, lambda: (begun.set(), gate.wait(10)))
    assert begun.wait(10)
    coro.terminate()
    with pytest.raises(CoroTerminated):
        coro.value(10)
    assert len(pool._queue.unfinished) == 1
    gate.set()
    pool.join()
    assert not pool._queue.unfinished


@pytest.mark.parametrize("late", [True, False])
def test_an_exception_that_nobody_waits_for_any_more_is_logged(
    pool: AsyncThreadPool, caplog: pytest.LogCaptureFixture, late: bool
) -> None:
    gate, begun = native.Event(), native.Event()
    caplog.set_level(logging.WARNING)

    def failing_task() -> None:
        begun.set()
        gate.wait(10)
        raise ValueError("late")

    coro = Coro(pool.async_task, failing_task)
    assert begun.wait(10)
    if late:
        coro.terminate()
        with pytest.raises(CoroTerminated):
            coro.value(10)
        gate.set()
    else:
        # The outcome is there, but before the coroutine comes to run it is ended.
        done = Completion()

        def end_both() -> None:
            coro.terminate()
            gate.set()
            while pool._queue.unfinished:
                native.sleep(0.001)
            done.set()

        userhub.post(end_both)
        assert done.wait(10)
        with pytest.raises((CoroTerminated, ValueError)):
            coro.value(10)
    pool.join()
    # The thread of the pool says so when the task is over already.
    told = poll_until(lambda: [record for record in caplog.records if record.name == "greencoro.hub.thread_pool"])
    assert [record.exc_info[0] for record in told if record.exc_info] == [ValueError]
    assert "failing_task" in told[0].getMessage()


def test_join_waits_for_all_tasks_given_and_the_pool_goes_on(pool: AsyncThreadPool) -> None:
    gate, over = native.Event(), []

    def task() -> None:
        gate.wait(10)
        over.append(1)

    givers = [in_thread(lambda: pool.async_task(task)) for _ in range(5)]
    poll_until(lambda: len(pool._queue.unfinished) == 5)
    joiner = Coro(lambda: (pool.join(), len(over))[1])
    assert Coro(lambda: sleep(0.01)).value(10) is None
    assert joiner.is_alive()
    gate.set()
    assert joiner.value(10) == 5
    for giver in givers:
        giver.join(10)
    assert pool.async_task(int) == 0


@everywhere
def test_terminate_lets_given_tasks_end_and_then_the_threads(place: Any) -> None:
    pool, gate, over = AsyncThreadPool(2), native.Event(), []

    def task() -> None:
        gate.wait(10)
        over.append(1)

    givers = [in_thread(lambda: pool.async_task(task)) for _ in range(5)]
    poll_until(lambda: len(pool._queue.unfinished) == 5)

    def terminate() -> int:
        opener = in_thread(lambda: (poll_until(lambda: pool._queue._closed), gate.set()))
        pool.terminate()
        opener.join(10)
        return len(over)

    assert place(terminate) == 5
    assert not pool._queue.idents
    pool.terminate()  # once more changes nothing
    for giver in givers:
        giver.join(10)


def test_a_terminated_pool_takes_no_more_tasks() -> None:
    with AsyncThreadPool(1) as pool:
        pass
    with pytest.raises(ClosedResource, match="terminated"):
        pool.async_task(int)
    pool.join()


def test_a_task_given_in_the_instant_of_the_end_is_run_or_refused(frequent_switches: None) -> None:
    for _ in range(100):
        pool, outcomes = AsyncThreadPool(1), []

        def give() -> None:
            try:
                for _ in range(100):
                    outcomes.append(pool.async_task(int))  # noqa: B023
            except ClosedResource:
                outcomes.append(-1)  # noqa: B023

        giver = in_thread(give)
        poll_until(lambda: outcomes, interval=0)  # noqa: B023
        pool.terminate()
        giver.join(10)
        assert not giver.is_alive()
        assert not pool._queue.unfinished


@pytest.mark.parametrize("seen", [True, False])
def test_a_task_given_while_the_pool_is_closed_is_run_if_a_thread_sees_it_and_else_refused(seen: bool) -> None:
    pool = AsyncThreadPool(1)
    queue = pool._queue

    class Line(deque[Any]):
        def append(self, task: Any) -> None:
            if seen:
                super().append(task)
                queue.close()
                poll_until(lambda: not self)
            else:
                queue.close()
                assert queue.ended.wait(10)
                super().append(task)

    queue._waiting = Line()
    if seen:
        assert pool.async_task(int) == 0
    else:
        with pytest.raises(ClosedResource):
            pool.async_task(int)
    pool.join()
    assert not queue.unfinished


def test_a_task_that_would_wait_for_itself_is_told_so(pool: AsyncThreadPool) -> None:
    for wait in (pool.join, pool.terminate):
        with pytest.raises(RuntimeError, match="would wait for that task"):
            pool.async_task(wait)
    assert pool.async_task(int) == 0


def test_a_callback_of_the_hub_is_refused_before_its_task_begins(pool: AsyncThreadPool) -> None:
    Coro(lambda: None).value(10)
    done, begun = Completion(), []

    def call() -> None:
        try:
            pool.async_task(begun.append, 1)
        except WouldBlock as error:
            done.set(error)

    userhub.post(call)
    assert isinstance(done.result(10), WouldBlock)
    pool.join()
    assert begun == []


def test_the_threads_of_a_forgotten_pool_end() -> None:
    pool = AsyncThreadPool(3)
    pool.async_task(int)
    queue = pool._queue
    del pool
    gc.collect()
    assert queue.ended.wait(10)
    assert not queue.idents


def test_a_task_and_what_it_used_are_forgotten_when_it_is_over(pool: AsyncThreadPool) -> None:
    gone = native.Event()

    class Argument:
        def __del__(self) -> None:
            gone.set()

    pool.async_task(repr, Argument())
    assert gone.wait(10)


def test_a_task_may_give_tasks_to_another_pool(pool: AsyncThreadPool) -> None:
    with AsyncThreadPool(1) as other:
        assert other.async_task(pool.async_task, divmod, 7, 2) == (3, 1)


def test_the_threads_do_not_keep_the_process_alive(run: Run) -> None:
    ended = run("""
        from greencoro.hub.thread_pool import AsyncThreadPool
        pool = AsyncThreadPool(3)
        print(pool.async_task(int))
        threading.Thread(target=pool.async_task, args=(native.sleep, 100), daemon=True).start()
    """)
    assert (ended.status, ended.out, ended.err) == (0, "0\n", "")
    assert ended.seconds < 10


def test_a_process_may_end_while_a_task_waits_for_input(run: Run) -> None:
    ended = run("""
        import io
        from greencoro.hub.thread_pool import AsyncThreadPool
        waits = native.Event()

        class Terminal(io.RawIOBase):
            def readable(self):
                return True

            def readinto(self, buffer):
                # The reader is locked for as long as this goes on.
                waits.set()
                native.sleep(100)

        sys.stdin = io.TextIOWrapper(io.BufferedReader(Terminal()))
        pool = AsyncThreadPool(1)
        threading.Thread(target=pool.async_task, args=(input,), daemon=True).start()
        print(waits.wait(10))
    """)
    assert (ended.status, ended.out, ended.err) == (0, "True\n", "")


def test_in_a_patched_process_the_threads_are_native_too(run: Run) -> None:
    ended = run(
        """
        from greencoro.hub.thread_pool import AsyncThreadPool
        begun, turned = set(), native.Event()
        def task():
            time.sleep(0.01)      # gevent's, so this thread gets a hub of its own
            begun.add(native.get_ident())
            while len(begun) < 2: # until another thread has one as well
                native.sleep(0.001)
            turned.wait(10)       # blocks its thread only
            return native.get_ident()
        def turn():
            while len(begun) < 2:
                sleep(0.001)
            turned.set()
        with AsyncThreadPool(2) as pool:
            waiters = [Coro(pool.async_task, task) for _ in range(4)]
            Coro(turn)
            idents = {waiter.value(10) for waiter in waiters}
            idents.add(pool.async_task(task))
            print(len(idents), userhub.ident in idents)
        descriptors = len(os.listdir("/proc/self/fd"))
        for _ in range(10):
            with AsyncThreadPool(3) as pool:
                for waiter in [Coro(pool.async_task, time.sleep, 0.001) for _ in range(3)]:
                    waiter.value(10)
        print(len(os.listdir("/proc/self/fd")) - descriptors)
        """,
        patched=True,
    )
    assert (ended.status, ended.out) == (0, "2 False\n0\n"), ended.err


def test_threads_that_have_ended_are_not_listed_as_idle() -> None:
    before = set(stuck.idle_threads)
    with AsyncThreadPool(2) as pool:
        pool.async_task(int)
        poll_until(lambda: len(set(stuck.idle_threads) - before) == 2)
    assert set(stuck.idle_threads) <= before
