import threading
from typing import Any

import gevent
import pytest
from greenlet import getcurrent

from greencoro import Coro, CoroTerminated, Terminated, WouldBlock, sleep
from greencoro.hub import native
from greencoro.hub.sync import Condition, Lock, RLock, Semaphore
from tests.hub.conftest import Run
from tests.hub.places import everywhere
from tests.support.polling import poll_until

from .lock_holders import Holder, in_callback, in_thread, line, on_hub, wait_for_line

LOCKS = pytest.mark.parametrize("make", [Lock, RLock, Condition, Semaphore])
OWNED = pytest.mark.parametrize("make", [Lock, RLock, Condition])


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
        ({"blocking": False, "timeout": "1"}, TypeError, "in seconds"),
        ({"blocking": False, "timeout": False}, TypeError, "in seconds"),
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


# Who holds it, in words.


@OWNED
def test_a_coroutine_that_holds_it_is_named(make: Any) -> None:
    lock = make()
    holder = Holder(lock)
    assert f"held by coroutine {holder.coro!r}," in repr(lock)
    with pytest.raises(RuntimeError, match=rf"and coroutine {holder.coro!r} holds it$"):
        lock.release()
    holder.release()


@OWNED
def test_a_thread_that_holds_it_is_named(make: Any) -> None:
    lock = make()
    with lock:
        assert "held by thread 'MainThread'," in repr(lock)
        with pytest.raises(RuntimeError, match=r"and thread 'MainThread' holds it$"):
            on_hub(lock.release)
    seen: list[str] = []
    thread = threading.Thread(target=lambda: lock.acquire() and seen.append(on_hub(repr, lock)), name="worker of mine")
    thread.start()
    thread.join(10)
    assert "held by thread 'worker of mine'," in seen[0]
    assert "held by a thread or greenlet that is over," in repr(lock)


def test_a_thread_that_python_does_not_list_is_named_by_its_number() -> None:
    lock = Lock()
    seen: list[str] = []

    def hold() -> None:
        with lock:
            seen.append(repr(lock))

    thread = native.Thread(hold, "not listed")
    thread.start()
    thread.join(10)
    assert f"held by thread {thread.ident}," in seen[0]


def test_a_greenlet_that_holds_it_is_named() -> None:
    lock = Lock()

    def hold() -> str:
        with lock:
            return repr(lock)

    greenlet = gevent.spawn(hold)
    assert f"held by greenlet {greenlet.name}," in greenlet.get(timeout=10)


def test_who_would_wait_for_itself_is_named() -> None:
    lock = Lock()
    with lock, pytest.raises(RuntimeError, match=r"^Lock\.acquire\(\): thread 'MainThread' holds it already"):
        lock.acquire()


def test_after_a_wait_for_a_notification_its_holder_is_named_again() -> None:
    condition = Condition(Lock())
    with condition:
        condition.wait(0.001)
        assert "held by thread 'MainThread'," in repr(condition)


def test_in_a_patched_process_a_thread_is_named_though_it_is_a_greenlet(run: Run) -> None:
    ended = run(
        """
        from greencoro import Lock
        lock = Lock()
        with lock:
            print(lock)
        def hold():
            with lock:
                print(lock)
        thread = threading.Thread(target=hold, name="of mine")
        thread.start()
        thread.join()
        """,
        patched=True,
    )
    assert ended.out.splitlines() == [
        "<Lock: held by thread 'MainThread', 0 waiting>",
        "<Lock: held by thread 'of mine', 0 waiting>",
    ], ended.err


@OWNED
def test_a_thread_that_has_just_ended_is_not_taken_for_one_that_runs(make: Any) -> None:
    # What greenlet knows of the end comes a moment later, mostly.
    for _ in range(30):
        lock = make()
        thread = threading.Thread(target=lock.acquire)
        thread.start()
        thread.join(10)
        assert "held by a thread or greenlet that is over," in repr(lock)
