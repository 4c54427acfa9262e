"""Large messages put together again from their chunks."""

from __future__ import annotations

import struct

from greencoro.distributed.outbox import CHUNK_HEADER, FIRST, LAST, MAX_STREAMS
from greencoro.errors import RemoteProtocolError

__all__ = ["Assembly"]


class Assembly:
    """The unfinished large messages of one connection; memory grows with the bytes received, not with those announced.

    Args:
        max_message_bytes (int): A larger message ends the connection.

        max_begun_bytes (int): While the unfinished ones are larger than this together, as announced, none may begin.
    """

    def __init__(self, max_message_bytes: int, max_begun_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self._max_begun_bytes = max_begun_bytes
        self._begun_bytes = 0
        self._streams: dict[int, tuple[bytearray, int]] = {}

    def add(self, header: bytes, data: memoryview) -> memoryview | None:
        """Take a chunk; returns the message it completes, if it does.

        Raises:
            RemoteProtocolError: It belongs to no stream, or the sizes do not add up.
        """
        try:
            number, flags, size = CHUNK_HEADER.unpack(header)
        except struct.error:
            raise RemoteProtocolError("a chunk with a malformed header") from None
        if flags & FIRST:
            if number in self._streams or len(self._streams) >= MAX_STREAMS:
                raise RemoteProtocolError("a stream of chunks begins twice, or is one too many")
            if size > self._max_message_bytes:
                raise RemoteProtocolError(
                    f"the peer announced a message of {size} bytes; max_message_bytes is {self._max_message_bytes}"
                )
            if self._begun_bytes > self._max_begun_bytes:
                raise RemoteProtocolError(
                    f"the peer began a message while {self._begun_bytes} bytes of others were unfinished; "
                    f"max_queue_bytes is {self._max_begun_bytes}"
                )
            self._streams[number] = (bytearray(), size)
            self._begun_bytes += size
        if number not in self._streams:
            raise RemoteProtocolError("a chunk belongs to no stream")
        collected, size = self._streams[number]
        if len(collected) + len(data) > size:
            raise RemoteProtocolError("a stream of chunks is longer than announced")
        collected += data
        if not flags & LAST:
            return None
        if len(collected) != size:
            raise RemoteProtocolError("a stream of chunks is shorter than announced")
        del self._streams[number]
        self._begun_bytes -= size
        return memoryview(collected)
