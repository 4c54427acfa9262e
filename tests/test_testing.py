import os
import subprocess
import sys
import time
import unittest

import pytest

from greencoro import Coro, sleep
from greencoro.hub import exit as process_exit
from greencoro.hub import watchdog
from greencoro.hub.whereabouts import whereabouts
from greencoro.testing import blocked_hub_is_failure, no_coroutines_left
from tests.hub.conftest import ROOT
from tests.support.polling import poll_until


def hog(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def hog_until_reported():
    """Keep the hub for as long as the watchdog takes to say so; its thread may be late."""
    told = []

    def listen(blockage):
        if not blockage.is_over:
            told.append(blockage)

    watchdog.add_listener(listen)
    try:
        end = time.monotonic() + 20
        while not told and time.monotonic() < end:
            pass
    finally:
        watchdog.remove_listener(listen)


def test_a_coroutine_that_keeps_others_waiting_fails_the_block_and_is_named():
    with pytest.raises(AssertionError) as failure, blocked_hub_is_failure(0.1):
        coro = Coro(hog_until_reported)
        coro.value(30)
    assert f"coroutine {coro!r} keeps it from that, at {__file__}:" in str(failure.value)
    assert str(failure.value).endswith(" in hog_until_reported()")


def test_coroutines_that_give_way_pass():
    # The hub itself may be kept waiting, for less than this, by whatever else the machine does.
    with blocked_hub_is_failure(2):
        Coro(sleep, 2.5).value(30)


def test_the_time_is_the_tests_and_ends_with_the_block():
    with pytest.raises(AssertionError), blocked_hub_is_failure(0.1):
        Coro(hog_until_reported).value(30)
    with blocked_hub_is_failure(10):
        Coro(hog, 0.4).value(30)


def test_what_the_block_raises_comes_first():
    with pytest.raises(ZeroDivisionError), blocked_hub_is_failure(0.1):
        Coro(hog_until_reported).value(30)
        raise ZeroDivisionError


@pytest.mark.parametrize("seconds", [0, -1, None, float("nan")])
def test_a_time_that_is_none_is_refused(seconds):
    with pytest.raises(ValueError), blocked_hub_is_failure(seconds):
        pass


def test_a_coroutine_that_is_left_fails_the_block_and_is_ended():
    with pytest.raises(AssertionError) as failure, no_coroutines_left(0.1):
        left = Coro(lambda coro: coro.receive())
        poll_until(lambda: (seen := whereabouts(left)) is not None and "receive()" in seen.state, what="it waits")
    assert f"coroutines were left: {left!r} waits in receive() ({__file__}:" in str(failure.value)
    poll_until(lambda: not left.is_alive())


def test_coroutines_from_before_may_stay_and_new_ones_may_take_their_time():
    before = Coro(lambda coro: coro.receive())
    with no_coroutines_left(30):
        Coro(sleep, 0.2)
    before.terminate()
    poll_until(lambda: not process_exit.alive)


def test_they_serve_unittest_too():
    class Case(unittest.TestCase):
        def runTest(self):
            with blocked_hub_is_failure(0.1):
                Coro(hog_until_reported).value(30)

    result = unittest.TestResult()
    Case().run(result)
    assert len(result.failures) == 1 and result.errors == []


TESTS = """
import time
import pytest
from greencoro import Coro
pytest_plugins = ["greencoro.testing"]

def hog(seconds):
    time.sleep(seconds)

def test_blocks(blocked_hub_is_failure):
    Coro(hog, 4).value(30)

@pytest.mark.usefixtures("no_coroutines_left")
def test_leaves():
    Coro(lambda coro: coro.receive()).set_daemon()

def test_good(blocked_hub_is_failure, no_coroutines_left):
    Coro(hog, 0.1).value(10)
"""


def test_as_pytest_fixtures_they_fail_the_test_with_the_coroutine_and_its_line(tmp_path):
    path = tmp_path / "test_program.py"
    path.write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, path],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 1
    assert "3 passed, 2 errors" in done.stdout
    assert f"at {path}:8 in hog()" in done.stdout
    assert "waits in receive() (" in done.stdout


def test_programs_that_import_it_need_no_pytest():
    code = "import sys; sys.modules['pytest'] = None; import greencoro.testing"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)


def test_a_block_that_raises_leaves_no_coroutine_and_raises_its_own_error():
    with pytest.raises(KeyError), no_coroutines_left(30):
        coro = Coro(lambda coro: coro.receive())
        raise KeyError
    poll_until(lambda: not coro.is_alive())
