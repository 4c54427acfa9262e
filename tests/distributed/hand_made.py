"""A client made by hand of sockets, an independent Noise implementation and `struct`; nothing of the library sends."""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import socket
import struct
import threading
from collections.abc import Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from noise.connection import NoiseConnection

from greencoro.distributed.runtime import Runtime

PREAMBLE = b"greencoro" + struct.pack(">H", 1) + bytes(5)
SEND, DELIVER, RESULT, MONITOR, TERMINATE, GONE, LOCATE, LOCATED = 1, 2, 3, 4, 6, 7, 9, 10
BYE, DEBT, UNLOCK, UNLOCKED = 14, 22, 23, 24
PING, REQUEST, REPLY, CHANNEL_SEND, CHANNEL_DELIVER = 12, 15, 16, 17, 18
FIRST, LAST = 1, 2
#: Records of messages and about the connection; how often it is said that they came.
CONTROL, ACK, RESUME, ACK_RECORDS, ACK_BYTES = 2, 25, 26, 64, 50_000


def text(value: str | bytes) -> bytes:
    """As it stands in a message."""
    encoded = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
    return struct.pack(">I", len(encoded)) + encoded


def asked(number: int, operation: str, header: Any, parts: Sequence[bytes] = ()) -> bytes:
    """A request; a header of bytes stands for itself."""
    encoded = header if isinstance(header, bytes) else json.dumps(header)
    table = struct.pack(f">I{len(parts)}Q", len(parts), *map(len, parts))
    return struct.pack(">BI", REQUEST, number) + text(operation) + text(encoded) + table + b"".join(parts)


def incarnation_of(public_key: Ed25519PublicKey) -> bytes:
    """Who proves to be it with that key."""
    return hashlib.sha256(b"greencoro 1 incarnation" + public_key.public_bytes_raw()).digest()[:16]


