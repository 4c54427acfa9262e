"""Checks for the tests of programs that use greencoro.

Each is a context manager, and with ``pytest_plugins = ["greencoro.testing"]`` in a test module or the outermost
``conftest.py`` a pytest fixture of the same name as well.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from greencoro.hub import exit as process_exit
from greencoro.hub import native, watchdog
from greencoro.hub.waiting import seconds as checked_seconds
from greencoro.hub.whereabouts import place_of, whereabouts

__all__ = ["blocked_hub_is_failure", "no_coroutines_left"]

_POLL_SECONDS = 0.005


@contextlib.contextmanager
def blocked_hub_is_failure(seconds: float = 1.0) -> Iterator[None]:
    """Let the block fail where a coroutine keeps all others waiting.

    Args:
        seconds (float): How long without a turn of the hub is too long.

    Raises:
        AssertionError: At the end of the block: it happened; the sentence names the coroutine and the line.

        ValueError: ``seconds`` is not above 0.
    """
    limit = checked_seconds(seconds, "blocked_hub_is_failure()")
    if limit is None or limit <= 0:
        raise ValueError(f"blocked_hub_is_failure() takes a number of seconds above 0, not {seconds!r}")
    reported: list[watchdog.Blockage] = []
    process_exit.start()
    watchdog.add_listener(reported.append)
    try:
        with watchdog.limited_to(limit):
            yield
    finally:
        watchdog.remove_listener(reported.append)
    # Those that are over were reported before they were.
    blockages = [str(blockage) for blockage in reported if not blockage.is_over]
    if blockages:
        raise AssertionError("; ".join(blockages))


@contextlib.contextmanager
def no_coroutines_left(seconds: float = 1.0) -> Iterator[None]:
    """Let the block fail where coroutines made meanwhile are not over at its end.

    A block that raises does so as it would without this; those that are not over then are terminated at once.

    Args:
        seconds (float): How long they are given to end.

    Raises:
        AssertionError: Some were not over in time; the sentence says which, and what each does at which line. They are
            terminated, so that they do not disturb what follows.
    """
    grace = checked_seconds(seconds, "no_coroutines_left()")
    before = set(process_exit.alive)
    try:
        yield
    except BaseException:
        # What the block raised is the news.
        for coro in _made_since(before):
            coro.terminate()
        raise
    deadline = None if grace is None else native.monotonic() + grace
    while left := _made_since(before):
        if deadline is not None and native.monotonic() >= deadline:
            clauses = [_clause(coro) for coro in left]
            for coro in left:
                coro.terminate()
            raise AssertionError(f"coroutines were left: {'; '.join(clauses)}")
        native.sleep(_POLL_SECONDS)


def _made_since(before: set[int]) -> list[Any]:
    return [coro for coro_id, coro in list(process_exit.alive.items()) if coro_id not in before]


def _clause(coro: Any) -> str:
    seen = whereabouts(coro)
    if seen is None:
        return f"{coro!r} has just ended"
    place = place_of(seen.frames)
    return f"{coro!r} {seen.state}{f' ({place})' if place else ''}"


def pytest_configure(config: Any) -> None:
    """Called by pytest where this module is one of its plugins."""
    # Here and not above: programs do not need pytest.
    import pytest

    class Fixtures:
        @pytest.fixture(name="blocked_hub_is_failure")
        def _blocked_hub_is_failure(self) -> Iterator[None]:
            """Fails the test where a coroutine keeps all others waiting for longer than a second."""
            yield from _as_fixture(blocked_hub_is_failure())

        @pytest.fixture(name="no_coroutines_left")
        def _no_coroutines_left(self) -> Iterator[None]:
            """Fails the test where coroutines made meanwhile are not over a second after its end."""
            yield from _as_fixture(no_coroutines_left())

    def _as_fixture(check: contextlib.AbstractContextManager[None]) -> Iterator[None]:
        try:
            with check:
                yield
        except AssertionError as error:
            pytest.fail(str(error), pytrace=False)

    config.pluginmanager.register(Fixtures(), "greencoro-fixtures")
