"""Which message goes out next on one connection.

Small messages go in batches, in the order they were queued. One of more than `chunk_bytes` goes as a *stream* of chunks
that take turns with batches and with other streams, so that no bulk transfer holds up a ping. Order is kept for each
key (a key stands for a receiver, or for one sender to it): what has the key of a stream that is not through waits
behind it. A `BARRIER` overtakes nothing that was queued before it, whatever its key; what is queued after it need not
wait for it.

What is queued as a `Parcel` can be taken back until its first byte goes out; what is left of it then is passed over.
"""

from __future__ import annotations

import itertools
import struct
from collections import deque
from collections.abc import Hashable, Sequence
from typing import Final, NamedTuple

from greencoro.distributed.fields import Buffer

__all__ = ["BARRIER", "CHUNK_HEADER", "FIRST", "LAST", "MAX_STREAMS", "Outbox", "Parcel"]

#: Key of a message that must not overtake anything.
BARRIER: Final = "barrier"

#: At most this many streams are under way on a connection at once, in each direction.
MAX_STREAMS = 64

#: u32 stream, u8 flags, u64 size of the whole (meant in the first chunk only).
CHUNK_HEADER = struct.Struct("!IBQ")
FIRST = 1
LAST = 2

# A batch's bookkeeping pays off long before this; more would only delay what comes behind.
_BATCH_MESSAGES = 2000


class Parcel:
    """A message that goes out or is taken back, whichever is asked for first; any thread."""

    __slots__ = ("_content",)

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self._content = [buffers]

    def take(self) -> Sequence[Buffer] | None:
        """The message, for the first who asks; None for all others."""
        try:
            return self._content.pop()
        except IndexError:
            return None

    @property
    def is_taken(self) -> bool:
        return not self._content


Content = Sequence[Buffer] | Buffer | Parcel


class _Queued(NamedTuple):
    """A message that waits for streams."""

    #: Its place among all that were queued.
    order: int
    key: Hashable
    message: Content
    size: int


class _Stream:
    """One large message on its way."""

    __slots__ = (
        "_buffers",
        "_is_first",
        "_left",
        "_message",
        "after_small",
        "key",
        "number",
        "order",
        "size",
    )

    def __init__(self, number: int, queued: _Queued, after_small: int) -> None:
        self.number = number
        self.order = queued.order
        self.key = queued.key
        self.size = queued.size
        #: So many small messages go first, because they were queued before it.
        self.after_small = after_small
        self._message: Content | None = queued.message
        self._buffers: deque[memoryview] = deque()
        self._left = queued.size
        self._is_first = True

    def begin(self) -> bool:
        """From here on it goes; False where it was taken back."""
        message, self._message = self._message, None
        if isinstance(message, Parcel):
            message = message.take()
        if message is None:
            return False
        buffers = [message] if isinstance(message, bytes | bytearray | memoryview) else message
        self._buffers.extend(memoryview(buffer).cast("B") for buffer in buffers if len(buffer))
        return True

    @property
    def is_taken(self) -> bool:
        """Was it taken back?"""
        return _is_taken(self._message)

    def next_chunk(self, chunk_bytes: int) -> tuple[bytes, memoryview, bool]:
        """Header, data, and whether it was the last."""
        first = self._buffers[0]
        data = first[:chunk_bytes]
        if len(data) == len(first):
            self._buffers.popleft()
        else:
            self._buffers[0] = first[chunk_bytes:]
        self._left -= len(data)
        last = not self._left
        flags = (FIRST if self._is_first else 0) | (LAST if last else 0)
        self._is_first = False
        return CHUNK_HEADER.pack(self.number, flags, self.size), data, last


