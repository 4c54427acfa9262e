"""Where calls come from, and coroutines that wait, for the tests of coroutines."""

import threading
from collections.abc import Callable
from typing import Any

import gevent.event
import pytest

from greencoro import Coro
from tests.support.polling import poll_until


def parked(coro: Any = None) -> Any:
    return coro.receive()


def wait_until_it_waits(coro: Coro) -> None:
    poll_until(lambda: coro._mailbox._receiver is not None, what=f"{coro!r} waits in receive()")


def never(coro: Any) -> None:
    gevent.event.Event().wait()


def from_main(make: Callable[[], Any]) -> Any:
    return make()


def from_thread(make: Callable[[], Any]) -> Any:
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(make()))
    thread.start()
    thread.join(10)
    return got[0]


def from_coroutine(make: Callable[[], Any]) -> Any:
    return Coro(make).value(10)


def from_greenlet_on_the_user_hub(make: Callable[[], Any]) -> Any:
    return Coro(lambda: gevent.spawn(make).get()).value(10)


def from_greenlet_of_another_hub(make: Callable[[], Any]) -> Any:
    def turn() -> Any:
        try:
            return gevent.spawn(make).get()
        finally:
            gevent.get_hub().destroy(destroy_loop=True)

    return from_thread(turn)


everywhere = pytest.mark.parametrize(
    "place",
    [from_main, from_thread, from_coroutine, from_greenlet_on_the_user_hub, from_greenlet_of_another_hub],
    ids=lambda place: place.__name__,
)
