import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import gevent
import greenlet
import pytest

from greencoro import Coro, Terminated, WouldBlock, sleep
from greencoro.hub import native, userhub
from greencoro.hub.completion import Completion
from tests.support.polling import poll_until


@pytest.fixture(autouse=True)
def hub() -> None:
    Coro(lambda: None).value(10)


def in_main_thread(function: Callable[[], Any]) -> Any:
    return function()


def in_other_thread(function: Callable[[], Any]) -> Any:
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(function()))
    thread.start()
    thread.join(10)
    return got[0]


def in_coroutine(function: Callable[[], Any]) -> Any:
    return Coro(function).value(10)


def in_greenlet_of_the_user_hub(function: Callable[[], Any]) -> Any:
    return Coro(lambda: gevent.spawn(function).get()).value(10)


def in_greenlet_of_another_hub(function: Callable[[], Any]) -> Any:
    def turn() -> Any:
        try:
            return gevent.spawn(function).get()
        finally:
            gevent.get_hub().destroy(destroy_loop=True)

    return in_other_thread(turn)


PLACES = [
    in_main_thread,
    in_other_thread,
    in_coroutine,
    in_greenlet_of_the_user_hub,
    in_greenlet_of_another_hub,
]
everywhere = pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)


def after(seconds: float, function: Callable[[], Any]) -> threading.Timer:
    timer = threading.Timer(seconds, function)
    timer.start()
    return timer


@everywhere
def test_whoever_waits_gets_a_value_set_by_another_thread(place: Callable[..., Any]) -> None:
    completion = Completion()
    timer = after(0.03, lambda: completion.set("value"))
    assert place(lambda: completion.result(10)) == "value"
    timer.join()


@everywhere
def test_whoever_waits_gets_a_value_set_by_a_coroutine(place: Callable[..., Any]) -> None:
    completion = Completion()

    def setter() -> None:
        sleep(0.03)
        completion.set("value")

    Coro(setter)
    assert place(lambda: completion.result(10)) == "value"


@everywhere
def test_an_outcome_that_is_there_makes_nobody_wait(place: Callable[..., Any]) -> None:
    completion = Completion()
    completion.set(7)
    assert place(lambda: (completion.wait(0), completion.wait(), completion.result(-1))) == (True, True, 7)


@everywhere
def test_a_wait_ends_at_its_limit_and_leaves_nothing_behind(place: Callable[..., Any]) -> None:
    completion = Completion()
    listed = len(completion._callbacks)

    def wait() -> tuple[bool, float]:
        began = time.monotonic()
        return completion.wait(0.05), time.monotonic() - began

    outcome, seconds = place(wait)
    assert outcome is False
    assert 0.045 <= seconds < 10
    assert len(completion._callbacks) == listed


@everywhere
@pytest.mark.parametrize("timeout", [0, -5])
def test_no_time_means_no_wait(place: Callable[..., Any], timeout: float) -> None:
    assert place(lambda: Completion().wait(timeout)) is False
    with pytest.raises(TimeoutError):
        Completion().result(timeout)


def test_a_greenlet_of_another_hub_waits_without_stopping_its_thread() -> None:
    completion = Completion()

    def both() -> list[str]:
        order: list[str] = []

        def other() -> None:
            order.append("other ran")
            completion.set()

        gevent.spawn_later(0.02, other)
        completion.wait(10)
        order.append("waited")
        return order

    assert in_greenlet_of_another_hub(both) == ["other ran", "waited"]


def test_only_the_first_outcome_counts() -> None:
    completion = Completion()
    assert completion.set(1) is True
    assert completion.set(2) is False
    assert completion.fail(ValueError()) is False
    assert completion.result() == 1 and completion.error is None


@pytest.mark.usefixtures("frequent_switches")
def test_of_several_threads_that_set_it_exactly_one_does() -> None:
    completions = [Completion() for _ in range(20_000)]
    won: list[list[int]] = [[], []]

    def set_all(me: int) -> None:
        for number, completion in enumerate(completions):
            if completion.set(me):
                won[me].append(number)

    threads = [native.Thread(lambda me=me: set_all(me), "setter") for me in range(2)]
    for thread in threads:
        thread.start()
    assert all(thread.join(20) for thread in threads)
    assert sorted(won[0] + won[1]) == list(range(20_000))
    assert all(completions[number].value == me for me in range(2) for number in won[me])


