"""Waits of generators: on a worker or on none, the outcome is the same."""

from __future__ import annotations

import functools
import gc
import sys
import threading
import time
from typing import Any

import gevent
import gevent.local
import gevent.lock
import pytest

from greencoro import Coro, CoroTerminated, DeadlineExceeded, sleep
from greencoro.hub import workers
from greencoro.hub.mailbox import Encoded, Mailbox

from .generator_modes import needs_parking, on_hub, parking_fixture, waits  # noqa: F401
from .spellings import SPELLINGS, Spelling


@pytest.mark.parametrize("spelling", SPELLINGS, ids=lambda each: each.function.__name__)
def test_however_a_wait_is_written_it_gives_the_same(spelling: Spelling, parking: bool) -> None:
    coro = Coro(spelling.function)
    waits(coro)
    if parking and spelling.leaves is not None:
        # Asked on the hub, where nothing else happens meanwhile: its wait may have a limit.
        assert on_hub(lambda: not coro.is_alive() or (coro._worker is None) == spelling.leaves)
    for message in "abcdef":
        if not coro.is_alive():
            break
        if message == "a" or not spelling.leaves:
            waits(coro)
        coro.send(message)
    assert coro.value(10) == spelling.result


@pytest.mark.parametrize("spelling", SPELLINGS, ids=lambda each: each.function.__name__)
def test_however_a_wait_is_written_messages_that_are_there_already_are_taken(spelling: Spelling, parking: bool) -> None:
    def send_before_it_begins() -> Any:
        coro = Coro(spelling.function)
        for message in "abcdef":
            coro.send(message)
        return coro

    assert on_hub(send_before_it_begins).value(10) == spelling.result


@needs_parking
def test_many_parked_generators_need_few_workers() -> None:
    def generator(coro: Any = None) -> Any:
        first = yield coro.receive()
        second = yield coro.receive(60)
        return first + second

    def number_of_workers() -> int:
        gc.collect()
        return sum(type(thing) is workers.Worker for thing in gc.get_objects())

    on_hub(lambda: None)
    before = number_of_workers()
    coros = [Coro(generator) for _ in range(5000)]
    waits(coros[-1])
    for coro in coros:
        coro.send(1)
    waits(coros[-1])
    assert number_of_workers() <= before + 5
    for coro in coros:
        coro.send(2)
    assert {coro.value(30) for coro in coros} == {3}


class _Coded(Encoded):
    def __init__(self, decoded: tuple[bool, Any]) -> None:
        self.decoded = decoded

    def decode(self) -> tuple[bool, Any]:
        if isinstance(self.decoded[1], BaseException):
            raise self.decoded[1]
        return self.decoded


def test_messages_that_came_as_bytes_are_decoded_and_undecodable_ones_passed_over(parking: bool) -> None:
    def generator(coro: Any = None) -> Any:
        return [
            (yield coro.receive()),
            (yield coro.receive(60)),
            (yield coro.receive(match=lambda message: message == "c")),
            (yield coro.receive(0.01, "late")),
        ]

    coro = Coro(generator)
    for decoded in "abc":
        waits(coro)
        coro.put_past_limit(_Coded((False, None)))
        coro.put_past_limit(_Coded((True, decoded)))
    assert coro.value(10) == ["a", "b", "c", "late"]


def test_an_exception_out_of_decoding_is_raised_at_the_wait(parking: bool) -> None:
    def generator(coro: Any = None) -> Any:
        def inner() -> Any:
            yield coro.receive()

        try:
            yield inner()
        except KeyError:
            return "raised"

    coro = Coro(generator)
    waits(coro)
    coro.put_past_limit(_Coded((True, KeyError())))
    assert coro.value(10) == "raised"


def test_what_match_raises_is_raised_at_the_wait_and_nothing_is_taken(parking: bool) -> None:
    def match(message: Any) -> Any:
        if message == "bad":
            raise KeyError(message)
        return message == "wanted"

    def generator(coro: Any = None) -> Any:
        def inner() -> Any:
            yield coro.receive(60, match=match)

        try:
            yield inner()
        except KeyError as error:
            return error.args[0], (yield coro.receive()), (yield coro.receive())

    coro = Coro(generator)
    waits(coro)
    coro.send("first")
    coro.send("bad")
    assert coro.value(10) == ("bad", "first", "bad")


def test_bad_arguments_are_told_at_the_call(parking: bool) -> None:
    def generator(call: Any, coro: Any = None) -> Any:
        yield call(coro)

    def bad_timeout(coro: Any = None) -> Any:
        yield coro.receive("5")

    def bad_match(coro: Any = None) -> Any:
        yield coro.receive(match="no function")

    def bad_suspend(coro: Any = None) -> Any:
        yield coro.suspend(float("nan"))

    def bad_sleep(coro: Any = None) -> Any:
        yield sleep(-1)

    for function, error in [(bad_timeout, TypeError), (bad_match, TypeError), (bad_suspend, ValueError)]:
        with pytest.raises(error):
            Coro(function).value(10)
    with pytest.raises(ValueError):
        Coro(bad_sleep).value(10)


