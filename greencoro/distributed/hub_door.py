"""What the user hub watches for all connections that it serves.

One descriptor that is never closed, for libev ends the process where one that it watches is closed by another thread.
It is that of one of the kernel's own sets of descriptors (epoll): into that, and out of it, any thread puts others.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any, Protocol

from gevent import monkey

from greencoro.hub import userhub

__all__ = ["Door"]

# Linux has it; elsewhere the reactor keeps all connections. The original: gevent takes it out where it patches.
_epoll: Any = monkey.get_original("select", "epoll") if sys.platform == "linux" else None


class Readable(Protocol):
    """What is needed of a connection."""

    def read(self) -> bool:
        """Take what came; False where the reactor is busy for long, and it stays readable."""


class Door:
    """See the module.

    Attributes:
        is_possible (bool): Does this system have such sets?
    """

    is_possible = _epoll is not None

    def __init__(self) -> None:
        self._served: dict[int, Readable] = {}
        self._set: Any = None
        # The hub's; none while nothing is served, for a hub that watches something is not idle (`hub.stuck`).
        self._watcher: Any = None

    def add(self, descriptor: int, io: Readable) -> None:
        """Have ``io.read()`` called while ``descriptor`` is readable; in a reactor's turn, on the hub."""
        if self._set is None:
            self._set = _epoll()
        self._served[descriptor] = io
        try:
            self._set.register(descriptor, 1)
        except OSError:
            del self._served[descriptor]
            raise
        if self._watcher is None:
            self._watcher = userhub.watch(self._set.fileno(), self._on_readable)

    def remove(self, descriptor: int) -> None:
        """No more of that; in a reactor's turn, before it is closed. Where it was not added, nothing."""
        if self._served.pop(descriptor, None) is None:
            return
        with contextlib.suppress(OSError):  # it broke so that the stream had to close it
            self._set.unregister(descriptor)
        if not self._served:
            userhub.post(self._rest)

    def _rest(self) -> None:
        if not self._served and self._watcher is not None:
            watcher, self._watcher = self._watcher, None
            watcher.stop()
            watcher.close()

    def _on_readable(self) -> None:
        served = list(self._served)
        # Of one, nearly always, there is no need to ask which.
        for descriptor in served if len(served) == 1 else [each for each, _ in self._set.poll(0)]:
            # Another thread may remove one in the middle of this.
            io = self._served.get(descriptor)
            if io is not None and not io.read():
                # A reactor that is busy is for all of them: to wait for it once is enough, before coroutines go on.
                return
