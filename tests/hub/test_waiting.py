"""What a timeout may be."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from greencoro import Coro, DeadlineExceeded, sleep
from greencoro.hub.waiting import LONGEST_SECONDS, seconds
from tests.support.polling import poll_until

from .places import parked

TOO_LONG = [LONGEST_SECONDS, 1e300, float("inf"), 10**10, 10**400]


@pytest.mark.parametrize("timeout", [None, 0, 0.0, -1, -0.5, 3, 0.25, 1e-320, LONGEST_SECONDS - 1])
def test_a_time_stays_as_it_is(timeout: float | None) -> None:
    assert seconds(timeout, "this") == timeout


@pytest.mark.parametrize("timeout", TOO_LONG)
def test_of_thirty_years_or_more_there_is_no_limit(timeout: float) -> None:
    assert seconds(timeout, "this") is None


@pytest.mark.parametrize("timeout", [float("-inf"), -1e300, -(10**400)])
def test_however_far_below_0_it_does_not_wait(timeout: float) -> None:
    checked = seconds(timeout, "this")
    assert checked is not None and checked < 0
    # A clock can take it.
    assert 1.0 + checked < 0


@pytest.mark.parametrize(
    ("timeout", "kind"), [("1", TypeError), (True, TypeError), ([], TypeError), (float("nan"), ValueError)]
)
def test_what_is_no_time_is_refused_by_name(timeout: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"this\(\) takes its timeout in seconds"):
        seconds(timeout, "this()")


WAITS: dict[str, Callable[[Any, float], Any]] = {
    "receive": lambda coro, timeout: coro.receive(timeout),
    "match": lambda coro, timeout: coro.receive(timeout, match=lambda message: True),
    "suspend": lambda coro, timeout: coro.suspend(timeout),
    "sleep": lambda coro, timeout: sleep(timeout),
}


@pytest.mark.parametrize("timeout", TOO_LONG)
@pytest.mark.parametrize("wait", list(WAITS))
def test_a_coroutine_may_wait_that_long(wait: str, timeout: float) -> None:
    waiting: list[bool] = []

    def waits(coro: Any) -> Any:
        waiting.append(True)
        return WAITS[wait](coro, timeout)

    coro = Coro(waits)
    poll_until(lambda: waiting)
    with pytest.raises(DeadlineExceeded):
        coro.value(0.01)
    coro.terminate()


@pytest.mark.parametrize("timeout", TOO_LONG)
def test_a_generator_may_wait_that_long(timeout: float) -> None:
    def waits(coro: Any) -> Any:
        yield sleep(0)
        return (yield coro.receive(timeout))

    coro = Coro(waits)
    coro.send("came")
    assert coro.value(10) == "came"


@pytest.mark.parametrize("timeout", TOO_LONG)
def test_a_thread_may_wait_that_long(timeout: float) -> None:
    coro = Coro(parked)
    values: list[Any] = []
    thread = threading.Thread(target=lambda: values.append(coro.value(timeout)))
    thread.start()
    poll_until(lambda: coro._observers or not thread.is_alive())
    coro.send("end")
    thread.join(10)
    assert values == ["end"]


@pytest.mark.parametrize("time", TOO_LONG)
def test_a_thread_may_sleep_that_long(time: float, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("greencoro.hub.native.sleep", slept.append)
    # A new one, which has no hub of gevent's to sleep on.
    thread = threading.Thread(target=sleep, args=(time,))
    thread.start()
    thread.join(10)
    assert slept == [LONGEST_SECONDS]


def test_a_sleep_of_nan_is_refused() -> None:
    with pytest.raises(ValueError, match=r"sleep\(\) takes a number of seconds of at least 0, not nan"):
        sleep(float("nan"))
