"""The module ``asyncoro``: its names, and where it is."""

import os
import subprocess
import sys

import pytest

from greencoro.legacy import asyncoro

NAMES = [
    *("AsyncSocket", "AsynCoroSocket", "Coro", "AsynCoro", "Lock", "RLock", "Event", "Condition", "Semaphore"),
    *("HotSwapException", "MonitorException", "Location", "Channel", "CategorizeMessages", "AsyncThreadPool"),
    *("AsyncDBCursor", "Singleton", "logger", "serialize", "deserialize", "unserialize", "Logger"),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_old_is_there_and_is_brought_by_a_star(name):
    assert name in asyncoro.__all__ and getattr(asyncoro, name) is not None


def test_no_other_names_are_brought_by_a_star():
    assert set(asyncoro.__all__) == set(NAMES)


def test_it_has_its_version_and_its_constant():
    assert (asyncoro.__version__, asyncoro.MsgTimeout) == ("4.2.1", 10)


def test_beside_it_is_the_dockerfile():
    assert os.path.isfile(os.path.join(os.path.dirname(asyncoro.__file__), "data", "Dockerfile"))


def test_to_import_it_starts_nothing():
    text = """
import greencoro.legacy, threading
greencoro.legacy.install()
import asyncoro
import asyncoro as again, asyncoro3
assert asyncoro is again is asyncoro3
assert threading.active_count() == 1 and asyncoro.Coro.scheduler() is None
"""
    ran = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=50)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
