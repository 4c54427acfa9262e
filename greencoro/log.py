r"""How greencoro logs: the root of its loggers, lines from the reactor, lines that carry a stranger's words.

Every module logs to ``logging.getLogger(__name__)``. Their root, ``greencoro``, has a `NullHandler`: what becomes of
the lines is the program's decision, and `enable_console` is the usual one.

The reactor cannot call `logging` itself. A handler's lock may be held by a coroutine that computes for minutes, and the
reactor would stand still for as long. It appends to a deque instead (`ReactorLog`), which a native thread empties into
`logging`; if that thread has to wait for the lock, nobody waits for it.

Who reaches a port can put words into a log line. So control characters are escaped (one event stays one line, and no
terminal is steered), long texts are cut, and each cause gets so many lines a second.
"""

from __future__ import annotations

import logging
import math
import sys
import traceback
from collections import deque
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

__all__ = ["Admission", "RateLimiter", "ReactorLog", "enable_console", "escape"]

ROOT = "greencoro"
MAX_TEXT = 1000

logger = logging.getLogger(__name__)
logging.getLogger(ROOT).addHandler(logging.NullHandler())


def escape(text: object, limit: int | None = MAX_TEXT) -> str:
    r"""`text` as one harmless line: what is not printable is written as an escape such as ``\n`` or ``\x1b``.

    That covers control characters, line and paragraph separators, and marks that turn the direction of writing.

    Args:
        text: Whatever `str` makes of it.

        limit (int | None): Characters of the text that are kept; how many were cut is said. None keeps all.
    """
    line = str(text)
    cut = 0 if limit is None else len(line) - limit
    if cut > 0:
        line = line[:limit]
    if not line.isprintable():
        line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in line)
    return f"{line}... ({cut} more characters)" if cut > 0 else line


class Admission(NamedTuple):
    """The answer of `RateLimiter.admit`."""

    #: Whether the line may be logged.
    admitted: bool

    #: How many lines of the same cause were suppressed before, in a second that is over; to be told first.
    suppressed: int


@dataclass(slots=True)
class _Second:
    began: float
    admitted: int = 0
    suppressed: int = 0

    def is_over(self, now: float) -> bool:
        return now - self.began >= 1.0


class RateLimiter:
    """Says which lines may be logged: of each cause so many a second.

    A second begins with the first line of a cause after the last one was over. Pure: time comes in as `now`, in seconds
    of any clock that does not go back.

    Args:
        per_second (int): Lines of one cause that are let through in a second.

        max_causes (int): Causes remembered at once. Those beyond share one allowance, so that a stranger who invents
            causes (addresses, names) gains nothing.
    """

    #: The cause that stands for all those beyond `max_causes`.
    OTHERS = "many causes"

    def __init__(self, per_second: int, max_causes: int = 1000) -> None:
        self._per_second = per_second
        self._max_causes = max_causes
        self._seconds: dict[Hashable, _Second] = {}
        self._swept_at = -math.inf

    def admit(self, cause: Hashable, now: float) -> Admission:
        """Whether a line of this cause may be logged now; where not, it is counted as suppressed."""
        if cause not in self._seconds and len(self._seconds) >= self._max_causes and not self._sweep(now):
            cause = self.OTHERS
        second = self._seconds.get(cause)
        before = 0
        if second is None or second.is_over(now):
            before = second.suppressed if second is not None else 0
            second = self._seconds[cause] = _Second(now)
        if second.admitted == self._per_second:
            second.suppressed += 1
            return Admission(False, 0)
        second.admitted += 1
        return Admission(True, before)

    def take_suppressed(self, now: float) -> list[tuple[Hashable, int]]:
        """Each cause whose second is over with lines suppressed, and their number; these causes are then forgotten."""
        over = [(c, s.suppressed) for c, s in self._seconds.items() if s.suppressed and s.is_over(now)]
        for cause, _ in over:
            del self._seconds[cause]
        return over

    def _sweep(self, now: float) -> bool:
        """Forget the causes that are quiet; whether there is room now. Looks through them once a second at most."""
        if now - self._swept_at >= 1.0:
            self._swept_at = now
            for cause in [c for c, s in self._seconds.items() if not s.suppressed and s.is_over(now)]:
                del self._seconds[cause]
        return len(self._seconds) < self._max_causes


class NativeThread(Protocol):
    """A thread that gevent has not patched."""

    def start(self) -> None: ...

    def join(self, timeout: float | None = None) -> bool: ...


class Native(Protocol):
    """What `ReactorLog` needs of `greencoro.hub.native`, which is above this module."""

    @property
    def Lock(self) -> Callable[[], Any]: ...

    @property
    def Thread(self) -> Callable[[Callable[[], None], str], NativeThread]: ...

    @property
    def monotonic(self) -> Callable[[], float]: ...

    @property
    def wall_clock(self) -> Callable[[], float]: ...


class _Line(NamedTuple):
    created: float
    logger: logging.Logger
    level: int
    message: str
    args: tuple[Any, ...]
    error: BaseException | None
    tell: Callable[[logging.Logger, str], object] | None = None