def test_a_failure_is_raised_to_everybody_with_the_same_short_traceback() -> None:
    completion = Completion()
    try:
        raise ValueError("first seen here")
    except ValueError as error:
        completion.fail(error)
    lengths = []
    for _ in range(5):
        with pytest.raises(ValueError, match="first seen here") as raised:
            completion.result()
        lengths.append(len(traceback.extract_tb(raised.value.__traceback__)))
    assert len(set(lengths)) == 1, lengths


def test_callbacks_are_called_once_in_order_and_a_late_one_at_once() -> None:
    completion = Completion()
    called: list[str] = []
    completion.add_callback(lambda: called.append("first"))
    completion.add_callback(lambda: called.append("second"))
    assert called == []
    completion.set()
    assert called == ["first", "second"]
    completion.add_callback(lambda: called.append("late"))
    assert called == ["first", "second", "late"]


def test_a_callback_that_was_removed_is_not_called() -> None:
    completion = Completion()
    called: list[int] = []
    callback = lambda: called.append(1)  # noqa: E731
    completion.add_callback(callback)
    completion.remove_callback(callback)
    completion.remove_callback(callback)
    completion.set()
    assert called == []


def test_a_callback_that_raises_is_logged_and_the_others_are_called(caplog: pytest.LogCaptureFixture) -> None:
    completion = Completion()
    called: list[int] = []

    def fail() -> None:
        raise ValueError("of the callback")

    completion.add_callback(fail)
    completion.add_callback(lambda: called.append(1))
    completion.set()
    assert called == [1]
    assert "of the callback" in caplog.text


def test_each_callback_is_called_once_when_it_is_added_while_the_outcome_is_set() -> None:
    for _ in range(300):
        completion = Completion()
        called: list[int] = []
        adder = native.Thread(
            lambda completion=completion, called=called: [
                completion.add_callback(lambda n=n: called.append(n)) for n in range(20)
            ],
            "adder",
        )
        adder.start()
        completion.set()
        assert adder.join(10)
        assert sorted(called) == list(range(20))


def test_a_callback_of_the_user_hub_may_not_wait() -> None:
    refused: list[BaseException] = []
    done = native.Event()

    def callback() -> None:
        try:
            Completion().wait(1)
        except WouldBlock as error:
            refused.append(error)
        finally:
            done.set()

    userhub.post(callback)
    assert done.wait(10) and refused


def test_a_callback_of_another_hub_may_not_wait() -> None:
    def wait_in_callback() -> Any:
        got: list[Any] = []

        def callback() -> None:
            try:
                Completion().wait(1)
            except WouldBlock as error:
                got.append(error)

        gevent.get_hub().loop.run_callback(callback)
        gevent.sleep(0.01)
        return got

    assert in_greenlet_of_another_hub(wait_in_callback)


def test_many_coroutines_and_threads_wait_for_one_outcome() -> None:
    completion = Completion()
    coroutines = [Coro(completion.result) for _ in range(200)]
    got: list[Any] = []
    threads = [threading.Thread(target=lambda: got.append(completion.result(10))) for _ in range(8)]
    for thread in threads:
        thread.start()
    poll_until(lambda: len(completion._callbacks) == 209)
    completion.set("all")
    assert [coro.value(10) for coro in coroutines] == ["all"] * 200
    for thread in threads:
        thread.join(10)
    assert got == ["all"] * 8


def test_a_coroutine_terminated_while_it_waits_is_no_longer_listed() -> None:
    completion = Completion()
    ended: list[type] = []

    def wait() -> None:
        try:
            completion.wait()
        except Terminated as error:
            ended.append(type(error))
            raise

    coro = Coro(wait)
    poll_until(lambda: len(completion._callbacks) == 2)
    coro.terminate()
    poll_until(lambda: not coro.is_alive())
    assert ended == [Terminated] and len(completion._callbacks) == 1


# Hubs of other threads that were interrupted.


def test_a_thread_whose_hub_is_dead_still_waits() -> None:
    def wait() -> Any:
        with pytest.raises(KeyboardInterrupt):
            # As Ctrl-C does that comes with its very first instruction.
            gevent.get_hub().throw(KeyboardInterrupt)
        assert gevent.get_hub().dead
        completion = Completion()
        waited = completion.wait(0.01)
        Coro(completion.set, "value")
        return waited, completion.result(10)

    assert in_other_thread(wait) == (False, "value")


def test_a_switch_that_was_meant_for_something_else_ends_no_wait() -> None:
    def wait() -> Any:
        completion = Completion()
        loop = gevent.get_hub().loop
        loop.run_callback(greenlet.getcurrent().switch, "stray")
        later = loop.timer(0.02)
        later.start(completion.set, "value")
        return completion.wait(10), completion.value

    assert in_greenlet_of_another_hub(wait) == (True, "value")
