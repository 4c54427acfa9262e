"""In processes of their own: this one has threads."""

import subprocess
import sys
from pathlib import Path

import pytest

from greencoro.compute.fork_checks import check_can_fork
from greencoro.errors import LocalProtocolError
from greencoro.hub import native

ROOT = Path(__file__).parents[2]


def checked(before):
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from gevent import monkey
monkey.patch_all()
from greencoro.compute.fork_checks import check_can_fork
from greencoro.hub import native
{before}
try:
    check_can_fork()
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def test_Z6_process_with_one_thread_and_no_hub_can_be_forked():
    assert checked("") == ""


def test_Z6_process_with_a_hub_is_not_forked():
    assert checked("import gevent\ngevent.sleep(0)") == "LocalProtocolError a process with a hub is not forked\n"


def test_Z6_process_with_a_thread_is_not_forked():
    thread = "native.Thread(lambda: native.sleep(600), 'a name').start()"
    assert checked(thread).startswith("LocalProtocolError a process with 2 threads is not forked: ")


def test_Z6_a_thread_of_this_process_is_seen():
    over = native.Event()
    thread = native.Thread(lambda: over.wait(), "of this test")
    thread.start()
    try:
        with pytest.raises(LocalProtocolError, match="threads is not forked"):
            check_can_fork()
    finally:
        over.set()
        thread.join()
