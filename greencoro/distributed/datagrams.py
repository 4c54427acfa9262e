"""The layout of discovery datagrams, each with proof that its author knows the secret.

Numbers big-endian::

    "greencoro-d"   11 bytes
    u8              number of the layout, 1
    16 bytes        incarnation of the author
    u16             TCP port at which the author can be dialled
    u8, text        host, in UTF-8, with the number of its bytes
    32 bytes        HMAC-SHA256 of everything before, under the secret's key for discovery

Authenticated, not hidden. There is one kind of datagram, the *ping*: "I am here". Nobody answers one with a datagram:
whoever wants to know its author dials the location inside it, where each side proves itself. So a datagram with a
forged source, or one that was recorded and is sent again, makes nobody send anything to its source.

Pure: bytes in, bytes out.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import NamedTuple

from greencoro.distributed.location import Location

__all__ = ["MAX_DATAGRAM_BYTES", "Ping"]

MAGIC = b"greencoro-d"
LAYOUT = 1
TAG_BYTES = hashlib.sha256().digest_size

_HEAD = struct.Struct(f">{len(MAGIC)}sB16sHB")

#: No ping is larger; of more bytes than this none are read.
MAX_DATAGRAM_BYTES = _HEAD.size + 255 + TAG_BYTES


class Ping(NamedTuple):
    """ "I am here": who, and where that one can be dialled."""

    incarnation: bytes
    location: Location

    def encode(self, key: bytes) -> bytes:
        """The datagram, signed with ``key``."""
        host = self.location.addr.encode()
        body = _HEAD.pack(MAGIC, LAYOUT, self.incarnation, self.location.port, len(host)) + host
        return body + _tag(key, body)

    @classmethod
    def decode(cls, data: bytes, key: bytes) -> Ping | None:
        """Read a datagram; None where it is anything else than a ping signed with ``key``."""
        if not _HEAD.size + 1 + TAG_BYTES <= len(data) <= MAX_DATAGRAM_BYTES or not data.startswith(MAGIC):
            return None
        body, tag = data[:-TAG_BYTES], data[-TAG_BYTES:]
        # First of all: nothing that a stranger wrote is looked at.
        if not hmac.compare_digest(tag, _tag(key, body)):
            return None
        _, layout, incarnation, port, count = _HEAD.unpack_from(body)
        host = body[_HEAD.size :]
        if layout != LAYOUT or len(host) != count or not port:
            return None
        try:
            return cls(incarnation, Location(host.decode(), port))
        except ValueError:
            return None


def _tag(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, body, "sha256")
