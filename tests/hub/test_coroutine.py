"""Coroutines: how they are made, what they are sent, what they come to."""

import functools
import pickle
import threading
import time
import traceback
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from greencoro import Coro, DeadlineExceeded, sleep
from greencoro.hub import coroutine as module
from greencoro.hub import exit as process_exit
from greencoro.hub import native, userhub
from greencoro.hub.names import Names
from tests.support.polling import poll_until

from .places import (
    everywhere,
    from_coroutine,
    from_greenlet_of_another_hub,
    from_greenlet_on_the_user_hub,
    from_main,
    from_thread,
    parked,
)

# Creating.


@everywhere
def test_a_coroutine_can_be_created_and_waited_for_anywhere(place: Callable[..., Any]) -> None:
    def double(n: int, coro: Any = None) -> tuple[int, int]:
        assert Coro.current() is coro
        return 2 * n, native.get_ident()

    assert place(lambda: Coro(double, 21).value(10)) == (42, userhub.ident)
    assert place(lambda: Coro(double, n=21).finish(10)) == (42, userhub.ident)


@everywhere
def test_messages_can_be_sent_from_anywhere(place: Callable[..., Any]) -> None:
    coro = Coro(lambda coro: [coro.receive() for _ in range(3)])
    assert place(lambda: [coro.send(n) for n in range(3)]) == [0, 0, 0]
    assert coro.value(10) == [0, 1, 2]


class Counter:
    def __init__(self, start: int, coro: Any = None) -> None:
        self.start, self.coro = start, coro

    def add(self, n: int, coro: Any = None) -> tuple[int, Any]:
        return self.start + n, coro

    def __call__(self, n: int, *, coro: Any) -> tuple[int, Any]:
        return self.start + n, coro


@pytest.mark.parametrize(
    "target",
    [
        lambda n, coro: (n, coro),
        lambda n, coro=None: (n, coro),
        lambda n, *, coro: (n, coro),
        lambda *n, coro=None: (n[0], coro),
        Counter(0).add,
        Counter(0),
        functools.partial(lambda a, n, coro: (n, coro), "a"),
    ],
)
def test_the_coroutine_is_filled_in_where_the_function_names_it(target: Callable[..., Any]) -> None:
    coro = Coro(target, 7)
    assert coro.value(10) == (7, coro)


def test_classes_and_builtins_can_be_run() -> None:
    made = Coro(Counter, 5)
    assert made.value(10).coro is made
    assert Coro(max, 3, 9, 4).value(10) == 9
    assert Coro(sorted, [3, 1, 2], reverse=True).value(10) == [3, 2, 1]


def test_arguments_that_do_not_fit_are_the_callers_error_and_start_nothing() -> None:
    before = dict(process_exit.alive)
    with pytest.raises(TypeError, match="missing a required argument: 'a'"):
        Coro(lambda a, coro: None)
    with pytest.raises(TypeError, match="a coroutine runs a function"):
        Coro(None)  # type: ignore[arg-type]
    assert process_exit.alive.keys() <= before.keys()


def test_a_coroutine_is_named_after_its_function_and_numbered() -> None:
    first, second = Coro(parked), Coro(parked)
    assert first.name == second.name == "parked"
    assert first.id != second.id
    assert repr(first) == f"parked/{first.id}"
    assert first.location is None
    first.send(0), second.send(0)


def test_outside_of_coroutines_there_is_no_current_one() -> None:
    assert Coro.current() is None
    assert from_greenlet_on_the_user_hub(Coro.current) is None


def test_a_coroutine_is_found_by_its_number_while_it_lives() -> None:
    coro = Coro(parked)
    assert module.find(coro.id) is coro
    coro.send(1)
    coro.value(10)
    # Who waits for its value is told of its end just before that is through.
    poll_until(lambda: module.find(coro.id) is None)


def test_a_coroutine_holds_its_arguments_no_longer_than_it_lives() -> None:
    class Big:
        pass

    big = Big()
    reference = weakref.ref(big)
    coro = Coro(lambda a, coro: None, big)
    del big
    coro.value(10)
    poll_until(lambda: reference() is None)


def test_a_coroutine_does_not_travel_where_there_is_no_runtime() -> None:
    with pytest.raises(TypeError, match="cannot travel: this process has no Runtime"):
        pickle.dumps(Coro(lambda: None))


