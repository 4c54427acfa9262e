"""`Channel.deliver`: how many have the message, and how long that may take."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from greencoro import Coro, CoroTerminated, sleep
from greencoro.hub import fan_out, native
from greencoro.hub.channel import Channel
from tests.support.polling import poll_until

from .places import everywhere, parked


@pytest.fixture
def listeners() -> Iterator[list[Coro]]:
    coros = [Coro(parked) for _ in range(3)]
    yield coros
    for coro in coros:
        coro.terminate()


@pytest.fixture
def time_to_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who keeps to the limit of a delivery is heard, however long the machine takes."""
    monkeypatch.setattr(fan_out, "_ANSWER_SECONDS", 20.0)


class Elsewhere(Coro):
    """Stands for a reference to a coroutine of another process, which confirms after a while, or never."""

    def __init__(self, after: float | None = 0.0, result: int = 1) -> None:
        self.after, self.result, self.name, self.id, self.alive = after, result, "elsewhere", 0, True
        self.timeouts: list[float | None] = []
        self.withdrawn = 0

    def is_local(self) -> bool:
        return False

    def is_alive(self) -> bool:
        return self.alive

    def deliver(self, message: Any, timeout: float | None = None) -> int:
        self.timeouts.append(timeout)
        wait = native.monotonic() + (self.after if self.after is not None else 1e6)
        limit = native.monotonic() + (timeout if timeout is not None else 1e6)
        try:
            while native.monotonic() < wait:
                if native.monotonic() >= limit:
                    return 0
                sleep(0.001)
        except BaseException:
            self.withdrawn += 1
            raise
        return self.result


@everywhere
def test_it_returns_how_many_have_the_message(place: Any, listeners: list[Coro]) -> None:
    channel = Channel("news")
    assert place(lambda: channel.deliver("nobody")) == 0
    for coro in listeners:
        channel.subscribe(coro)
    assert place(lambda: channel.deliver("all", 5)) == 3
    assert [coro.value(10) for coro in listeners] == ["all"] * 3


def test_those_behind_other_channels_count(listeners: list[Coro]) -> None:
    top, below = Channel("top"), Channel("below")
    top.subscribe(below)
    top.subscribe(listeners[0])
    below.subscribe(listeners[1])
    below.subscribe(listeners[2])
    assert top.deliver("all") == 3


def test_those_that_are_over_do_not_count(listeners: list[Coro]) -> None:
    channel = Channel("news")
    for coro in listeners:
        channel.subscribe(coro)
    listeners[1].send("go")
    listeners[1].value(10)
    assert channel.deliver("rest") == 2
    assert channel.subscribers() == (listeners[0], listeners[2])


def test_a_message_that_a_transform_drops_reaches_nobody(listeners: list[Coro]) -> None:
    channel = Channel("news", lambda name, message: None)
    channel.subscribe(listeners[0])
    assert channel.deliver("dropped", 5, 1) == 0


# Waiting for subscribers.


@everywhere
def test_it_waits_until_there_are_enough(place: Any, listeners: list[Coro]) -> None:
    channel = Channel("news")

    def later() -> None:
        for coro in listeners:
            sleep(0.01)
            channel.subscribe(coro)

    Coro(later)
    assert place(lambda: channel.deliver("to three", 10, 3)) == 3
    assert not channel._waiting


def test_it_may_be_more_than_asked_for(listeners: list[Coro]) -> None:
    channel = Channel("news")
    for coro in listeners:
        channel.subscribe(coro)
    assert channel.deliver("all", None, 1) == 3


def test_where_they_do_not_come_in_time_those_that_are_there_get_it(listeners: list[Coro]) -> None:
    channel = Channel("news")
    channel.subscribe(listeners[0])
    began = time.monotonic()
    assert channel.deliver("one", 0.05, 3) == 1
    assert 0.05 <= time.monotonic() - began < 5
    assert listeners[0].value(10) == "one"
    assert channel.deliver("nobody", 0, 3) == 0
    assert not channel._waiting


def test_one_that_is_over_is_not_one_of_those_waited_for(listeners: list[Coro]) -> None:
    channel = Channel("news")
    channel.subscribe(listeners[0])
    listeners[0].send("go")
    listeners[0].value(10)
    delivering = Coro(channel.deliver, "news", 20, 1)
    poll_until(lambda: channel._waiting)
    channel.subscribe(listeners[1])
    assert delivering.value(10) == 1


def test_several_may_wait_for_different_numbers(listeners: list[Coro]) -> None:
    top, channel = Channel("top"), Channel("news")
    waiting = [Coro(top.deliver, n, 20, n) for n in (3, 1, 2)]
    poll_until(lambda: len(top._waiting) == 3)
    top.subscribe(channel)
    assert waiting[1].value(10) == 0  # there is one, and nobody behind it
    others = [Channel("other"), Channel("another")]
    top.subscribe(others[0])
    assert waiting[2].value(10) == 0
    assert waiting[0].is_alive()
    others[1].subscribe(listeners[0])
    top.subscribe(others[1])
    assert waiting[0].value(10) == 1


