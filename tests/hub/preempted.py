"""Programs in which coroutines that compute are ended: patched, with the hub in the main thread, as servers have it."""

import json
import os
import random
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import greencoro
from greencoro import Coro
from greencoro.hub import native, preemption, userhub

_BEGIN = """
from gevent import monkey
monkey.patch_all()
from tests.hub.preempted import *
"""


def run_program(text: str, *args: str, seconds: float = 120) -> Any:
    """Run a program that calls `serve`; what its function returned."""
    done = subprocess.run(
        [sys.executable, "-c", _BEGIN + text, *args],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


#: In the program: whom `on_stubborn` was called with.
stubborn: list[preemption.Stubborn] = []


def serve(function: Callable[[], Any], after: float = 0.02, patience: float = 3.0) -> None:
    """In the program: call ``function`` in a native thread while the hub turns in this one, and print the result."""
    result: list[Any] = []

    def control() -> None:
        try:
            result.append(function())
        except BaseException:
            # At once: a coroutine that computes without end would keep the hub from stopping.
            traceback.print_exc()
            print(greencoro.stacks(), stubborn, file=sys.stderr, flush=True)
            os._exit(1)
        userhub.stop()

    userhub.adopt()
    preemption.install(stubborn.append, after=after, patience=patience)
    thread = native.Thread(control, "control")
    thread.start()
    userhub.run_adopted()
    thread.join()
    print(json.dumps(result[0]))


class Ticker:
    """A coroutine that sleeps again and again, and how often it has."""

    def __init__(self) -> None:
        self.count = 0
        self.coro = Coro(self._tick)

    def _tick(self) -> None:
        while True:
            time.sleep(0.001)
            self.count += 1


def computing(function: Callable[..., Any], *args: Any) -> Coro:
    """A coroutine that calls ``function(began, *args)`` and is in the middle of it: ``began()`` was called."""
    begun: list[bool] = []
    coro = Coro(function, lambda: begun.append(True), *args)
    poll(lambda: begun)
    return coro


def poll(condition: Callable[[], Any], what: str = "") -> None:
    """As `poll_until`, which in a patched process would make a hub in this thread."""
    deadline = native.monotonic() + 30
    while not condition():
        assert native.monotonic() < deadline, f"not within 30 s: {what or condition!r}"
        native.sleep(0.001)


def wait_for_end(coro: Coro) -> str:
    """How it ended."""
    poll(lambda: not coro.is_alive(), f"the end of {coro!r}")
    return str(coro.notice().kind)


def pause_at_random(longest: float) -> None:
    native.sleep(random.random() * longest)
