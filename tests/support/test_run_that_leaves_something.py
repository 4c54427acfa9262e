"""A test run in which a test leaves something."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

LEAVES = """
from greencoro import Coro

def test_leaves_one():
    coro = Coro(lambda coro: coro.receive())
    coro.name = "left"
"""


def test_a_coroutine_that_a_test_leaves_fails_the_run_and_does_not_keep_it_from_ending(tmp_path):
    test = tmp_path / "test_leaves.py"
    test.write_text(LEAVES)
    options = ["-p", "no:cacheprovider", "-p", "no:xdist", "-p", "tests.conftest", "-c", str(ROOT / "pyproject.toml")]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(test)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ended.returncode == 1, ended.stdout
    assert "1 passed" in ended.stdout
    assert "the tests left behind: left/" in ended.stderr
