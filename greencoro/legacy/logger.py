"""asyncoro's logger, which writes to where programs print."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from types import TracebackType
from typing import Any

__all__ = ["Logger", "logger"]


class Logger:
    """Lines with a time and a name before them, on a stream.

    Each method that is named as a level takes a message and its ``%`` arguments, and writes one line where that level
    is not below the logger's own.

    Args:
        name (str): Stands in each line.

        stream: A text file; None: what `sys.stdout` is when something is written.

        level (int): As `setLevel` takes it; None: ``INFO``.

        log_ms (bool): As `show_ms` takes it.
    """

    DEBUG = logging.DEBUG
    INFO = logging.INFO
    WARN = WARNING = logging.WARNING
    ERROR = logging.ERROR
    CRITICAL = FATAL = logging.CRITICAL

    def __init__(self, name: str, stream: Any = None, level: int | None = None, log_ms: bool = False) -> None:
        self.name = name
        # Not `sys.stdout` of now: in the server processes of a node that becomes another one.
        self.stream = stream
        self.setLevel(level or self.INFO)
        self.show_ms(log_ms)

    def setLevel(self, level: int) -> None:
        """Write nothing below ``level``, one of `logging`'s or of this class."""
        self.level = level

    def show_ms(self, flag: bool) -> None:
        """Write times to the millisecond from now on, or to the second."""
        self.log_ms = bool(flag)

    def debug(self, message: Any, *args: Any) -> None:
        self._write(self.DEBUG, message, args)

    def info(self, message: Any, *args: Any) -> None:
        self._write(self.INFO, message, args)

    def warning(self, message: Any, *args: Any) -> None:
        self._write(self.WARNING, message, args)

    warn = warning

    def error(self, message: Any, *args: Any) -> None:
        self._write(self.ERROR, message, args)

    def critical(self, message: Any, *args: Any) -> None:
        self._write(self.CRITICAL, message, args)

    fatal = critical

    def flush(self) -> None:
        """Does nothing that was not done: each line is flushed when it is written."""
        stream = self._open_stream()
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.flush()

    shutdown = flush

    def __enter__(self) -> Logger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    def _write(self, level: int, message: Any, args: tuple[Any, ...]) -> None:
        if level < self.level:
            return
        text = message % args if args else message
        stream = self._open_stream()
        if stream is None:
            return
        now = time.time()
        clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
        if self.log_ms:
            clock += f".{int(now * 1000) % 1000:03}"
        # That nobody reads it any more shall not end what had something to say.
        with contextlib.suppress(OSError):
            # In one piece, between those of other threads. A process that is killed has no later for it, either.
            stream.write(f"{clock} {self.name} - {text}\n")
            stream.flush()

    def _open_stream(self) -> Any:
        """Where to write; None where there is nothing."""
        stream = sys.stdout if self.stream is None else self.stream
        return None if getattr(stream, "closed", False) else stream


#: What asyncoro and its programs write to.
logger = Logger("asyncoro")
