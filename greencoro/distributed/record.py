"""Sealed records: what the stream consists of once the handshake is over.

A record is what one flush sends. On the wire::

    length     u32   bytes that follow the header
    type       u8    RecordType
    reserved   3 x 0
    body             ciphertext and 16 bytes of tag; in an unsealed stream the plaintext itself

    plaintext of a BATCH:  count u32, length u32 of each message, the messages
    plaintext of a CHUNK:  length u16 of its header, header, a piece of a bulk message

All numbers are big-endian. The body is AES-256-GCM under the key of its direction; the nonce is the number of the
record, as in the Noise framework (4 zero bytes, 8 bytes counter), and does not travel; the header is associated data.
So a record opens only unchanged, at its place, in its direction, on its connection: replay, loss, another order and
reflection all show as a wrong tag, and one wrong tag is the end of the connection.

Streams inside TLS carry the same records unsealed (key ``None``).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM

from greencoro.distributed.fields import Buffer
from greencoro.errors import AuthenticationError, LocalProtocolError, RemoteProtocolError

__all__ = [
    "HEADER_BYTES",
    "MAX_BATCH_MESSAGES",
    "MAX_CHUNK_BYTES",
    "MAX_CHUNK_HEADER_BYTES",
    "MAX_RECORD_BYTES",
    "TAG_BYTES",
    "Batch",
    "Chunk",
    "Control",
    "Opener",
    "Record",
    "RecordType",
    "Sealer",
]

#: Bytes, whatever holds them; a memoryview must be one-dimensional and of single bytes (``cast("B")``).

HEADER_BYTES = 8
TAG_BYTES = 16
#: Largest piece of a bulk message in one chunk.
MAX_CHUNK_BYTES = 1 << 20
MAX_CHUNK_HEADER_BYTES = 1024
#: Default bound for the body of a record: room for any chunk, or for a few messages just too small to be cut.
MAX_RECORD_BYTES = 2 << 20
#: Messages of one batch: whoever reads them does so without a pause.
MAX_BATCH_MESSAGES = 10_000

#: No key seals more records than this; far below what the 8-byte counter holds.
MAX_RECORDS = 1 << 60
# Indistinguishability of GCM wears off with the square of the number of 16-byte blocks under one key (RFC 8446,
# section 5.5, counts 2**-57 as its margin). 2**44 blocks leave 2**-40; a link at 2 GB/s takes a day and a half.
_RENEW_AFTER_BYTES = 1 << 48
_RENEW_AFTER_RECORDS = 1 << 40

# Joined with its header a small body goes out as one buffer, which is cheaper for sendmsg than two; a copy of more
# than this is dearer.
_JOIN_BYTES = 16 << 10
# A message up to this size is handed on as bytes of its own. A larger one is a view: no copy is made of one that has
# more than half of the record, at the price that it keeps the whole plaintext alive.
_COPY_BYTES = 64 << 10
# Below this a slice is cheaper than a memoryview.
_SLICE_BYTES = 4 << 10

_HEADER = struct.Struct(">IB3s")
_NONCE = struct.Struct(">4xQ")
_COUNT = struct.Struct(">I")
_TABLE_OF_ONE = struct.Struct(">II")
_CHUNK_HEADER = struct.Struct(">H")
_RESERVED = bytes(3)
_ONLY_BYTES = frozenset((bytes,))


class RecordType(IntEnum):
    """What a record's plaintext holds."""

    #: Whole messages.
    BATCH = 0
    #: A piece of one bulk message.
    CHUNK = 1
    #: Messages about the connection itself, as in a batch.
    CONTROL = 2


_BATCH = int(RecordType.BATCH)
_CHUNK = int(RecordType.CHUNK)
_CONTROL = int(RecordType.CONTROL)
_TYPES = frozenset(map(int, RecordType))


