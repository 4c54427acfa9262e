"""Coroutines that collect what they get, for the tests of channels."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from greencoro import Coro, sleep

Sink = tuple[Coro, list[Any]]
MakeSink = Callable[[], Sink]

END = object()


@pytest.fixture(name="sink")
def sink_fixture() -> Iterator[MakeSink]:
    """Makes coroutines that collect what they get; each comes with its list."""
    made: list[Coro] = []

    def make() -> Sink:
        got: list[Any] = []

        def collect(coro: Any) -> None:
            while (message := coro.receive()) is not END:
                got.append(message)

        made.append(Coro(collect))
        return made[-1], got

    yield make
    for coro in made:
        coro.max_mailbox = None
        coro.send(END)
    for coro in made:
        coro.value(10)


def settled() -> None:
    """Return when all that was ready to run has run."""
    Coro(lambda: [sleep(0) for _ in range(3)]).value(10)
