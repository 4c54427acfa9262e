import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from greencoro import Coro
from greencoro.hub.sync import Semaphore

from .lock_holders import in_callback, wait_for_line


def test_a_semaphore_lets_as_many_in_as_it_has_permits() -> None:
    semaphore = Semaphore(3)
    assert [semaphore.acquire(False) for _ in range(4)] == [True, True, True, False]
    semaphore.release()
    assert [semaphore.acquire(False) for _ in range(2)] == [True, False]


def test_a_semaphore_may_be_released_by_anybody_beyond_what_it_had() -> None:
    semaphore = Semaphore(0)
    assert semaphore.locked()
    waiter = Coro(semaphore.acquire)
    wait_for_line(semaphore, 1)
    for _ in range(3):
        semaphore.release()
    assert waiter.value(10) is True
    assert [semaphore.acquire(timeout=0) for _ in range(3)] == [True, True, False]


def test_a_semaphore_of_any_size_costs_no_more_than_what_is_used() -> None:
    semaphore = Semaphore(10**15)
    assert semaphore.acquire()
    assert f"{10**15 - 1} free" in repr(semaphore)


@pytest.mark.parametrize(("value", "error"), [(-1, ValueError), (1.0, TypeError), ("1", TypeError), (True, TypeError)])
def test_a_semaphore_refuses_what_is_no_number_of_permits(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="number of"):
        Semaphore(value)


def test_several_permits_are_put_back_at_once() -> None:
    semaphore = Semaphore(0)
    semaphore.release(3)
    assert [semaphore.acquire(False) for _ in range(4)] == [True, True, True, False]
    semaphore.release(n=2)
    assert "2 free" in repr(semaphore)


def test_of_several_permits_put_back_those_who_wait_get_theirs_first() -> None:
    semaphore = Semaphore(0)
    waiters = [Coro(semaphore.acquire) for _ in range(2)]
    wait_for_line(semaphore, 2)
    # In a callback: nobody else runs between the two.
    answers = in_callback(lambda: (semaphore.release(3), semaphore.acquire(False), semaphore.acquire(False)))
    assert answers == (None, True, False)
    assert [waiter.value(10) for waiter in waiters] == [True, True]


@pytest.mark.parametrize(("n", "error"), [(0, ValueError), (-1, ValueError), (1.0, TypeError), (True, TypeError)])
def test_what_is_no_number_of_permits_to_put_back_is_refused(n: Any, error: type[Exception]) -> None:
    semaphore = Semaphore(0)
    with pytest.raises(error, match=r"Semaphore\.release\(\) takes .* number of permits"):
        semaphore.release(n)
    assert semaphore.locked()


def test_many_permits_put_back_at_once_take_no_memory_each() -> None:
    semaphore = Semaphore(3)
    tracemalloc.start()
    try:
        semaphore.release(10**7)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 100_000
    assert f"{10**7 + 3} free" in repr(semaphore)


@pytest.mark.parametrize("n", [999, 1000, 1001])
def test_of_many_permits_put_back_none_is_lost_and_none_made(n: int) -> None:
    semaphore = Semaphore(2)
    for _ in range(3):
        semaphore.release(n)
    assert [semaphore.acquire(False) for _ in range(3 * n + 4)] == [True] * (3 * n + 2) + [False] * 2
    assert semaphore.locked()
    semaphore.release(n)
    assert not semaphore.locked()
    assert f"{n} free" in repr(semaphore)


def test_of_many_permits_put_back_those_who_wait_get_theirs_first() -> None:
    semaphore = Semaphore(0)
    waiters = [Coro(semaphore.acquire) for _ in range(2)]
    wait_for_line(semaphore, 2)
    semaphore.release(2000)
    assert [waiter.value(10) for waiter in waiters] == [True, True]
    assert "1998 free" in repr(semaphore)


def test_permits_put_back_many_at_once_again_and_again_leave_nothing_behind() -> None:
    semaphore = Semaphore(0)
    for _ in range(20):
        semaphore.release(1000)
        for _ in range(1000):
            assert semaphore.acquire(False)
    assert len(semaphore._unused._batches) == 1


def test_threads_that_put_many_back_and_take_them_lose_none_and_make_none() -> None:
    semaphore = Semaphore(0)

    def give_and_take() -> int:
        got = 0
        for _ in range(5):
            semaphore.release(1000)
            got += sum(semaphore.acquire(False) for _ in range(1500))
        return got

    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(3) as pool:
            got = sum(future.result(30) for future in [pool.submit(give_and_take) for _ in range(3)])
    finally:
        sys.setswitchinterval(usual)
    while semaphore.acquire(False):
        got += 1
    assert got == 15_000
