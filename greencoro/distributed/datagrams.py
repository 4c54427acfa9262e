"""The layout of discovery datagrams, each with proof that its author knows the secret.

Numbers big-endian::

    "greencoro-d"   11 bytes
    u8              kind
    u8              presence of the author: its role, and 128 where it is for schedulers alone; of an echo: 0
    16 bytes        incarnation of the author; of an echo: a nonce
    u16             TCP port at which the author can be dialled; of an echo: UDP port that it was asked from
    u8, text        host, in UTF-8, with the number of its bytes
    32 bytes        HMAC-SHA256 of everything before, under the secret's key for discovery

Authenticated, not hidden. Kind 1 is the *ping*: "I am here". Nobody answers one with a datagram: whoever wants to know
its author dials the location inside it, where each side proves itself.

Kind 2 is the question of an *echo*, by which people find out whether UDP gets through, and kind 3 the answer, which is
as long. It is answered only where it came from the place inside it, so a datagram with a forged source, or one that was
recorded and is sent again, makes nobody send anything to somebody who did not ask.

Pure: bytes in, bytes out.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import NamedTuple

from greencoro.distributed.location import Location
from greencoro.distributed.presence import NOTHING_SPECIAL, Presence

__all__ = ["MAX_DATAGRAM_BYTES", "Echo", "Ping"]

MAGIC = b"greencoro-d"
PING, QUESTION, ANSWER = 1, 2, 3
TAG_BYTES = hashlib.sha256().digest_size

_HEAD = struct.Struct(f">{len(MAGIC)}sBB16sHB")

#: No datagram is larger; of more bytes than this none are read.
MAX_DATAGRAM_BYTES = _HEAD.size + 255 + TAG_BYTES


class Ping(NamedTuple):
    """ "I am here": who, where that one can be dialled, and by whom it wants to be."""

    incarnation: bytes
    location: Location
    presence: Presence = NOTHING_SPECIAL

    def encode(self, key: bytes) -> bytes:
        """The datagram, signed with ``key``."""
        return _encode(PING, self.incarnation, self.location, key, self.presence.encode())

    @classmethod
    def decode(cls, data: bytes, key: bytes) -> Ping | None:
        """Read a datagram; None where it is anything else than a ping signed with ``key``."""
        found = _decode(PING, data, key)
        if found is None:
            return None
        presence, incarnation, location = found
        try:
            return cls(incarnation, location, Presence.decode(presence))
        except ValueError:
            return None


class Echo(NamedTuple):
    """ "Do you hear me?": 16 bytes that nobody can guess, and the address and UDP port of whoever asks."""

    nonce: bytes
    asker: Location

    def question(self, key: bytes) -> bytes:
        """The datagram that asks, signed with ``key``."""
        return _encode(QUESTION, self.nonce, self.asker, key)

    def answer(self, key: bytes) -> bytes:
        """The datagram that answers, signed with ``key``; as long as the question."""
        return _encode(ANSWER, self.nonce, self.asker, key)

    @classmethod
    def asked(cls, data: bytes, key: bytes) -> Echo | None:
        """What a datagram asks; None where it is anything else than such a question signed with ``key``."""
        found = _decode(QUESTION, data, key)
        # The first of them says nothing here, and is no other number.
        return None if found is None or found[0] else cls(*found[1:])


def _encode(kind: int, number: bytes, location: Location, key: bytes, presence: int = 0) -> bytes:
    host = location.addr.encode()
    body = _HEAD.pack(MAGIC, kind, presence, number, location.port, len(host)) + host
    return body + _tag(key, body)


def _decode(kind: int, data: bytes, key: bytes) -> tuple[int, bytes, Location] | None:
    if not _HEAD.size + 1 + TAG_BYTES <= len(data) <= MAX_DATAGRAM_BYTES or not data.startswith(MAGIC):
        return None
    # Before the tag, which takes time; it says no more than which reader this is for.
    if data[len(MAGIC)] != kind:
        return None
    body, tag = data[:-TAG_BYTES], data[-TAG_BYTES:]
    # Before anything else: nothing that a stranger wrote is looked at.
    if not hmac.compare_digest(tag, _tag(key, body)):
        return None
    _, _, presence, number, port, count = _HEAD.unpack_from(body)
    host = body[_HEAD.size :]
    if len(host) != count or not port:
        return None
    try:
        return presence, number, Location(host.decode(), port)
    except ValueError:
        return None


def _tag(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, body, "sha256")