def test_only_the_coroutine_itself_may_receive(parking: bool) -> None:
    def waiting(coro: Any = None) -> Any:
        return (yield coro.receive())

    def intruder(other: Any) -> Any:
        yield other.receive()

    other = Coro(waiting)
    waits(other)
    with pytest.raises(RuntimeError, match="may be called by that coroutine only"):
        Coro(intruder, other).value(10)
    with pytest.raises(RuntimeError, match="may be called by that coroutine only"):
        other.receive()
    other.send("kept")
    assert other.value(10) == "kept"


def test_resuming_wakes_with_the_value_and_only_while_it_is_suspended(parking: bool) -> None:
    def generator(coro: Any = None) -> Any:
        first = yield coro.suspend()
        message = yield coro.receive()
        second = yield coro.suspend(30, "late")
        third = yield coro.suspend(0.01, "late")
        return first, message, second, third

    coro = Coro(generator)
    waits(coro)
    assert coro.resume("first") == 0
    waits(coro)
    assert coro.resume("not remembered") == 0
    coro.send("message")
    waits(coro)
    assert coro.resume("second") == 0
    assert coro.value(10) == ("first", "message", "second", "late")
    assert coro.resume() == -1


def test_messages_from_many_threads_all_come_once_and_in_order(parking: bool, frequent_switches: None) -> None:
    def generator(coro: Any = None) -> Any:
        got = []
        while (message := (yield coro.receive())) is not None:
            got.append(message)
        return got

    coro = Coro(generator)

    def sender(name: int) -> None:
        for number in range(500):
            coro.send((name, number))

    threads = [threading.Thread(target=sender, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    coro.send(None)
    got = coro.value(30)
    assert len(got) == 2000
    assert all([n for name, n in got if name == each] == list(range(500)) for each in range(4))


def test_a_wait_with_a_limit_that_a_late_wake_up_disturbs_lasts_its_time(parking: bool) -> None:
    def generator(coro: Any = None) -> Any:
        began = time.monotonic()
        message = yield coro.receive(0.2, "late")
        return message, time.monotonic() - began

    coro = Coro(generator)
    waits(coro)
    for _ in range(3):
        on_hub(coro._mailbox.wake)
    message, seconds = coro.value(10)
    assert message == "late" and seconds >= 0.2


def test_no_timer_is_left_where_the_message_came_in_time(parking: bool) -> None:
    def generator(coro: Any = None) -> Any:
        number = 0
        while number < 3:
            # 0 where the machine is too slow for the message to come in time.
            number += yield coro.receive(0.05, 0)
        return (yield coro.receive(30, "late"))

    coro = Coro(generator)
    for _ in range(3):
        waits(coro)
        coro.send(1)
    waits(coro)
    with pytest.raises(DeadlineExceeded):
        coro.value(0.1)
    coro.send("in time")
    assert coro.value(10) == "in time"


@needs_parking
def test_a_call_by_c_under_the_same_name_that_makes_something_else_of_it_is_told() -> None:
    class Other:
        """Its `receive` is `max`, which asks the coroutine's for a key and returns something else."""

        def __init__(self, coro: Any) -> None:
            self.receive = functools.partial(max, [5], key=coro.receive)

    def generator(coro: Any = None) -> Any:
        yield Other(coro).receive()

    with pytest.raises(RuntimeError, match="was not what was yielded, but 5 in its place"):
        Coro(generator).value(10)


def test_no_timer_goes_on_after_its_wait(parking: bool) -> None:
    def generator(coro: Any = None) -> Any:
        yield coro.receive(60)
        yield coro.receive(60, match=lambda message: message == 2)
        yield coro.suspend(60)
        yield coro.receive(60)

    def active() -> int:
        count: int = gevent.get_hub().loop.activecnt
        return count

    before = on_hub(active)
    coro = Coro(generator)
    waits(coro)
    coro.send(1)
    waits(coro)
    coro.send(2)
    waits(coro)
    coro.resume()
    waits(coro)
    assert on_hub(active) <= before + 1
    coro.terminate()
    with pytest.raises(CoroTerminated):
        coro.value(10)
    assert on_hub(active) <= before


class _Racing(Mailbox):
    """A mailbox into which another thread puts a message just after it was found empty for the ``after``-th time."""

    after = 0

    def _get(self) -> Any:
        queue = Mailbox._queue.__get__(self)  # type: ignore[attr-defined]
        looks = sys._getframe(1).f_code.co_name in ("run", "poll", "take", "token_of_receive")
        if looks and not queue and self.after:
            self.after -= 1
            if not self.after:
                # Who waits already is woken by it; who is about to wait has to look once more.
                self.put("message")
                return None
        return queue

    def _set(self, queue: Any) -> None:
        Mailbox._queue.__set__(self, queue)  # type: ignore[attr-defined]

    _queue = property(_get, _set)  # type: ignore[assignment]


@pytest.mark.parametrize("after", range(1, 6))
def test_a_message_that_comes_between_a_look_and_the_wait_is_seen(parking: bool, after: int) -> None:
    def generator(coro: Any = None) -> Any:
        for _ in range(4):
            message = yield coro.receive()
            if message == "message":
                return message
        return None

    def start() -> Any:
        coro = Coro(generator)
        mailbox = coro._mailbox = _Racing()
        mailbox.after = after
        return coro

    coro = on_hub(start)
    for number in range(3):
        waits(coro)
        if not coro._mailbox.after:
            break
        coro.send(number)
    assert coro.value(10) == "message"