class Batch(NamedTuple):
    """The messages of one flush, in the order sent; may be none.

    Those over 64 KiB are views, which keep less than twice their own size alive.
    """

    messages: list[bytes | memoryview]


class Chunk(NamedTuple):
    """A piece of a bulk message.

    Attributes:
        header (bytes): What the sender wrote about it: whose piece, which place.

        data (memoryview): The piece, at most 1 MiB.
    """

    header: bytes
    data: memoryview


class Control(NamedTuple):
    """What is said about the connection itself."""

    messages: list[bytes | memoryview]


Record: TypeAlias = Batch | Chunk | Control


class Sealer:
    """Turns messages into records of one direction of one connection.

    What it returns must be sent whole, in the order made. A call that raises has made nothing, and the object can be
    used on.

    Args:
        key (bytes | None): The 32 bytes of this direction, used by no other object; ``None`` to leave unsealed.

        max_record_bytes (int): Largest body to make; what the peer's `Opener` accepts.
    """

    __slots__ = ("_aead", "_key", "_max_record_bytes", "_records", "_sealed_bytes")

    def __init__(self, key: bytes | None, max_record_bytes: int = MAX_RECORD_BYTES) -> None:
        self._key = key
        self._aead = None if key is None else AESGCM(key)
        self._max_record_bytes = max_record_bytes
        self._records = 0
        self._sealed_bytes = 0

    @property
    def renewal_due(self) -> bool:
        """Whether the key has sealed so much that the connection should be replaced by a new one."""
        return self._records >= _RENEW_AFTER_RECORDS or self._sealed_bytes >= _RENEW_AFTER_BYTES

    def control(self, messages: Sequence[Buffer | Sequence[Buffer]]) -> list[Buffer]:
        """As `batch`, a record about the connection itself."""
        return self.batch(messages, _CONTROL)

    def batch(self, messages: Sequence[Buffer | Sequence[Buffer]], kind: int = _BATCH) -> list[Buffer]:
        """The buffers of one record that carries ``messages``; a message may come in several segments.

        Raises:
            LocalProtocolError: They are too many or too long together for one record, or the key is used up.
        """
        segments: list[Buffer]
        if set(map(type, messages)) <= _ONLY_BYTES:
            segments = messages  # type: ignore[assignment]
            lengths = [*map(len, segments)]
        else:
            segments, lengths = _flattened(messages)
        count = len(lengths)
        size = 4 + 4 * count + sum(lengths)
        body_bytes = size if self._aead is None else size + TAG_BYTES
        if body_bytes > self._max_record_bytes or count > MAX_BATCH_MESSAGES:
            raise LocalProtocolError(f"a batch of {count} messages makes {body_bytes} bytes, too many for one record")
        table = _TABLE_OF_ONE.pack(1, size - 8) if count == 1 else struct.pack(f">{count + 1}I", count, *lengths)
        plaintext = b"".join((table, *segments))
        if len(plaintext) != size:
            raise LocalProtocolError("a segment of a message is a view of something other than single bytes")
        header = _HEADER.pack(body_bytes, kind, _RESERVED)
        nonce = self._next_nonce(size)
        body = plaintext if self._aead is None else self._aead.encrypt(nonce, plaintext, header)
        return [header + body] if body_bytes <= _JOIN_BYTES else [header, body]

    def chunk(self, header: Buffer, data: Buffer) -> list[Buffer]:
        """The buffers of one record that carries a piece of a bulk message and a short ``header`` about it.

        Sealed, they are a copy; unsealed, ``data`` itself is among them and must stay as it is until it is sent.

        Raises:
            LocalProtocolError: One of the two is too long, or the key is used up.
        """
        if len(header) > MAX_CHUNK_HEADER_BYTES or len(data) > MAX_CHUNK_BYTES:
            raise LocalProtocolError(f"a chunk of {len(data)} bytes with a header of {len(header)} is too long")
        if isinstance(data, memoryview) and data.nbytes != len(data):
            raise LocalProtocolError("the data of a chunk is a view of something other than single bytes")
        start = _CHUNK_HEADER.pack(len(header)) + header
        size = len(start) + len(data)
        body_bytes = size if self._key is None else size + TAG_BYTES
        if body_bytes > self._max_record_bytes:
            raise LocalProtocolError(f"a chunk of {body_bytes} bytes is too long for one record")
        record_header = _HEADER.pack(body_bytes, _CHUNK, _RESERVED)
        nonce = self._next_nonce(size)
        if self._key is None:
            return [record_header + start, data]
        # In two steps, not by AESGCM: joining 1 MiB first costs several times the encryption.
        encryptor = Cipher(AES(self._key), GCM(nonce)).encryptor()
        encryptor.authenticate_additional_data(record_header)
        record = bytearray(HEADER_BYTES + body_bytes)
        record[:HEADER_BYTES] = record_header
        with memoryview(record) as view:
            # update_into asks for up to 15 bytes more room than it fills; the place of the tag provides it.
            encryptor.update_into(start, view[HEADER_BYTES:])
            encryptor.update_into(data, view[HEADER_BYTES + len(start) :])
            encryptor.finalize()
            view[-TAG_BYTES:] = encryptor.tag
        return [record]

    def _next_nonce(self, size: int) -> bytes:
        number = self._records
        if number >= MAX_RECORDS:
            raise LocalProtocolError("the key of this connection has sealed all the records it may")
        # Counted before it is used: whatever fails afterwards, no nonce comes twice.
        self._records = number + 1
        self._sealed_bytes += size
        return _NONCE.pack(number)


