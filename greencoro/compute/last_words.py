"""What a server process leaves behind for its daemon, however it ends: which jobs it ran, what it wrote last.

Both share a few pages of memory. The server writes there as it goes along, which costs no call of the system; of what
was being written at the moment of its death there is the version before.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import NamedTuple, Protocol

__all__ = ["SIZE", "LastWords", "Words", "read"]

_ROOM = 2000
_HEAD = 2
_AREA = 2 * (_HEAD + _ROOM)
#: Bytes: two areas, each with two versions and behind them the number of the one that holds.
SIZE = 2 * (_AREA + 1)
_JOBS, _TEXT = 0, _AREA + 1
#: The last jobs that began, of those that are not over.
_MOST_JOBS = 8
_MAX_LABEL_BYTES = 200


class Memory(Protocol):
    """An `mmap.mmap`, or a bytearray."""

    def __setitem__(self, where: slice, data: bytes, /) -> None: ...


class Words(NamedTuple):
    """What was left behind.

    Attributes:
        jobs (tuple[str, ...]): That had begun and were not over.

        lines (tuple[str, ...]): Of standard error.
    """

    jobs: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


class LastWords:
    """The server's end; for one thread at a time.

    Args:
        memory: Of `SIZE` bytes, all zero.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._versions = {_JOBS: 0, _TEXT: 0}
        #: As they are written.
        self._jobs: dict[str, bytes] = {}
        self._text: deque[bytes] = deque()
        self._text_bytes = 0

    def began(self, job: str) -> None:
        """A job is about to run."""
        self._jobs[job] = job.encode(errors="replace")[:_MAX_LABEL_BYTES].replace(b"\n", b" ")
        self._write_jobs()

    def over(self, job: str) -> None:
        """It is over."""
        if self._jobs.pop(job, None) is not None:
            self._write_jobs()

    def said(self, text: str) -> None:
        """Something was written to standard error."""
        data = text[-_ROOM:].encode(errors="replace")[-_ROOM:]
        self._text.append(data)
        self._text_bytes += len(data)
        while self._text_bytes - len(self._text[0]) >= _ROOM:
            self._text_bytes -= len(self._text.popleft())
        self._write(_TEXT, b"".join(self._text)[-_ROOM:])

    def _write_jobs(self) -> None:
        last = list(islice(reversed(self._jobs.values()), _MOST_JOBS))
        self._write(_JOBS, b"\n".join(reversed(last)))

    def _write(self, area: int, data: bytes) -> None:
        version = self._versions[area] = 1 - self._versions[area]
        at = area + version * (_HEAD + _ROOM)
        self._memory[at : at + _HEAD + len(data)] = len(data).to_bytes(_HEAD, "big") + data
        # One byte: it is written, or it is not.
        self._memory[area + _AREA : area + _AREA + 1] = bytes([version])


def read(memory: bytes | bytearray) -> Words:
    """What a server left behind; jobs can write there as well, so it is nothing but text."""
    return Words(tuple(_read(memory, _JOBS)[-_MOST_JOBS:]), tuple(_read(memory, _TEXT)))


def _read(memory: bytes | bytearray, area: int) -> list[str]:
    version = memory[area + _AREA : area + _AREA + 1][0] & 1
    at = area + version * (_HEAD + _ROOM)
    size = min(int.from_bytes(memory[at : at + _HEAD], "big"), _ROOM)
    text = bytes(memory[at + _HEAD : at + _HEAD + size]).decode(errors="replace")
    return [line for line in text.splitlines() if line.strip()]
