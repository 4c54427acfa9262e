"""Shows at the client what its jobs print."""

from __future__ import annotations

import contextlib
import sys
from collections import deque

from greencoro.compute.output_book import Batch, OutputLine, left_out_notice, shown
from greencoro.hub import userhub

__all__ = ["OutputDisplay"]

#: Batches that came and are not shown yet; what comes beyond is counted only.
_MAX_WAITING = 64


class OutputDisplay:
    """Writes to this process's standard output and error, on the user hub, so before what follows from a job's end."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, Batch]] = deque()

    def take(self, server: str, batch: Batch) -> None:
        """Show what a server told of; on the reactor."""
        if len(self._waiting) >= _MAX_WAITING:
            batch = Batch((), batch.left_out + len(batch.lines))
            name, last = self._waiting[-1]
            if name == server and not last.lines:
                # The hub may take that one just now; then so many are not told of.
                self._waiting[-1] = (server, Batch((), last.left_out + batch.left_out))
                return
            if len(self._waiting) >= 2 * _MAX_WAITING:
                return
        self._waiting.append((server, batch))
        userhub.post(self._show)

    def _show(self) -> None:
        while self._waiting:
            server, batch = self._waiting.popleft()
            _write("stdout", server, batch)
            _write("stderr", server, batch)
            if batch.left_out:
                _print("stderr", left_out_notice(server, batch.left_out))


def _write(stream: str, server: str, batch: Batch) -> None:
    lines = [shown(server, line) for line in batch.lines if _stream_of(line) == stream]
    if lines:
        _print(stream, "\n".join(lines))


def _stream_of(line: OutputLine) -> str:
    return "stdout" if line.stream == "stdout" else "stderr"


def _print(stream: str, text: str) -> None:
    file = sys.stdout if stream == "stdout" else sys.stderr
    if file is not None:
        # A stream that is closed, or whose reader is gone, shows nothing; a narrow one is not to end the hub.
        with contextlib.suppress(OSError, ValueError):
            encoding = getattr(file, "encoding", None) or "utf-8"
            print(text.encode(encoding, "backslashreplace").decode(encoding), file=file, flush=True)