def test_a_runtime_plugs_in_how_coroutines_travel_and_where_they_are() -> None:
    home = SimpleNamespace(location=None, names=Names(), max_mailbox_messages=None, send_timeout_seconds=1.0)
    assert module.current_home() is None
    module.plug_in(lambda coro: (str, (f"travelled {coro.id}",)), lambda coro: f"home of {coro.id}")
    try:
        coro = Coro.at_home(
            home, lambda coro: (coro._home, module.current_home(), Coro(module.current_home).value()), (), {}
        )
        assert pickle.loads(pickle.dumps(coro)) == f"travelled {coro.id}"
        assert repr(coro).endswith(f"@home of {coro.id}")
        # Its own, and that of the coroutines it makes.
        assert coro.value(10) == (home, home, home)
    finally:
        module.plug_in(None, None)


# Messages.


def test_messages_of_one_sender_come_in_order_from_any_number_of_coroutines() -> None:
    senders, each = 50, 200

    def sink(coro: Any) -> list[list[int]]:
        got: list[list[int]] = [[] for _ in range(senders)]
        for _ in range(senders * each):
            sender, number = coro.receive()
            got[sender].append(number)
        return got

    def send(sender: int) -> None:
        for number in range(each):
            assert coro.send((sender, number)) == 0
            if number % 7 == 0:
                sleep(0)

    coro = Coro(sink)
    for sender in range(senders):
        Coro(send, sender)
    assert coro.value(20) == [list(range(each))] * senders


def test_eight_threads_lose_no_message_and_keep_their_order() -> None:
    senders, each = 8, 20_000

    def sink(coro: Any) -> list[list[int]]:
        got: list[list[int]] = [[] for _ in range(senders)]
        for _ in range(senders * each):
            sender, number = coro.receive()
            got[sender].append(number)
        return got

    coro = Coro(sink)

    def send(sender: int) -> None:
        for number in range(each):
            coro.send((sender, number))

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(senders)]
    for thread in threads:
        thread.start()
    assert coro.value(40) == [list(range(each))] * senders
    for thread in threads:
        thread.join(10)


def test_locally_the_very_object_is_handed_over() -> None:
    message = object()
    coro = Coro(parked)
    coro.send(message)
    assert coro.value(10) is message


def test_code_without_a_waiting_call_is_atomic() -> None:
    shared = [0]

    def count() -> None:
        for _ in range(200):
            seen = shared[0]
            Coro(lambda: None)
            sink.send(seen)
            shared[0] = seen + 1
            sleep(0)

    def drain(coro: Any) -> None:
        for _ in range(20 * 200):
            coro.receive()

    sink = Coro(drain)
    for coro in [Coro(count) for _ in range(20)]:
        coro.value(20)
    sink.value(20)
    assert shared == [20 * 200]


@pytest.mark.parametrize("timeout", [0, -1, 0.01])
def test_receive_gives_the_alarm_value_when_nothing_came(timeout: float) -> None:
    assert Coro(lambda coro: coro.receive(timeout)).value(10) is None
    assert Coro(lambda coro: coro.receive(timeout=timeout, alarm_value="alarm")).value(10) == "alarm"


@everywhere
def test_receive_of_another_is_refused(place: Callable[..., Any]) -> None:
    coro = Coro(parked)

    def try_it() -> bool:
        with pytest.raises(RuntimeError, match=r"receive\(\) of parked/\d+ may be called by that coroutine only"):
            coro.receive()
        return True

    assert place(try_it)
    coro.send("untouched")
    assert coro.value(10) == "untouched"
    assert place(try_it)


def test_sending_to_one_that_is_over_says_so() -> None:
    coro = Coro(lambda: None)
    assert Coro(parked).terminate() == 0
    coro.value(10)
    assert coro.send(1) == -1
    assert coro.deliver(1) == 0


def test_deliver_says_that_the_message_is_in_the_mailbox() -> None:
    coro = Coro(parked)
    assert coro.deliver("first", timeout=1) == 1
    assert coro.value(10) == "first"


def test_messages_sent_before_the_function_begins_are_kept() -> None:
    def both() -> Any:
        coro = Coro(parked)
        coro.send("early")
        return coro.value()

    assert Coro(both).value(10) == "early"


# Results.


def test_a_result_can_be_asked_for_any_number_of_times_by_anybody() -> None:
    result = object()
    coro = Coro(lambda: result)
    for place in (from_main, from_thread, from_coroutine, from_greenlet_of_another_hub):
        assert place(coro.value) is place(coro.finish) is result