class HandMade:
    """One connection to a runtime, past the handshake, by somebody who knows its secret.

    Args:
        port: Where it says it can be dialled.

        max_message_bytes: The largest message it says it takes.

        python: The version of Python it says it runs.

        identity: That of an earlier connection, which it goes on as.

        incarnation: Who it says to be, whatever it can prove.

        source: The address that it comes from.

        presence: The number of what it says it is for.

        proves: At once; where not, `prove` is still to be called.

        listens: To the answer; where not, it goes no further than its first message.
    """

    def __init__(
        self,
        runtime: Runtime,
        name: str = "hand-made",
        port: int = 9,
        max_message_bytes: int = 1 << 26,
        python: str = platform.python_version(),
        identity: Ed25519PrivateKey | None = None,
        incarnation: bytes | None = None,
        source: str | None = None,
        presence: int = 0,
        proves: bool = True,
        listens: bool = True,
    ) -> None:
        place, own = (runtime.location.addr, runtime.location.port), None if source is None else (source, 0)
        self.sock = socket.create_connection(place, 10, own)
        self.sock.settimeout(20)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.identity = identity or Ed25519PrivateKey.generate()
        self.incarnation = incarnation or incarnation_of(self.identity.public_key())
        self._aside: list[bytes] = []
        self._streams: dict[int, bytes] = {}
        #: Records of messages that came, and bytes since it was said how many.
        self.received = self._unsaid = 0
        #: Held to seal something and send it: what is sealed is good for its place alone.
        self._lock = threading.RLock()
        self._noise = NoiseConnection.from_name(b"Noise_NNpsk0_25519_AESGCM_SHA256")
        self._noise.set_psks(psk=runtime.secret.psk())
        self._noise.set_prologue(PREAMBLE * 2)
        self._noise.set_as_initiator()
        self._noise.start_handshake()
        self.sock.sendall(PREAMBLE)
        assert self._exactly(16) == PREAMBLE
        texts = b"".join(bytes((len(word),)) + word for word in (b"127.0.0.1", name.encode(), python.encode(), b"0"))
        numbers = struct.pack(
            ">16sHIQQHHB", self.incarnation, port, 1 << 31, 1 << 40, max_message_bytes, presence, 0, 0
        )
        message = bytes(self._noise.write_message(numbers + texts))
        self.sock.sendall(struct.pack(">H", len(message)) + message)
        if listens:
            self._hear_answer()
            if proves:
                self.prove()

    def _hear_answer(self) -> None:
        (length,) = struct.unpack(">H", self._exactly(2))
        asked, answer = self._noise.noise_protocol.symmetric_state.h, self._exactly(length)
        payload = bytes(self._noise.read_message(answer))
        self.introduced = payload[96:]
        self._check(b"responder", payload[:96], asked + answer[:32])

    def prove(self, *messages: bytes) -> None:
        """Send the first record, by which the other side knows who this is, with these messages in it."""
        self.control(self._proof(b"initiator", self._noise.get_handshake_hash()), *messages)

    def _proof(self, role: bytes, unique: bytes) -> bytes:
        return self.identity.public_key().public_bytes_raw() + self.identity.sign(b"greencoro 1 " + role + unique)

    def _check(self, role: bytes, proof: bytes, unique: bytes) -> None:
        """Is the other side who it says to be?"""
        other = Ed25519PublicKey.from_public_bytes(proof[:32])
        assert incarnation_of(other) == self.introduced[:16]
        other.verify(proof[32:], b"greencoro 1 " + role + unique)
        self._is_other_proved = True

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.sock.recv(size - len(data))
            if not piece:
                raise ConnectionResetError("the runtime ended the connection")
            data += piece
        return data

    def sealed(self, kind: int, plaintext: bytes) -> bytes:
        """A record; each is good for one place in the stream."""
        header = struct.pack(">IB3x", len(plaintext) + 16, kind)
        cipher = self._noise.noise_protocol.cipher_state_encrypt
        return header + bytes(cipher.encrypt_with_ad(header, plaintext))

    @staticmethod
    def altered(record: bytes) -> bytes:
        """The same with another last byte."""
        return record[:-1] + bytes((record[-1] ^ 1,))

    def send(self, *messages: bytes) -> None:
        """A batch."""
        self._send_messages(0, messages)

    def control(self, *messages: bytes) -> None:
        """A record about the connection."""
        self._send_messages(CONTROL, messages)

    def _send_messages(self, kind: int, messages: Sequence[bytes]) -> None:
        table = struct.pack(f">{len(messages) + 1}I", len(messages), *map(len, messages))
        with self._lock:
            self.send_raw(self.sealed(kind, table + b"".join(messages)))

    def send_chunk(self, number: int, flags: int, size: int, data: bytes = b"") -> None:
        """A piece of a large message."""
        self.send_raw(self.sealed(1, struct.pack(">HIBQ", 13, number, flags, size) + data))

    def send_large(self, message: bytes) -> None:
        """A message in chunks of 1 MiB."""
        for start in range(0, len(message), 1 << 20):
            piece = message[start : start + (1 << 20)]
            flags = (0 if start else FIRST) | (LAST if start + len(piece) == len(message) else 0)
            self.send_chunk(1, flags, len(message), piece)

    def send_raw(self, data: bytes) -> None:
        """Bytes as they are; that the runtime ended the connection shows in what it answers."""
        with contextlib.suppress(ConnectionError):
            self.sock.sendall(data)

    def _read(self) -> list[bytes]:
        """The messages that the next record completes."""
        header = self._exactly(8)
        length, kind = struct.unpack(">IB3x", header)
        cipher = self._noise.noise_protocol.cipher_state_decrypt
        plaintext = bytes(cipher.decrypt_with_ad(header, self._exactly(length)))
        if kind != CONTROL:
            self.received += 1
            self._unsaid += length
            if self.received % ACK_RECORDS == 0 or self._unsaid >= ACK_BYTES:
                self._unsaid = 0
                self.control(struct.pack(">BQ", ACK, self.received))
        if kind == 1:
            number, flags = struct.unpack_from(">IB", plaintext, 2)
            self._streams[number] = self._streams.get(number, b"") + plaintext[15:]
            return [self._streams.pop(number)] if flags & LAST else []
        (count,) = struct.unpack_from(">I", plaintext)
        at, made = 4 + 4 * count, []
        for size in struct.unpack_from(f">{count}I", plaintext, 4):
            made.append(plaintext[at : at + size])
            at += size
        if not self._is_other_proved:
            assert kind == CONTROL
            self._check(b"initiator", made.pop(0), self._noise.get_handshake_hash())
        return made

    def first(self, *kinds: int, number: int | None = None, about: bytes = b"") -> bytes | None:
        """The first message of these kinds and that request number that speaks of something.

        None where the runtime ended the connection before; other messages are kept for another call.
        """
        starts = tuple(bytes((kind,)) if number is None else struct.pack(">BI", kind, number) for kind in kinds)
        seen = 0
        while True:
            for place in range(seen, len(self._aside)):
                if self._aside[place].startswith(starts) and about in self._aside[place]:
                    return self._aside.pop(place)
            seen = len(self._aside)
            try:
                self._aside += self._read()
            except ConnectionError:
                return None

    def ask(self, number: int, operation: str, header: Any, parts: Sequence[bytes] = ()) -> dict[str, Any] | None:
        """The header of the reply, None where there is none; where it failed it tells the ``error``."""
        self.send(asked(number, operation, header, parts))
        return self.reply_to(number)

    def reply_to(self, number: int) -> dict[str, Any] | None:
        """As `ask`, for what was asked before."""
        reply = self.first(REPLY, number=number)
        if reply is None:
            return None
        (length,) = struct.unpack_from(">I", reply, 6)
        header: dict[str, Any] = json.loads(reply[10 : 10 + length])
        return header

    def is_cut_off(self) -> bool:
        """Does the runtime end the connection rather than answer one more question?"""
        return self.ask(0xFFFF, "greencoro.ping", {}) is None

    def close(self) -> None:
        self.sock.close()
