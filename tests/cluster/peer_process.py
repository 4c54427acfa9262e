"""A runtime in a process of its own, for tests that kill, stop or patch it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from greencoro.distributed.location import Location
from tests.support.stopping import await_stopped

ROOT = Path(__file__).parent.parent.parent
KEY = b"k" * 32
#: A peer that stands still for less than four of these, because the machine does something else, is not lost.
TICK = 0.5
#: Of those who are busy for ten times as long as it takes to be lost, which are ten seconds.
BUSY_TICK = 0.25

PATCH = "from gevent import monkey; monkey.patch_all()\n"

# Stands before every program. `told()` says that the moment for the test to act has come.
PRELUDE = """
import os, signal, sys, threading, time
from greencoro.config import Settings
from greencoro.distributed.location import Location
from greencoro.distributed.runtime import Runtime
from greencoro.hub.coroutine import Coro
from greencoro.hub.execution import sleep
KEY = {key!r}
runtime = Runtime("127.0.0.1", discover_peers=False, secret_key=KEY, settings=Settings(**{settings!r}))
print(runtime.location, flush=True)
def told(word):
    os.write(1, word.encode() + b"\\n")
"""


class PeerProcess:
    """A running program that has a runtime."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.location = Location.parse(self.line())

    def line(self) -> str:
        """The next line it prints."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            raise AssertionError(f"the program ended: {self.process.wait(10)}\n{self.errors()}")
        return line

    def signal(self, number: int) -> None:
        """Send a signal; after SIGSTOP each of its threads has stopped when this returns."""
        self.process.send_signal(number)
        if number == signal.SIGSTOP:
            await_stopped(self.process.pid)

    def errors(self) -> str:
        """What it wrote to standard error; once it is over."""
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def rest(self) -> str:
        """What it printed that was not read; once it is over."""
        assert self.process.stdout is not None
        return self.process.stdout.read()

    def wait(self, timeout: float = 10) -> int:
        return self.process.wait(timeout)


@contextmanager
def peer_process(
    source: str, patched: bool = False, *arguments: str, settings: dict[str, object] | None = None
) -> Iterator[PeerProcess]:
    """Run ``source`` after the prelude; it is killed at the end, if it still runs."""
    prelude = PRELUDE.format(key=KEY, settings={"tick_seconds": TICK} | (settings or {}))
    program = (PATCH if patched else "") + prelude + textwrap.dedent(source)
    restore: Callable[[], object] = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # noqa: E731
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # SIGINT may be ignored where the tests run in the background.
        preexec_fn=restore,
    )
    try:
        yield PeerProcess(process)
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()