def test_closing_ends_the_wait() -> None:
    channel = Channel("news")
    delivering = Coro(channel.deliver, "news", None, 1)
    poll_until(lambda: channel._waiting)
    channel.close()
    assert delivering.value(10) == 0


def test_who_is_terminated_while_it_waits_is_forgotten() -> None:
    channel = Channel("news")
    delivering = Coro(channel.deliver, "news", None, 1)
    poll_until(lambda: channel._waiting)
    delivering.terminate()
    with pytest.raises(CoroTerminated):
        delivering.value(10)
    assert not channel._waiting


# Subscribers that take their time.


@pytest.mark.usefixtures("time_to_answer")
@everywhere
def test_M8_a_slow_one_delays_the_others_no_longer_than_the_timeout(place: Any, listeners: list[Coro]) -> None:
    channel = Channel("news")
    for subscriber in (Elsewhere(None), Elsewhere(), *listeners, Elsewhere(), Elsewhere(None)):
        channel.subscribe(subscriber)
    began = time.monotonic()
    assert place(lambda: channel.deliver("news", 0.2)) == 5
    assert 0.2 <= time.monotonic() - began < 10


def test_they_are_waited_for_at_the_same_time() -> None:
    begun: list[int] = []

    class Together(Elsewhere):
        def deliver(self, message: Any, timeout: float | None = None) -> int:
            begun.append(1)
            limit = native.monotonic() + 10
            while len(begun) < 10 and native.monotonic() < limit:
                sleep(0.001)
            return int(len(begun) == 10)

    channel = Channel("news")
    for _ in range(10):
        channel.subscribe(Together())
    assert channel.deliver("news", 20) == 10


def test_one_that_does_not_even_keep_its_limit_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fan_out, "_ANSWER_SECONDS", 2.0)  # for the other one to be heard on a slow machine

    class Stuck(Elsewhere):
        def deliver(self, message: Any, timeout: float | None = None) -> int:
            return super().deliver(message, None)

    stuck, well = Stuck(None), Elsewhere(0.0)
    channel = Channel("news")
    channel.subscribe(stuck)
    channel.subscribe(well)
    began = time.monotonic()
    assert channel.deliver("news", 0.05) == 1
    assert time.monotonic() - began < 20
    poll_until(lambda: stuck.withdrawn == 1)


@pytest.mark.usefixtures("time_to_answer")
def test_one_that_is_lost_is_dropped_and_one_that_is_late_is_not() -> None:
    class Lost(Elsewhere):
        def deliver(self, message: Any, timeout: float | None = None) -> int:
            self.alive = False
            return 0

    lost, late, well = Lost(), Elsewhere(None), Elsewhere()
    channel = Channel("news")
    for subscriber in (lost, late, well):
        channel.subscribe(subscriber)
    assert channel.deliver("news", 0.05) == 1
    assert channel.subscribers() == (late, well)


def test_what_was_spent_on_waiting_for_subscribers_is_not_there_for_delivering() -> None:
    channel = Channel("news")
    slow = Elsewhere(0.0)
    channel.subscribe(slow)
    assert channel.deliver("news", 0.05, 2) == 1
    assert slow.timeouts == [0.0]


def test_a_full_mailbox_is_waited_for_until_the_timeout(listeners: list[Coro]) -> None:
    channel = Channel("news")
    go = native.Event()

    def slow(coro: Any) -> list[Any]:
        while not go.is_set():
            sleep(0.001)
        return [coro.receive(), coro.receive(), coro.receive()]

    full = Coro(slow)
    full.max_mailbox = 1
    full.send("fills it")
    channel.subscribe(full)
    channel.subscribe(listeners[0])
    assert channel.deliver("not in time", 0.05) == 1
    channel.subscribe(listeners[1])
    delivering = Coro(channel.deliver, "in time", 20)
    go.set()
    assert delivering.value(10) == 2
    full.send("last")
    assert full.value(10) == ["fills it", "in time", "last"]


def test_a_deliverer_that_is_terminated_gives_up_those_under_way() -> None:
    channel = Channel("news")
    slow = [Elsewhere(None), Elsewhere(None)]
    for subscriber in slow:
        channel.subscribe(subscriber)
    delivering = Coro(channel.deliver, "news")
    poll_until(lambda: all(subscriber.timeouts for subscriber in slow))
    delivering.terminate()
    with pytest.raises(CoroTerminated):
        delivering.value(10)
    poll_until(lambda: [subscriber.withdrawn for subscriber in slow] == [1, 1])


@pytest.mark.parametrize(
    ("n", "error"), [(-1, ValueError), (1.5, TypeError), ("1", TypeError), (True, TypeError), (None, TypeError)]
)
def test_a_number_that_is_none_is_refused(n: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="n= of deliver"):
        Channel("news").deliver("news", 1, n)


@pytest.mark.parametrize(("timeout", "error"), [("1", TypeError), (True, TypeError), (float("nan"), ValueError)])
def test_a_timeout_that_is_no_time_is_refused(timeout: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="deliver"):
        Channel("news").deliver("news", timeout)
