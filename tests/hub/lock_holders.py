"""Callers of locks and semaphores, and those who hold one until they are told to let go."""

import threading
from collections.abc import Callable
from typing import Any

from greencoro import Coro
from greencoro.hub import userhub
from greencoro.hub.completion import Completion
from greencoro.hub.sync import Condition, Event
from tests.support.polling import poll_until


def on_hub(function: Callable[..., Any], *args: Any) -> Any:
    return Coro(function, *args).value(20)


def in_callback(function: Callable[[], Any]) -> Any:
    """What ``function()`` returns or raises in the hub's own greenlet."""
    Coro(lambda: None).value(10)
    done = Completion()

    def call() -> None:
        try:
            done.set(function())
        except BaseException as error:
            done.fail(error)

    userhub.post(call)
    return done.result(10)


def in_thread(function: Callable[[], Any]) -> Any:
    done = Completion()

    def call() -> None:
        try:
            done.set(function())
        except BaseException as error:
            done.fail(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join(10)
    return done.result(0)


def line(what: Any) -> int:
    """How many wait for a lock or semaphore."""
    return len(what._lock._waiters if isinstance(what, Condition) else what._waiters)


def wait_for_line(what: Any, length: int) -> None:
    poll_until(lambda: line(what) == length, what=f"{length} wait for {what!r}")


class Holder:
    """A coroutine that holds something until it is told to let go."""

    def __init__(self, what: Any) -> None:
        self.let_go = Event()
        holding = Event()

        def hold() -> None:
            with what:
                holding.set()
                self.let_go.wait()

        self.coro = Coro(hold)
        assert holding.wait(10)

    def release(self) -> None:
        self.let_go.set()
        self.coro.value(10)
