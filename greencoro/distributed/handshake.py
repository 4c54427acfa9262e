"""The opening of a connection: preambles, proof of the secret, exchange of who is who.

On the wire, numbers big-endian::

    initiator                              responder
    preamble                 ->
                             <-            preamble
    u16 length, psk e + hello  ->
                             <-            u16 length, e ee + proof of its incarnation + hello
    sealed records           <->           sealed records

- Both preambles, as each side saw them, are the prologue of the Noise exchange, so nobody can alter them unnoticed.
- The responder says nothing before it has seen our magic: who speaks something else learns nothing of what is here. It
  says nothing more before the initiator has proved that it knows the secret, so it is no oracle for guesses.
- The initiator's first message can be recorded and replayed. The responder's answer to a replay is of no use to
  whoever replays; but only the first sealed record that opens shows that the initiator is really there. Therefore a
  responder ends in the state ``UNCONFIRMED``: the connection must open the first record, call `confirm_peer`, and
  before that neither act for the peer nor count it as one of ours. An initiator should send its first record at once.
- The responder proves in its answer that it is the incarnation that it names (`identity`): nobody is taken for it
  before. The initiator proves the same in its first sealed record, which is the connection's.
- The initiator's `Hello` is protected by the secret alone: who has recorded it and learns the secret later can read it.
  Everything after it is protected by both ephemeral keys as well.
- Inside TLS all of this goes through the TLS stream, and is tied to it (`TlsBinding`): what only this TLS session has
  follows the preambles in the prologue, so nobody between two TLS sessions can hand the proofs of one on to the other,
  or replay them, though he has the certificate and its key; and each side names in its `Hello` the certificate it
  shows. Therefore the records that follow need no seal of their own.

Pure: bytes in, bytes out. The deadline for the whole and the limits on unproven connections are the shell's.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass, replace

from greencoro.distributed import preamble
from greencoro.distributed.handshake_states import RECEIVING, TRANSITIONS, Event, Role, State
from greencoro.distributed.hello import Hello, check_python, check_serializer
from greencoro.distributed.identity import PROOF_BYTES, Identity, check_proof
from greencoro.distributed.noise import KEY_BYTES, HandshakeState
from greencoro.distributed.preamble import PREAMBLE_BYTES, TLS_FIRST_BYTES
from greencoro.errors import AuthenticationError, LocalProtocolError, PeerLost, RemoteProtocolError

__all__ = ["MAX_FRAME_BYTES", "Handshake", "TlsBinding"]

#: Default bound for a frame of the handshake; the largest `Hello`, with a proof, makes 1243 bytes.
MAX_FRAME_BYTES = 4096

_LENGTH = struct.Struct(">H")


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


class Handshake:
    """One side of the opening of one connection.

    Feed what arrives to `receive_data`, send what `data_to_send` gives (also after an error: a side that met another
    version still tells its own), until `done`.

    Args:
        role: Whether this side dialled.

        psk: `Secret.psk` of this runtime's secret.

        hello: What this runtime tells about itself.

        identity: Proves that it is the incarnation that it names there.

        ephemeral_private: 32 random bytes, never used before.

        fingerprint: `Secret.fingerprint`, for messages.

        max_frame_bytes: Longest message of the exchange that is taken from somebody unproven.
    """

    def __init__(
        self,
        role: Role,
        psk: bytes,
        hello: Hello,
        identity: Identity,
        ephemeral_private: bytes,
        fingerprint: str,
        *,
        max_frame_bytes: int = MAX_FRAME_BYTES,
    ) -> None:
        self.role = role
        self._max_frame_bytes = max_frame_bytes
        self._psk = psk
        self._hello = hello
        self._identity = identity
        self._ephemeral_private = ephemeral_private
        self._fingerprint = fingerprint
        self._state = State.AWAIT_PREAMBLE
        self._binding: TlsBinding | None = None
        self._noise: HandshakeState | None = None
        self._received = bytearray()
        self._to_send = bytearray()
        self._peer_hello: Hello | None = None
        self._keys: tuple[bytes, bytes] | None = None
        self._handshake_hash = b""
        if role is Role.INITIATOR:
            self._to_send += preamble.OURS

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
    def session_key(self) -> bytes:
        """32 bytes that only the two sides of this connection know, for what outlives it (`session`).

        Neither the keys of this connection nor what it carried can be found from them.
        """
        keys = self._require_done()
        ours, theirs = keys if self.role is Role.INITIATOR else keys[::-1]
        return hmac.digest(ours + theirs, b"greencoro 1 session", "sha256")

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
            AuthenticationError: The other side does not know the secret, is no greencoro, does not prove that it is who
                it says to be, or somebody in between altered something.

            IncompatibleVersion: It speaks another protocol number, runs another minor version of Python, or has
                another serializer.

            RemoteProtocolError: It does not keep to the protocol, or is this runtime itself.

            LocalProtocolError: The handshake is over, well or badly.
        """
        if self._state not in RECEIVING:
            raise LocalProtocolError(f"a handshake takes no data in state {self._state.name}")
        self._received += data
        try:
            while self._state in RECEIVING and self._receive_one():
                pass
        except BaseException:
            self._advance(Event.REFUSED)
            raise

    def receive_eof(self) -> None:
        """The other side closed the connection before the handshake was over. Always raises.

        Raises:
            AuthenticationError: A responder closes in silence where it cannot open our proof, so that is the likely
                reason. Whom it cuts off for another one it sends a reset.

            PeerLost: The initiator closed before it had proved itself. It has heard nothing yet that could be wrong
                with our secret; it has reached us otherwise, or was ended.

            LocalProtocolError: The handshake is over, well or badly.
        """
        if self._state not in RECEIVING:
            raise LocalProtocolError(f"the end of a handshake is not awaited in state {self._state.name}")
        self._advance(Event.REFUSED)
        if self.role is Role.RESPONDER:
            raise PeerLost("the other side closed the connection before it had proved itself")
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
        if not preamble.is_ours(received):
            if received[0] in TLS_FIRST_BYTES and self._binding is None:
                raise AuthenticationError(
                    "the other side speaks TLS, and this side does not: give certfile= to both sides, or to neither"
                )
            raise AuthenticationError(self._what_is_wrong())
        if len(received) < PREAMBLE_BYTES:
            return False
        theirs = bytes(received[:PREAMBLE_BYTES])
        del received[:PREAMBLE_BYTES]
        if self.role is Role.RESPONDER:
            # Before the number is judged, so that the other side can name both as well.
            self._to_send += preamble.OURS
        preamble.check(theirs)
        dialled = self.role is Role.INITIATOR
        preambles = preamble.OURS + theirs if dialled else theirs + preamble.OURS
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
        asked = self._noise.transcript_hash
        try:
            payload = self._noise.read_message(message)
        except AuthenticationError as err:
            raise AuthenticationError(self._what_is_wrong()) from err
        proof, introduction = (b"", payload) if self.role is Role.RESPONDER else _split(payload)
        peer = Hello.decode(introduction)
        shown = b"" if self._binding is None else self._binding.peer_certificate_hash
        if peer.certificate_hash != shown:
            raise AuthenticationError("the other side names another TLS certificate than was shown here")
        if peer.incarnation == self._hello.incarnation:
            raise RemoteProtocolError(f"connected to myself: {peer.location} is this very runtime")
        if self.role is Role.INITIATOR:
            check_proof(proof, peer.incarnation, Role.RESPONDER, _signed_by_responder(asked, message[:KEY_BYTES]))
        else:
            # Before the versions are judged, so that the other side can name both as well.
            self._write_message()
        check_python(self._hello, peer)
        check_serializer(self._hello, peer)
        send, receive = self._noise.split()
        self._keys = send.key, receive.key
        self._handshake_hash = self._noise.handshake_hash
        self._noise = None
        self._peer_hello = peer
        self._advance(Event.PROOF_ACCEPTED if self.role is Role.RESPONDER else Event.ANSWER_ACCEPTED)

    def _write_message(self) -> None:
        assert self._noise is not None
        payload = self._hello.encode()
        if self.role is Role.RESPONDER:
            signed = _signed_by_responder(self._noise.transcript_hash, self._noise.ephemeral_public)
            payload = self._identity.prove(self.role, signed) + payload
        message = self._noise.write_message(payload)
        self._to_send += _LENGTH.pack(len(message)) + message

    def _require_done(self) -> tuple[bytes, bytes]:
        if self._keys is None:
            raise LocalProtocolError(f"a handshake has no result in state {self._state.name}")
        return self._keys

    def _what_is_wrong(self) -> str:
        return f"wrong secret or not greencoro; ours has fingerprint {self._fingerprint}"


def _split(answer: bytes) -> tuple[bytes, bytes]:
    return answer[:PROOF_BYTES], answer[PROOF_BYTES:]


def _signed_by_responder(transcript_hash: bytes, ephemeral_public: bytes) -> bytes:
    """What only this exchange has: all that was said before the answer, and the key that the answer is sealed with."""
    return transcript_hash + ephemeral_public