class Opener:
    """Turns the bytes of one direction of one connection back into records, however they were cut.

    Memory grows with the bytes received, never with a length announced. After an error it is of no further use:
    records of the same call that were intact are dropped too, and sent again where the link resumes.

    Args:
        key (bytes | None): The 32 bytes of this direction; ``None`` for a stream that is not sealed.

        max_record_bytes (int): Largest body accepted.
    """

    __slots__ = ("_aead", "_broken", "_buffer", "_max_record_bytes", "_opened")

    def __init__(self, key: bytes | None, max_record_bytes: int = MAX_RECORD_BYTES) -> None:
        self._aead = None if key is None else AESGCM(key)
        self._max_record_bytes = max_record_bytes
        self._buffer = bytearray()
        self._opened = 0
        self._broken = False

    @property
    def opened(self) -> int:
        """Number of records opened so far; the first one proves to a responder that its peer is live."""
        return self._opened

    @property
    def buffered_bytes(self) -> int:
        """Bytes kept of a record that is not complete; at the end of the stream anything but 0 is a truncation."""
        return len(self._buffer)

    def receive_data(self, data: Buffer) -> list[Record]:
        """The records that ``data`` completes, often none. ``data`` may be changed afterwards.

        Raises:
            AuthenticationError: A record was altered, replayed, or sealed for another place; in a sealed stream
                also a length or type that no record has, for those may have been altered.

            RemoteProtocolError: The peer itself said what is no record.

            LocalProtocolError: There was an error before.
        """
        if self._broken:
            raise LocalProtocolError("this stream of records was given up after an error")
        self._broken = True  # until everything in it has proved sound
        source: Buffer
        if self._buffer:
            self._buffer += data
            source = self._buffer
        else:
            source = data
        end = len(source)
        start = 0
        records: list[Record] = []
        try:
            while end - start >= HEADER_BYTES:
                length, kind, reserved = _HEADER.unpack_from(source, start)
                self._check_header(length, kind, reserved)
                stop = start + HEADER_BYTES + length
                if stop > end:
                    break
                records.append(_parsed(kind, self._open(source, start, stop)))
                start = stop
        except BaseException:
            self._buffer = bytearray()
            raise
        if source is self._buffer:
            del self._buffer[:start]  # moves a pointer, not the bytes
        elif start < end:
            self._buffer += memoryview(data)[start:] if start else data
        self._broken = False
        return records

    def _check_header(self, length: int, kind: int, reserved: bytes) -> None:
        # Whether the peer said it or somebody altered it shows in the tag alone, which is not there to be looked at.
        wrong = RemoteProtocolError if self._aead is None else AuthenticationError
        if length > self._max_record_bytes:
            raise wrong(f"a record of {length} bytes; {self._max_record_bytes} are allowed")
        if kind not in _TYPES or reserved != _RESERVED:
            raise wrong(f"a record of unknown type {kind}")
        if self._aead is not None and length < TAG_BYTES:
            raise wrong(f"a sealed record of {length} bytes has no room for its tag")

    def _open(self, source: Buffer, start: int, stop: int) -> bytes:
        """The plaintext of the record at ``source[start:stop]``; never a view, ``source`` may change."""
        body_start = start + HEADER_BYTES
        if self._aead is None:
            self._opened += 1
            return bytes(source[body_start:stop])
        body = source[body_start:stop] if stop - start <= _SLICE_BYTES else memoryview(source)[body_start:stop]
        try:
            plaintext = self._aead.decrypt(_NONCE.pack(self._opened), body, source[start:body_start])
        except InvalidTag:
            raise AuthenticationError("a record was altered on its way, or sealed for another connection") from None
        self._opened += 1
        return plaintext


