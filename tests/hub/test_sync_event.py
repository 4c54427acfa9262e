from collections import deque
from typing import Any

import pytest

from greencoro import Coro, CoroTerminated, WouldBlock, sleep
from greencoro.hub.completion import Completion
from greencoro.hub.sync import Event
from tests.hub.places import everywhere
from tests.support.polling import poll_until

from .lock_holders import in_callback


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
