"""Lock, RLock, Condition, Event, Semaphore."""

import pytest

from greencoro.legacy import asyncoro
from tests.support.polling import poll_until


def result(function, *args):
    return asyncoro.Coro(function, *args).value(20)


def asked(*calls):
    """What calls evaluate to in a coroutine."""

    def ask(coro=None):
        got = []
        for call in calls:
            got.append((yield call()))
        raise StopIteration(got)

    return result(ask)


def holder(lock):
    """A coroutine that holds ``lock`` until it gets a message."""

    def hold(coro=None):
        yield lock.acquire()
        held.append(1)
        yield coro.receive()
        lock.release()

    held = []
    coro = asyncoro.Coro(hold)
    poll_until(lambda: held)
    return coro


KINDS = [asyncoro.Lock, asyncoro.RLock, asyncoro.Condition]


@pytest.mark.parametrize("kind", KINDS)
def test_a_lock_is_held_by_one_until_it_releases_it(kind):
    lock = kind()
    other = holder(lock)
    assert (
        asked(
            lambda: lock.acquire(False),
            lambda: lock.acquire(blocking=False, timeout=5),
            lambda: lock.acquire(timeout=0),
            lambda: lock.acquire(True, 0.01),
        )
        == [False] * 4
    )
    assert asked(lambda: other.send(1), lambda: lock.acquire(timeout=-5), lock.release) == [0, True, None]


@pytest.mark.parametrize("kind", KINDS)
def test_who_waits_first_holds_it_first(kind):
    def take(number, coro=None):
        yield lock.acquire()
        order.append(number)
        yield coro.sleep(0.001)
        lock.release()

    lock, order = kind(), []
    other = holder(lock)

    def make(coro=None):
        takers = []
        for number in range(5):
            takers.append(asyncoro.Coro(take, number))
            yield
            yield
        other.send(1)
        for taker in takers:
            yield taker.finish()

    result(make)
    assert order == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("kind", KINDS)
def test_who_does_not_hold_it_cannot_release_it(kind):
    lock = kind()
    with pytest.raises(RuntimeError):
        lock.release()
    other = holder(lock)

    def release(coro=None):
        yield
        with pytest.raises(RuntimeError):
            lock.release()
        raise StopIteration("refused")

    assert result(release) == "refused"
    other.send(1)
    other.value(10)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_its_holder_may_acquire_a_reentrant_one_again(kind):
    lock = kind()
    assert asked(lock.acquire, lock.acquire, lock.release, lambda: lock.acquire(False), lock.release, lock.release)[
        :4
    ] == [True, True, None, True]
    assert asked(lambda: lock.acquire(False), lock.release) == [True, None]


def test_a_plain_one_is_not_reentrant():
    lock = asyncoro.Lock()
    assert asked(lock.acquire, lambda: lock.acquire(False), lock.release) == [True, False, None]


# Condition.


def waiting(condition, depth=1, timeout=None):
    """A coroutine that waits for a notification; its value: what the wait gave, how deep it holds the lock then."""

    def wait(coro=None):
        for _ in range(depth):
            yield condition.acquire()
        got = yield condition.wait(timeout)
        held = 0
        while condition._lock._is_owned():
            condition.release()
            held += 1
        raise StopIteration(got, held)

    before = len(condition._waiters)
    coro = asyncoro.Coro(wait)
    poll_until(lambda: len(condition._waiters) > before or not coro.is_alive())
    return coro


@pytest.mark.parametrize("notify", ["notify", "notify_all", "notifyAll"])
def test_a_notified_wait_holds_the_lock_as_deep_as_before_and_who_notifies_need_not_hold_it(notify):
    condition = asyncoro.Condition()
    coro = waiting(condition, depth=3)
    assert getattr(condition, notify)() is None
    assert coro.value(10) == (True, 3)


def test_a_wait_whose_time_is_over_does_not_hold_the_lock_and_does_not_wait_for_it():
    condition = asyncoro.Condition()
    coro = waiting(condition, timeout=0.1)
    other = holder(condition)
    assert coro.value(10) == (False, 0)
    other.send(1)
    other.value(10)
    assert asked(lambda: condition.acquire(False), condition.release) == [True, None]


def test_one_that_is_terminated_while_it_waits_does_not_hold_the_lock():
    condition = asyncoro.Condition()
    coro = waiting(condition)
    other = holder(condition)
    coro.terminate()
    assert coro.value(10) is True  # of its acquire
    other.send(1)
    other.value(10)
    assert asked(lambda: condition.acquire(False), condition.release) == [True, None]


def test_so_many_as_are_asked_for_are_notified_the_first_first():
    condition = asyncoro.Condition()
    coros = [waiting(condition) for _ in range(4)]
    condition.notify(n=2)
    assert [coro.value(10) for coro in coros[:2]] == [(True, 1)] * 2
    assert [coro.is_alive() for coro in coros[2:]] == [True, True]
    condition.notify_all()
    assert [coro.value(10) for coro in coros[2:]] == [(True, 1)] * 2


def test_who_does_not_hold_the_lock_cannot_wait():
    def wait(coro=None):
        with pytest.raises(RuntimeError):
            yield asyncoro.Condition().wait()
        raise StopIteration("refused")

    assert result(wait) == "refused"


# Event.


def test_an_event_is_waited_for_until_it_is_set():
    event = asyncoro.Event()
    assert (event.is_set(), event.isSet()) == (False, False)
    assert asked(lambda: event.wait(0), lambda: event.wait(0.01)) == [False, False]

    def wait(coro=None):
        raise StopIteration((yield event.wait()), (yield event.wait(5)))

    coros = [asyncoro.Coro(wait) for _ in range(3)]
    event.set()
    assert [coro.value(10) for coro in coros] == [(True, True)] * 3
    assert (event.is_set(), event.isSet()) == (True, True)
    event.clear()
    assert not event.is_set()


# Semaphore.


def test_a_semaphore_has_so_many_permits_and_takes_more():
    semaphore = asyncoro.Semaphore(2)
    assert asked(semaphore.acquire, semaphore.acquire, lambda: semaphore.acquire(False)) == [True, True, False]
    assert asked(semaphore.release, semaphore.release, semaphore.release) == [None] * 3
    assert asked(*[lambda: semaphore.acquire(blocking=False)] * 4) == [True, True, True, False]


def test_who_waits_for_a_permit_gets_the_next():
    semaphore = asyncoro.Semaphore()

    def take(coro=None):
        raise StopIteration((yield semaphore.acquire()))

    asked(semaphore.acquire)
    coro = asyncoro.Coro(take)
    semaphore.release()
    assert coro.value(10) is True


def test_a_semaphore_of_none_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        asyncoro.Semaphore(0)
