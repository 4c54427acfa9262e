"""A child process that speaks JSON lines with its parent over its standard input.

Standard input is one end of a socket pair, so both sides can write, nothing secret appears in arguments or environment,
and each side sees end of file when the other one dies in whatever way. Everything here blocks its thread.
"""

from __future__ import annotations

import _socket
import dataclasses
import json
import os
import signal
import site
import stat
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gevent import monkey

from greencoro.config import Settings
from greencoro.hub import forks, native

__all__ = [
    "UNKNOWN_EXIT",
    "Channel",
    "ChildProcess",
    "child_environment",
    "python",
    "settings_as_json",
    "spawn",
    "start",
]

# In a patched program `subprocess` wants a hub in the calling thread, and sockets made by `socket` do not block: both
# are gevent's there. Like vfork posix_spawn runs nothing of this process in the child.
_posix_spawn = monkey.get_original("os", "posix_spawn")
_waitpid = monkey.get_original("os", "waitpid")

#: In place of an exit code that cannot be known; no process has it.
UNKNOWN_EXIT = 256
#: More than any configuration or report needs.
_MAX_LINE_BYTES = 1024 * 1024


class Channel:
    """One end: `send` from any thread, `receive` from one.

    Args:
        descriptor (int): Of the socket; the channel owns it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = bytearray()
        self._sending = native.Lock()
        forks.keep_from_children(self, Channel._let_go)

    @classmethod
    def from_standard_input(cls) -> Channel:
        """Take over this process's standard input, which then reads as empty for everybody else.

        Raises:
            OSError: Standard input is no channel.
        """
        if not stat.S_ISSOCK(os.fstat(0).st_mode):
            raise OSError("standard input is not a socket")
        descriptor = os.dup(0)  # not inherited by what this process starts
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        native.close(nothing)
        return cls(descriptor)

    def fileno(self) -> int:
        """The descriptor, for `poll`."""
        return self._descriptor

    def send(self, message: dict[str, Any]) -> bool:
        """Send one line; False where the other side is gone."""
        data = memoryview(json.dumps(message).encode() + b"\n")
        with self._sending:
            while data:
                try:
                    data = data[os.write(self._descriptor, data) :]
                except OSError:  # EPIPE and its like; a closed descriptor is as gone
                    return False
        return True

    def receive(self) -> dict[str, Any] | None:
        """Wait for one line; None where the other side is gone."""
        while True:
            line, newline, rest = self._buffer.partition(b"\n")
            if newline:
                self._buffer = rest
                message: dict[str, Any] = json.loads(line)
                return message
            if not self.fill():
                return None

    def fill(self) -> bool:
        """Read once what is there, waiting for something; False at the end."""
        if len(self._buffer) > _MAX_LINE_BYTES:
            return False
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:  # ECONNRESET: the other side is gone with something unread
            return False
        self._buffer += data
        return bool(data)

    def lines(self) -> list[dict[str, Any]]:
        """The whole lines that `fill` has read and nobody took."""
        *whole, rest = self._buffer.split(b"\n")
        self._buffer = bytearray(rest)
        return [json.loads(line) for line in whole]

    def close(self) -> None:
        """Close this end; the other side sees end of file."""
        with self._sending:
            self._let_go()

    def _let_go(self) -> None:
        # Its number may soon be another file's: a late `send` must not find it.
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            native.close(descriptor)


class ChildProcess:
    """A process that this one has started."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, or the negative number of the signal that killed it; None while it runs.

        `UNKNOWN_EXIT` where somebody else in this process, who waits for children of others, has kept how it ended.
        """
        return self._wait(os.WNOHANG)

    def wait(self) -> int:
        """As `poll`, once it has ended; blocks the thread until then."""
        returncode = self._wait(0)
        assert returncode is not None
        return returncode

    def _wait(self, options: int) -> int | None:
        if self._returncode is None:
            try:
                pid, status = _waitpid(self.pid, options)
            except ChildProcessError:
                self._returncode = UNKNOWN_EXIT
            else:
                if pid:
                    self._returncode = os.waitstatus_to_exitcode(status)
        return self._returncode

    def kill(self) -> None:
        """End it by force; where it has ended, nothing."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


def python(*arguments: str) -> list[str]:
    """The command that runs ``python -m`` with the arguments."""
    # -P: files that happen to lie in the working directory are not imported.
    return [sys.executable, "-P", "-m", *arguments]


def start(command: Sequence[str], standard_input: int, environment: Mapping[str, str]) -> ChildProcess:
    """Start a program in a session and process group of its own.

    Args:
        standard_input (int): Descriptor of what it has as that.

    Raises:
        OSError: It could not be started.
    """
    pid: int = _posix_spawn(
        command[0],
        command,
        environment,
        file_actions=[(os.POSIX_SPAWN_DUP2, standard_input, 0)],
        setsid=True,
        setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
    )
    return ChildProcess(pid)


def spawn(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[ChildProcess, Channel]:
    """Start ``python -m`` with the arguments, and a channel to it.

    Args:
        environment: A `child_environment`, perhaps with less.

    Raises:
        OSError: It could not be started.
    """
    ours, theirs = _socket.socketpair()
    try:
        process = start(python(*arguments), theirs.fileno(), environment)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return process, Channel(ours.detach())


def settings_as_json(settings: Settings) -> dict[str, Any]:
    """The settings, for a child to make `Settings` of."""
    values = dataclasses.asdict(settings)
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def child_environment() -> dict[str, str]:
    """This process's environment, in which a child finds the same greencoro."""
    environment = dict(os.environ)
    root = str(Path(__file__).resolve().parents[2])
    installed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()}
    if root not in installed:
        # Run from a checkout, which this process may have found through a relative path.
        paths = environment.get("PYTHONPATH", "").split(os.pathsep)
        if root not in paths:
            environment["PYTHONPATH"] = os.pathsep.join([root, *filter(None, paths)])
    return environment