def _flattened(messages: Sequence[Buffer | Sequence[Buffer]]) -> tuple[list[Buffer], list[int]]:
    """All segments in order, with the length of each message."""
    segments: list[Buffer] = []
    lengths: list[int] = []
    for message in messages:
        if isinstance(message, bytes | bytearray | memoryview):
            segments.append(message)
            lengths.append(len(message))
        else:
            segments.extend(message)
            lengths.append(sum(map(len, message)))
    return segments, lengths


def _parsed(kind: int, plaintext: bytes) -> Record:
    if kind == _BATCH:
        return Batch(_parsed_messages(plaintext))
    return _parsed_chunk(plaintext) if kind == _CHUNK else Control(_parsed_messages(plaintext))


def _parsed_messages(plaintext: bytes) -> list[bytes | memoryview]:
    size = len(plaintext)
    count = _COUNT.unpack_from(plaintext)[0] if size >= 4 else -1
    position = 4 + 4 * count
    if count < 0 or position > size:
        raise RemoteProtocolError("the length table of a batch does not fit into it")
    if count > MAX_BATCH_MESSAGES:
        raise RemoteProtocolError(f"a batch of {count} messages; {MAX_BATCH_MESSAGES} are allowed")
    lengths = struct.unpack_from(f">{count}I", plaintext, 4)
    if position + sum(lengths) != size:
        raise RemoteProtocolError("the length table of a batch does not add up to its size")
    messages: list[bytes | memoryview] = []
    for length in lengths:
        stop = position + length
        if length <= _COPY_BYTES:
            messages.append(plaintext[position:stop])
        elif 2 * length > size:
            messages.append(memoryview(plaintext)[position:stop])
        else:
            # Whoever keeps it keeps no more than it is counted with; and a view again, of which nobody makes copies.
            messages.append(memoryview(plaintext[position:stop]))
        position = stop
    return messages


def _parsed_chunk(plaintext: bytes) -> Chunk:
    header_bytes = _CHUNK_HEADER.unpack_from(plaintext)[0] if len(plaintext) >= 2 else -1
    stop = 2 + header_bytes
    if not 0 <= header_bytes <= MAX_CHUNK_HEADER_BYTES or not stop <= len(plaintext) <= stop + MAX_CHUNK_BYTES:
        raise RemoteProtocolError("the parts of a chunk do not add up to its size")
    return Chunk(plaintext[2:stop], memoryview(plaintext)[stop:])
