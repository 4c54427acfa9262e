"""Coroutines that suspend themselves until somebody resumes them."""

import functools
import threading
import time
from collections.abc import Callable
from typing import Any

import gevent
import pytest

from greencoro import Coro, CoroTerminated, Terminated, sleep
from tests.support.polling import poll_until

from .places import everywhere


def suspended(*args: Any, coro: Any) -> Any:
    return coro.suspend(*args)


def wait_until_suspended(coro: Coro) -> None:
    poll_until(lambda: coro._suspension is not None, what=f"{coro!r} is suspended")


@everywhere
def test_resume_from_anywhere_gives_suspend_its_value(place: Callable[..., Any]) -> None:
    value = object()
    for update, expected in (((), None), ((value,), value), ((None,), None), ((0,), 0)):
        sleeper = Coro(suspended)
        wait_until_suspended(sleeper)
        assert place(functools.partial(sleeper.resume, *update)) == 0
        assert sleeper.value(10) is expected


def test_a_coroutine_may_be_suspended_again_and_again_and_no_update_is_mixed_up() -> None:
    def turns(coro: Any) -> list[int]:
        return [coro.suspend() for _ in range(200)]

    def drive() -> list[int]:
        coro = Coro(turns)
        for number in range(200):
            while coro._suspension is None:
                sleep(0)
            coro.resume(number)
        return coro.value()

    assert Coro(drive).value(20) == list(range(200))


def test_sleep_of_a_coroutine_is_suspend() -> None:
    coro = Coro(lambda coro: coro.sleep(timeout=20, alarm_value="alarm"))
    wait_until_suspended(coro)
    coro.resume("woken")
    assert coro.value(10) == "woken"


@pytest.mark.parametrize("timeout", [0, -1, -0.5, float("-inf"), False + 0])
def test_without_time_the_alarm_value_comes_at_once(timeout: float) -> None:
    def timed(coro: Any) -> tuple[Any, Any, float]:
        began = time.monotonic()
        return coro.suspend(timeout), coro.suspend(timeout, "alarm"), time.monotonic() - began

    default, alarm, seconds = Coro(timed).value(10)
    assert (default, alarm) == (None, "alarm")
    assert seconds < 10


def test_the_alarm_value_comes_when_the_time_is_over_and_not_before() -> None:
    def timed(coro: Any) -> tuple[Any, Any, float]:
        began = time.monotonic()
        return coro.suspend(0.03), coro.suspend(timeout=0.03, alarm_value="alarm"), time.monotonic() - began

    default, alarm, seconds = Coro(timed).value(10)
    assert (default, alarm) == (None, "alarm")
    assert 0.06 <= seconds < 10


@pytest.mark.parametrize("timeout", ["1", True, [], object()])
def test_a_timeout_that_is_no_number_is_refused(timeout: Any) -> None:
    with pytest.raises(TypeError, match=r"suspend\(\) takes its timeout in seconds"):
        Coro(suspended, timeout).value(10)


def test_a_timeout_that_is_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        Coro(suspended, float("nan")).value(10)


def test_a_timeout_without_end_waits_for_resume() -> None:
    coro = Coro(suspended, float("inf"))
    wait_until_suspended(coro)
    coro.resume("woken")
    assert coro.value(10) == "woken"


@everywhere
def test_suspending_somebody_else_is_refused(place: Callable[..., Any]) -> None:
    coro = Coro(suspended)
    wait_until_suspended(coro)

    def try_it() -> bool:
        for name in ("suspend", "sleep"):
            for arguments in ((), (0,)):
                with pytest.raises(
                    RuntimeError, match=rf"{name}\(\) of suspended/\d+ may be called by that coroutine only"
                ):
                    getattr(coro, name)(*arguments)
        return True

    assert place(try_it)
    coro.resume("undisturbed")
    assert coro.value(10) == "undisturbed"


def test_resume_is_not_remembered() -> None:
    def runs_then_suspends(coro: Any) -> list[Any]:
        got = [coro.resume("by itself"), coro.suspend(0.02, "alarm")]
        got += [coro.receive(), coro.suspend(0.02, "alarm")]
        return got

    coro = Coro(runs_then_suspends)
    poll_until(lambda: coro._mailbox._receiver is not None)
    assert coro.resume("while it receives") == 0
    assert Coro(coro.resume, "from a coroutine").value(10) == 0
    coro.send("message")
    assert coro.value(10) == [0, "alarm", "message", "alarm"]


def test_resume_before_the_beginning_is_not_remembered() -> None:
    def both() -> Any:
        coro = Coro(suspended, 0.02, "alarm")
        assert coro.resume("early") == 0
        return coro.value()

    assert Coro(both).value(10) == "alarm"


