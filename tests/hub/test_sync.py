import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from greenlet import getcurrent

from greencoro import Coro, CoroTerminated, Terminated, WouldBlock, sleep
from greencoro.hub import userhub
from greencoro.hub.completion import Completion
from greencoro.hub.sync import Condition, Event, Lock, RLock, Semaphore
from tests.hub.places import everywhere
from tests.support.polling import poll_until

LOCKS = pytest.mark.parametrize("make", [Lock, RLock, Condition, Semaphore])
OWNED = pytest.mark.parametrize("make", [Lock, RLock, Condition])


def on_hub(function: Callable[..., Any], *args: Any) -> Any:
    return Coro(function, *args).value(20)


def in_callback(function: Callable[[], Any]) -> Any:
    """What ``function()`` returns or raises in the hub's own greenlet."""
    Coro(lambda: None).value(10)
    done = Completion()

    def call() -> None:
        try:
            done.set(function())
        except BaseException as error:
            done.fail(error)

    userhub.post(call)
    return done.result(10)


def in_thread(function: Callable[[], Any]) -> Any:
    done = Completion()

    def call() -> None:
        try:
            done.set(function())
        except BaseException as error:
            done.fail(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join(10)
    return done.result(0)


def line(what: Any) -> int:
    """How many wait for a lock or semaphore."""
    return len(what._lock._waiters if isinstance(what, Condition) else what._waiters)


def wait_for_line(what: Any, length: int) -> None:
    poll_until(lambda: line(what) == length, what=f"{length} wait for {what!r}")


class Holder:
    """A coroutine that holds something until it is told to let go."""

    def __init__(self, what: Any) -> None:
        self.let_go = Event()
        holding = Event()

        def hold() -> None:
            with what:
                holding.set()
                self.let_go.wait()

        self.coro = Coro(hold)
        assert holding.wait(10)

    def release(self) -> None:
        self.let_go.set()
        self.coro.value(10)


@LOCKS
def test_a_free_one_is_acquired_at_once_and_is_free_again_after_its_release(make: Any) -> None:
    lock = make()
    for _ in range(3):
        assert lock.acquire() is True
        assert in_thread(lambda: lock.acquire(blocking=False)) is False
        assert lock.release() is None
    assert in_thread(lambda: lock.acquire(False) and lock.release() is None)


@LOCKS
@everywhere
def test_it_is_waited_for_from_everywhere(place: Any, make: Any) -> None:
    lock = make()
    holder = Holder(lock)

    def ask() -> list[bool]:
        answers = [lock.acquire(False), lock.acquire(timeout=0), lock.acquire(timeout=0.01)]
        holder.let_go.set()
        with lock:
            answers.append(True)
        return answers

    assert place(ask) == [False, False, False, True]
    holder.coro.value(10)
    assert line(lock) == 0
    assert lock.acquire(False)


@LOCKS
def test_a_with_block_holds_it_and_releases_it_however_it_ends(make: Any) -> None:
    lock = make()
    with pytest.raises(KeyError), lock:
        assert in_thread(lambda: lock.acquire(False)) is False
        raise KeyError
    assert in_thread(lambda: lock.acquire(False)) is True


@LOCKS
def test_who_waits_longest_is_served_first(make: Any) -> None:
    lock, order = make(), []
    holder = Holder(lock)

    def ask(number: int) -> None:
        with lock:
            order.append(number)

    askers: list[Any] = []
    for number in range(6):
        if number % 2:
            askers.append(Coro(ask, number).value)
        else:
            thread = threading.Thread(target=ask, args=(number,))
            thread.start()
            askers.append(thread.join)
        wait_for_line(lock, number + 1)
    holder.release()
    for end in askers:
        end(10)
    assert order == list(range(6))


@LOCKS
def test_who_releases_and_asks_again_does_not_overtake_one_who_waits(make: Any) -> None:
    lock, order = make(), []

    def greedy() -> None:
        for _ in range(3):
            with lock:
                order.append("greedy")
                if not order[1:]:
                    other = Coro(modest)
                    while not line(lock):
                        sleep()
        other.value(10)

    def modest() -> None:
        with lock:
            order.append("modest")

    on_hub(greedy)
    assert order == ["greedy", "modest", "greedy", "greedy"]


@LOCKS
def test_what_was_released_for_one_who_waits_is_not_to_be_had_before_that_one_runs(make: Any) -> None:
    lock = make()
    assert in_callback(lock.acquire)
    waiter = Coro(lambda: lock.acquire() and lock.release())
    wait_for_line(lock, 1)
    assert in_callback(lambda: (lock.release(), lock.acquire(False))) == (None, False)
    waiter.value(10)


@LOCKS
def test_a_waiter_that_is_terminated_leaves_the_line(make: Any) -> None:
    lock = make()
    holder = Holder(lock)
    first, second = Coro(lock.acquire), Coro(lambda: lock.acquire() and lock.release())
    wait_for_line(lock, 2)
    first.terminate()
    with pytest.raises(CoroTerminated):
        first.value(10)
    assert line(lock) == 1
    holder.release()
    second.value(10)


@LOCKS
def test_what_a_terminated_waiter_had_been_given_already_goes_to_the_next(make: Any) -> None:
    lock, greenlets = make(), []
    assert in_callback(lock.acquire)

    def ask() -> bool:
        greenlets.append(getcurrent())
        with lock:
            return True

    first = Coro(ask)
    wait_for_line(lock, 1)
    second = Coro(ask)
    wait_for_line(lock, 2)
    # In one turn of the hub: the first has been given it, and is ended before it comes to run.
    in_callback(lambda: (lock.release(), greenlets[0].throw(Terminated("now"))))
    with pytest.raises(CoroTerminated):
        first.value(10)
    assert second.value(10) is True
    assert lock.acquire(False)


@LOCKS
def test_what_a_terminated_waiter_had_been_given_is_free_where_nobody_else_waits(make: Any) -> None:
    lock, greenlets = make(), []
    assert in_callback(lock.acquire)

    def ask() -> None:
        greenlets.append(getcurrent())
        lock.acquire()

    waiter = Coro(ask)
    wait_for_line(lock, 1)
    in_callback(lambda: (lock.release(), greenlets[0].throw(Terminated("now"))))
    with pytest.raises(CoroTerminated):
        waiter.value(10)
    assert lock.acquire(False)


@LOCKS
def test_a_waiter_whose_gevent_timeout_comes_leaves_the_line(make: Any) -> None:
    lock = make()
    holder = Holder(lock)

    def ask() -> str:
        with gevent.Timeout(0.01, False):
            lock.acquire()
            return "acquired"
        return "over"

    assert on_hub(ask) == "over"
    assert line(lock) == 0
    holder.release()
    assert lock.acquire(False)


@LOCKS
def test_a_callback_of_the_hub_may_take_what_is_free_and_not_wait(make: Any) -> None:
    lock = make()
    assert in_callback(lambda: (lock.acquire(), lock.release())) == (True, None)
    holder = Holder(lock)
    assert in_callback(lambda: lock.acquire(timeout=0)) is False
    with pytest.raises(WouldBlock):
        in_callback(lock.acquire)
    assert line(lock) == 0
    holder.release()
    assert lock.acquire(False)


@LOCKS
@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"timeout": "1"}, TypeError, "in seconds"),
        ({"timeout": True}, TypeError, "in seconds"),
        ({"timeout": float("nan")}, ValueError, "NaN"),
        ({"blocking": False, "timeout": 1}, ValueError, "does not block"),
    ],
)
def test_a_timeout_that_is_none_is_refused_though_it_is_free(
    make: Any, arguments: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    lock = make()
    with pytest.raises(error, match=sentence):
        lock.acquire(**arguments)
    assert lock.acquire(False)


@LOCKS
def test_it_says_who_holds_it_and_how_many_wait(make: Any) -> None:
    lock = make()
    assert "free" in repr(lock)
    holder = Holder(lock)
    assert "0 waiting" in repr(lock)
    assert make is Semaphore or repr(holder.coro) in repr(lock)
    holder.release()


@OWNED
@pytest.mark.parametrize("timeout", [None, -1])
def test_no_limit_is_none_or_minus_one(make: Any, timeout: float | None) -> None:
    lock = make()
    holder = Holder(lock)
    waiter = Coro(lambda: lock.acquire(timeout=timeout) and lock.release() is None)
    wait_for_line(lock, 1)
    holder.release()
    assert waiter.value(10) is True


@OWNED
@pytest.mark.parametrize("timeout", [0, -0.5, -2])
def test_other_negative_timeouts_do_not_wait(make: Any, timeout: float) -> None:
    lock = make()
    holder = Holder(lock)
    assert lock.acquire(timeout=timeout) is False
    holder.release()


@OWNED
def test_only_its_holder_may_release_it(make: Any) -> None:
    lock = make()
    with pytest.raises(RuntimeError, match="nobody holds it"):
        lock.release()
    holder = Holder(lock)
    for place in (in_thread, on_hub, in_callback):
        with pytest.raises(RuntimeError, match=f"{holder.coro!r} holds it"):
            place(lock.release)
    assert lock.acquire(False) is False
    holder.release()
    assert lock.acquire(False)


@OWNED
def test_a_holder_that_ends_without_releasing_it_leaves_it_locked(make: Any) -> None:
    lock = make()
    on_hub(lock.acquire)
    assert lock.acquire(timeout=0.01) is False


def test_a_lock_whose_holder_asks_again_is_an_error_instead_of_a_wait_for_ever() -> None:
    lock = Lock()
    with lock:
        with pytest.raises(RuntimeError, match="would wait for itself"):
            lock.acquire()
        assert lock.acquire(False) is False
        assert lock.acquire(timeout=0.01) is False
    assert not lock.locked()


@pytest.mark.parametrize("make", [RLock, Condition])
def test_a_reentrant_lock_is_free_when_it_was_released_as_often_as_acquired(make: Any) -> None:
    lock = make()
    for _ in range(3):
        assert lock.acquire()
    for _ in range(3):
        assert in_thread(lambda: lock.acquire(False)) is False
        lock.release()
    assert in_thread(lambda: lock.acquire(False) and lock.release() is None)
    with pytest.raises(RuntimeError, match="nobody holds it"):
        lock.release()


def test_a_reentrant_lock_begins_anew_with_each_holder() -> None:
    lock = RLock()
    on_hub(lambda: (lock.acquire(), lock.acquire(), lock.release(), lock.release()))
    with lock:
        pass
    assert in_thread(lambda: lock.acquire(False))


@pytest.mark.parametrize("make", [Lock, RLock, Semaphore])
def test_locked_tells_whether_one_would_have_to_wait(make: Any) -> None:
    lock = make()
    assert lock.locked() is False
    with lock:
        assert lock.locked() is True
    assert lock.locked() is False


def test_two_coroutines_of_one_thread_are_two_holders() -> None:
    lock = RLock()
    holder = Holder(lock)
    assert on_hub(lock.acquire, False) is False
    holder.release()


def test_a_generator_coroutine_holds_it_on_whatever_greenlet_it_goes_on() -> None:
    lock, condition = RLock(), Condition()

    def generator(coro: Any = None) -> Any:
        with lock:
            for _ in range(3):
                assert (yield coro.receive()) == "go on"
            assert (yield lock.acquire()) is True
            lock.release()
        yield condition.acquire()
        assert (yield condition.wait(0.01)) is False
        condition.release()
        return "over"

    coro = Coro(generator)
    poll_until(lock.locked)
    for _ in range(3):
        assert lock.acquire(timeout=0) is False
        # Another coroutine takes over the worker that this one may have left.
        assert Coro(lock.acquire, False).value(10) is False
        coro.send("go on")
    assert coro.value(10) == "over"
    assert lock.acquire(False)
    assert condition.acquire(False)


# Semaphore


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


# Event


@everywhere
def test_an_event_is_waited_for_from_everywhere(place: Any) -> None:
    event = Event()

    def ask() -> list[bool]:
        answers = [event.wait(0), event.wait(-1), event.wait(0.01)]
        setter = Coro(lambda: (sleep(0.01), event.set()))
        answers += [event.wait(), event.is_set(), event.wait(0)]
        setter.value(10)
        return answers

    assert place(ask) == [False, False, False, True, True, True]
    assert len(event._waiters) == 0


def test_setting_an_event_wakes_all_who_wait_in_their_order() -> None:
    event, order = Event(), []
    waiters = [Coro(lambda number=number: event.wait() and order.append(number)) for number in range(5)]
    poll_until(lambda: len(event._waiters) == 5)
    event.set()
    for waiter in waiters:
        waiter.value(10)
    assert order == list(range(5))


def test_who_waited_when_an_event_was_set_goes_on_though_it_was_cleared_since() -> None:
    event = Event()
    waiter = Coro(event.wait)
    poll_until(lambda: event._waiters)
    in_callback(lambda: (event.set(), event.clear()))
    assert waiter.value(10) is True
    assert event.is_set() is False
    assert event.wait(0.01) is False


def test_an_event_that_is_set_between_the_look_and_the_line_is_not_missed() -> None:
    event = Event()

    class Line(deque[Completion]):
        def append(self, waiter: Completion) -> None:
            event.set()
            super().append(waiter)

    event._waiters = Line()
    assert event.wait(10)


def test_a_waiter_of_an_event_that_is_terminated_is_forgotten() -> None:
    event = Event()
    waiter = Coro(event.wait)
    poll_until(lambda: event._waiters)
    waiter.terminate()
    with pytest.raises(CoroTerminated):
        waiter.value(10)
    assert len(event._waiters) == 0
    event.set()


def test_an_event_refuses_a_wait_in_a_callback_and_a_timeout_that_is_none() -> None:
    event = Event()
    with pytest.raises(WouldBlock):
        in_callback(event.wait)
    with pytest.raises(TypeError, match="in seconds"):
        event.wait("1")  # type: ignore[arg-type]
    assert "not set" in repr(event)
    event.set()
    assert in_callback(event.wait) is True
