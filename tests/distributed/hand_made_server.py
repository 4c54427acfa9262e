"""A place made by hand that runtimes dial; an independent Noise implementation answers, and what a test says."""

from __future__ import annotations

import contextlib
import platform
import socket
import struct
import threading
from collections.abc import Iterator, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from noise.connection import NoiseConnection

from greencoro.distributed.runtime import Runtime
from tests.distributed.hand_made import PREAMBLE, HandMade, incarnation_of

WELCOME = bytes((21,))


class Answered(HandMade):
    """The other side of one connection that a runtime dialled, past the handshake.

    Args:
        first: Sent in one batch right behind the answer.
    """

    def __init__(self, place: HandMadeServer, sock: socket.socket, first: Sequence[bytes]) -> None:
        self.sock = sock
        self.sock.settimeout(20)
        self.identity, self.incarnation = place.identity, place.incarnation
        self._aside: list[bytes] = []
        self._streams: dict[int, bytes] = {}
        self.received = self._unsaid = 0
        self._lock = threading.RLock()
        self._noise = NoiseConnection.from_name(b"Noise_NNpsk0_25519_AESGCM_SHA256")
        self._noise.set_psks(psk=place.runtime.secret.psk())
        self._noise.set_prologue(PREAMBLE * 2)
        self._noise.set_as_responder()
        self._noise.start_handshake()
        assert self._exactly(16) == PREAMBLE
        sock.sendall(PREAMBLE)
        (length,) = struct.unpack(">H", self._exactly(2))
        self.introduced = bytes(self._noise.read_message(self._exactly(length)))
        words = b"127.0.0.1", place.name.encode(), platform.python_version().encode(), b"0"
        texts = b"".join(bytes((len(word),)) + word for word in words)
        numbers = struct.pack(">16sHIQQIB", self.incarnation, place.port, 1 << 31, 1 << 40, 1 << 26, 0, 0)
        exchange = self._noise.noise_protocol
        ephemeral = exchange.handshake_state.e = exchange.dh_fn.generate_keypair()
        signed = exchange.symmetric_state.h + ephemeral.public_bytes
        message = bytes(self._noise.write_message(self._proof(b"responder", signed) + numbers + texts))
        sock.sendall(struct.pack(">H", len(message)) + message)
        self._is_other_proved = False
        if first:
            self.send(*first)


class HandMadeServer:
    """Listens for one runtime.

    Args:
        runtime: The one that will dial; its secret is known here.

        incarnation: Who it says to be, whatever it can prove.
    """

    def __init__(self, runtime: Runtime, name: str = "hand-made server", incarnation: bytes | None = None) -> None:
        self.runtime = runtime
        self.name = name
        self.identity = Ed25519PrivateKey.generate()
        self.incarnation = incarnation or incarnation_of(self.identity.public_key())
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
        self.listener.settimeout(20)
        self.port: int = self.listener.getsockname()[1]

    def accept(self, *first: bytes) -> Answered:
        """The next connection, answered."""
        return Answered(self, self.listener.accept()[0], first)

    def close(self) -> None:
        self.listener.close()


@contextlib.contextmanager
def hand_made_server(
    runtime: Runtime, name: str = "hand-made server", incarnation: bytes | None = None
) -> Iterator[HandMadeServer]:
    """A place for as long as a test looks."""
    made = HandMadeServer(runtime, name, incarnation)
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def silent_place() -> Iterator[socket.socket]:
    """A socket that connections come to on each address of this machine, and that nobody accepts at."""
    with socket.create_server(("0.0.0.0", 0), backlog=2000) as listener:
        listener.settimeout(0.1)
        yield listener


def taken(listener: socket.socket) -> list[socket.socket]:
    """The connections that have come to a silent place since it was asked last; to be closed."""
    made = []
    with contextlib.suppress(TimeoutError):
        while True:
            made.append(listener.accept()[0])
    return made
