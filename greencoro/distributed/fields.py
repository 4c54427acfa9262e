"""The parts of a message that have no fixed length, as bytes.

A text is a u32 length and UTF-8. A header is a JSON object as a text. Parts are a u32 count, a u64 length each, and the
bytes. A route is a u8 count, then 16 bytes of incarnation and a u64 for each channel that the message has come through.

What is read comes from a peer: where it is not what it should be, the readers raise `RemoteProtocolError`, or one of
those errors of `struct`, `json` and slices that `decoding.decode` makes one of.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from typing import Any

from greencoro.errors import LocalProtocolError, RemoteProtocolError

__all__ = [
    "MAX_JSON_BYTES",
    "MAX_PARTS",
    "MAX_ROUTE",
    "Buffer",
    "Header",
    "NumberedHeader",
    "Route",
    "expect_end",
    "pack_json",
    "pack_parts",
    "pack_route",
    "pack_text",
    "read_float",
    "read_json",
    "read_parts",
    "read_route",
    "read_text",
    "refuse_constant",
]

Buffer = bytes | bytearray | memoryview

#: A header that is to be sent: as it is, or the JSON that is made of it.
Header = dict[str, Any] | bytes

#: Bounds for a `Request` and a `Reply`. Bytes of either kind make objects of more than twenty times their size, and the
#: reactor stands still while it makes them; without these the largest message took seconds and gigabytes.
MAX_JSON_BYTES = 4 << 20
MAX_PARTS = 1 << 16

#: The channels that a message has come through: of each its runtime's incarnation and its id.
Route = Sequence[tuple[bytes, int]]

#: A message goes through at most so many channels.
MAX_ROUTE = 32

_STAGE = struct.Struct("!16sQ")
_U32 = struct.Struct("!I")
_U64 = struct.Struct("!Q")

# NaN and the infinities are no JSON, though Python's encoder writes them and its decoder takes them unless told.
_encode_json = json.JSONEncoder(allow_nan=False).encode


def refuse_constant(text: str) -> Any:
    """For the decoders of JSON: NaN and the infinities are none."""
    raise ValueError(f"{text} is no JSON")


def read_float(text: str) -> float:
    """For the decoders of JSON: a number that is not infinite."""
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:20]} is too large")
    return number


_decode_json = json.JSONDecoder(parse_constant=refuse_constant, parse_float=read_float).decode


def pack_text(text: str) -> bytes:
    """A text as bytes."""
    encoded = text.encode("utf-8", "surrogatepass")
    return _U32.pack(len(encoded)) + encoded


def read_text(data: Buffer, offset: int) -> tuple[str, int]:
    """The text that begins at ``offset``, and where it ends."""
    (length,) = _U32.unpack_from(data, offset)
    offset += 4
    end = offset + length
    if end > len(data):
        raise RemoteProtocolError("a text in a message is longer than the message")
    return str(data[offset:end], "utf-8", "surrogatepass"), end


class NumberedHeader:
    """A header that is sent again and again, with another number each time: the rest is made into JSON once.

    Args:
        header (dict): The rest.

        name (str): Under which the number stands.

    Attributes:
        header (dict): As given.

    Raises:
        TypeError, ValueError: It is no JSON.
    """

    __slots__ = ("_text", "header")

    def __init__(self, header: dict[str, Any], name: str) -> None:
        self.header = header
        self._text = _encode_json({**header, name: 0}).encode().removesuffix(b"0}")

    def numbered(self, number: int) -> bytes:
        """The JSON of the whole."""
        return b"%b%d}" % (self._text, number)


def pack_json(header: Header) -> bytes:
    """A header as bytes.

    Raises:
        LocalProtocolError: It is larger than ``MAX_JSON_BYTES``.

        TypeError, ValueError: It is no JSON.
    """
    encoded = header if isinstance(header, bytes) else _encode_json(header).encode()
    if len(encoded) > MAX_JSON_BYTES:
        raise LocalProtocolError(f"a request or reply with a header of {len(encoded)} bytes; {MAX_JSON_BYTES} may be")
    return _U32.pack(len(encoded)) + encoded


def read_json(data: Buffer, offset: int) -> tuple[dict[str, Any], int]:
    """The header that begins at ``offset``, and where it ends."""
    (length,) = _U32.unpack_from(data, offset)
    if length > MAX_JSON_BYTES:
        raise RemoteProtocolError(f"the header of a request has {length} bytes; {MAX_JSON_BYTES} are allowed")
    text, offset = read_text(data, offset)
    header = _decode_json(text)
    if not isinstance(header, dict):
        raise RemoteProtocolError("the header of a request is not a JSON object")
    return header, offset


def pack_parts(head: bytes, parts: Sequence[Buffer]) -> list[Buffer]:
    """A message of ``head`` and parts, each in a buffer of its own; nothing is copied.

    Raises:
        LocalProtocolError: They are more than ``MAX_PARTS``.
    """
    if len(parts) > MAX_PARTS:
        raise LocalProtocolError(f"a request or reply with {len(parts)} parts; {MAX_PARTS} may be")
    flat = [part if isinstance(part, bytes) else memoryview(part).cast("B") for part in parts]
    return [head + struct.pack(f"!I{len(flat)}Q", len(flat), *map(len, flat)), *flat]


def read_parts(data: Buffer, offset: int) -> list[Buffer]:
    """The parts that begin at ``offset`` and are all that is left."""
    (count,) = _U32.unpack_from(data, offset)
    offset += 4
    if count * 8 > len(data) - offset:
        raise RemoteProtocolError("a message announces more parts than it has bytes")
    if count > MAX_PARTS:
        raise RemoteProtocolError(f"a message announces {count} parts; {MAX_PARTS} are allowed")
    lengths = struct.unpack_from(f"!{count}Q", data, offset)
    offset += 8 * count
    if sum(lengths) != len(data) - offset:
        raise RemoteProtocolError("the parts of a message do not add up to its length")
    parts: list[Buffer] = []
    for length in lengths:
        parts.append(data[offset : offset + length])
        offset += length
    return parts


def pack_route(route: Route) -> bytes:
    """A route as bytes."""
    return bytes((len(route),)) + b"".join(_STAGE.pack(*stage) for stage in route)


def read_route(data: Buffer, offset: int) -> tuple[Route, int]:
    """The route that begins at ``offset``, and where it ends."""
    count = data[offset]
    begin, end = offset + 1, offset + 1 + count * _STAGE.size
    if count > MAX_ROUTE or end > len(data):
        raise RemoteProtocolError("a message came through more channels than it may, or than it has bytes for")
    return [_STAGE.unpack_from(data, at) for at in range(begin, end, _STAGE.size)], end


def expect_end(data: Buffer, offset: int) -> None:
    """Refuse what has more bytes than its fields."""
    if offset != len(data):
        raise RemoteProtocolError(f"{len(data) - offset} bytes too many at the end of a message")
