"""How a node daemon comes by a server process: what it orders, what it gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from greencoro.compute.child import Channel

__all__ = ["LISTENER", "LaunchOrder", "Launched", "Launcher", "Outcome"]

#: In a server process, the descriptor of the listening socket that its daemon gave it.
LISTENER = 3


@dataclass(frozen=True)
class LaunchOrder:
    """Which process is wanted.

    Attributes:
        slot (int): The server's number.

        listener (int | None): Descriptor of a listening socket, which the process has as `LISTENER`.
    """

    slot: int
    listener: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a process that was ordered.

    Attributes:
        returncode (int | None): Its exit code, or the negative number of the signal that killed it; None where that
            cannot be known.

        problem (str): Why it could not be started; empty where it was.

        cause (str): What has ended it, where that shows in no number.

        cpu_seconds (float | None): What it has computed, with those children that it has waited for; None: not known.

        peak_bytes (int | None): The most memory that it, or one of those, has had; None: not known.
    """

    returncode: int | None = None
    problem: str = ""
    cause: str = ""
    cpu_seconds: float | None = None
    peak_bytes: int | None = None


class Launched(Protocol):
    """A server process in a session and process group of its own, which will be told what to do through its channel.

    It may have to be waited for, and come to nothing.

    Attributes:
        channel (Channel): To it; whoever launched it closes this.

        stderr (int): Descriptor of what it writes to its standard error; whoever launched it closes this.

        ended (int): Descriptor that `poll` shows as readable once it has ended, with all it started; `collect` closes
            this.
    """

    @property
    def channel(self) -> Channel: ...

    @property
    def stderr(self) -> int: ...

    @property
    def ended(self) -> int: ...

    def kill(self) -> None:
        """End it by force; where it has ended, nothing. Any thread, also after `collect`."""

    def collect(self) -> Outcome:
        """Once it has ended: how."""


class Launcher(Protocol):
    """Starts server processes, and sees to it that none outlives the daemon, however that ends."""

    def launch(self, order: LaunchOrder) -> Launched:
        """Have a process started; in the daemon's main thread.

        Raises:
            OSError: It cannot be; nothing is left of it.
        """

    def kill(self) -> None:
        """End by force, and with it every process: the way out where a `kill` of those comes to nothing."""

    def close(self) -> None:
        """Have no more to do: every process has been collected."""
