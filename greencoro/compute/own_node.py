"""A node daemon that this process has started and ends.

What is not needed before its start is imported after that, while it imports, too.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from greencoro import compute
from greencoro.compute.child import settings_as_json, spawn
from greencoro.compute.job_environment import job_environment
from greencoro.config import Settings
from greencoro.distributed.location import Location
from greencoro.errors import ComputeError
from greencoro.hub import native

if TYPE_CHECKING:
    from greencoro.hub.completion import Completion

__all__ = ["OwnNode"]

_START_SECONDS = 30.0
#: What the daemon is given to end its servers, itself and its files; then it is killed, which ends the servers too.
_END_SECONDS = 5.0


class OwnNode:
    """The daemon begins to start when this is made, and is there after `wait`; it dies with this process.

    Attributes:
        location (Location): Where it is, after `wait`.
    """

    location: Location

    def __init__(self) -> None:
        self._process, self._channel = spawn(["greencoro", "node", "--handshake"], job_environment())

    def configure(self, key: bytes, servers: int, settings: Settings, dest_path: str | os.PathLike[str] | None) -> None:
        """Tell it what to be."""
        self._channel.send(
            {
                "key": key.hex(),
                "host": "127.0.0.1",
                "servers": servers,
                "dest_path": None if dest_path is None else os.fspath(dest_path),
                "settings": settings_as_json(settings),
                # The intervals that computations of this process may ask for.
                "pulses": [compute.MinPulseInterval, compute.MaxPulseInterval],
            }
        )

    def wait(self) -> Location:
        """Where it is, once it is there.

        Raises:
            ComputeError: It could not start; it has said why on standard error.
        """
        from greencoro.hub.completion import Completion

        answer = Completion()
        native.Thread(lambda: self._read(answer), "greencoro-cluster").start()
        if not answer.wait(_START_SECONDS):
            raise ComputeError(f"the node daemon did not start within {_START_SECONDS:g} s")
        if answer.value is None:
            raise ComputeError("the node daemon ended while it started; standard error says why")
        self.location = Location(answer.value["host"], answer.value["port"])
        return self.location

    def _read(self, answer: Completion) -> None:
        answer.set(self._channel.receive())

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Is there no such process any more?"""
        return self._process.poll() is not None

    def close(self, give_back: Callable[[], None] = lambda: None) -> None:
        """End it: when this returns, nothing of it is left.

        Args:
            give_back: Called when it has been told that it will end, to end what is reserved there.
        """
        from greencoro.hub.execution import sleep

        self._channel.send({"order": "retire"})
        give_back()
        self._channel.send({"order": "end"})
        deadline = native.monotonic() + _END_SECONDS
        while not self.has_ended:
            if native.monotonic() > deadline:
                self._process.kill()
            sleep(0.002)
        self._channel.close()
