"""A node daemon's handle to one server process."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import sys
from collections.abc import Callable
from pathlib import Path

from greencoro.compute import last_words, removal
from greencoro.compute.control_groups import memory_kills
from greencoro.compute.death import Death, ErrorLines, explain
from greencoro.compute.directories import last_words_file
from greencoro.compute.launching import Launcher, LaunchOrder, Outcome
from greencoro.compute.server_words import Configure, EndMe, Order, Report, read_report, to_line
from greencoro.errors import RemoteProtocolError
from greencoro.hub import native

__all__ = ["ServerProcess"]

_log = logging.getLogger(__name__)

#: What a pipe holds (Linux).
_PIPE_BYTES = 65536


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
        self._error_lines = ErrorLines()
        #: Why the server asked to be ended.
        self._wish = ""
        self._told = native.Event()
        self._kills = memory_kills()
        with contextlib.ExitStack() as undo:
            directory.mkdir(mode=0o700, parents=True)
            undo.callback(removal.remove, directory)
            self._words = last_words_file(directory)
            self._words.write_bytes(bytes(last_words.SIZE))
            undo.callback(self._words.unlink)
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
        self._end_by_force()
        self._process.collect()
        self._process.channel.close()
        native.close(self._process.stderr)

    def _end_by_force(self) -> None:
        self._process.kill()
        _is_readable(self._process.ended, None)

    def send(self, word: Configure | Order) -> None:
        """Tell the server; where it is gone, its end is being reported anyway."""
        self._process.channel.send(to_line(word))

    def kill(self) -> None:
        """End it by force, with all it started; where it has ended, nothing."""
        self._process.kill()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until its end has been told; True if it has, False after ``timeout`` seconds."""
        return self._told.wait(timeout)

    def _watch(self) -> None:
        try:
            self._follow()
        except BaseException:
            # A fault of this process's own, which shall not be one more server that never comes again.
            self._end_by_force()
            raise
        finally:
            self._bury()

    def _follow(self) -> None:
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

    def _hear(self) -> bool:
        """Take what the server reports; False where nothing more is to come."""
        if not self._process.channel.fill():
            return False
        try:
            for line in self._process.channel.lines():
                report = read_report(line)
                if isinstance(report, EndMe):
                    self._wish = report.reason
                    self.kill()
                else:
                    self._on_report(report)
        except (ValueError, RecursionError, RemoteProtocolError) as error:
            # A job has written to the channel. Whether anything that follows is the server's cannot be known.
            _log.warning("server %d is ended, for it does not say what a server says: %s", self.slot, error)
            self.kill()
            return False
        return True

    def _bury(self) -> None:
        explanation = explain(Death(None))
        try:
            explanation = self._clear_away()
        finally:
            self._on_exit(explanation)
            self._told.set()

    def _clear_away(self) -> str:
        """Leave nothing of it; how it ended."""
        outcome = self._process.collect()
        # No more than was there: something that could not be killed may write on.
        room = _PIPE_BYTES
        while room > 0 and _is_readable(self._process.stderr, 0) and (count := self._pass_on()):
            room -= count
        self._process.channel.close()
        native.close(self._process.stderr)
        explanation = self._explain(outcome)
        # What it leaves may be much, and the next server has a directory of its own.
        removal.remove_later(self.directory)
        return explanation

    def _explain(self, outcome: Outcome) -> str:
        words = self._read_last_words()
        if outcome.problem:
            return f"could not be started: {outcome.problem}"
        return explain(
            Death(
                outcome.returncode,
                words,
                self._error_lines.lines(),
                self._wish or outcome.cause,
                self._was_memory_short(),
                outcome.cpu_seconds,
                outcome.peak_bytes,
            )
        )

    def _read_last_words(self) -> last_words.Words:
        try:
            memory = self._words.read_bytes()
            self._words.unlink()
        except OSError:
            return last_words.Words()
        # A job may have made anything of it.
        return last_words.read(memory) if len(memory) == last_words.SIZE else last_words.Words()

    def _was_memory_short(self) -> bool | None:
        before, now = self._kills, memory_kills()
        return None if before is None or now is None else now > before

    def _pass_on(self) -> int:
        """Write on what the server wrote to its standard error, keeping the last lines; how much, 0 at its end."""
        data = os.read(self._process.stderr, _PIPE_BYTES)
        if not data:
            return 0
        with contextlib.suppress(OSError, ValueError):  # nobody may be there to read it
            sys.stderr.buffer.write(data)
            sys.stderr.buffer.flush()
        self._error_lines.feed(data)
        return len(data)


def _is_readable(descriptor: int, milliseconds: int | None) -> bool:
    """Wait for that so long, None: for ever. Unlike `select` it takes descriptors above 1023."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(milliseconds))
