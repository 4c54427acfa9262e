"""What each side of a file transfer does next, as pure code.

The sender offers a file. The receiver refuses, or answers what is to be done: `Answer`. Data goes in chunks, never more
of them under way than the receiver's `Window`, and the receiver says how much it has written. At the end the sender
gives the digest of what it read; only where that is the digest of what was written is the file saved. A side that
hears nothing new for the time the offer names gives up.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple

from greencoro.distributed.transfer_words import Answer, Offer
from greencoro.errors import RemoteProtocolError, TransferError

__all__ = ["Limits", "Phase", "Receiving", "Sending", "Standing", "Window", "answer_to", "refusal"]


class Window(NamedTuple):
    """How much a receiver takes ahead of what it has written."""

    size: int = 8 * 1024 * 1024
    chunks: int = 64


class Limits(NamedTuple):
    """What a receiver accepts."""

    #: Bytes of one file; 0: any number.
    max_file_size: int = 0
    #: Bytes that all files of one peer have in the end; None: half of the disk that is free without them.
    max_dest_size: int | None = None


class Standing(NamedTuple):
    """What is at the place of a file now."""

    is_file: bool
    size: int
    mtime_ns: int
    permissions: int


def answer_to(offer: Offer, standing: Standing | None, permissions: int) -> Answer:
    """What to answer to an offer that is within the limits.

    Args:
        standing (Standing | None): What is at its place; None for nothing.

        permissions (int): Those that the file would be saved with: the offer's, less the umask.

    Raises:
        TransferError: What is there is no file, and cannot be replaced by one.
    """
    if standing is None:
        return Answer.SEND
    if standing.is_file and standing[1:] == (offer.size, offer.mtime_ns, permissions):
        return Answer.COMPARE
    if not offer.overwrite:
        return Answer.DIFFERS
    if not standing.is_file:
        raise TransferError(f"{str(offer.place)!r} is there and is no regular file")
    return Answer.SEND


def refusal(size: int, limits: Limits, used: int, after: int, free: int) -> str | None:
    """Why a file of ``size`` bytes is not taken; None where it is.

    Args:
        used (int): Bytes that this peer has here already.

        after (int): Those that it will have with the file in its place.

        free (int): Bytes of the disk that are free.
    """
    if limits.max_file_size and size > limits.max_file_size:
        return f"{size} bytes are too many: max_file_size is {limits.max_file_size}"
    allowed = (free + used) // 2 if limits.max_dest_size is None else limits.max_dest_size
    # What replaces as much is taken also where the limit, half of the free disk, has come down meanwhile.
    if after > used and after > allowed:
        return f"{size} bytes are too many: {used} bytes are here already, and max_dest_size is {allowed}"
    return None


class Phase(enum.Enum):
    """Where a transfer stands, on either side."""

    #: Both sides compute digests of what they have.
    COMPARING = enum.auto()
    #: Data is under way.
    MOVING = enum.auto()
    #: All of it is written, and the sender's digest is known: the receiver's word is the last.
    CHECKING = enum.auto()
    OVER = enum.auto()


_TABLE = {
    Phase.COMPARING: {Phase.MOVING, Phase.OVER},
    Phase.MOVING: {Phase.CHECKING, Phase.OVER},
    Phase.CHECKING: {Phase.OVER},
    Phase.OVER: set[Phase](),
}


class _Side:
    """What both sides keep: the phase, and when the last thing happened."""

    def __init__(self, answer: Answer, size: int, timeout: float, now: float) -> None:
        self.phase = Phase.COMPARING if answer is Answer.COMPARE else Phase.MOVING
        self.size = size
        self.timeout = timeout
        self._moved_at = now

    def moved(self, now: float) -> None:
        """There was progress."""
        self._moved_at = now

    def seconds_left(self, now: float) -> float:
        """How long there may still be no progress; the transfer is stalled where it is not above 0."""
        return self._moved_at + self.timeout - now

    def _advance(self, phase: Phase) -> None:
        if phase not in _TABLE[self.phase]:
            raise RemoteProtocolError(f"a transfer in phase {self.phase.name} cannot go on to {phase.name}")
        self.phase = phase

    def end(self) -> None:
        """It is over, however it went."""
        self.phase = Phase.OVER


class Sending(_Side):
    """The sender's side, from the answer on.

    Args:
        chunk_bytes (int): Largest chunk.
    """

    def __init__(self, answer: Answer, size: int, chunk_bytes: int, window: Window, timeout: float, now: float) -> None:
        super().__init__(answer, size, timeout, now)
        self._chunk_bytes = max(1, min(chunk_bytes, window.size // 2))
        self._window = window
        #: Bytes sent, and of these written by the receiver.
        self.sent = 0
        self.written = 0
        # Ends of the chunks that are under way.
        self._under_way: list[int] = []

    def start_over(self, now: float) -> None:
        """The files were compared, and data is to be sent."""
        self._advance(Phase.MOVING)
        self.moved(now)

    def next_chunk(self) -> int:
        """Size of the chunk that goes next; 0 where none may now."""
        if self.phase is not Phase.MOVING or len(self._under_way) >= self._window.chunks:
            return 0
        room = self._window.size - (self.sent - self.written)
        chunk = min(self._chunk_bytes, self.size - self.sent)
        return chunk if chunk <= room else 0

    def sent_chunk(self, size: int) -> None:
        """That chunk was sent."""
        self.sent += size
        self._under_way.append(self.sent)

    def told_written(self, written: int, now: float) -> None:
        """The receiver has written that many bytes.

        Raises:
            RemoteProtocolError: Nobody sent that many.
        """
        if not self.written <= written <= self.sent:
            raise RemoteProtocolError(f"{written} bytes are said to be written, of {self.sent} that were sent")
        if written > self.written:
            self.moved(now)
        self.written = written
        while self._under_way and self._under_way[0] <= written:
            self._under_way.pop(0)

    @property
    def all_written(self) -> bool:
        return self.phase is Phase.MOVING and self.written == self.size

    def gave_digest(self) -> None:
        """The digest of all that was read is sent."""
        self._advance(Phase.CHECKING)


class Receiving(_Side):
    """The receiver's side, from the answer on; each count has one writer, so it may be fed by two threads."""

    def __init__(self, answer: Answer, size: int, window: Window, timeout: float, now: float) -> None:
        super().__init__(answer, size, timeout, now)
        self._window = window
        self._arrived = 0
        self._arrived_chunks = 0
        #: Bytes and chunks that are written.
        self.written = 0
        self._written_chunks = 0
        #: What the sender says the digest is.
        self.digest: str | None = None

    def arrived(self, offset: int, chunks: Sequence[bytes], now: float) -> bytes:
        """A chunk came; returns it.

        Raises:
            RemoteProtocolError: It is none that was asked for: larger than the file, out of its turn, or beyond what
                may be under way.
        """
        if self.phase is not Phase.MOVING or self.digest is not None:
            raise RemoteProtocolError(f"data came for a transfer in phase {self.phase.name}")
        if len(chunks) != 1 or not chunks[0]:
            raise RemoteProtocolError("a chunk of a file is one part, and not empty")
        size = len(chunks[0])
        if offset != self._arrived:
            raise RemoteProtocolError(f"the chunk at {offset} came where that at {self._arrived} was due")
        if self._arrived + size > self.size:
            raise RemoteProtocolError(f"more bytes came than the {self.size} that were offered")
        if (
            self._arrived + size - self.written > self._window.size
            or self._arrived_chunks - self._written_chunks >= self._window.chunks
        ):
            raise RemoteProtocolError("more chunks came than may be under way")
        self._arrived += size
        self._arrived_chunks += 1
        self.moved(now)
        return chunks[0]

    def wrote(self, size: int, now: float) -> None:
        """A chunk of ``size`` bytes is written."""
        self.written += size
        self._written_chunks += 1
        self.moved(now)

    def told_digest(self, digest: str, now: float) -> None:
        """The sender gives the digest of what it has.

        Raises:
            RemoteProtocolError: It did so before, or has not sent all of its data.
        """
        if self.digest is not None:
            raise RemoteProtocolError("a second digest came")
        if self.phase is Phase.MOVING and self._arrived != self.size:
            raise RemoteProtocolError(f"the digest came after {self._arrived} of {self.size} bytes")
        self.digest = digest
        self.moved(now)

    def differs(self, now: float) -> None:
        """The files that were compared are not the same, and data is asked for."""
        self._advance(Phase.MOVING)
        self.digest = None
        self.moved(now)

    @property
    def is_complete(self) -> bool:
        """Is there all that is needed for a verdict?"""
        return self.digest is not None and self.written == self.size

    def check(self, digest: str) -> None:
        """All is written, and has that digest.

        Raises:
            TransferError: It is not the sender's.
        """
        self._advance(Phase.CHECKING)
        if digest != self.digest:
            raise TransferError("what was written is not what was sent: the digests differ")
