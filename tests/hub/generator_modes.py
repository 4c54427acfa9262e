"""Both ways in which a generator may wait, and what the tests of generators share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from greencoro import Coro
from greencoro.hub import call_sites, routine
from greencoro.hub.whereabouts import whereabouts
from tests.support.polling import poll_until

needs_parking = pytest.mark.skipif(not call_sites.can_read, reason="the bytecode of this Python version is not known")


@pytest.fixture(name="parking", params=[pytest.param(True, marks=needs_parking), False], ids=["parking", "blocking"])
def parking_fixture(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """The test runs twice: generators leave their workers while they wait, and never do."""
    monkeypatch.setattr(routine, "GENERATOR_PARKING", request.param)
    return bool(request.param)


def on_hub(function: Callable[[], Any]) -> Any:
    return Coro(function).value(10)


def waits(coro: Coro) -> None:
    """Until ``coro`` is over or waits for a message, a time or a resumption, on a worker or on none."""

    def looks_so() -> bool:
        seen = whereabouts(coro)
        return seen is None or seen.call != ""

    poll_until(lambda: not coro.is_alive() or on_hub(looks_so), what=f"{coro!r} waits")