class Outbox:
    """The messages of one connection that are not sealed yet.

    Args:
        max_begun_bytes: While the streams that have begun are larger than this together, no other one begins. The other
            side collects them, and takes no more than that (`assembly`).
    """

    def __init__(self, chunk_bytes: int, max_begun_bytes: int) -> None:
        self._chunk_bytes = chunk_bytes
        self.max_begun_bytes = max_begun_bytes
        self._begun_bytes = 0
        self._numbers = itertools.count(1)
        self._orders = itertools.count()
        self._small: deque[tuple[Content, int]] = deque()
        self._small_bytes = 0
        # Small messages taken out so far; with those still in, the place of the next one.
        self._small_taken = 0
        # Streams that are not through: those that take turns, those that may begin, and those that still wait for small
        # messages, oldest first.
        self._begun: deque[_Stream] = deque()
        self._ready: deque[_Stream] = deque()
        self._coming: deque[_Stream] = deque()
        # All of them.
        self._streams = 0
        # key of a stream -> what waits behind it.
        self._held: dict[Hashable, deque[_Queued]] = {}
        self._barriers: deque[_Queued] = deque()
        self._chunk_turn = False
        #: What was pushed and has not gone, in messages and bytes. A parcel that was taken back never goes: whoever
        #: took it back counts it off.
        self.waiting_messages = 0
        self.waiting_bytes = 0

    def push(self, key: Hashable, message: Content, size: int) -> bool:
        """Queue a message of ``size`` bytes, in one buffer or several; returns `has_room`."""
        self.waiting_messages += 1
        self.waiting_bytes += size
        if size > self._chunk_bytes or self._streams:
            self._push_with_streams(_Queued(next(self._orders), key, message, size))
            return self.has_room
        small = self._small
        small.append((message, size))
        self._small_bytes += size
        return self._small_bytes < self._chunk_bytes and len(small) < _BATCH_MESSAGES

    def _push_with_streams(self, queued: _Queued) -> None:
        if queued.key == BARRIER and self._streams:
            self._barriers.append(queued)
        elif queued.key in self._held:
            self._held[queued.key].append(queued)
        else:
            self._let_go(queued)

    def _let_go(self, queued: _Queued) -> None:
        """Nothing that it has to wait for is left but small messages."""
        if queued.size <= self._chunk_bytes:
            self._small.append((queued.message, queued.size))
            self._small_bytes += queued.size
            return
        stream = _Stream(next(self._numbers) & 0xFFFFFFFF, queued, self._small_taken + len(self._small))
        (self._coming if self._small else self._ready).append(stream)
        self._streams += 1
        if queued.key is not None and queued.key != BARRIER:
            self._held[queued.key] = deque()

    @property
    def has_room(self) -> bool:
        """Should more be pushed now? Beyond a batch it only waits, and nearer to the wire."""
        # However many streams there are: what comes after them may be small, and pass.
        return self._small_bytes < self._chunk_bytes and len(self._small) < _BATCH_MESSAGES

    def __bool__(self) -> bool:
        return bool(self._small or self._streams)

    def next_batch(self) -> list[Sequence[Buffer] | Buffer] | None:
        """The messages of the next record; empty where all were taken back, None where a chunk is due."""
        small = self._small
        if not small or (self._chunk_turn and (self._begun or self._ready)):
            return None
        self._chunk_turn = True
        batch: list[Sequence[Buffer] | Buffer] = []
        passed = 0
        room = self._chunk_bytes
        while small and len(batch) < _BATCH_MESSAGES:
            message, size = small[0]
            if room < size and batch:
                break
            small.popleft()
            passed += 1
            self._small_bytes -= size
            found = message.take() if isinstance(message, Parcel) else message
            if found is not None:
                room -= size
                self.waiting_bytes -= size
                batch.append(found)
        self.waiting_messages -= len(batch)
        self._small_taken += passed
        while self._coming and self._coming[0].after_small <= self._small_taken:
            self._ready.append(self._coming.popleft())
        return batch

    def next_chunk(self) -> tuple[bytes, memoryview] | None:
        """Header and data of the next chunk; None where no stream has one, because all were taken back."""
        self._chunk_turn = False
        stream = self._next_stream()
        if stream is None:
            return None
        header, data, last = stream.next_chunk(self._chunk_bytes)
        self.waiting_bytes -= len(data)
        if last:
            self.waiting_messages -= 1
            self._begun_bytes -= stream.size
            self._release(stream)
        else:
            self._begun.append(stream)
        return header, data

    def _next_stream(self) -> _Stream | None:
        """Whose turn it is: one that begins, where one may; else the one that went longest ago."""
        while self._ready and len(self._begun) < MAX_STREAMS and self._begun_bytes <= self.max_begun_bytes:
            stream = self._ready.popleft()
            if stream.begin():
                self._begun_bytes += stream.size
                return stream
            self._release(stream)
        return self._begun.popleft() if self._begun else None

    def forget_taken(self) -> None:
        """Let go of what is left of large parcels that were taken back, and of those that waited behind a stream."""
        for key, waiting in self._held.items():
            self._held[key] = deque(queued for queued in waiting if not _is_taken(queued.message))
        taken = {stream for stream in itertools.chain(self._ready, self._coming) if stream.is_taken}
        self._ready = deque(stream for stream in self._ready if stream not in taken)
        self._coming = deque(stream for stream in self._coming if stream not in taken)
        for stream in sorted(taken, key=lambda stream: stream.order):
            self._release(stream)

    def _release(self, done: _Stream) -> None:
        """Let go what waited for a stream that is through, or was taken back."""
        self._streams -= 1
        waiting = self._held.pop(done.key, None)
        while waiting:
            queued = waiting.popleft()
            self._let_go(queued)
            if queued.key in self._held:
                # Large as well: what is left waits behind it.
                self._held[queued.key] = waiting
                break
        while self._barriers and not self._is_ahead_of(self._barriers[0]):
            self._let_go(self._barriers.popleft())

    def _is_ahead_of(self, barrier: _Queued) -> bool:
        # What waits behind a stream is ahead of the barrier only if that stream is.
        streams = itertools.chain(self._begun, self._ready, self._coming)
        return any(stream.order < barrier.order for stream in streams)


def _is_taken(message: Content | None) -> bool:
    return isinstance(message, Parcel) and message.is_taken
