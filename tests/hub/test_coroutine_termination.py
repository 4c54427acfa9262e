"""Coroutines that somebody ends, wherever they are at that moment."""

import contextlib
import time
from collections.abc import Callable
from typing import Any

import gevent
import gevent.event
import gevent.pool
import pytest

from greencoro import Coro, CoroTerminated, Terminated, sleep
from greencoro.hub import native
from tests.support.polling import poll_until

from .places import (
    never,
    parked,
    wait_until_it_waits,
)

# Terminating.


WAITS: dict[str, Callable[[Any], Any]] = {
    "receive": lambda coro: coro.receive(),
    "receive with a limit": lambda coro: coro.receive(timeout=60),
    "sleep": lambda coro: sleep(60),
    "value": lambda coro: Coro.locate("other-parked").value(),
    "value with a limit": lambda coro: Coro.locate("other-parked").value(60),
    "locate": lambda coro: Coro.locate("nobody"),
    "gevent.sleep": lambda coro: gevent.sleep(60),
    "gevent event": never,
    "giving way": lambda coro: [sleep(0) for _ in iter(int, 1)],
}


@pytest.fixture
def other() -> Any:
    coro = Coro(parked)
    coro.register("other-parked")
    yield coro
    coro.send(None)


@pytest.mark.parametrize("by", ["another thread", "a coroutine"])
@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
@pytest.mark.usefixtures("other")
def test_terminate_ends_any_wait_and_the_coroutine_cleans_up(wait: Callable[[Any], Any], by: str) -> None:
    events: list[str] = []
    begun = native.Event()

    def waits(coro: Any) -> None:
        begun.set()
        try:
            wait(coro)
        except Exception:
            events.append("swallowed")
        except Terminated:
            events.append("terminated")
            sleep(0.001)  # cleaning up may wait
            raise
        finally:
            events.append("finally")
        events.append("went on")

    coro = Coro(waits)
    begun.wait(10)
    if by == "a coroutine":
        assert Coro(coro.terminate).value(10) == 0
    else:
        assert coro.terminate() == 0
    with pytest.raises(CoroTerminated, match=r"waits/\d+ was terminated"):
        coro.value(10)
    assert events == ["terminated", "finally"]
    assert not coro.is_alive()
    assert coro.terminate() == -1


def test_one_terminated_before_its_start_never_runs() -> None:
    ran: list[int] = []

    def both() -> Coro:
        coro = Coro(ran.append, 1)
        assert coro.terminate() == 0
        assert not coro.is_alive()
        return coro

    coro = Coro(both).value(10)
    with pytest.raises(CoroTerminated):
        coro.value(10)
    assert ran == []


def test_one_in_the_ready_queue_is_terminated() -> None:
    def both() -> Coro:
        coro = Coro(parked)
        sleep(0)
        wait_until_it_waits(coro)
        coro.send("woken")
        coro.terminate()
        return coro

    coro = Coro(both).value(10)
    # It may meet the end at this wait or at its next one; this has no next one, so both ends are right.
    with contextlib.suppress(CoroTerminated):
        assert coro.value(10) == "woken"


def test_messages_that_race_with_terminate_stay_in_order_and_none_is_lost() -> None:
    def survivor(coro: Any) -> tuple[list[int], int]:
        got, ended = [], 0
        while True:
            try:
                message = coro.receive()
            except Terminated:
                ended += 1
                continue
            if message is None:
                return got, ended
            got.append(message)

    coro = Coro(survivor)
    wait_until_it_waits(coro)
    for number in range(300):
        coro.send(number)
        assert coro.terminate() == 0
    poll_until(lambda: not coro._mailbox and coro._pending is None, what="all of it has come")
    coro.send(None)
    got, ended = coro.value(10)
    assert got == list(range(300))
    assert 0 < ended <= 300


def test_one_that_terminates_itself_meets_it_at_its_next_wait() -> None:
    for wait in WAITS.values():
        events: list[str] = []

        def suicidal(coro: Any, wait: Callable[[Any], Any] = wait, events: list[str] = events) -> None:
            assert coro.terminate() == 0
            events.append("still runs")
            wait(coro)
            events.append("went on")

        other = Coro(parked)
        other.register("other-parked")
        coro = Coro(suicidal)
        with pytest.raises(CoroTerminated):
            coro.value(10)
        other.send(None)
        other.value(10)
        assert events == ["still runs"]


def test_one_that_terminates_itself_and_never_waits_again_finishes() -> None:
    def suicidal(coro: Any) -> str:
        coro.terminate()
        return "finished"

    assert Coro(suicidal).value(10) == "finished"


def test_except_exception_does_not_stop_the_end() -> None:
    def stubborn(coro: Any) -> None:
        while True:
            try:
                coro.receive()
            except Exception:
                continue

    coro = Coro(stubborn)
    wait_until_it_waits(coro)
    coro.terminate()
    with pytest.raises(CoroTerminated):
        coro.value(10)


def test_one_that_catches_the_end_goes_on_and_can_be_terminated_again() -> None:
    caught: list[int] = []

    def stays_once(coro: Any) -> Any:
        try:
            coro.receive()
        except Terminated:
            caught.append(1)
        return coro.receive()

    def ends_it_at_once() -> Coro:
        coro = Coro(stays_once)
        coro.terminate()
        return coro

    coro = Coro(ends_it_at_once).value(10)
    poll_until(lambda: caught or not coro.is_alive())
    assert caught == [] and not coro.is_alive()  # it had not begun

    for ends in ("message", "terminate"):
        caught.clear()
        coro = Coro(stays_once)
        wait_until_it_waits(coro)
        coro.terminate()
        poll_until(lambda: caught)
        if ends == "message":
            coro.send("went on")
            assert coro.value(10) == "went on"
        else:
            coro.terminate()
            with pytest.raises(CoroTerminated):
                coro.value(10)


def test_timers_of_a_wait_that_was_ended_do_not_disturb_later_ones() -> None:
    def waits(coro: Any) -> float:
        for wait in (lambda: coro.receive(timeout=0.1), lambda: sleep(0.1), lambda: gevent.sleep(0.1)):
            Coro(coro.terminate)
            with contextlib.suppress(Terminated):
                wait()
                sleep(60)  # where the machine stood still for so long that the wait was over first
        began = time.monotonic()
        sleep(0.3)
        return time.monotonic() - began

    assert Coro(waits).value(10) >= 0.295


def test_a_coroutine_that_raises_greenlet_exit_counts_as_terminated(caplog: pytest.LogCaptureFixture) -> None:
    def leaves() -> None:
        raise gevent.GreenletExit

    with pytest.raises(CoroTerminated):
        Coro(leaves).value(10)
    assert not caplog.records


def test_a_gevent_timeout_around_a_wait_works_and_leaves_nothing_behind() -> None:
    def waits(coro: Any) -> tuple[str, float]:
        with gevent.Timeout(0.02, False):
            coro.receive()
        began = time.monotonic()
        return coro.receive(timeout=0.1, alarm_value="alarm"), time.monotonic() - began

    value, seconds = Coro(waits).value(10)
    assert value == "alarm" and seconds >= 0.1
