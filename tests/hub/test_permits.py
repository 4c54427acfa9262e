import gc
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from greencoro import Coro, sleep
from greencoro.hub.completion import Completion
from greencoro.hub.permits import Permits
from greencoro.hub.sync import Semaphore
from tests.hub.conftest import Run
from tests.support.polling import poll_until

pytestmark = pytest.mark.usefixtures("frequent_switches")


class InTheMiddle:
    """A native lock that does something else whenever it is held, as a signal handler or finalizer may."""

    def __init__(self, lock: Any, also: Any) -> None:
        self._lock, self._also = lock, also
        self._interrupting = False

    def _interrupt(self) -> None:
        if not self._interrupting:
            self._interrupting = True
            self._also()
            self._interrupting = False

    def __enter__(self) -> None:
        self._lock.__enter__()
        self._interrupt()

    def __exit__(self, *error: object) -> None:
        self._interrupt()
        self._lock.__exit__(*error)


@pytest.fixture
def interrupting() -> Iterator[Any]:
    """Have ``also()`` run within every section that a semaphore guards."""
    changed: list[tuple[Semaphore, Any]] = []

    def interrupt(semaphore: Semaphore, also: Any) -> None:
        changed.append((semaphore, semaphore._guard))
        semaphore._guard = InTheMiddle(semaphore._guard, also)

    yield interrupt
    for semaphore, guard in changed:
        semaphore._guard = guard


def test_a_release_that_comes_upon_its_own_thread_in_the_middle_of_a_wait_is_not_lost(interrupting: Any) -> None:
    semaphore = Semaphore(0)
    interrupting(semaphore, semaphore.release)
    assert semaphore.acquire(timeout=10)
    assert semaphore.acquire(timeout=0)


def test_a_release_in_the_middle_of_another_ones_look_reaches_one_who_waits(interrupting: Any) -> None:
    semaphore = Semaphore(0)
    waiter = Coro(semaphore.acquire)
    poll_until(lambda: semaphore._waiters)
    interrupting(semaphore, semaphore.release)
    assert semaphore.acquire(timeout=0) is False  # the first release was for the one who waits
    assert waiter.value(10) is True
    assert semaphore.acquire(timeout=0) is True


def test_nobody_overtakes_between_a_release_and_its_handing_on(interrupting: Any) -> None:
    semaphore, overtaken = Semaphore(0), []
    waiter = Coro(semaphore.acquire)
    poll_until(lambda: semaphore._waiters)
    interrupting(semaphore, lambda: overtaken.append(semaphore._take_now()))
    semaphore.release()
    assert waiter.value(10) is True
    assert overtaken == [False, False]


def test_one_that_gives_up_in_the_instant_it_is_chosen_is_passed_over() -> None:
    semaphore = Semaphore(0)

    class Line(deque[Completion]):
        def popleft(self) -> Completion:
            waiter = super().popleft()
            assert waiter is second or semaphore._leave(waiter)
            return waiter

    first, second = Completion(), Completion()
    semaphore._waiters = Line([first, second])
    semaphore.release()
    assert (first.value, second.value) == (False, True)


def test_what_is_put_back_between_the_look_and_the_line_is_not_lost() -> None:
    class PutInBetween(Permits):
        __slots__ = ()

        def _take_now(self) -> bool:
            if super()._take_now():
                return True
            self._put()  # nobody is in line yet, so this wakes nobody
            return False

    assert PutInBetween(0)._take(10)


def test_a_signal_handler_may_release_what_the_main_thread_waits_for(run: Run) -> None:
    ended = run("""
        from greencoro.hub.sync import Semaphore
        semaphore = Semaphore(0)
        signal.signal(signal.SIGALRM, lambda number, frame: semaphore.release())
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0005)
        for _ in range(500):
            assert semaphore.acquire(timeout=10)
        signal.setitimer(signal.ITIMER_REAL, 0)
        print("all")
    """)
    assert (ended.status, ended.out) == (0, "all\n"), ended.err


def test_a_wait_that_ctrl_c_ended_takes_no_permit_along(run: Run) -> None:
    ended = run("""
        from greencoro.hub.sync import Semaphore
        semaphore, due = Semaphore(0), []
        def interrupt(number, frame):
            if due:
                due.pop()
                raise KeyboardInterrupt
        signal.signal(signal.SIGALRM, interrupt)
        # Again and again: one that comes just before the thread begins to wait ends no wait, but the next one does.
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
        for _ in range(50):
            try:
                due.append(True)
                semaphore.acquire()
            except KeyboardInterrupt:
                semaphore.release()
            assert semaphore.acquire(False) and not semaphore.acquire(False), semaphore
        signal.setitimer(signal.ITIMER_REAL, 0)
        print("none")
    """)
    assert (ended.status, ended.out) == (0, "none\n"), ended.err


def test_a_finalizer_may_release() -> None:
    semaphore = Semaphore(0)

    class Releases:
        def __init__(self) -> None:
            self.itself = self  # so that the collector ends it, whenever that comes

        def __del__(self) -> None:
            semaphore.release()

    usual = gc.get_threshold()
    gc.set_threshold(5)
    try:
        got = 0
        for _ in range(300):
            Releases()
            got += semaphore.acquire(timeout=0.0005)
    finally:
        gc.set_threshold(*usual)
    gc.collect()
    while semaphore.acquire(False):
        got += 1
    assert got == 300


def test_waits_that_end_in_the_instant_of_a_release_lose_no_permit_and_make_none() -> None:
    semaphore = Semaphore(2)
    inside: list[int] = []

    def ask() -> bool:
        for _ in range(500):
            if semaphore.acquire(timeout=0.0002):
                inside.append(1)
                if len(inside) > 2:
                    return False
                inside.pop()
                semaphore.release()
        return True

    answers: list[bool] = []
    threads = [threading.Thread(target=lambda: answers.append(ask())) for _ in range(3)]
    for thread in threads:
        thread.start()
    answers += [coro.value(20) for coro in [Coro(ask) for _ in range(3)]]
    for thread in threads:
        thread.join(20)
    assert answers == [True] * 6
    assert [semaphore.acquire(False) for _ in range(3)] == [True, True, False]


def test_terminated_waiters_lose_no_permit_and_make_none() -> None:
    semaphore = Semaphore(1)

    def ask() -> None:
        while True:
            with semaphore:
                sleep()

    for _ in range(100):
        coroutines = [Coro(ask) for _ in range(3)]
        for coro in coroutines:
            semaphore.acquire(timeout=10)
            coro.terminate()
            semaphore.release()
        poll_until(lambda: not any(coro.is_alive() for coro in coroutines), interval=0.0005)  # noqa: B023
    assert [semaphore.acquire(False) for _ in range(2)] == [True, False]


def test_of_two_that_find_many_permits_used_up_each_goes_on_to_the_next() -> None:
    semaphore = Semaphore(2)
    batches: list[Any] = semaphore._unused._batches

    class FoundByAnother:
        def __next__(self) -> None:
            batches.remove(self)
            raise StopIteration

    batches.append(FoundByAnother())
    assert [semaphore.acquire(False) for _ in range(3)] == [True, True, False]
