"""Messages on a stream of bytes, each behind its length.

A message is four bytes, its length as an unsigned big-endian number, then that many bytes. It may be empty.
"""

from __future__ import annotations

from collections import deque

from greencoro.errors import RemoteProtocolError

__all__ = ["DEFAULT_MAX_MESSAGE_BYTES", "HEADER_BYTES", "LARGEST_MESSAGE_BYTES", "Decoder", "header"]

HEADER_BYTES = 4
#: What four bytes can say.
LARGEST_MESSAGE_BYTES = 2 ** (8 * HEADER_BYTES) - 1
DEFAULT_MAX_MESSAGE_BYTES = 64 * 2**20

_SMALL_BYTES = 4096


def header(length: int, max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES) -> bytes:
    """What stands before a message of ``length`` bytes.

    Raises:
        ValueError: The message is larger than ``max_message_bytes``.
    """
    if length > max_message_bytes:
        raise ValueError(
            f"a message of {length} bytes is too large to be sent: max_message_bytes is {max_message_bytes}"
        )
    return length.to_bytes(HEADER_BYTES, "big")


class Decoder:
    """The bytes of a stream that came and were not taken yet, and the messages in them.

    It says how many bytes it needs, so that nobody has to read further than to the end of a message::

        while missing := decoder.missing():
            decoder.feed(read(missing))
        message = decoder.take_message()

    Args:
        max_message_bytes (int): A message announced as larger is refused.
    """

    __slots__ = ("_parts", "_size", "max_message_bytes")

    def __init__(self, max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES) -> None:
        self.max_message_bytes = max_message_bytes
        # As they came, so that a large message is put together once.
        self._parts: deque[bytes] = deque()
        self._size = 0

    def __len__(self) -> int:
        """How many bytes came and were not taken."""
        return self._size

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Add what came next."""
        part = bytes(data)
        if self._parts and len(self._parts[-1]) + len(part) <= _SMALL_BYTES:
            # Else what comes byte by byte would take forty times its size.
            self._parts[-1] += part
        elif part:
            self._parts.append(part)
        self._size += len(part)

    def take(self, size: int) -> bytes:
        """The next bytes whatever they are: ``size`` of them, fewer only where there are no more."""
        taken = []
        missing = min(size, self._size)
        self._size -= missing
        while missing:
            part = self._parts.popleft()
            if len(part) > missing:
                self._parts.appendleft(part[missing:])
                part = part[:missing]
            taken.append(part)
            missing -= len(part)
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def missing(self) -> int:
        """How many bytes can be read without reading further than the next message; 0 where that is complete.

        Before its length is known these are the bytes of the length only.

        Raises:
            RemoteProtocolError: It is announced as larger than ``max_message_bytes``. Nothing is taken: every call
                says so again, since where the message after it begins is far away or, in garbage, nowhere.
        """
        if self._size < HEADER_BYTES:
            return HEADER_BYTES - self._size
        length = self._length()
        if length > self.max_message_bytes:
            raise RemoteProtocolError(
                f"the other side announces a message of {length} bytes: max_message_bytes is {self.max_message_bytes}"
            )
        return max(0, HEADER_BYTES + length - self._size)

    def take_message(self) -> bytes | None:
        """The next message; None where it is not complete. Raises what `missing` does."""
        if self.missing():
            return None
        return self.take(int.from_bytes(self.take(HEADER_BYTES), "big"))

    def end(self) -> None:
        """Take note that nothing will follow.

        Raises:
            RemoteProtocolError: The end is in the middle of a message. Nothing is taken: `take` gives what there is.
        """
        missing = self.missing()
        if not self._size or not missing:
            return
        if self._size < HEADER_BYTES:
            part = f"{self._size} of the {HEADER_BYTES} bytes of its length"
        else:
            came = self._size - HEADER_BYTES
            part = f"{came} of its {came + missing} bytes"
        raise RemoteProtocolError(f"the stream ended in the middle of a message: only {part} came")

    def _length(self) -> int:
        parts = self._parts
        while len(parts[0]) < HEADER_BYTES:
            first = parts.popleft()
            parts[0] = first + parts[0]
        return int.from_bytes(parts[0][:HEADER_BYTES], "big")
