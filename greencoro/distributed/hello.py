"""What a runtime tells about itself when a connection opens, in a fixed layout.

Pure: bytes in, bytes out.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from greencoro.distributed.location import Location
from greencoro.distributed.presence import NOTHING_SPECIAL, Presence
from greencoro.errors import IncompatibleVersion, RemoteProtocolError

__all__ = ["INCARNATION_BYTES", "SERIALIZERS", "Hello", "check_python", "check_serializer", "minor_version"]

INCARNATION_BYTES = 16
CERTIFICATE_HASH_BYTES = 32
#: How objects travel; the place of each is its number on the wire.
SERIALIZERS = ("pickle", "json")
#: Longest text in a `Hello`, in UTF-8 bytes: one byte counts it.
MAX_TEXT_BYTES = 255

#: Smallest limits that a runtime may announce, those of the settings.
_MIN_BYTES = 1024
#: Incarnation, port, the three limits, serializer, presence, UDP port, length of the certificate hash.
_HELLO = struct.Struct(">16sHIQQBBHB")


@dataclass(frozen=True, slots=True)
class Hello:
    """What a runtime tells about itself inside the handshake.

    Raises:
        ValueError: A field that cannot be sent: too long, too large or small, or with control characters.

    Attributes:
        incarnation (bytes): Who it is (`identity`).

        location (Location): Where it can be dialled.

        name (str): Its name among its peers.

        python_version (str): Such as ``"3.11.7"``; peers run the same minor version (`check_python`).

        package_version (str): For messages about differences.

        max_queue_messages, max_queue_bytes (int): The credit it gives for each of its mailboxes.

        max_message_bytes (int): The largest message it takes.

        presence (Presence): What it is for, and whom it wants to meet.

        udp_port (int): Where it takes part in discovery; 0: it does not.

        certificate_hash (bytes): SHA-256 of the TLS certificate it shows; empty without TLS.

        serializer (str): One of `SERIALIZERS`; peers have the same (`check_serializer`).
    """

    incarnation: bytes
    location: Location
    name: str
    python_version: str
    package_version: str
    max_queue_messages: int
    max_queue_bytes: int
    max_message_bytes: int
    presence: Presence = NOTHING_SPECIAL
    udp_port: int = 0
    certificate_hash: bytes = b""
    serializer: str = SERIALIZERS[0]

    def __post_init__(self) -> None:
        if len(self.incarnation) != INCARNATION_BYTES:
            raise ValueError(f"an incarnation has {INCARNATION_BYTES} bytes, not {len(self.incarnation)}")
        if len(self.certificate_hash) not in (0, CERTIFICATE_HASH_BYTES):
            raise ValueError(f"a certificate hash has {CERTIFICATE_HASH_BYTES} bytes, not {len(self.certificate_hash)}")
        if not 0 <= self.udp_port < 1 << 16:
            raise ValueError(f"udp_port has 16 bits, not {self.udp_port}")
        if not 1 <= self.max_queue_messages < 1 << 32:
            raise ValueError(f"max_queue_messages is at least 1 and has 32 bits, not {self.max_queue_messages}")
        for field in ("max_queue_bytes", "max_message_bytes"):
            if not _MIN_BYTES <= getattr(self, field) < 1 << 64:
                raise ValueError(f"{field} is at least {_MIN_BYTES} and has 64 bits, not {getattr(self, field)}")
        if self.serializer not in SERIALIZERS:
            raise ValueError(f"serializer is one of {', '.join(map(repr, SERIALIZERS))}, not {self.serializer!r}")
        for field in ("name", "python_version", "package_version"):
            text = getattr(self, field)
            # These reach log lines and terminals.
            if not text.isprintable() or len(text.encode()) > MAX_TEXT_BYTES:
                raise ValueError(f"the {field} of a runtime is printable text of at most {MAX_TEXT_BYTES} bytes")

    def encode(self) -> bytes:
        """The fixed layout: numbers, then each text with a byte that counts it, then the hash."""
        limits = self.max_queue_messages, self.max_queue_bytes, self.max_message_bytes
        discovery = SERIALIZERS.index(self.serializer), self.presence.encode(), self.udp_port
        parts = [_HELLO.pack(self.incarnation, self.location.port, *limits, *discovery, len(self.certificate_hash))]
        for text in (self.location.addr, self.name, self.python_version, self.package_version):
            encoded = text.encode()
            parts.append(bytes((len(encoded),)) + encoded)
        parts.append(self.certificate_hash)
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes) -> Hello:
        """Read what `encode` wrote.

        Raises:
            RemoteProtocolError: It is anything else.
        """
        try:
            numbers = _HELLO.unpack_from(data)
            incarnation, port, messages, size, message_size, serializer, presence, udp_port, hash_bytes = numbers
            position = _HELLO.size
            texts = []
            for _ in range(4):
                start = position + 1
                position = start + data[position]
                # A slice past the end would be silently short; the size check below sees it.
                texts.append(data[start:position].decode())
            if position + hash_bytes != len(data):
                raise ValueError("its parts do not add up to its size")
            addr, name, python_version, package_version = texts
            return cls(
                incarnation,
                Location(addr, port),
                name,
                python_version,
                package_version,
                messages,
                size,
                message_size,
                Presence.decode(presence),
                udp_port,
                data[position:],
                _serializer(serializer),
            )
        except (ValueError, IndexError, struct.error) as err:  # UnicodeDecodeError is a ValueError
            raise RemoteProtocolError(f"the other side introduced itself wrongly: {err}") from err


def _serializer(number: int) -> str:
    if number >= len(SERIALIZERS):
        raise ValueError(f"{number} stands for no serializer")
    return SERIALIZERS[number]


def minor_version(python_version: str) -> str:
    """``"3.11"`` of ``"3.11.7"``."""
    return ".".join(python_version.split(".")[:2])


def check_python(ours: Hello, theirs: Hello) -> None:
    """Refuse a peer with which neither functions nor all objects could be exchanged.

    Raises:
        IncompatibleVersion: It runs another minor version of Python.
    """
    here, there = minor_version(ours.python_version), minor_version(theirs.python_version)
    if here != there:
        raise IncompatibleVersion(
            f"the other side ({theirs.location}) runs Python {there}, this side {here}: "
            "use the same minor version of Python on both"
        )


def check_serializer(ours: Hello, theirs: Hello) -> None:
    """Refuse a peer whose objects could not be opened here, nor ours there.

    Raises:
        IncompatibleVersion: Its objects travel in another way.
    """
    if ours.serializer != theirs.serializer:
        raise IncompatibleVersion(
            f"the other side ({theirs.location}) has Runtime(serializer={theirs.serializer!r}), this side "
            f"{ours.serializer!r}: give both the same"
        )
