"""Timers: later, and again and again."""

import gc
import logging
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from greencoro import Channel, Coro, sleep
from greencoro.hub import native, userhub
from greencoro.hub.timers import Timer, every, send_after
from tests.support.polling import poll_until

from .conftest import Run
from .places import everywhere, parked


@pytest.fixture
def collector() -> Any:
    """A coroutine that takes what comes, and the list of (moment, message) of that."""
    got: list[tuple[float, Any]] = []

    def collect(coro: Any) -> None:
        while (message := coro.receive()) != "end":
            got.append((time.monotonic(), message))

    coro = Coro(collect)
    yield coro, got
    coro.send("end")
    coro.value(10)


def on_hub(function: Callable[[], Any]) -> Any:
    return Coro(function).value(20)


# One message, later.


@everywhere
def test_a_message_is_sent_once_after_the_time(place: Any, collector: Any) -> None:
    coro, got = collector
    began = time.monotonic()
    timer = place(lambda: send_after(0.05, coro, "hello"))
    poll_until(lambda: got)
    assert got[0][1] == "hello"
    assert 0.05 <= got[0][0] - began < 10
    assert timer.cancel() is False
    assert "over" in repr(timer)


def test_messages_come_in_the_order_of_their_times(collector: Any) -> None:
    coro, got = collector

    def start() -> list[str]:
        timers = {"second": send_after(0.06, coro, "second"), "first": send_after(0.02, coro, "first")}
        # The other way round where this was held up for so long between the two.
        return sorted(timers, key=lambda message: timers[message]._due)

    order = on_hub(start)
    poll_until(lambda: len(got) == 2)
    assert [message for _, message in got] == order


def test_after_no_time_is_soon(collector: Any) -> None:
    coro, got = collector
    send_after(0, coro, "now")
    poll_until(lambda: got)


@everywhere
def test_a_cancelled_message_never_comes(place: Any, collector: Any) -> None:
    coro, got = collector
    timer = place(lambda: send_after(60, coro, "cancelled"))
    assert place(timer.cancel) is True
    assert place(timer.cancel) is False
    # Its time comes now: by the clock it might have come before it was cancelled.
    userhub.post(timer._tick)
    on_hub(lambda: sleep(0))
    send_after(0, coro, "later")
    poll_until(lambda: got)
    assert [message for _, message in got] == ["later"]
    assert timer._handle is None


@pytest.mark.parametrize("again", [False, True])
def test_cancelling_holds_even_when_the_timers_turn_has_come(again: bool, collector: Any) -> None:
    coro, got = collector
    results: list[bool] = []

    def cancel_late() -> None:
        timer = every(0.001, coro, "cancelled") if again else send_after(0.001, coro, "cancelled")
        # Due at the same turn of the hub, after the timer and before the coroutine in which that sends.
        handle = userhub.call_later(0.001, lambda: results.append(timer.cancel()))
        time.sleep(0.005)
        sleep(0.005)
        handle.close()

    on_hub(cancel_late)
    send_after(0, coro, "last")
    poll_until(lambda: got)
    assert results == [True]
    assert [message for _, message in got] == ["last"]


def test_of_cancelling_and_firing_exactly_one_wins(collector: Any, frequent_switches: None) -> None:
    coro, got = collector
    cancelled = 0
    for number in range(200):
        timer = send_after(0, coro, number)
        cancelled += timer.cancel()
    send_after(0.05, coro, "last")
    poll_until(lambda: got and got[-1][1] == "last")
    assert len(got) - 1 + cancelled == 200


def test_a_timer_for_a_coroutine_that_is_over_does_nothing(caplog: pytest.LogCaptureFixture) -> None:
    coro = Coro(lambda: None)
    coro.value(10)
    timer = send_after(0.01, coro, "too late")
    poll_until(lambda: timer.cancel() is False)
    assert not caplog.records


def test_a_cancelled_timer_keeps_neither_coroutine_nor_message() -> None:
    class Message:
        pass

    message = Message()
    gone = weakref.ref(message)
    coro = Coro(parked)
    timers = [send_after(3600, coro, message)]
    handle = poll_until(lambda: timers[0]._handle)
    timers.pop().cancel()
    poll_until(lambda: not handle.active)
    del message
    coro.send(None)
    coro.value(10)
    poll_until(lambda: gc.collect() >= 0 and gone() is None)


