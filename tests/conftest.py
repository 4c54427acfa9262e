"""What holds for every test: it leaves nothing running and nothing open."""

import functools
import signal
import sys
from collections.abc import Iterator

import hypothesis
import pytest
from _pytest.config import create_terminal_writer

from greencoro.hub import exit as process_exit
from tests.support.hygiene import end_children, leftovers, snapshot
from tests.support.polling import poll_until

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile(
    "greencoro", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("greencoro")

# A shell starts what it puts into the background with Ctrl-C ignored, and every process that a test starts would
# inherit that; a handler is not inherited.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """In a worker of pytest-xdist there is no terminal, without which pytest-timeout shows nothing of what hangs."""
    if hasattr(config, "workerinput"):
        errors = open(2, "w", closefd=False)  # noqa: SIM115
        config.get_terminal_writer = functools.partial(create_terminal_writer, config, errors)  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def _leaves_nothing_behind() -> Iterator[None]:
    before = snapshot()
    yield
    try:
        # What a test stopped may take a moment to be gone.
        poll_until(lambda: not leftovers(before), seconds=15)
    except AssertionError:
        left = leftovers(before)
        end_children(before)
        pytest.fail("the test left behind: " + "; ".join(left), pytrace=False)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A coroutine that a test left would keep the run from ending: it fails instead, and says which."""
    try:
        poll_until(lambda: not process_exit.holding(), seconds=5)
    except AssertionError:
        left = process_exit.holding()
        for coro in left:
            coro.set_daemon()
        print(f"\nthe tests left behind: {', '.join(map(repr, left))}", file=sys.stderr)
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
