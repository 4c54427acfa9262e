"""How a node daemon comes by a server process: what it orders, what it gets, and the plain way to it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from dataclasses import dataclass
from typing import Protocol

from greencoro.compute.child import Channel, ChildProcess, spawn
from greencoro.compute.guard import Guard
from greencoro.hub import native

__all__ = ["LaunchOrder", "Launched", "Launcher", "Spawner"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LaunchOrder:
    """Which process is wanted.

    Attributes:
        slot (int): The server's number.

        run (int): Counts the processes of the slot.

        listener (int | None): Descriptor of a listening socket, which the process has as `child.LISTENER`.
    """

    slot: int
    run: int
    listener: int | None = None


class Launched(Protocol):
    """A server process in a session and process group of its own, which will be told what to do through its channel.

    Attributes:
        pid (int): Its number.

        channel (Channel): To it; whoever launched it closes this.

        stderr (int): Descriptor of what it writes to its standard error; whoever launched it closes this.

        ended (int): Descriptor that `poll` shows as readable once it has ended; `collect` closes it.
    """

    @property
    def pid(self) -> int: ...

    @property
    def channel(self) -> Channel: ...

    @property
    def stderr(self) -> int: ...

    @property
    def ended(self) -> int: ...

    def kill(self) -> None:
        """End it by force; where it has ended, nothing. Any thread, also after `collect`."""

    def collect(self) -> int:
        """Once it has ended: end what it started, let go of its number, and say how it ended.

        Returns:
            int: Its exit code, the negative number of the signal that killed it, or `child.UNKNOWN_EXIT`.
        """


class Launcher(Protocol):
    """Starts server processes, and sees to it that none outlives the daemon, however that ends."""

    def launch(self, order: LaunchOrder) -> Launched:
        """Start a process; in the daemon's main thread, which lives as long as the daemon does.

        Raises:
            OSError: It could not be started; nothing is left of it.
        """

    def close(self) -> None:
        """Have no more to do: every process has been collected."""


class Spawner:
    """A `Launcher` that starts an interpreter for each process.

    Args:
        guard (Guard): Is told of the process groups; closed with this.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def launch(self, order: LaunchOrder) -> Launched:
        """See `Launcher`."""
        with contextlib.ExitStack() as undo:
            stderr, theirs = os.pipe()
            undo.callback(native.close, stderr)
            try:
                process, channel = spawn(["greencoro.compute.server_process"], stderr=theirs, listener=order.listener)
            finally:
                native.close(theirs)
            undo.callback(channel.close)
            undo.callback(self._give_up, process)
            self._guard.watch(process.pid)
            launched = _Spawned(process, channel, stderr, self._guard)
            undo.pop_all()
        return launched

    def _give_up(self, process: ChildProcess) -> None:
        """End a process that cannot be watched."""
        process.kill()
        process.wait()
        self._guard.forget(process.pid)

    def close(self) -> None:
        """See `Launcher`."""
        self._guard.close()


class _Spawned:
    def __init__(self, process: ChildProcess, channel: Channel, stderr: int, guard: Guard) -> None:
        self.pid = process.pid
        self.channel = channel
        self.stderr = stderr
        # A zombie keeps its number, so what this refers to cannot change until `collect`.
        self.ended = os.pidfd_open(process.pid)
        self._process = process
        self._guard = guard
        self._collecting = native.Lock()
        self._collected = False

    def kill(self) -> None:
        with self._collecting, contextlib.suppress(ProcessLookupError):
            if not self._collected:
                signal.pidfd_send_signal(self.ended, signal.SIGKILL)

    def collect(self) -> int:
        # The group first, while the dead leader still holds its number.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        try:
            self._guard.forget(self.pid)
        except OSError as error:
            _log.warning("the process that guards the servers could not be told of an end: %s", error)
        with self._collecting:
            self._collected = True
            returncode = self._process.wait()
            native.close(self.ended)
        return returncode