def test_a_message_for_a_full_mailbox_waits_for_room_and_holds_up_nobody() -> None:
    go = native.Event()

    def slow(coro: Any) -> list[Any]:
        while not go.is_set():
            sleep(0.001)
        return [coro.receive() for _ in range(3)]

    coro = Coro(slow)
    coro.max_mailbox = 1
    coro.send(0)
    timers = [send_after(0.01, coro, 1), send_after(0.02, coro, 2)]
    poll_until(
        lambda: not any(timer.cancel() for timer in timers if "over" in repr(timer)) and "over" in repr(timers[1])
    )
    assert on_hub(lambda: sleep(0.01)) is None
    go.set()
    assert sorted(coro.value(10)) == [0, 1, 2]


# Again and again.


@everywhere
def test_messages_are_sent_every_so_often(place: Any, collector: Any) -> None:
    coro, got = collector
    timer = place(lambda: every(0.01, coro, "tick"))
    poll_until(lambda: len(got) >= 4)
    assert place(timer.cancel) is True
    assert place(timer.cancel) is False


def test_none_is_a_message_as_well() -> None:
    def two(coro: Any) -> list[Any]:
        return [coro.receive(5, "nothing") for _ in range(2)]

    coro = Coro(two)
    every(0.01, coro, None)
    assert coro.value(10) == [None, None]


def test_a_send_that_fails_does_not_end_the_timer_of_a_live_coroutine() -> None:
    class Full(Coro):
        def send(self, message: Any) -> int:
            sent.append(message)
            return -1

    sent: list[Any] = []
    coro = Full(parked)
    timer = every(0.002, coro, "tick")
    poll_until(lambda: len(sent) >= 3)
    assert timer.cancel() is True
    coro.terminate()


def test_nothing_comes_after_cancel(collector: Any) -> None:
    coro, got = collector

    def cancel_and_wait() -> int:
        timer = every(0.002, coro, "tick")
        while len(got) < 3:
            sleep(0.001)
        assert timer.cancel()
        coro.send("mark")
        sleep(0.03)
        return 0

    on_hub(cancel_and_wait)
    assert [message for _, message in got].index("mark") == len(got) - 1


def test_sending_every_so_often_ends_with_the_coroutine() -> None:
    coro = Coro(lambda coro: coro.receive())
    timer = every(0.005, coro, "tick")
    assert coro.value(10) == "tick"
    poll_until(lambda: "over" in repr(timer))
    assert timer.cancel() is False


def test_it_does_not_drift() -> None:
    runs: list[int] = []

    def start() -> tuple[Timer, float]:
        timer = every(0.01, lambda: runs.append(1))
        return timer, timer._due  # on the hub: before the first time comes

    timer, began = on_hub(start)
    poll_until(lambda: len(runs) >= 5)
    timer.cancel()
    # However late each one was, the next is due a whole number of periods after the first.
    periods = (timer._due - began) / 0.01
    assert round(periods, 3) >= 5
    assert abs(periods - round(periods)) < 1e-6


def test_what_falls_into_the_time_of_a_slow_run_is_left_out() -> None:
    running = most = runs = 0

    def slow() -> None:
        nonlocal running, most, runs
        running += 1
        runs += 1
        most = max(most, running)
        sleep(0.03)
        running -= 1

    began = time.monotonic()
    timer = every(0.005, slow)
    poll_until(lambda: runs >= 4)
    timer.cancel()
    assert most == 1
    assert time.monotonic() - began >= 0.09  # three whole runs lie before the fourth
    poll_until(lambda: running == 0)


def test_a_hub_that_was_held_up_does_not_make_up_for_what_was_missed() -> None:
    runs: list[int] = []
    timer = every(0.005, lambda: runs.append(1))
    poll_until(lambda: runs)

    def hold_up() -> tuple[int, float]:
        time.sleep(0.1)
        before, began = len(runs), time.monotonic()
        for _ in range(20):
            sleep(0.0001)
        return len(runs) - before, time.monotonic() - began

    number, seconds = on_hub(hold_up)
    timer.cancel()
    # One for all that were missed, those whose time came since, and one at either end; twenty were missed.
    assert number <= 3 + seconds / 0.005


