import threading
from typing import Any

import gevent
import pytest
from greenlet import getcurrent

from greencoro import Coro, CoroTerminated, Terminated, WouldBlock, sleep
from greencoro.hub import userhub
from greencoro.hub.completion import Completion
from greencoro.hub.sync import Condition, Event, Lock, RLock
from tests.hub.places import everywhere
from tests.support.polling import poll_until

LOCKS = pytest.mark.parametrize("make", [Lock, RLock])


class Waiter:
    """A coroutine that waits for a notification; its result is what `wait` returned."""

    def __init__(self, condition: Condition, order: list[int] | None = None) -> None:
        self.greenlet: Any = None
        waiting = len(condition._waiters)

        def wait() -> bool:
            self.greenlet = getcurrent()
            with condition:
                notified = condition.wait()
                if order is not None:
                    order.append(waiting)
                return notified

        self.coro = Coro(wait)
        poll_until(lambda: len(condition._waiters) > waiting, what="it waits")


def in_callback(*calls: Any) -> None:
    """Make the calls in one turn of the hub, where no coroutine comes between."""
    done = Completion()
    userhub.post(lambda: ([call() for call in calls], done.set()))
    assert done.wait(10)


def notify(condition: Condition, n: int = 1) -> None:
    with condition:
        condition.notify(n)


@everywhere
def test_a_condition_is_waited_for_from_everywhere(place: Any) -> None:
    condition = Condition()

    def ask() -> list[bool]:
        with condition:
            notifier = Coro(notify, condition)
            answers = [condition.wait(), condition.wait(0.01), condition.wait(0)]
            condition.notify_all()  # it holds the lock again, or this would raise
        notifier.value(10)
        return answers

    assert place(ask) == [True, False, False]
    assert len(condition._waiters) == 0


@LOCKS
def test_the_lock_is_free_during_the_wait_and_held_after_it(make: Any) -> None:
    lock = make()
    condition = Condition(lock)
    waiter = Waiter(condition)
    with lock:
        condition.notify()
        sleep(0)
        assert waiter.coro.is_alive()
    assert waiter.coro.value(10) is True
    assert not lock.locked()


def test_a_wait_releases_a_reentrant_lock_fully_and_restores_its_depth() -> None:
    condition = Condition()

    def wait() -> None:
        with condition, condition, condition:
            assert condition.wait(10)
        with pytest.raises(RuntimeError):
            condition.release()

    waiter = Coro(wait)
    poll_until(lambda: condition._waiters)
    notify(condition)
    waiter.value(10)


def test_notifications_go_to_those_who_wait_longest() -> None:
    condition, order = Condition(), []
    waiters = [Waiter(condition, order) for _ in range(5)]
    notify(condition, 2)
    poll_until(lambda: len(order) == 2)
    assert len(condition._waiters) == 3
    with condition:
        condition.notify_all()
    assert [waiter.coro.value(10) for waiter in waiters] == [True] * 5
    assert order == list(range(5))


def test_a_notification_that_nobody_waits_for_is_not_kept() -> None:
    condition = Condition()
    notify(condition, 3)
    with condition:
        assert condition.wait(0.01) is False


def test_to_wait_or_notify_without_the_lock_is_an_error() -> None:
    condition = Condition()
    for call in (condition.wait, condition.notify, condition.notify_all, lambda: condition.wait_for(lambda: True)):
        with pytest.raises(RuntimeError, match="holder of the RLock only"):
            call()


def test_a_subclass_may_let_those_notify_who_do_not_hold_the_lock() -> None:
    class Lenient(Condition):
        notify_needs_lock = False

    condition = Lenient()
    waiters = [Waiter(condition) for _ in range(3)]
    in_callback(condition.notify, condition.notify_all)
    assert [waiter.coro.value(10) for waiter in waiters] == [True] * 3


class Leaving(Condition):
    """Whose waits do not take the lock again where no notification came."""

    relocks_always = False


def test_a_subclass_may_leave_the_lock_to_others_where_no_notification_came() -> None:
    condition = Leaving()

    def wait(coro: Any) -> Any:
        condition.acquire()
        return condition.wait(0.1), condition._lock._is_owned()

    late, ended = Coro(wait), Coro(wait)
    poll_until(lambda: len(condition._waiters) == 2)
    ended.terminate()
    # They do not even wait for it.
    with condition:
        assert late.value(10) == (False, False)
        with pytest.raises(CoroTerminated):
            ended.value(10)
    assert condition.acquire(False)
    condition.release()


def test_a_subclass_that_does_so_hands_on_the_notification_of_one_that_is_terminated() -> None:
    condition = Leaving()

    def wait() -> Any:
        condition.acquire()
        return condition.wait(), condition.release()

    first = Coro(wait)
    poll_until(lambda: len(condition._waiters) == 1)
    second = Coro(wait)
    poll_until(lambda: len(condition._waiters) == 2)

    def notify_and_end() -> None:
        condition.acquire()
        first.terminate()
        condition.notify()
        condition.release()

    Coro(notify_and_end).value(10)
    assert second.value(10) == (True, None)
    with pytest.raises(CoroTerminated):
        first.value(10)


@pytest.mark.parametrize("lock", [threading.Lock(), "lock", Event()])
def test_a_condition_refuses_a_lock_of_another_kind(lock: Any) -> None:
    with pytest.raises(TypeError, match="Lock or RLock of greencoro"):
        Condition(lock)


