"""Makes `multiprocessing` work in the jobs of a server process.

A process is started afresh, never forked, and begins with the functions and classes that the client shipped. What waits
in this process for another one, in a call of C that would stop all coroutines, waits as a coroutine does.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import multiprocessing.spawn
import multiprocessing.synchronize
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from gevent.socket import wait_read, wait_write

from greencoro.compute import spawned_main
from greencoro.compute.loader import Loader
from greencoro.hub import native

__all__ = ["prepare"]

#: How soon a lock that another process holds is tried again: at first, and at most.
_FIRST_SECONDS, _LONGEST_SECONDS = 0.0005, 0.02


def prepare(loader: Loader, directory: Path) -> None:
    """See the module; once, in the server's main thread, before any job."""
    multiprocessing.set_start_method("spawn", force=True)
    original = multiprocessing.spawn.get_preparation_data

    def get_preparation_data(name: str) -> dict[str, Any]:
        data = original(name)
        data.pop("init_main_from_name", None)
        data["init_main_from_path"] = str(spawned_main.write(loader, directory))
        return data

    multiprocessing.spawn.get_preparation_data = get_preparation_data
    connection: Any = multiprocessing.connection.Connection
    connection._recv.__defaults__ = (_read,)
    connection._send.__defaults__ = (_write,)
    locks: Any = multiprocessing.synchronize.SemLock
    make_methods = locks._make_methods

    def make(self: Any) -> None:
        make_methods(self)
        self.acquire = _cooperative(self._semlock.acquire)

    locks._make_methods = make
    locks.__enter__ = lambda self: self.acquire()


def _read(descriptor: int, size: int) -> bytes:
    wait_read(descriptor)
    return os.read(descriptor, size)


def _write(descriptor: int, data: Any) -> int:
    wait_write(descriptor)
    # A pipe that can be written to takes so much without waiting.
    return os.write(descriptor, memoryview(data)[:4096])


def _cooperative(acquire: Callable[..., bool]) -> Callable[..., bool]:
    def wait(block: bool = True, timeout: float | None = None) -> bool:
        deadline = None if timeout is None else native.monotonic() + timeout
        pause = _FIRST_SECONDS
        while not acquire(False):
            left = pause if deadline is None else deadline - native.monotonic()
            if not block or left <= 0:
                return False
            gevent.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_SECONDS)
        return True

    return wait