def test_a_function_that_raises_is_reported_and_called_again(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    def fails() -> None:
        calls.append(1)
        raise ValueError("out of order")

    with caplog.at_level(logging.ERROR, logger="greencoro"):
        timer = every(0.01, fails)
        poll_until(lambda: len(calls) >= 3)
        timer.cancel()
    assert "ValueError: out of order" in caplog.text
    assert "in fails" in caplog.text
    assert "every(0.01, fails)" in caplog.text


def test_a_function_may_wait_and_runs_in_a_coroutine_of_its_own() -> None:
    got: list[Any] = []

    def waits() -> None:
        sleep(0.001)
        got.append(Coro.current())

    timer = every(0.005, waits)
    poll_until(lambda: len(got) >= 2)
    timer.cancel()
    assert all(isinstance(coro, Coro) for coro in got)


def test_a_function_may_cancel_its_own_timer() -> None:
    runs: list[bool] = []
    timers: list[Timer] = []

    def once() -> None:
        runs.append(timers[0].cancel())

    def start() -> None:
        timers.append(every(0.001, once))

    on_hub(start)
    poll_until(lambda: runs)
    on_hub(lambda: sleep(0.02))
    assert runs == [True]


def test_ending_the_run_ends_the_timer() -> None:
    runs: list[Any] = []

    def waits() -> None:
        runs.append(Coro.current())
        sleep(60)

    timer = every(0.001, waits)
    poll_until(lambda: runs)
    runs[0].terminate()
    poll_until(lambda: "over" in repr(timer))
    on_hub(lambda: sleep(0.01))
    assert len(runs) == 1


# What bad input gets, and the end of the program.


@pytest.mark.parametrize("seconds", [-1, -0.001, float("nan"), float("inf")])
def test_times_that_cannot_be_are_refused(seconds: float, collector: Any) -> None:
    coro, _ = collector
    with pytest.raises(ValueError, match="send_after"):
        send_after(seconds, coro, 1)
    with pytest.raises(ValueError, match="every"):
        every(seconds, print)


@pytest.mark.parametrize("seconds", [None, "1", True, []])
def test_what_is_no_time_is_refused(seconds: Any, collector: Any) -> None:
    coro, _ = collector
    with pytest.raises(TypeError, match="send_after"):
        send_after(seconds, coro, 1)
    with pytest.raises(TypeError, match="every"):
        every(seconds, coro, 1)


@pytest.mark.parametrize("seconds", [0, 5e-324, 1e-9, 0.0009])
def test_a_period_that_leaves_no_time_for_others_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match=r"at least 0\.001"):
        every(seconds, print)


def generates() -> Any:
    yield 1


def test_targets_that_do_not_fit_are_refused(collector: Any) -> None:
    coro, _ = collector
    for target in (5, "name", print):
        with pytest.raises(TypeError, match="takes a coroutine or a channel to send it to"):
            send_after(1, target, "message")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="message for it"):
        every(1, coro)
    with pytest.raises(TypeError, match="takes a coroutine"):
        every(1, print, "message")
    with pytest.raises(TypeError, match="without arguments"):
        every(1, lambda needed: needed)  # type: ignore[misc, arg-type]
    with pytest.raises(TypeError, match="not 5"):
        every(1, 5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="would not run by being called"):
        every(1, generates)


@pytest.mark.parametrize("patched", [False, True])
def test_timers_do_not_keep_a_program_alive(run: Run, patched: bool) -> None:
    ended = run(
        """
        from greencoro.hub.timers import every, send_after
        ticks = []
        def waits_for_three(coro):
            for _ in range(3):
                ticks.append(coro.receive())
        coro = Coro(waits_for_three)
        every(0.01, coro, "tick")
        every(0.01, lambda: sleep(30))
        send_after(60, coro, "late")
        coro.value(10)
        print(ticks)
        """,
        patched,
    )
    assert (ended.status, ended.out) == (0, "['tick', 'tick', 'tick']\n"), ended.err
    assert ended.seconds < 10


def test_a_timer_may_be_the_first_thing_of_a_program(run: Run) -> None:
    ended = run(
        """
        from greencoro.hub.timers import every
        done = native.Event()
        every(0.01, done.set)
        print(done.wait(10))
        """
    )
    assert (ended.status, ended.out) == (0, "True\n"), ended.err


# Channels.


def test_a_message_to_a_channel_goes_to_those_who_subscribe_by_then(collector: Any) -> None:
    coro, got = collector
    with Channel("news") as channel:

        def start() -> Timer:
            timer = send_after(0.02, channel, "hello")
            channel.subscribe(coro)  # on the hub: before the timer can fire
            return timer

        timer = on_hub(start)
        poll_until(lambda: got)
        assert got[0][1] == "hello"
        assert timer.cancel() is False


def test_messages_are_sent_to_a_channel_every_so_often_until_it_is_closed(collector: Any) -> None:
    coro, got = collector
    channel = Channel("news")
    timer = every(0.01, channel, "tick")
    channel.subscribe(coro)
    poll_until(lambda: len(got) >= 3)
    channel.close()
    poll_until(lambda: "over" in repr(timer))
    assert timer.cancel() is False
    assert {message for _, message in got} == {"tick"}


def test_a_channel_without_a_message_is_refused() -> None:
    with (
        Channel("news") as channel,
        pytest.raises(TypeError, match=r"with a channel takes .*every\(seconds, channel, "),
    ):
        every(1, channel)