@pytest.mark.parametrize("n", ["1", 1.0, True, None])
def test_notify_takes_a_number(n: Any) -> None:
    condition = Condition()
    with condition, pytest.raises(TypeError, match="number"):
        condition.notify(n)


def test_a_terminated_waiter_holds_the_lock_when_it_is_told() -> None:
    condition, held = Condition(), []

    def wait() -> None:
        with condition:
            try:
                condition.wait()
            finally:
                held.append(condition._lock._is_owned())

    waiter = Coro(wait)
    poll_until(lambda: condition._waiters)
    waiter.terminate()
    with pytest.raises(CoroTerminated):
        waiter.value(10)
    assert held == [True]
    assert len(condition._waiters) == 0
    assert condition.acquire(False)


def test_one_terminated_twice_still_waits_for_the_lock() -> None:
    condition = Condition()
    waiter = Waiter(condition)
    with condition:
        for _ in range(2):
            waiter.coro.terminate()
            poll_until(lambda: len(condition._lock._waiters) == 1)
            assert waiter.coro.is_alive()
    with pytest.raises(CoroTerminated):
        waiter.coro.value(10)
    assert condition.acquire(False)


def test_the_notification_of_a_waiter_that_is_ended_before_it_runs_goes_to_the_next() -> None:
    condition = Condition()
    first, second = Waiter(condition), Waiter(condition)
    in_callback(lambda: notify(condition), lambda: first.greenlet.throw(Terminated("now")))
    with pytest.raises(CoroTerminated):
        first.coro.value(10)
    assert second.coro.value(10) is True


def test_the_notification_of_a_waiter_that_is_ended_while_it_waits_for_the_lock_goes_to_the_next() -> None:
    condition = Condition()
    first, second = Waiter(condition), Waiter(condition)
    with condition:
        condition.notify()
        poll_until(lambda: len(condition._lock._waiters) == 1)
        first.coro.terminate()
    with pytest.raises(CoroTerminated):
        first.coro.value(10)
    assert second.coro.value(10) is True


def test_a_notification_in_the_instant_in_which_the_lock_is_free_is_not_missed() -> None:
    class NotifiesAtOnce(Lock):
        __slots__ = ()

        def _release_all(self) -> int:
            depth = super()._release_all()
            notify(condition)
            return depth

    condition = Condition(NotifiesAtOnce())
    with condition:
        assert condition.wait(10)


def test_one_that_has_just_given_up_does_not_use_up_a_notification() -> None:
    condition = Condition()
    gone = Completion()
    gone.set()
    condition._waiters.append(gone)
    waiter = Waiter(condition)
    notify(condition)
    assert waiter.coro.value(10) is True


def test_a_waiter_whose_time_is_over_is_not_notified_any_more() -> None:
    condition = Condition()

    def hurry() -> bool:
        with condition:
            return condition.wait(0.01)

    assert Coro(hurry).value(10) is False
    waiter = Waiter(condition)
    notify(condition)
    assert waiter.coro.value(10) is True


def test_a_gevent_timeout_ends_a_wait_with_the_lock_held() -> None:
    condition = Condition()

    def wait() -> bool:
        with condition, gevent.Timeout(0.01, False):
            condition.wait()
            return False
        return True

    assert Coro(wait).value(10)
    assert condition.acquire(False)


def test_a_callback_of_the_hub_may_not_wait_and_keeps_the_lock() -> None:
    condition = Condition()
    Coro(lambda: None).value(10)
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            condition.wait()
        except WouldBlock as error:
            errors.append(error)

    in_callback(condition.acquire)
    # Where somebody else waits for the lock it could not get it back without waiting.
    other = Coro(lambda: condition.acquire() and condition.release())
    poll_until(lambda: condition._lock._waiters)
    in_callback(wait, condition.release)
    assert len(errors) == 1
    other.value(10)


def test_wait_for_looks_before_it_waits_and_after_each_notification() -> None:
    condition, looks = Condition(), []

    def predicate() -> str | None:
        looks.append(len(looks))
        return "found" if len(looks) == 3 else None

    def wait() -> str | None:
        with condition:
            return condition.wait_for(predicate)

    waiter = Coro(wait)
    for number in (1, 2):
        poll_until(lambda: len(looks) == number and condition._waiters)  # noqa: B023
        notify(condition)
    assert waiter.value(10) == "found"
    assert len(looks) == 3


def test_wait_for_gives_the_last_value_when_its_time_is_over_however_often_it_is_notified() -> None:
    condition = Condition()
    over = Event()

    def disturb() -> None:
        while not over.wait(0.005):
            notify(condition)

    disturber = Coro(disturb)
    with condition:
        assert condition.wait_for(list, 0.1) == []
        assert condition.wait_for(list, 0) == []
    over.set()
    disturber.value(10)


def test_a_condition_refuses_a_timeout_that_is_none() -> None:
    condition = Condition()
    with condition:
        for call in (condition.wait, lambda timeout: condition.wait_for(list, timeout)):
            with pytest.raises(TypeError, match="in seconds"):
                call("1")  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="NaN"):
                call(float("nan"))
    assert "0 waiting for a notification" in repr(condition)
