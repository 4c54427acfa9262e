"""What jobs print and log, taken from the streams of a server process for their client.

What C code writes to the descriptors, and all that is written while no client wants it, goes where it went before.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any, TextIO

from greencoro.compute.last_words import LastWords
from greencoro.compute.output_book import Batch, OutputBook
from greencoro.hub import native
from greencoro.hub.coroutine import Coro
from greencoro.hub.execution import running

__all__ = ["Output", "label_of"]

#: What is printed is sent together with what follows in so short a time.
SOON_SECONDS = 0.05


def label_of(coro: Coro) -> str:
    """How a coroutine is called where the lines of several meet."""
    return f"{coro.name}/{coro.id}"


class Output:
    """Stands in the place of this process's streams.

    Args:
        send: Sends a batch to the client; False where there is no room now. Any thread.

        soon: Has its argument called on the reactor in `SOON_SECONDS`. Any thread.

        words: Is told what goes to standard error on the way to the client.
    """

    def __init__(
        self, send: Callable[[Batch], bool], soon: Callable[[Callable[[], None]], None], words: LastWords
    ) -> None:
        self._send = send
        self._soon = soon
        self._words = words
        self._book = OutputBook(native.monotonic())
        # Of any thread. An RLock: a handler of signals may print in the middle of that.
        self._lock = native.RLock()
        self._is_due = False
        #: Is there a client that wants it?
        self.is_on = False
        sys.stdout = _Stream(self, "stdout", sys.stdout)
        sys.stderr = _Stream(self, "stderr", sys.stderr)

    def write(self, stream: str, text: str) -> None:
        """Something was printed; any thread, never waits."""
        coro = running()
        job = "" if coro is None else label_of(coro)
        with self._lock:
            self._book.write(stream, job, text, native.monotonic())
            if stream == "stderr":
                self._words.said(text)
            is_due, self._is_due = self._is_due, True
        if not is_due:
            self._soon(self.flush)

    def over(self, job: str) -> None:
        """A job is over: what it printed goes out before the news of that. User hub's thread."""
        if self.is_on and self._book:
            with self._lock:
                self._book.over(job, native.monotonic())
            self.flush()

    def close(self) -> None:
        """Send all there is."""
        with self._lock:
            self._book.close(native.monotonic())
        self.flush()

    def flush(self) -> None:
        """Send what there is in whole lines; any thread, never waits."""
        with self._lock:
            self._is_due = False
            batch = self._book.take()
            # Within the lock, so that batches go out in the order in which they were taken.
            if batch is None or self._send(batch):
                return
            self._book.not_sent(batch)
            self._is_due = True
        self._soon(self.flush)


class _Stream(io.TextIOBase):
    """One of the two; has all that the one before has."""

    def __init__(self, output: Output, name: str, before: TextIO) -> None:
        self._output = output
        self._stream = name
        self._before = before

    def write(self, text: str) -> int:
        if not self._output.is_on:
            return self._before.write(text)
        if not isinstance(text, str):
            raise TypeError(f"write() takes a text, not {type(text).__name__}")
        self._output.write(self._stream, text)
        return len(text)

    def flush(self) -> None:
        self._before.flush()

    def fileno(self) -> int:
        return self._before.fileno()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return not self._output.is_on and self._before.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._before.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self._before.errors

    @property
    def buffer(self) -> Any:
        """For bytes, which go to the descriptor."""
        return self._before.buffer

    def close(self) -> None:
        """Stay open: whoever closes it is not the only one."""
