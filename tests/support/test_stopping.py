"""Processes that a test stops."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from tests.support.stopping import stop

THREADS = """
import threading
for _ in range(4):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
print(flush=True)
while True:
    pass
"""


@pytest.fixture
def busy() -> Iterator[psutil.Process]:
    """A process with several threads, one of which computes."""
    with subprocess.Popen([sys.executable, "-c", THREADS], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield psutil.Process(process.pid)
        process.kill()


def test_nothing_of_a_process_that_was_stopped_computes(busy: psutil.Process) -> None:
    for _ in range(20):
        stop(busy.pid)
        before = [thread.user_time + thread.system_time for thread in busy.threads()]
        assert len(before) == 5
        assert busy.status() == psutil.STATUS_STOPPED
        assert [thread.user_time + thread.system_time for thread in busy.threads()] == before
        os.kill(busy.pid, signal.SIGCONT)


def test_a_process_that_cannot_be_stopped_because_it_is_gone_is_an_error(busy: psutil.Process) -> None:
    busy.kill()
    busy.wait()
    with pytest.raises(ProcessLookupError):
        stop(busy.pid)