def test_resume_does_not_disturb_other_waits() -> None:
    def waits(coro: Any) -> list[float]:
        lengths = []
        for wait in (lambda: sleep(0.1), lambda: coro.receive(0.1), lambda: gevent.sleep(0.1)):
            began = time.monotonic()
            wait()
            lengths.append(time.monotonic() - began)
        return lengths

    coro = Coro(waits)
    while coro.is_alive():
        assert coro.resume("nobody asked") in (0, -1)
        time.sleep(0.005)
    assert all(length >= 0.099 for length in coro.value(10))


def test_of_two_resumes_the_first_counts() -> None:
    def both() -> Any:
        coro = Coro(suspended)
        while coro._suspension is None:
            sleep(0)
        assert coro.resume("first") == coro.resume("second") == 0
        return coro.value()

    assert Coro(both).value(10) == "first"


@everywhere
def test_resume_of_one_that_is_over_says_so(place: Callable[..., Any]) -> None:
    coro = Coro(lambda: None)
    coro.value(10)
    assert place(coro.resume) == -1


def test_messages_wait_while_it_is_suspended() -> None:
    def waits(coro: Any) -> tuple[Any, Any]:
        return coro.suspend(), coro.receive()

    coro = Coro(waits)
    wait_until_suspended(coro)
    coro.send("message")
    assert coro._suspension is not None
    coro.resume("update")
    assert coro.value(10) == ("update", "message")


def test_resume_that_meets_the_end_of_the_time_is_either_whole_or_nothing() -> None:
    # The update arrives or the alarm does, the coroutine wakes once, and its next wait has its full length.
    def waits(coro: Any) -> tuple[Any, Any, float]:
        first = coro.suspend(0.005, "alarm")
        began = time.monotonic()
        return first, coro.receive(0.02, "second alarm"), time.monotonic() - began

    def both(pause: float) -> tuple[Any, Any, float]:
        coro = Coro(waits)
        sleep(pause)
        assert coro.resume("update") == 0
        return coro.value()

    seen = set()
    for n in range(60):
        first, second, length = Coro(both, n * 0.0002).value(10)
        assert second == "second alarm" and length >= 0.0195
        seen.add(first)
    assert seen <= {"update", "alarm"} and "alarm" in seen


def test_resume_and_the_end_of_the_time_in_one_turn_give_the_update_once() -> None:
    def both() -> tuple[Any, Any]:
        coro = Coro(lambda coro: (coro.suspend(20, "alarm"), coro.suspend(0.02, "second alarm")))
        while coro._suspension is None:
            sleep(0)
        suspension = coro._suspension

        def at_once() -> None:
            suspension._expire()
            coro.resume("update")

        gevent.get_hub().loop.run_callback(at_once)
        return coro.value()

    assert Coro(both).value(10) == ("update", "second alarm")


def test_terminating_a_suspended_coroutine_leaves_nothing_behind() -> None:
    def stays(coro: Any) -> Any:
        try:
            coro.suspend(20)
        except Terminated:
            assert coro._suspension is None
        return coro.suspend(0.02, "alarm")

    coro = Coro(stays)
    wait_until_suspended(coro)
    coro.terminate()
    assert coro.value(10) == "alarm"
    coro = Coro(suspended)
    wait_until_suspended(coro)
    coro.terminate()
    with pytest.raises(CoroTerminated):
        coro.value(10)
    assert coro.resume() == -1


def test_a_callback_of_the_hub_may_resume() -> None:
    def both() -> Any:
        coro = Coro(suspended)
        while coro._suspension is None:
            sleep(0)
        gevent.get_hub().loop.run_callback(coro.resume, "by the hub")
        return coro.value()

    assert Coro(both).value(10) == "by the hub"


@pytest.mark.usefixtures("frequent_switches")
def test_threads_that_resume_at_once_wake_it_once_for_each_suspension() -> None:
    def turns(coro: Any) -> list[Any]:
        return [coro.suspend() for _ in range(300)]

    coro = Coro(turns)
    over = threading.Event()

    def resume(name: str) -> None:
        while not over.is_set() and coro.resume(name) == 0:
            time.sleep(0)

    threads = [threading.Thread(target=resume, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    try:
        got = coro.value(20)
    finally:
        over.set()
        for thread in threads:
            thread.join(10)
    assert len(got) == 300 and set(got) <= set("abc")


@pytest.mark.parametrize("name", ["suspend", "sleep", "finish", "value", "receive", "deliver", "call"])
@pytest.mark.parametrize("timeout", ["soon", True, float("nan")])
def test_a_bad_timeout_is_told_by_the_name_of_what_was_called(name: str, timeout: Any) -> None:
    def calls(coro: Any) -> None:
        other = Coro(lambda coro: coro.receive())
        arguments = (1,) if name in ("deliver", "call") else ()
        try:
            getattr(other if name in ("finish", "value", "deliver", "call") else coro, name)(
                *arguments, timeout=timeout
            )
        finally:
            other.terminate()

    with pytest.raises((TypeError, ValueError), match=rf"^{name}\(\) takes its timeout"):
        Coro(calls).value(10)
