"""Running a program at a terminal of its own, where Ctrl-C can be typed."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Callable
from types import TracebackType

# The first terminal that the leader of a new session opens becomes that session's own, from which Ctrl-C comes. A shell
# that opens it and becomes the program spares us a fork of this process, which has threads.
_BECOME = 'terminal=$1; shift; exec "$@" <>"$terminal" >&0 2>&0'


class AtTerminal:
    """A program that runs as the foreground job of a new pseudo-terminal.

    Use it as a context manager: at the end the program is killed where it still runs.

    Args:
        arguments: The program's path, then its arguments.

        environment: All of its environment.
    """

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self.output = ""
        # Their side stays open here too: without anybody there, before the program has opened it, reading would fail.
        self._terminal, self._theirs = os.openpty()
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _BECOME, "sh", os.ttyname(self._theirs), *arguments],
            env=environment,
            start_new_session=True,
        )

    def __enter__(self) -> AtTerminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)
        os.close(self._theirs)

    def type(self, text: str) -> None:
        r"""Type ``text``; ``"\x03"`` is Ctrl-C, which the terminal makes into SIGINT for the whole job."""
        os.write(self._terminal, text.encode())

    def read_until(self, condition: Callable[[str], object], seconds: float) -> None:
        """Read what is printed until ``condition(output so far)`` is true.

        Raises:
            AssertionError: ``seconds`` were over, or the program, before.
        """
        deadline = time.monotonic() + seconds
        while not condition(self.output):
            ended = self._process.poll() is not None
            self._read(0.05)
            if (ended or time.monotonic() > deadline) and not condition(self.output):
                raise AssertionError(f"ended, or not within {seconds:g} s; printed so far:\n{self.output}")

    def wait(self, seconds: float) -> int:
        """Wait for the end of the program and read all it prints; its exit code, negative where a signal ended it."""
        deadline = time.monotonic() + seconds
        while (code := self._process.poll()) is None:
            if time.monotonic() > deadline:
                raise AssertionError(f"did not end within {seconds:g} s; printed so far:\n{self.output}")
            self._read(0.01)
        while self._read(0):
            pass
        return code

    def _read(self, seconds: float) -> bool:
        """Read what comes within ``seconds``; was there anything?"""
        if not select.select([self._terminal], [], [], seconds)[0]:
            return False
        self.output += os.read(self._terminal, 65536).decode(errors="replace")
        return True
