"""A node daemon's handle to one server process."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import shutil
import signal
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from greencoro.compute.child import UNKNOWN_EXIT, spawn
from greencoro.compute.guard import Guard
from greencoro.hub import native

__all__ = ["ServerProcess", "explain_exit"]

_log = logging.getLogger(__name__)

_LAST_LINES = 8
_MAX_LINE_CHARACTERS = 300


class ServerProcess:
    """Start one, talk to it, hear of its end.

    Its reports and its end are told in a thread of this object's own; everything else is for the daemon's main thread,
    which has to live as long as the daemon does: the kernel kills the server when the *thread* that started it ends.

    Args:
        slot (int): The server's number.

        directory (Path): Does not exist yet; the server works there, it is removed at its end.

        guard: Is told of its process group.

        on_report: Called with what the server reports.

        on_exit: Called with an explanation once it is gone with its process group.

    Raises:
        OSError: It could not be started; nothing is left of it.
    """

    def __init__(
        self,
        slot: int,
        directory: Path,
        guard: Guard,
        on_report: Callable[[dict[str, Any]], None],
        on_exit: Callable[[str], None],
    ) -> None:
        self.slot = slot
        self.directory = directory
        self._guard = guard
        self._on_report = on_report
        self._on_exit = on_exit
        self._last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._burying = native.Lock()
        self._buried = False
        with contextlib.ExitStack() as undo:
            directory.mkdir(mode=0o700, parents=True)
            undo.callback(shutil.rmtree, directory, ignore_errors=True)
            self._stderr, theirs = os.pipe()
            undo.callback(native.close, self._stderr)
            try:
                self._process, self._channel = spawn(["greencoro.compute.server_process"], stderr=theirs)
            finally:
                native.close(theirs)
            undo.callback(self._channel.close)
            undo.callback(self._give_up)
            guard.watch(self._process.pid)
            # A zombie keeps its number, so what this refers to cannot change until `wait`.
            self._exit_descriptor = os.pidfd_open(self._process.pid)
            undo.callback(native.close, self._exit_descriptor)
            self._watcher = native.Thread(self._watch, f"greencoro-server-{slot}")
            try:
                self._watcher.start()
            except RuntimeError as error:
                raise OSError(str(error)) from error
            undo.pop_all()

    def _give_up(self) -> None:
        """End a process that cannot be watched."""
        self._process.kill()
        self._process.wait()
        self._guard.forget(self._process.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: dict[str, Any]) -> None:
        """Tell the server; where it is gone, its end is being reported anyway."""
        self._channel.send(message)

    def kill(self) -> None:
        """End it by force, with all it started; where it has ended, nothing."""
        with self._burying, contextlib.suppress(ProcessLookupError):
            if not self._buried:
                signal.pidfd_send_signal(self._exit_descriptor, signal.SIGKILL)

    def join(self) -> None:
        """Wait until its end has been told."""
        self._watcher.join()

    def _watch(self) -> None:
        poll = select.poll()
        for descriptor in (self._channel.fileno(), self._stderr, self._exit_descriptor):
            poll.register(descriptor, select.POLLIN)
        over = False
        while not over:
            for descriptor, _ in poll.poll():
                if descriptor == self._exit_descriptor:
                    over = True
                elif descriptor == self._stderr:
                    if not self._pass_on():
                        poll.unregister(descriptor)
                elif self._channel.fill():
                    for report in self._channel.lines():
                        self._on_report(report)
                else:
                    poll.unregister(descriptor)
        self._bury()

    def _bury(self) -> None:
        # The group first, while the dead leader still holds its number.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        while select.select([self._stderr], [], [], 0)[0] and self._pass_on():
            pass
        try:
            self._guard.forget(self._process.pid)
        except OSError as error:
            _log.warning("the process that guards the servers could not be told of an end: %s", error)
        with self._burying:
            self._buried = True
            returncode = self._process.wait()
            native.close(self._exit_descriptor)
        self._channel.close()
        native.close(self._stderr)
        shutil.rmtree(self.directory, ignore_errors=True)
        self._on_exit(explain_exit(returncode, list(self._last_lines)))

    def _pass_on(self) -> bool:
        """Write on what the server wrote to its standard error, keeping the last lines; False at its end."""
        data = os.read(self._stderr, 65536)
        if not data:
            return False
        with contextlib.suppress(OSError, ValueError):  # nobody may be there to read it
            sys.stderr.buffer.write(data)
            sys.stderr.buffer.flush()
        for line in data.decode(errors="replace").splitlines():
            if line.strip():
                self._last_lines.append(line.rstrip()[:_MAX_LINE_CHARACTERS])
        return True


def explain_exit(returncode: int, last_lines: list[str]) -> str:
    """How a process ended, for people: its exit code or signal, then the last lines of its standard error."""
    if returncode == UNKNOWN_EXIT:
        what = "ended in a way that is not known"
    elif returncode < 0:
        try:
            name = signal.Signals(-returncode).name
        except ValueError:
            name = f"signal {-returncode}"
        what = f"was killed by {name}"
        if -returncode == signal.SIGKILL:
            what += " (by somebody, or by the kernel for want of memory)"
    else:
        what = f"ended with exit code {returncode}"
    if not last_lines:
        return what
    return what + "; the last it wrote to standard error:\n" + "\n".join(f"  {line}" for line in last_lines)
