"""Receiving the oldest message that one wants, while the others stay."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from greencoro import Coro, CoroTerminated, Terminated, sleep
from greencoro.hub import userhub
from greencoro.hub.mailbox import Encoded
from tests.support.polling import poll_until

from .places import everywhere, wait_until_it_waits


def even(message: Any) -> bool:
    return message % 2 == 0


def nothing(message: Any) -> bool:
    return False


def anything(message: Any) -> bool:
    return True


def left_in(coro: Any) -> list[Any]:
    """Takes all that is in the mailbox."""
    end = object()
    return list(iter(lambda: coro.receive(0, end), end))


def after(messages: list[Any], function: Callable[..., Any]) -> Any:
    """What ``function(coro)`` returns in a coroutine that has these messages."""

    def waits(coro: Any) -> Any:
        coro.suspend()
        return function(coro)

    coro = Coro(waits)
    poll_until(lambda: coro._suspension is not None)
    for message in messages:
        coro.send(message)
    coro.resume()
    return coro.value(10)


class Letter(Encoded):
    """A message that came as bytes; counts what is done to it."""

    def __init__(self, message: Any, usable: bool = True) -> None:
        self.message, self.usable = message, usable
        self.decoded = self.left = 0

    def decode(self) -> tuple[bool, Any]:
        self.decoded += 1
        return self.usable, self.message

    def taken(self) -> None:
        self.left += 1


# Order.


def test_the_oldest_that_matches_is_taken_and_the_others_keep_their_order() -> None:
    got, left = after([1, 2, 3, 4, 5, 6], lambda coro: (coro.receive(match=even), left_in(coro)))
    assert (got, left) == (2, [1, 3, 4, 5, 6])


def test_taking_again_goes_on_with_the_next() -> None:
    def takes(coro: Any) -> tuple[Any, Any]:
        return [coro.receive(match=even) for _ in range(3)] + [coro.receive(0, "none", even)], left_in(coro)

    assert after([1, 2, 3, 4, 5, 6], takes) == ([2, 4, 6, "none"], [1, 3, 5])


def test_selective_and_plain_receives_mixed_keep_the_order_of_each_kind() -> None:
    def takes(coro: Any) -> list[Any]:
        return [coro.receive(match=even), coro.receive(), coro.receive(match=even), coro.receive(), *left_in(coro)]

    assert after([1, 2, 3, 4, 5, 6], takes) == [2, 1, 4, 3, 5, 6]


@pytest.mark.parametrize("wanted", [1, 3, 5])
def test_the_first_the_last_and_one_in_between_can_be_taken(wanted: int) -> None:
    got, left = after([1, 2, 3, 4, 5], lambda coro: (coro.receive(match=lambda m: m == wanted), left_in(coro)))
    assert got == wanted and left == [n for n in (1, 2, 3, 4, 5) if n != wanted]


def test_what_match_returns_is_asked_for_its_truth() -> None:
    assert after([0, "", "text"], lambda coro: (coro.receive(match=lambda m: m), left_in(coro))) == ("text", [0, ""])


def test_none_and_false_are_messages_like_any_other() -> None:
    assert after(
        [None, False], lambda coro: [coro.receive(match=lambda m: m is False), coro.receive(match=anything)]
    ) == [
        False,
        None,
    ]


@everywhere
def test_it_waits_for_the_one_it_wants_from_anywhere(place: Callable[..., Any]) -> None:
    coro = Coro(lambda coro: (coro.receive(match=even), left_in(coro)))
    wait_until_it_waits(coro)
    place(lambda: [coro.send(n) for n in (1, 3, 5)])
    wait_until_it_waits(coro)
    assert coro.is_alive()
    place(lambda: coro.send(8))
    assert coro.value(10) == (8, [1, 3, 5])


# Time.


@pytest.mark.parametrize("timeout", [0, -1, 0.01])
def test_the_alarm_value_comes_where_nothing_matched_and_all_stays(timeout: float) -> None:
    def takes(coro: Any) -> tuple[Any, Any, Any]:
        return coro.receive(timeout, match=even), coro.receive(timeout, "alarm", even), left_in(coro)

    assert after([1, 3], takes) == (None, "alarm", [1, 3])
    assert after([], takes) == (None, "alarm", [])


def test_without_time_what_is_there_already_is_taken() -> None:
    assert after([1, 2], lambda coro: coro.receive(0, "alarm", even)) == 2


def test_messages_that_do_not_match_do_not_lengthen_or_shorten_the_wait() -> None:
    def timed(coro: Any) -> tuple[Any, float]:
        began = time.monotonic()
        return coro.receive(0.1, "alarm", nothing), time.monotonic() - began

    coro = Coro(timed)
    while coro.is_alive():
        coro.send("unwanted")
        time.sleep(0.005)
    value, seconds = coro.value(10)
    assert value == "alarm" and 0.1 <= seconds < 10


def test_a_timer_that_fires_early_does_not_make_it_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    # Those of libuv do, by up to a millisecond.
    later = userhub.call_later
    monkeypatch.setattr(userhub, "call_later", lambda seconds, *what: later(seconds / 2, *what))

    def timed(coro: Any) -> tuple[Any, float]:
        began = time.monotonic()
        return coro.receive(0.02, "alarm", nothing), time.monotonic() - began

    value, seconds = Coro(timed).value(10)
    assert value == "alarm" and seconds >= 0.02


def test_one_that_comes_in_time_ends_the_wait() -> None:
    coro = Coro(lambda coro: (coro.receive(20, "alarm", even), coro.receive(0.02, "second alarm")))
    wait_until_it_waits(coro)
    coro.send(2)
    assert coro.value(10) == (2, "second alarm")


@pytest.mark.parametrize(("timeout", "kind"), [("1", TypeError), (True, TypeError), (float("nan"), ValueError)])
def test_a_timeout_that_is_none_is_refused_and_nothing_taken(timeout: Any, kind: type[Exception]) -> None:
    def takes(coro: Any) -> Any:
        with pytest.raises(kind, match=r"receive\(\) takes its timeout"):
            coro.receive(timeout, match=anything)
        return left_in(coro)

    assert after([1], takes) == [1]


# What goes wrong.


@pytest.mark.parametrize("match", [5, "even", [even], object()])
def test_a_match_that_cannot_be_called_is_refused_and_nothing_taken(match: Any) -> None:
    def takes(coro: Any) -> Any:
        with pytest.raises(TypeError, match=r"match= of receive\(\) takes a function of a message"):
            coro.receive(match=match)
        return left_in(coro)

    assert after([1], takes) == [1]


def test_what_match_raises_goes_to_the_caller_and_nothing_was_taken() -> None:
    def takes(coro: Any) -> Any:
        with pytest.raises(ZeroDivisionError):
            coro.receive(match=lambda m: 1 / m)
        with pytest.raises(TypeError):
            coro.receive(match=lambda: True)
        return left_in(coro)

    assert after([0, 1, 2], takes) == [0, 1, 2]


def test_what_match_raises_about_a_message_that_came_later_goes_to_the_caller_too() -> None:
    def takes(coro: Any) -> Any:
        with pytest.raises(ZeroDivisionError):
            coro.receive(match=lambda m: not 1 / m)
        return left_in(coro)

    coro = Coro(takes)
    wait_until_it_waits(coro)
    coro.send(1)
    wait_until_it_waits(coro)
    coro.send(0)
    assert coro.value(10) == [1, 0]


def test_a_match_that_receives_itself_is_told_that_it_may_not() -> None:
    def takes(coro: Any) -> Any:
        with pytest.raises(RuntimeError, match="it may only look"):
            coro.receive(match=lambda m: coro.receive())
        return left_in(coro)

    assert after([1, 2, 3], takes) == [2, 3]


def test_a_match_may_wait_and_messages_that_come_meanwhile_are_not_lost() -> None:
    def slow(message: Any) -> bool:
        sleep(0.001)
        return even(message)

    coro = Coro(lambda coro: ([coro.receive(match=slow) for _ in range(10)], left_in(coro)))
    for n in range(20):
        coro.send(n)
        sleep(0.0005)
    got, left = coro.value(10)
    assert got == list(range(0, 20, 2))
    assert left == list(range(1, 20, 2))[: len(left)]


@pytest.mark.parametrize("how", ["terminate", "throw"])
@pytest.mark.parametrize("timeout", [None, 20])
def test_one_that_is_ended_while_it_waits_leaves_the_mailbox_as_it_was(how: str, timeout: float | None) -> None:
    def stays(coro: Any) -> Any:
        try:
            coro.receive(timeout, match=nothing)
        except (Terminated, KeyError):
            assert coro._mailbox._receiver is None
            return [coro.receive(0.02, "alarm", nothing), *left_in(coro)]
        return None

    coro = Coro(stays)
    for n in (1, 2, 3):
        coro.send(n)
    wait_until_it_waits(coro)
    coro.terminate() if how == "terminate" else coro.throw(KeyError)
    assert coro.value(10) == ["alarm", 1, 2, 3]


def test_of_another_it_is_refused() -> None:
    coro = Coro(lambda coro: coro.receive())
    with pytest.raises(RuntimeError, match="may be called by that coroutine only"):
        coro.receive(match=anything)
    coro.terminate()
    with pytest.raises(CoroTerminated):
        coro.value(10)


# Messages that came as bytes.


def test_each_is_decoded_once_however_often_it_is_looked_at() -> None:
    letters = [Letter(n) for n in (1, 3, 4)]

    def takes(coro: Any) -> Any:
        assert coro.receive(0, "none", nothing) == "none"
        assert coro.receive(0, "none", nothing) == "none"
        assert [letter.left for letter in letters] == [0, 0, 0]
        assert coro.receive(match=even) == 4
        assert [letter.left for letter in letters] == [0, 0, 1]
        return left_in(coro)

    assert after(list(letters), takes) == [1, 3]
    assert [letter.decoded for letter in letters] == [1, 1, 1]
    assert [letter.left for letter in letters] == [1, 1, 1]


def test_what_cannot_be_decoded_is_passed_over_and_gone() -> None:
    letters = [Letter(1), Letter("broken", usable=False), Letter(2), Letter("broken", usable=False)]

    def takes(coro: Any) -> Any:
        return coro.receive(match=even), coro.receive(0, "none", nothing), left_in(coro)

    assert after(list(letters), takes) == (2, "none", [1])
    assert [(letter.decoded, letter.left) for letter in letters] == [(1, 1)] * 4


def test_they_and_plain_ones_keep_their_common_order() -> None:
    assert after([1, Letter(2), 3, Letter(4)], lambda coro: [coro.receive(match=even), *left_in(coro)]) == [2, 1, 3, 4]


# Cost.


def test_a_burst_of_others_is_looked_at_once_for_the_whole_wait() -> None:
    others = 10_000
    looks = [0]

    def wanted(message: Any) -> bool:
        looks[0] += 1
        return message == "wanted"

    coro = Coro(lambda coro: (coro.receive(match=wanted), len(coro._mailbox)))
    wait_until_it_waits(coro)
    for n in range(others):
        coro.send(n)
        if n % 500 == 0:
            # It wakes in between, twenty times.
            poll_until(lambda: looks[0] > len(coro._mailbox) - 1 and coro._mailbox._receiver is not None)
    coro.send("wanted")
    assert coro.value(20) == ("wanted", others)
    assert looks[0] == others + 1
