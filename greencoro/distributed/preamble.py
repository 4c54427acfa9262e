"""The 16 bytes that each side of a connection says first.

Numbers big-endian::

    "greencoro"     9 bytes
    u16             number of the wire protocol
    5 bytes         zero

Pure: bytes in, bytes out.
"""

from __future__ import annotations

import struct

from greencoro.errors import IncompatibleVersion, RemoteProtocolError

__all__ = ["MAGIC", "OURS", "PREAMBLE_BYTES", "PROTOCOL", "TLS_FIRST_BYTES", "check", "is_ours"]

#: Number of the wire protocol; another number is refused by name.
PROTOCOL = 1
MAGIC = b"greencoro"
PREAMBLE_BYTES = 16

#: Where TLS begins in place of a preamble: an alert, or a part of its handshake.
TLS_FIRST_BYTES = (0x15, 0x16)

_PREAMBLE = struct.Struct(">9sH5s")
_RESERVED = bytes(5)

#: What this side says.
OURS = _PREAMBLE.pack(MAGIC, PROTOCOL, _RESERVED)


def is_ours(beginning: bytes | bytearray) -> bool:
    """Can what begins like this be a preamble? The first wrong byte is enough: others may never send sixteen."""
    return beginning[: len(MAGIC)] == MAGIC[: len(beginning)]


def check(preamble: bytes) -> None:
    """Refuse a whole preamble, which `is_ours`, of somebody whom we would not understand.

    Raises:
        IncompatibleVersion: It has another protocol number.

        RemoteProtocolError: It uses reserved bytes.
    """
    _, protocol, reserved = _PREAMBLE.unpack(preamble)
    if protocol != PROTOCOL:
        raise IncompatibleVersion(
            f"the other side speaks greencoro's protocol {protocol}, this side {PROTOCOL}: "
            "use the same version of greencoro on both"
        )
    if reserved != _RESERVED:
        raise RemoteProtocolError("reserved bytes of the preamble are in use")