class ReactorLog:
    """The reactor's way to log: `log` only appends, and a native thread does the rest.

    Appending takes no lock that anybody else holds for longer than an instant, never waits and never runs a handler.
    It belongs to one thread, the reactor's. The other methods may be called from any.

    Args:
        native: The module `greencoro.hub.native`.

        lines_per_second (int): Per cause, for levels from INFO up. DEBUG is a transcript that somebody asked for.

        max_lines (int): Lines that may wait for the thread. Those beyond are dropped and counted.
    """

    def __init__(self, native: Native, lines_per_second: int = 10, max_lines: int = 10_000) -> None:
        self._native = native
        self._limiter = RateLimiter(lines_per_second)
        self._max_lines = max_lines
        self._lines: deque[_Line] = deque()
        self._closing = False
        #: Lines dropped since the start because too many waited.
        self.dropped = 0
        self._dropped_told = 0
        # Held except between a wake-up and the thread's taking it: released by the one, acquired by the other.
        self._asleep = native.Lock()
        self._asleep.acquire()
        self._thread = native.Thread(self._drain_until_closed, "greencoro-reactor-log")

    def start(self) -> None:
        """Start the thread. Lines appended before wait for it."""
        self._thread.start()

    def log(
        self,
        logger: logging.Logger,
        level: int,
        message: str,
        *args: Any,
        cause: Hashable = None,
        error: BaseException | None = None,
        tell: Callable[[logging.Logger, str], object] | None = None,
    ) -> None:
        """Append a line for `logger`, if it wants lines of this level and the cause may still log.

        Args:
            logger: Made at import; `logging.getLogger` takes a lock.

            level (int): Of `logging`.

            message (str): A format of our own.

            args: Become text later and in another thread: numbers, text, immutable things of ours.

            cause: What is limited to so many lines a second; None stands for `message`.

            error: An exception whose traceback follows the line.

            tell: Called with the logger and the line, by the thread that writes: for people who set up no logging.
        """
        # getEffectiveLevel only reads attributes; isEnabledFor would take logging's lock now and then.
        if level < logger.getEffectiveLevel():
            return
        if level >= logging.INFO:
            cause = message if cause is None else cause
            admitted, suppressed = self._limiter.admit(cause, self._native.monotonic())
            if suppressed:
                self._append_suppressed(cause, suppressed)
            if not admitted:
                return
        self._append(_Line(self._native.wall_clock(), logger, level, message, args, error, tell))

    def tell_suppressed(self) -> None:
        """Append "... N more suppressed" for each cause that went quiet. Call it every tick, from the reactor."""
        for cause, count in self._limiter.take_suppressed(self._native.monotonic()):
            self._append_suppressed(cause, count)

    def close(self, timeout: float | None = None) -> bool:
        """Let the thread write what waits and end. Call it when the reactor's thread is over.

        Returns:
            True if all is written; False if the thread was still at it after `timeout` seconds.
        """
        for cause, count in self._limiter.take_suppressed(math.inf):
            self._append_suppressed(cause, count)
        self._closing = True
        self._wake()
        return self._thread.join(timeout)

    def _append_suppressed(self, cause: Hashable, count: int) -> None:
        message = "%s: ... %d more suppressed"
        self._append(_Line(self._native.wall_clock(), logger, logging.WARNING, message, (cause, count), None))

    def _append(self, line: _Line) -> None:
        if len(self._lines) >= self._max_lines:
            self.dropped += 1
        else:
            self._lines.append(line)
        self._wake()

    def _wake(self) -> None:
        if self._asleep.locked():
            # `close` in another thread may have released it since the test.
            with suppress(RuntimeError):
                self._asleep.release()

    def _drain_until_closed(self) -> None:
        while True:
            self._asleep.acquire()
            closing = self._closing  # asked before the last drain, so that nothing appended before close() is left
            self._drain()
            if closing:
                return

    def _drain(self) -> None:
        while self._lines:
            line = self._lines.popleft()
            try:
                _write(line)
            except Exception as error:  # the boundary of this thread: one bad line must not silence those after it
                logger.error("cannot log %r: %s", line.message, escape(error))
        if self.dropped > self._dropped_told:
            lost, self._dropped_told = self.dropped - self._dropped_told, self.dropped
            logger.warning("%d lines lost: they came faster than they could be written", lost)


def _write(line: _Line) -> None:
    if not line.logger.isEnabledFor(line.level):
        return
    message = escape(line.message % line.args if line.args else line.message)
    if line.tell is not None:
        line.tell(line.logger, message)
    record = line.logger.makeRecord(line.logger.name, line.level, "(reactor)", 0, message, (), None)
    # When it happened, not when this thread came round to it.
    record.created = line.created
    record.msecs = line.created % 1 * 1000
    if line.error is not None:
        record.exc_text = _escape_lines("".join(traceback.format_exception(line.error)))
    line.logger.handle(record)


def _escape_lines(text: str) -> str:
    return "\n".join(escape(line) for line in text.rstrip("\n").split("\n"))


class _ConsoleHandler(logging.StreamHandler[Any]):
    """The one handler of `enable_console`, found again by its class."""


class _OneLineFormatter(logging.Formatter):
    """An event is a line; of an exception the traceback's lines follow."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return escape(super().formatMessage(record), limit=None)

    def formatException(self, ei: Any) -> str:
        return _escape_lines(super().formatException(ei))


def enable_console(level: int | str = logging.INFO) -> None:
    """Write greencoro's log lines to stderr, each with time, level and logger. Called again it changes the level.

    Args:
        level: Lowest level written, as `logging` knows it by number or name.

    Raises:
        ValueError: `level` is no level.
    """
    root = logging.getLogger(ROOT)
    root.setLevel(level)
    if not any(isinstance(handler, _ConsoleHandler) for handler in root.handlers):
        handler = _ConsoleHandler(sys.stderr)
        handler.setFormatter(_OneLineFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
        root.addHandler(handler)
