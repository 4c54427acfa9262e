"""Waiting for a condition, with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

import gevent
from gevent._hub_local import get_hub_if_exists

T = TypeVar("T")


def poll_until(condition: Callable[[], T], seconds: float = 15.0, what: str = "", interval: float = 0.01) -> T:
    """Call `condition` until it returns something true, and return that.

    Raises:
        AssertionError: `seconds` are over and it never was; says `what` was waited for and its last value.
    """
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds:g} s: {what or repr(condition)} (last: {value!r})")
        if get_hub_if_exists() is None:
            time.sleep(interval)
        else:
            gevent.sleep(interval)  # this thread has a hub, which may have to turn for the condition to come true
