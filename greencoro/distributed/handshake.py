"""The opening of a connection: preambles, proof of the secret, exchange of who is who.

On the wire, numbers big-endian::

    initiator                              responder
    preamble                 ->
                             <-            preamble
    u16 length, psk e + hello  ->
                             <-            u16 length, e ee + hello
    sealed records           <->           sealed records

    preamble (16 bytes)      "greencoro", u16 protocol number, 5 reserved zero bytes

- Both preambles, as each side saw them, are the prologue of the Noise exchange, so nobody can alter them unnoticed.
- The responder says nothing before it has seen our magic: who speaks something else learns nothing of what is here. It
  says nothing more before the initiator has proved that it knows the secret, so it is no oracle for guesses.
- The initiator's first message can be recorded and replayed. The responder's answer to a replay is of no use to
  whoever replays; but only the first sealed record that opens shows that the initiator is really there. Therefore a
  responder ends in the state ``UNCONFIRMED``: the connection must open the first record, call `confirm_peer`, and
  before that neither act for the peer nor count it as one of ours. An initiator should send its first record at once.
- The initiator's `Hello` is protected by the secret alone: who has recorded it and learns the secret later can read it.
  Everything after it is protected by both ephemeral keys as well.
- Inside TLS all of this goes through the TLS stream, and is tied to it (`TlsBinding`): what only this TLS session has
  follows the preambles in the prologue, so nobody between two TLS sessions can hand the proofs of one on to the other,
  or replay them, though he has the certificate and its key; and each side names in its `Hello` the certificate it
  shows. Therefore the records that follow need no seal of their own.

Pure: bytes in, bytes out. The deadline for the whole and the limits on unproven connections are the shell's.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from enum import Enum, auto

from greencoro.distributed.location import Location
from greencoro.distributed.noise import HandshakeState
from greencoro.errors import AuthenticationError, IncompatibleVersion, LocalProtocolError, RemoteProtocolError

__all__ = [
    "INCARNATION_BYTES",
    "MAX_FRAME_BYTES",
    "PREAMBLE_BYTES",
    "PROTOCOL",
    "Handshake",
    "Hello",
    "Role",
    "State",
    "TlsBinding",
]

#: Number of the wire protocol; another number is refused by name.
PROTOCOL = 1
MAGIC = b"greencoro"
PREAMBLE_BYTES = 16
#: Default bound for a frame of the handshake; the largest `Hello` makes 1147 bytes.
MAX_FRAME_BYTES = 4096
INCARNATION_BYTES = 16
CERTIFICATE_HASH_BYTES = 32
#: Longest text in a `Hello`, in UTF-8 bytes: one byte counts it.
MAX_TEXT_BYTES = 255

#: Where TLS begins in place of a preamble: an alert, or a part of its handshake.
TLS_FIRST_BYTES = (0x15, 0x16)

_PREAMBLE = struct.Struct(">9sH5s")
_RESERVED = bytes(5)
_LENGTH = struct.Struct(">H")
#: Smallest limits that a runtime may announce, those of the settings.
_MIN_BYTES = 1024
#: Incarnation, port, the three limits, roles, length of the certificate hash.
_HELLO = struct.Struct(">16sHIQQIB")


@dataclass(frozen=True, slots=True)
class Hello:
    """What a runtime tells about itself inside the handshake.

    Raises:
        ValueError: A field that cannot be sent: too long, too large or small, or with control characters.

    Attributes:
        incarnation (bytes): The 16 random bytes made at the start of the runtime.

        location (Location): Where it can be dialled.

        name (str): Its name among its peers.

        python_version, package_version (str): For messages about differences.

        max_queue_messages, max_queue_bytes (int): The credit it gives for each of its mailboxes.

        max_message_bytes (int): The largest message it takes.

        roles (int): Bits of what it does, 32 at most.

        certificate_hash (bytes): SHA-256 of the TLS certificate it shows; empty without TLS.
    """

    incarnation: bytes
    location: Location
    name: str
    python_version: str
    package_version: str
    max_queue_messages: int
    max_queue_bytes: int
    max_message_bytes: int
    roles: int = 0
    certificate_hash: bytes = b""

    def __post_init__(self) -> None:
        if len(self.incarnation) != INCARNATION_BYTES:
            raise ValueError(f"an incarnation has {INCARNATION_BYTES} bytes, not {len(self.incarnation)}")
        if len(self.certificate_hash) not in (0, CERTIFICATE_HASH_BYTES):
            raise ValueError(f"a certificate hash has {CERTIFICATE_HASH_BYTES} bytes, not {len(self.certificate_hash)}")
        if not 0 <= self.roles < 1 << 32:
            raise ValueError(f"roles are 32 bits, not {self.roles:#x}")
        if not 1 <= self.max_queue_messages < 1 << 32:
            raise ValueError(f"max_queue_messages is at least 1 and has 32 bits, not {self.max_queue_messages}")
        for field in ("max_queue_bytes", "max_message_bytes"):
            if not _MIN_BYTES <= getattr(self, field) < 1 << 64:
                raise ValueError(f"{field} is at least {_MIN_BYTES} and has 64 bits, not {getattr(self, field)}")
        for field in ("name", "python_version", "package_version"):
            text = getattr(self, field)
            # These reach log lines and terminals.
            if not text.isprintable() or len(text.encode()) > MAX_TEXT_BYTES:
                raise ValueError(f"the {field} of a runtime is printable text of at most {MAX_TEXT_BYTES} bytes")

    def encode(self) -> bytes:
        """The fixed layout: numbers, then each text with a byte that counts it, then the hash."""
        limits = self.max_queue_messages, self.max_queue_bytes, self.max_message_bytes
        parts = [_HELLO.pack(self.incarnation, self.location.port, *limits, self.roles, len(self.certificate_hash))]
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
            incarnation, port, messages, size, message_size, roles, hash_bytes = _HELLO.unpack_from(data)
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
                roles,
                data[position:],
            )
        except (ValueError, IndexError, struct.error) as err:  # UnicodeDecodeError is a ValueError
            raise RemoteProtocolError(f"the other side introduced itself wrongly: {err}") from err


@dataclass(frozen=True, slots=True)
class TlsBinding:
    """The TLS session that a handshake goes through.

    Attributes:
        own_certificate_hash, peer_certificate_hash (bytes): SHA-256 of the certificate that each side has shown in it.

        unique (bytes): What only this session has, the same on both sides.
    """

    own_certificate_hash: bytes
    peer_certificate_hash: bytes
    unique: bytes


class Role(Enum):
    """Which side of a connection this is."""

    #: Dialled.
    INITIATOR = auto()
    #: Was dialled.
    RESPONDER = auto()


class State(Enum):
    """Where a handshake stands."""

    #: The other side's preamble has not come.
    AWAIT_PREAMBLE = auto()
    #: Responder: the initiator has not proved that it knows the secret.
    AWAIT_PROOF = auto()
    #: Initiator: the responder has not proved it.
    AWAIT_ANSWER = auto()
    #: Responder: keys are there; that the initiator is live, and no replay, is still to be seen.
    UNCONFIRMED = auto()
    #: Keys are there and the other side is proved live.
    CONFIRMED = auto()
    #: Refused; nothing leads out of here.
    FAILED = auto()


class Event(Enum):
    """What moves a handshake on."""

    PREAMBLE_ACCEPTED = auto()
    PROOF_ACCEPTED = auto()
    ANSWER_ACCEPTED = auto()
    RECORD_OPENED = auto()
    REFUSED = auto()


TRANSITIONS: dict[tuple[Role, State], dict[Event, State]] = {
    (Role.INITIATOR, State.AWAIT_PREAMBLE): {
        Event.PREAMBLE_ACCEPTED: State.AWAIT_ANSWER,
        Event.REFUSED: State.FAILED,
    },
    (Role.INITIATOR, State.AWAIT_ANSWER): {
        # The answer is made from our fresh ephemeral key, so it cannot be a replay.
        Event.ANSWER_ACCEPTED: State.CONFIRMED,
        Event.REFUSED: State.FAILED,
    },
    (Role.INITIATOR, State.CONFIRMED): {Event.RECORD_OPENED: State.CONFIRMED},
    (Role.INITIATOR, State.FAILED): {},
    (Role.RESPONDER, State.AWAIT_PREAMBLE): {
        Event.PREAMBLE_ACCEPTED: State.AWAIT_PROOF,
        Event.REFUSED: State.FAILED,
    },
    (Role.RESPONDER, State.AWAIT_PROOF): {
        Event.PROOF_ACCEPTED: State.UNCONFIRMED,
        Event.REFUSED: State.FAILED,
    },
    (Role.RESPONDER, State.UNCONFIRMED): {Event.RECORD_OPENED: State.CONFIRMED},
    (Role.RESPONDER, State.CONFIRMED): {Event.RECORD_OPENED: State.CONFIRMED},
    (Role.RESPONDER, State.FAILED): {},
}

_RECEIVING = (State.AWAIT_PREAMBLE, State.AWAIT_PROOF, State.AWAIT_ANSWER)


class Handshake:
    """One side of the opening of one connection.

    Feed what arrives to `receive_data`, send what `data_to_send` gives (also after an error: a side that met another
    protocol number still tells its own), until `done`.

    Args:
        role: Whether this side dialled.

        psk: `Secret.psk` of this runtime's secret.

        hello: What this runtime tells about itself.

        ephemeral_private: 32 random bytes, never used before.

        fingerprint: `Secret.fingerprint`, for messages.

        max_frame_bytes: Longest message of the exchange that is taken from somebody unproven.
    """

    def __init__(
        self,
        role: Role,
        psk: bytes,
        hello: Hello,
        ephemeral_private: bytes,
        fingerprint: str,
        *,
        max_frame_bytes: int = MAX_FRAME_BYTES,
    ) -> None:
        self.role = role
        self._max_frame_bytes = max_frame_bytes
        self._psk = psk
        self._hello = hello
        self._ephemeral_private = ephemeral_private
        self._fingerprint = fingerprint
        self._state = State.AWAIT_PREAMBLE
        self._own_preamble = _PREAMBLE.pack(MAGIC, PROTOCOL, _RESERVED)
        self._binding: TlsBinding | None = None
        self._noise: HandshakeState | None = None
        self._received = bytearray()
        self._to_send = bytearray()
        self._peer_hello: Hello | None = None
        self._keys: tuple[bytes, bytes] | None = None
        self._handshake_hash = b""
        if role is Role.INITIATOR:
            self._to_send += self._own_preamble

    @property
    def state(self) -> State:
        return self._state

    @property
    def done(self) -> bool:
        """Whether the keys are there. For a responder that does not yet mean that its peer is: see `peer_confirmed`."""
        return self._keys is not None

    @property
    def peer_confirmed(self) -> bool:
        """Whether the peer is proved to know the secret *and* to be live.

        For an initiator as soon as it is `done`; for a responder once `confirm_peer` was called.
        """
        return self._state is State.CONFIRMED

    @property
    def peer_hello(self) -> Hello:
        """What the peer says about itself. From a responder's side it may be a replay until `peer_confirmed`."""
        self._require_done()
        assert self._peer_hello is not None
        return self._peer_hello

    @property
    def send_key(self) -> bytes:
        """The 32 bytes for sealing what this side sends: the peer's `receive_key`."""
        return self._require_done()[0]

    @property
    def receive_key(self) -> bytes:
        """The 32 bytes for opening what the peer sends: its `send_key`."""
        return self._require_done()[1]

    @property
    def handshake_hash(self) -> bytes:
        """32 bytes that only this connection has, the same on both sides; not secret. For binding things to it."""
        self._require_done()
        return self._handshake_hash

    @property
    def trailing(self) -> bytes:
        """What came behind the handshake: the first bytes for the opener of records."""
        self._require_done()
        return bytes(self._received)

    def bind(self, binding: TlsBinding) -> None:
        """Tie this handshake to the TLS session that it goes through; before anything arrives.

        Raises:
            LocalProtocolError: Something arrived already, or it is tied already.
        """
        if self._state is not State.AWAIT_PREAMBLE or self._received or self._binding is not None:
            raise LocalProtocolError(f"a handshake cannot be tied to TLS in state {self._state.name}")
        self._binding = binding
        self._hello = replace(self._hello, certificate_hash=binding.own_certificate_hash)

    def data_to_send(self) -> bytes:
        """What is to be sent now, once; often empty."""
        data = bytes(self._to_send)
        self._to_send.clear()
        return data

    def receive_data(self, data: bytes) -> None:
        """Take in what arrived, in any cut.

        Raises:
            AuthenticationError: The other side does not know the secret, is no greencoro, or somebody in between
                altered something.

            IncompatibleVersion: It speaks another protocol number.

            RemoteProtocolError: It does not keep to the protocol, or is this runtime itself.

            LocalProtocolError: The handshake is over, well or badly.
        """
        if self._state not in _RECEIVING:
            raise LocalProtocolError(f"a handshake takes no data in state {self._state.name}")
        self._received += data
        try:
            while self._state in _RECEIVING and self._receive_one():
                pass
        except BaseException:
            self._advance(Event.REFUSED)
            raise

    def receive_eof(self) -> None:
        """The other side closed the connection before the handshake was over. Always raises.

        Raises:
            AuthenticationError: A responder closes in silence where it cannot open our proof, so that is the likely
                reason.

            LocalProtocolError: The handshake is over, well or badly.
        """
        if self._state not in _RECEIVING:
            raise LocalProtocolError(f"the end of a handshake is not awaited in state {self._state.name}")
        self._advance(Event.REFUSED)
        raise AuthenticationError(f"the other side closed the connection: {self._what_is_wrong()}")

    def confirm_peer(self) -> None:
        """The first sealed record has opened: the peer is live. Further calls change nothing.

        Raises:
            LocalProtocolError: There are no keys a record could have been opened with.
        """
        self._advance(Event.RECORD_OPENED)

    def _advance(self, event: Event) -> None:
        following = TRANSITIONS[self.role, self._state].get(event)
        if following is None:
            raise LocalProtocolError(f"{event.name} cannot happen to the {self.role.name} in state {self._state.name}")
        self._state = following

    def _receive_one(self) -> bool:
        """Handle the preamble or the frame at the front; False where it is not complete."""
        if self._state is State.AWAIT_PREAMBLE:
            return self._receive_preamble()
        if len(self._received) < _LENGTH.size:
            return False
        (length,) = _LENGTH.unpack_from(self._received)
        if length > self._max_frame_bytes:
            raise RemoteProtocolError(f"a handshake message of {length} bytes; {self._max_frame_bytes} are allowed")
        stop = _LENGTH.size + length
        if len(self._received) < stop:
            return False
        message = bytes(self._received[_LENGTH.size : stop])
        del self._received[:stop]
        self._receive_message(message)
        return True

    def _receive_preamble(self) -> bool:
        received = self._received
        # The first wrong byte is enough: something else may never send as many as sixteen.
        if received[: len(MAGIC)] != MAGIC[: len(received)]:
            if received[0] in TLS_FIRST_BYTES and self._binding is None:
                raise AuthenticationError(
                    "the other side speaks TLS, and this side does not: give certfile= to both sides, or to neither"
                )
            raise AuthenticationError(self._what_is_wrong())
        if len(received) < PREAMBLE_BYTES:
            return False
        preamble = bytes(received[:PREAMBLE_BYTES])
        del received[:PREAMBLE_BYTES]
        if self.role is Role.RESPONDER:
            # Before the number is judged, so that the other side can name both as well.
            self._to_send += self._own_preamble
        _, protocol, reserved = _PREAMBLE.unpack(preamble)
        if protocol != PROTOCOL:
            raise IncompatibleVersion(
                f"the other side speaks greencoro's protocol {protocol}, this side {PROTOCOL}: "
                "use the same version of greencoro on both"
            )
        if reserved != _RESERVED:
            raise RemoteProtocolError("reserved bytes of the preamble are in use")
        dialled = self.role is Role.INITIATOR
        preambles = self._own_preamble + preamble if dialled else preamble + self._own_preamble
        self._noise = HandshakeState(
            initiator=dialled,
            prologue=preambles if self._binding is None else preambles + self._binding.unique,
            psk=self._psk,
            ephemeral_private=self._ephemeral_private,
        )
        self._psk = self._ephemeral_private = b""  # nothing here needs them any more
        self._advance(Event.PREAMBLE_ACCEPTED)
        if dialled:
            self._write_message()
        return True

    def _receive_message(self, message: bytes) -> None:
        assert self._noise is not None
        try:
            payload = self._noise.read_message(message)
        except AuthenticationError as err:
            raise AuthenticationError(self._what_is_wrong()) from err
        peer = Hello.decode(payload)
        shown = b"" if self._binding is None else self._binding.peer_certificate_hash
        if peer.certificate_hash != shown:
            raise AuthenticationError("the other side names another TLS certificate than was shown here")
        if peer.incarnation == self._hello.incarnation:
            raise RemoteProtocolError(f"connected to myself: {peer.location} is this very runtime")
        if self.role is Role.RESPONDER:
            self._write_message()
        send, receive = self._noise.split()
        self._keys = send.key, receive.key
        self._handshake_hash = self._noise.handshake_hash
        self._noise = None
        self._peer_hello = peer
        self._advance(Event.PROOF_ACCEPTED if self.role is Role.RESPONDER else Event.ANSWER_ACCEPTED)

    def _write_message(self) -> None:
        assert self._noise is not None
        message = self._noise.write_message(self._hello.encode())
        self._to_send += _LENGTH.pack(len(message)) + message

    def _require_done(self) -> tuple[bytes, bytes]:
        if self._keys is None:
            raise LocalProtocolError(f"a handshake has no result in state {self._state.name}")
        return self._keys

    def _what_is_wrong(self) -> str:
        return f"wrong secret or not greencoro; ours has fingerprint {self._fingerprint}"
