"""How a server process ended, in words for people."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from greencoro.compute.last_words import Words

__all__ = ["Death", "ErrorLines", "explain"]

_MAX_LINES = 8
_MAX_LINE_CHARACTERS = 300
_MAX_JOBS = 4
_BYTES_OF_MIB = 2.0**20
#: How the interpreter, or the C library, begins to tell that a process is beyond help.
_FATAL = ("Fatal Python error", "*** ")

#: Names, and what else is known of them, of the signals that end server processes (Linux).
_SIGNALS = {
    1: "SIGHUP",
    2: "SIGINT",
    3: "SIGQUIT",
    4: "SIGILL",
    5: "SIGTRAP",
    6: "SIGABRT (it gave itself up)",
    7: "SIGBUS (an access to memory, or to a file mapped there, that was impossible)",
    8: "SIGFPE",
    9: "SIGKILL",
    10: "SIGUSR1",
    11: "SIGSEGV (an access to memory that is not its own: a fault in code that is not Python's)",
    12: "SIGUSR2",
    13: "SIGPIPE",
    14: "SIGALRM",
    15: "SIGTERM",
    24: "SIGXCPU (it used up its limit of CPU time)",
    25: "SIGXFSZ (a file grew over the limit)",
    31: "SIGSYS (a call of the system that it may not make)",
}


_NOTHING = Words()


@dataclass(frozen=True)
class Death:
    """What is known of an end.

    Attributes:
        returncode (int | None): Exit code, or the negative number of the signal that killed it; None: not known.

        words (Words): What it left behind.

        lines (tuple[str, ...]): What else it wrote to standard error, after that.

        wish (str): Why it asked to be ended; empty where it did not.

        out_of_memory (bool | None): Did the kernel kill for want of memory meanwhile, among the processes that share
            the node's limit? None where that is not known.

        cpu_seconds (float | None): What it has computed; None: not known.

        peak_bytes (int | None): The most memory that it has had; None: not known.
    """

    returncode: int | None
    words: Words = _NOTHING
    lines: tuple[str, ...] = ()
    wish: str = ""
    out_of_memory: bool | None = None
    cpu_seconds: float | None = None
    peak_bytes: int | None = None


def explain(death: Death) -> str:
    """A phrase that goes on from the name of the process; below it the last lines of its standard error."""
    what = _what(death) + _while(death.words.jobs)
    lines = (*death.words.lines[-_MAX_LINES:], *death.lines)
    if not lines:
        return what
    text = "\n".join(f"  {line[:_MAX_LINE_CHARACTERS].rstrip()}" for line in lines)
    return f"{what}; the last it wrote to standard error:\n{text}"


def _what(death: Death) -> str:
    if death.wish:
        return f"was ended by force: {death.wish}"
    if death.returncode is None:
        return "ended in a way that is not known"
    if death.returncode >= 0:
        return f"ended with exit code {death.returncode}"
    number = -death.returncode
    name = _SIGNALS.get(number, f"signal {number}")
    if number == 9:
        if death.out_of_memory:
            name += " (by the kernel, for want of memory)"
        elif death.out_of_memory is None:
            name += " (by somebody, or by the kernel for want of memory)"
        else:
            name += " (by somebody: the kernel has killed nothing here for want of memory)"
    return f"was killed by {name}{_after(death)}"


def _after(death: Death) -> str:
    """How much it has used, for whoever wonders about limits."""
    if death.cpu_seconds is None or death.peak_bytes is None:
        return ""
    return f" after {death.cpu_seconds:.1f} s of CPU time, with at most {death.peak_bytes / _BYTES_OF_MIB:.0f} MiB"


def _while(jobs: tuple[str, ...]) -> str:
    """Which jobs had begun; of several those that began last."""
    if not jobs:
        return ""
    shown = ", ".join(jobs[-_MAX_JOBS:])
    return f", with {'the job' if len(jobs) == 1 else 'jobs'} {shown}{' and others' if len(jobs) > _MAX_JOBS else ''}"


class ErrorLines:
    """The lines to show of what a process writes to its standard error: the last, or those that begin its end."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_MAX_LINES)
        self._begun = b""
        self._is_fatal = False

    def feed(self, data: bytes) -> None:
        """It wrote this."""
        *whole, self._begun = (self._begun + data).split(b"\n")
        self._begun = self._begun[:_MAX_LINE_CHARACTERS]
        for line in whole:
            self._add(line)

    def lines(self) -> tuple[str, ...]:
        """What there is, a line that was not ended included."""
        self._add(self._begun)
        self._begun = b""
        return tuple(self._lines)

    def _add(self, data: bytes) -> None:
        line = data[: 4 * _MAX_LINE_CHARACTERS].decode(errors="replace").rstrip()[:_MAX_LINE_CHARACTERS]
        if not line.strip():
            return
        if not self._is_fatal and line.startswith(_FATAL):
            self._is_fatal = True
            self._lines.clear()
        # What follows a fatal error goes outwards from where it happened: the first lines say most.
        if not self._is_fatal or len(self._lines) < _MAX_LINES:
            self._lines.append(line)
