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

from greencoro.compute.child import UNKNOWN_EXIT
from greencoro.compute.launching import Launcher, LaunchOrder
from greencoro.compute.server_words import Configure, Order, Report, read_report, to_line
from greencoro.errors import RemoteProtocolError
from greencoro.hub import native

__all__ = ["ServerProcess", "explain_exit"]

_log = logging.getLogger(__name__)

_LAST_LINES = 8
_MAX_LINE_CHARACTERS = 300


class ServerProcess:
    """Start one, talk to it, hear of its end.

    Its reports and its end are told in a thread of this object's own; everything else is for the daemon's main thread.

    Args:
        order (LaunchOrder): Which one.

        directory (Path): Does not exist yet; the server works there, it is removed at its end.

        launcher: Starts it.

        on_report: Called with what the server reports.

        on_exit: Called with an explanation once it is gone with its process group.

    Raises:
        OSError: It could not be started; nothing is left of it.
    """

    def __init__(
        self,
        order: LaunchOrder,
        directory: Path,
        launcher: Launcher,
        on_report: Callable[[Report], None],
        on_exit: Callable[[str], None],
    ) -> None:
        self.slot = order.slot
        self.directory = directory
        self._on_report = on_report
        self._on_exit = on_exit
        self._last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        with contextlib.ExitStack() as undo:
            directory.mkdir(mode=0o700, parents=True)
            undo.callback(shutil.rmtree, directory, ignore_errors=True)
            self._process = launcher.launch(order)
            self._watcher = native.Thread(self._watch, f"greencoro-server-{order.slot}")
            try:
                self._watcher.start()
            except RuntimeError as error:
                self._give_up()
                raise OSError(str(error)) from error
            undo.pop_all()

    def _give_up(self) -> None:
        """End a process that cannot be watched."""
        self._process.kill()
        select.select([self._process.ended], [], [])
        self._process.collect()
        self._process.channel.close()
        native.close(self._process.stderr)

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, word: Configure | Order) -> None:
        """Tell the server; where it is gone, its end is being reported anyway."""
        self._process.channel.send(to_line(word))

    def kill(self) -> None:
        """End it by force, with all it started; where it has ended, nothing."""
        self._process.kill()

    def join(self) -> None:
        """Wait until its end has been told."""
        self._watcher.join()

    def _watch(self) -> None:
        process = self._process
        poll = select.poll()
        for descriptor in (process.channel.fileno(), process.stderr, process.ended):
            poll.register(descriptor, select.POLLIN)
        over = False
        while not over:
            for descriptor, _ in poll.poll():
                if descriptor == process.ended:
                    over = True
                elif descriptor == process.stderr:
                    if not self._pass_on():
                        poll.unregister(descriptor)
                elif not self._hear():
                    poll.unregister(descriptor)
        self._bury()

    def _hear(self) -> bool:
        """Take what the server reports; False where nothing more is to come."""
        if not self._process.channel.fill():
            return False
        try:
            for line in self._process.channel.lines():
                self._on_report(read_report(line))
        except (ValueError, RecursionError, RemoteProtocolError) as error:
            # A job has written to the channel. Whether anything that follows is the server's cannot be known.
            _log.warning("server %d is ended, for it does not say what a server says: %s", self.slot, error)
            self.kill()
            return False
        return True

    def _bury(self) -> None:
        returncode = self._process.collect()
        while select.select([self._process.stderr], [], [], 0)[0] and self._pass_on():
            pass
        self._process.channel.close()
        native.close(self._process.stderr)
        shutil.rmtree(self.directory, ignore_errors=True)
        self._on_exit(explain_exit(returncode, list(self._last_lines)))

    def _pass_on(self) -> bool:
        """Write on what the server wrote to its standard error, keeping the last lines; False at its end."""
        data = os.read(self._process.stderr, 65536)
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
