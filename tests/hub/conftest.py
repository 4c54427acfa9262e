"""What the hub's tests share: programs that run in a process of their own, and a check that no coroutine is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from greencoro.hub import exit as process_exit
from tests.support.polling import poll_until

ROOT = Path(__file__).parent.parent.parent

PATCH = "from gevent import monkey; monkey.patch_all()\n"

# Stands before every program. `ready()` tells the test that the moment for a signal has come.
PRELUDE = """
import os, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background of a shell
def ready():
    os.write(1, b"ready\\n")
from greencoro import Coro, CoroTerminated, DeadlineExceeded, Terminated, sleep
from greencoro.hub import exit as process_exit, native, userhub
"""


@dataclass
class Ended:
    """How a program ended."""

    status: int
    out: str
    err: str
    #: From the (last) signal, or else from the start, to the end.
    seconds: float


Run = Callable[..., Ended]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a program in a process of its own: ``run(source, patched=False, interrupts=0, timeout=20)``.

    With ``interrupts`` it is sent SIGINT that often, the first time when it has called ``ready()``.
    """

    def run_program(source: str, patched: bool = False, interrupts: int = 0, timeout: float = 20) -> Ended:
        program = tmp_path / "program.py"
        program.write_text((PATCH if patched else "") + PRELUDE + textwrap.dedent(source))
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1"}
        # What a program prints shall stand in its buffer, as it does where the output is a file.
        environment.pop("PYTHONUNBUFFERED", None)
        process = subprocess.Popen(
            [sys.executable, str(program)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        began = time.monotonic()
        before = b""
        assert process.stdout is not None
        try:
            while interrupts and (line := process.stdout.readline()) != b"ready\n":
                assert line, f"it never was ready: {process.communicate()}"
                before += line
            for number in range(interrupts):
                # What follows `ready()` has begun then, mostly; and two signals in one instant would be one.
                time.sleep(0.3 if number else 0.05)
                began = time.monotonic()
                process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)  # faulthandler shows where it hangs
            _, err = process.communicate()
            pytest.fail(f"the program did not end within {timeout} s\n{err.decode()}", pytrace=False)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            process.stdout.close()
        seconds = time.monotonic() - began
        return Ended(process.returncode, (before + out).decode(), err.decode(), seconds)

    return run_program


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    """Let threads take turns as often as Python can, so that races show."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.fixture(autouse=True)
def _leaves_no_coroutine() -> Iterator[None]:
    before = set(process_exit.alive)
    yield

    def left() -> list[object]:
        return [coro for coro_id, coro in list(process_exit.alive.items()) if coro_id not in before]

    try:
        poll_until(lambda: not left(), seconds=15)
    except AssertionError:
        names = [repr(coro) for coro in left()]
        for coro in left():
            coro.terminate()  # type: ignore[attr-defined]
        pytest.fail(f"the test left coroutines behind: {names}", pytrace=False)
