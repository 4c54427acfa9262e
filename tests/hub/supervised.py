"""Supervisors that are ended after the test, and workers for them."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from greencoro.hub.supervisor import Supervisor
from tests.support.polling import poll_until

Make = Callable[..., Supervisor]


@pytest.fixture(name="make")
def make_fixture() -> Iterator[Make]:
    """Makes supervisors that are ended after the test."""
    made: list[Supervisor] = []

    def make_one(*args: Any, **kwargs: Any) -> Supervisor:
        made.append(Supervisor(*args, **kwargs))
        return made[-1]

    yield make_one
    for supervisor in made:
        supervisor.terminate()


@pytest.fixture(name="events")
def events_fixture() -> list[str]:
    return []


def worker(name: str, events: list[str], coro: Any = None) -> Any:
    """Does as it is told: raise, return, or (told nothing) go on until it is terminated."""
    events.append(f"+{name}")
    try:
        order = coro.receive()
        if isinstance(order, Exception):
            raise order
        return order
    finally:
        events.append(f"-{name}")


def add_workers(supervisor: Supervisor, events: list[str], names: str, **options: Any) -> None:
    for name in names:
        supervisor.add(worker, name, events, name=name, **options)
    poll_until(lambda: len(events) >= len(names))


def wait_for(events: list[str], count: int) -> str:
    poll_until(lambda: len(events) >= count, what=f"{count} events")
    return " ".join(events)
