"""Whole test runs, of tests that do what none should."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

LEAVES = """
from greencoro import Coro

def test_leaves_one():
    coro = Coro(lambda coro: coro.receive())
    coro.name = "left"
"""


HANGS = """
import time, pytest

@pytest.mark.timeout(1)
def test_that_hangs():
    time.sleep(100)  # here it hangs
"""


def run(directory, text, *options):
    test = directory / "test_some.py"
    test.write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "tests.conftest", *options]
    return subprocess.run(
        [*command, "-c", str(ROOT / "pyproject.toml"), str(test)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_a_coroutine_that_a_test_leaves_fails_the_run_and_does_not_keep_it_from_ending(tmp_path):
    ended = run(tmp_path, LEAVES, "-p", "no:xdist")
    assert ended.returncode == 1, ended.stdout
    assert "1 passed" in ended.stdout
    assert "the tests left behind: left/" in ended.stderr


@pytest.mark.parametrize("workers", [0, 1])
def test_where_a_test_hangs_it_is_shown_where_in_a_worker_too(tmp_path, workers):
    ended = run(tmp_path, HANGS, "-n", str(workers))
    assert ended.returncode == 1, ended.stdout
    assert "time.sleep(100)  # here it hangs" in ended.stdout + ended.stderr
