"""Channels between runtimes, as several tests use them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from greencoro.distributed import refs
from greencoro.distributed.refs import Reference
from greencoro.distributed.runtime import Runtime
from greencoro.hub.channel import Channel
from greencoro.hub.coroutine import Coro
from greencoro.hub.execution import sleep
from tests.support.polling import poll_until


def channel_at(runtime: Runtime, name: str = "news", transform: Callable[[str, Any], Any] | None = None) -> Channel:
    """A registered channel at home in ``runtime``."""

    def make() -> Channel:
        channel = Channel(name, transform)
        assert channel.register() == 0
        return channel

    made: Channel = runtime.spawn(make).value(10)
    return made


def remote(to: Runtime, channel: Channel) -> Any:
    """What a reference to a channel becomes when it arrives at the runtime ``to``."""
    home: Any = channel.home
    return to.resolve(Reference(home.location, home.incarnation, refs.number("channel", channel.id), channel.name))


def subscriber_of(channel: Channel, runtime: Runtime, function: Callable[..., Any], *args: Any) -> Coro:
    """A new coroutine at home in ``runtime`` that subscribes to ``channel``."""
    coro = runtime.spawn(function, *args)
    assert channel.subscribe(coro) == 0
    return coro


def collect(count: int, coro: Any = None) -> list[Any]:
    """The next so many messages."""
    return [coro.receive() for _ in range(count)]


def idle(coro: Any = None) -> None:
    """Reads nothing."""
    sleep(60)


class Gate:
    """A transform that holds every message up until it is opened."""

    def __init__(self) -> None:
        self._is_open = threading.Event()
        #: What came to it so far.
        self.arrived: list[Any] = []

    def __call__(self, name: str, message: Any) -> Any:
        self.arrived.append(message)
        while not self._is_open.is_set():
            sleep(0.001)
        return message

    def open(self) -> None:
        """Let all pass, now and later."""
        self._is_open.set()


def await_one_that_waits_for_room(runtime: Runtime) -> None:
    """Wait until ``runtime`` holds a message for a subscriber whose backlog is full."""
    streams = runtime.services._channels._streams
    poll_until(lambda: any(stream.is_running for stream in list(streams.values())), what="one that waits for room")