@everywhere
def test_value_gives_up_at_its_limit_and_the_coroutine_goes_on(place: Callable[..., Any]) -> None:
    coro = Coro(parked)

    def ask() -> str:
        for timeout in (0, -1, 0.02):
            with pytest.raises(DeadlineExceeded, match=r"parked/\d+ was not over after"):
                coro.value(timeout)
        return "gave up"

    assert place(ask) == "gave up"
    coro.send("went on")
    assert coro.value(10) == "went on"


def test_its_own_exception_is_raised_each_time_with_the_same_traceback() -> None:
    error = ValueError("of the function")

    def inner() -> None:
        raise error

    def fail() -> None:
        inner()

    coro = Coro(fail)
    depths, names = [], []
    for _ in range(5):
        with pytest.raises(ValueError, match="of the function") as caught:
            coro.value(10)
        assert caught.value is error
        frames = traceback.extract_tb(caught.value.__traceback__)
        depths.append(len(frames))
        names.append([frame.name for frame in frames][-2:])
    assert len(set(depths)) == 1, depths
    assert names == [["fail", "inner"]] * 5


def test_an_exception_handed_through_coroutines_keeps_each_ones_traceback() -> None:
    def fail() -> None:
        raise KeyError("first")

    def hands_on(other: Coro) -> None:
        other.value()

    first = Coro(fail)
    second = Coro(hands_on, first)
    for _ in range(3):
        with pytest.raises(KeyError) as through:
            second.value(10)
        assert "hands_on" in {frame.name for frame in traceback.extract_tb(through.value.__traceback__)}
        with pytest.raises(KeyError) as direct:
            first.value(10)
        assert "hands_on" not in {frame.name for frame in traceback.extract_tb(direct.value.__traceback__)}


def test_a_coroutine_that_waits_for_itself_is_told_so() -> None:
    def wait(coro: Any) -> str:
        for method in (coro.value, coro.finish):
            with pytest.raises(RuntimeError, match="would wait for its own end"):
                method()
        return "told"

    assert Coro(wait).value(10) == "told"


def test_many_wait_for_one() -> None:
    coro = Coro(parked)
    waiting = [Coro(coro.value) for _ in range(1000)]
    threads = [threading.Thread(target=coro.value, args=(20,)) for _ in range(10)]
    for thread in threads:
        thread.start()
    coro.send("for all")
    assert [waiter.value(10) for waiter in waiting] == ["for all"] * 1000
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_a_chain_of_waits_resolves() -> None:
    coro = last = Coro(parked)
    for _ in range(500):
        last = Coro(lambda before=last: before.value() + 1)
    coro.send(0)
    assert last.value(10) == 500


def test_a_wait_that_gave_up_leaves_nothing_with_the_coroutine() -> None:
    coro = Coro(parked)
    for _ in range(20):
        with pytest.raises(DeadlineExceeded):
            coro.value(0.001)
    assert not coro._observers
    coro.send(1)


# Sleeping.


@everywhere
def test_sleep_takes_its_time(place: Callable[..., Any]) -> None:
    def timed() -> float:
        began = time.monotonic()
        sleep(0.05)
        return time.monotonic() - began

    assert 0.045 <= place(timed) < 10


@pytest.mark.parametrize("seconds", ["1", None, True, [1]])
def test_a_sleep_of_what_is_no_number_is_refused(seconds: Any) -> None:
    with pytest.raises(TypeError, match=r"sleep\(\) takes a number of seconds, not"):
        sleep(seconds)


@everywhere
def test_a_negative_sleep_is_refused(place: Callable[..., Any]) -> None:
    def ask() -> bool:
        with pytest.raises(ValueError, match="at least 0"):
            sleep(-0.1)
        return True

    assert place(ask)


def test_sleep_0_lets_the_others_run_once() -> None:
    order: list[str] = []

    def turns(name: str) -> None:
        for _ in range(3):
            order.append(name)
            sleep()

    def both() -> None:
        for coro in [Coro(turns, "a"), Coro(turns, "b")]:
            coro.value()

    Coro(both).value(10)
    assert order == ["a", "b"] * 3


def test_a_name_may_be_set_to_a_text_only() -> None:
    coro = Coro(lambda: None)
    coro.name = "clerk"
    assert repr(coro) == f"clerk/{coro.id}"
    for name in (3, None, b"clerk"):
        with pytest.raises(TypeError, match="the name of a coroutine is a text, not"):
            coro.name = name  # type: ignore[assignment]
    assert coro.name == "clerk"
    coro.value(10)
