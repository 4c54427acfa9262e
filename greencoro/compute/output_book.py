"""What jobs print, on its way to the client: whole lines, and no more of them than somebody could read.

A server writes into an `OutputBook` what its jobs print and log, and takes `Batch` after `Batch` out of it for the
client. A job that prints without end costs the others nothing: what is too much is counted, and told as a number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from greencoro.errors import RemoteProtocolError

__all__ = ["Batch", "OutputBook", "OutputLine", "left_out_notice", "shown"]

MAX_LINE_CHARACTERS = 8192
#: A server's book holds no more than this, nor is there more in a batch.
MAX_LINES = 1000
MAX_CHARACTERS = 2**18
#: What may go on for long; what was not used lately is saved up, as far as a book has room.
LINES_PER_SECOND = 100.0
CHARACTERS_PER_SECOND = 2.0**16
#: Lines that have been begun, one of each job and stream.
_MAX_BEGUN = 1000
_MAX_NAME_CHARACTERS = 200
_CUT = "… (cut)"


class OutputLine(NamedTuple):
    """A line that a job printed.

    Attributes:
        stream (str): ``"stdout"``, ``"stderr"`` or ``"log"``.

        job (str): The job's name; empty for what no job printed.

        text (str): Without its end.
    """

    stream: str
    job: str
    text: str


class Batch(NamedTuple):
    """Lines in the order in which they were printed.

    Attributes:
        left_out (int): Lines that followed them and are not there.
    """

    lines: tuple[OutputLine, ...]
    left_out: int = 0

    def to_wire(self) -> dict[str, Any]:
        """As JSON."""
        return {"lines": [list(line) for line in self.lines], "left_out": self.left_out}

    @classmethod
    def from_wire(cls, header: Mapping[str, Any]) -> Batch:
        """What `to_wire` made, from a peer.

        Raises:
            RemoteProtocolError: It is nothing of the kind, or too much.
        """
        rows, left_out = header.get("lines"), header.get("left_out")
        if not isinstance(rows, list) or len(rows) > MAX_LINES:
            raise RemoteProtocolError("output: no list of lines")
        if not isinstance(left_out, int) or isinstance(left_out, bool) or not 0 <= left_out < 2**53:
            raise RemoteProtocolError("output: no number of lines left out")
        longest = (_MAX_NAME_CHARACTERS, _MAX_NAME_CHARACTERS, MAX_LINE_CHARACTERS + len(_CUT))
        for row in rows:
            if not isinstance(row, list) or len(row) != 3:
                raise RemoteProtocolError("output: a line of other than three parts")
            if not all(isinstance(part, str) and len(part) <= most for part, most in zip(row, longest, strict=True)):
                raise RemoteProtocolError("output: a part of a line is no text, or too long")
        return cls(tuple(OutputLine(*row) for row in rows), left_out)


class OutputBook:
    """The lines of one server that its client has not been sent; for one thread at a time.

    Args:
        now (float): The present, in seconds on a monotonic clock.
    """

    def __init__(self, now: float) -> None:
        self._lines: deque[OutputLine] = deque()
        self._characters = 0
        self._left_out = 0
        # What may still be accepted; both grow with time.
        self._line_credit = float(MAX_LINES)
        self._character_credit = float(MAX_CHARACTERS)
        self._credited_at = now
        self._begun: dict[tuple[str, str], str] = {}

    def __bool__(self) -> bool:
        """Is there anything that was not taken?"""
        return bool(self._begun or self._lines or self._left_out)

    def write(self, stream: str, job: str, text: str, now: float) -> None:
        """A job printed something: lines, parts of lines.

        A line that is not ended yet waits for its end, or for that of the job. As on a terminal, what follows a
        carriage return replaces what was before it in the line.
        """
        key = stream[:_MAX_NAME_CHARACTERS], job[:_MAX_NAME_CHARACTERS]
        ended, newline, rest = text.rpartition("\n")
        begun = self._begun.pop(key, "")
        if newline:
            # No more than fit into a book are looked at one by one.
            *lines, more = f"{begun}{ended}\n".split("\n", MAX_LINES)
            for line in lines:
                self._add(*key, line, now)
            self._left_out += more.count("\n")
            begun = ""
        self._begin(key, _last_version(begun + rest), now)

    def over(self, job: str, now: float) -> None:
        """The job has ended: lines that it began end with it."""
        job = job[:_MAX_NAME_CHARACTERS]
        for key in [key for key in self._begun if key[1] == job]:
            self._add(*key, self._begun.pop(key), now)

    def close(self, now: float) -> None:
        """Nothing more will be written: all lines that were begun end here."""
        for key in list(self._begun):
            self._add(*key, self._begun.pop(key), now)

    def take(self) -> Batch | None:
        """What there is to send; None where there is nothing."""
        if not self._lines and not self._left_out:
            return None
        batch = Batch(tuple(self._lines), self._left_out)
        self._lines.clear()
        self._characters = self._left_out = 0
        return batch

    def not_sent(self, batch: Batch) -> None:
        """A batch that was taken could not be sent: its lines count as left out."""
        self._left_out += len(batch.lines) + batch.left_out

    def _begin(self, key: tuple[str, str], text: str, now: float) -> None:
        if not text:
            return
        if len(self._begun) >= _MAX_BEGUN:
            first = next(iter(self._begun))
            self._add(*first, self._begun.pop(first), now)
        # One character more than a line has shows that it is to be cut.
        self._begun[key] = text[: MAX_LINE_CHARACTERS + 1]

    def _has_room(self, now: float) -> bool:
        # Once a line was left out so are those that follow, until the next batch: it tells of them behind its lines.
        if self._left_out or len(self._lines) >= MAX_LINES or self._characters >= MAX_CHARACTERS:
            return False
        seconds, self._credited_at = now - self._credited_at, now
        self._line_credit = min(MAX_LINES, self._line_credit + seconds * LINES_PER_SECOND)
        self._character_credit = min(MAX_CHARACTERS, self._character_credit + seconds * CHARACTERS_PER_SECOND)
        return self._line_credit >= 1 and self._character_credit > 0

    def _add(self, stream: str, job: str, text: str, now: float) -> None:
        if not self._has_room(now):
            self._left_out += 1
            return
        text = _last_version(text).rstrip("\r")
        if len(text) > MAX_LINE_CHARACTERS:
            text = text[:MAX_LINE_CHARACTERS] + _CUT
        self._lines.append(OutputLine(stream, job, text))
        self._characters += len(text)
        self._line_credit -= 1
        self._character_credit -= len(text)


def shown(server: str, line: OutputLine) -> str:
    """A line as a terminal shows it: with where it comes from, and with nothing in it that could steer the terminal."""
    return f"[{_plain(' '.join(filter(None, (server, line.job))))}] {_plain(line.text)}"


def left_out_notice(server: str, left_out: int) -> str:
    """What is shown in place of lines that are not there."""
    return f"[{_plain(server)}] … {left_out} line{'' if left_out == 1 else 's'} left out"


def _last_version(text: str) -> str:
    """What a terminal shows of a line with carriage returns; one at the end has replaced nothing yet."""
    return text[text.rstrip("\r").rfind("\r") + 1 :]


def _plain(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode("ascii") for c in text)
