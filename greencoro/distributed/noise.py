"""The Noise handshake ``Noise_NNpsk0_25519_AESGCM_SHA256``.

Follows the Noise Protocol Framework, revision 34 (noiseprotocol.org/noise.html); class and method names are those of
its section 5. Only this one protocol is here:

::

    NNpsk0:
      -> psk, e
      <- e, ee

Both sides know the psk. Each message carries a fresh public key and proves knowledge of the psk by a tag over
everything said so far, the prologue included. The first message is protected by the psk alone: its payload has no
forward secrecy and the message can be replayed. What follows is protected by both ephemeral keys as well.

Randomness comes in as an argument, so that the same input always gives the same bytes; a private key must be fresh for
every handshake.
"""

from __future__ import annotations

import hmac
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from greencoro.errors import AuthenticationError, LocalProtocolError

__all__ = ["KEY_BYTES", "MAX_MESSAGE_BYTES", "TAG_BYTES", "CipherState", "HandshakeState"]

PROTOCOL_NAME = b"Noise_NNpsk0_25519_AESGCM_SHA256"
#: Length of the psk, of private and public keys, of cipher keys.
KEY_BYTES = 32
TAG_BYTES = 16
#: The framework's bound for every message (its section 3).
MAX_MESSAGE_BYTES = 65535

#: The largest nonce is reserved by the framework.
_MAX_NONCE = 2**64 - 1

#: Message patterns; the initiator writes the first.
_MESSAGES = (("psk", "e"), ("e", "ee"))


def _hkdf(chaining_key: bytes, material: bytes, outputs: int) -> list[bytes]:
    """The framework's HKDF (section 4.3): ``outputs`` strings of 32 bytes."""
    temp_key = hmac.digest(chaining_key, material, "sha256")
    result: list[bytes] = []
    previous = b""
    for number in range(1, outputs + 1):
        previous = hmac.digest(temp_key, previous + bytes((number,)), "sha256")
        result.append(previous)
    return result


class CipherState:
    """AES-256-GCM under one key with a counter as nonce (section 5.1).

    Attributes:
        key (bytes): The 32 bytes; an object made by `HandshakeState.split` hands them to the sealed records.
    """

    __slots__ = ("_aead", "_nonce", "key")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self._aead = AESGCM(key)
        self._nonce = 0

    def encrypt_with_ad(self, associated_data: bytes, plaintext: bytes) -> bytes:
        return self._aead.encrypt(self._next_nonce(), plaintext, associated_data)

    def decrypt_with_ad(self, associated_data: bytes, ciphertext: bytes) -> bytes:
        """Raises AuthenticationError: this was not sealed under our key at this place of the conversation."""
        try:
            return self._aead.decrypt(self._next_nonce(), ciphertext, associated_data)
        except InvalidTag:
            raise AuthenticationError("a message was not sealed with our key, or was altered on its way") from None

    def _next_nonce(self) -> bytes:
        if self._nonce >= _MAX_NONCE:
            raise LocalProtocolError("a cipher key has no nonces left")
        nonce = self._nonce
        self._nonce = nonce + 1
        return bytes(4) + nonce.to_bytes(8, "big")


class _SymmetricState:
    """Chaining key, transcript hash, current cipher (section 5.2)."""

    __slots__ = ("_chaining_key", "_cipher", "hash")

    def __init__(self) -> None:
        # Exactly 32 bytes long, so the name is its own hash.
        self.hash = PROTOCOL_NAME
        self._chaining_key = PROTOCOL_NAME
        self._cipher: CipherState | None = None

    def mix_hash(self, data: bytes) -> None:
        self.hash = sha256(self.hash + data).digest()

    def mix_key(self, material: bytes) -> None:
        self._chaining_key, key = _hkdf(self._chaining_key, material, 2)
        self._cipher = CipherState(key)

    def mix_key_and_hash(self, material: bytes) -> None:
        self._chaining_key, mixed, key = _hkdf(self._chaining_key, material, 3)
        self.mix_hash(mixed)
        self._cipher = CipherState(key)

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        ciphertext = self._keyed_cipher().encrypt_with_ad(self.hash, plaintext)
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        plaintext = self._keyed_cipher().decrypt_with_ad(self.hash, ciphertext)
        self.mix_hash(ciphertext)
        return plaintext

    def split(self) -> tuple[CipherState, CipherState]:
        first, second = _hkdf(self._chaining_key, b"", 2)
        return CipherState(first), CipherState(second)

    def _keyed_cipher(self) -> CipherState:
        # In a pattern that starts with psk no payload comes before the first key.
        if self._cipher is None:
            raise LocalProtocolError("a handshake payload before the first key")
        return self._cipher


class HandshakeState:
    """One side of one handshake (section 5.3).

    The initiator writes, then reads one message; the responder reads, then writes one. After a message that was
    refused the object is of no further use.

    Args:
        initiator: Whether this side writes first.

        prologue: What both sides must have seen alike; different prologues fail at the first message.

        psk: The 32 bytes both sides share.

        ephemeral_private: 32 random bytes, never used before.

    Raises:
        ValueError: A key of another length.
    """

    def __init__(self, *, initiator: bool, prologue: bytes, psk: bytes, ephemeral_private: bytes) -> None:
        if len(psk) != KEY_BYTES or len(ephemeral_private) != KEY_BYTES:
            raise ValueError(f"the psk and the ephemeral private key have {KEY_BYTES} bytes each")
        self._initiator = initiator
        self._psk = psk
        self._private = X25519PrivateKey.from_private_bytes(ephemeral_private)
        self._remote_public = b""
        #: Number of the next message; past the last the handshake is over.
        self._step = 0
        self._broken = False
        self._symmetric = _SymmetricState()
        self._symmetric.mix_hash(prologue)

    @property
    def finished(self) -> bool:
        """Both messages are done and none was refused."""
        return self._step == len(_MESSAGES) and not self._broken

    @property
    def handshake_hash(self) -> bytes:
        """32 bytes that are the same on both sides of this handshake and of no other; they are no secret.

        Raises:
            LocalProtocolError: The handshake is not over.
        """
        self._require_finished()
        return self._symmetric.hash

    @property
    def transcript_hash(self) -> bytes:
        """32 bytes that are the same on both sides after as many messages, and after no others; they are no secret."""
        return self._symmetric.hash

    @property
    def ephemeral_public(self) -> bytes:
        """The public key of this side that its next, or last, message begins with."""
        return self._private.public_key().public_bytes_raw()

    def write_message(self, payload: bytes) -> bytes:
        """The next message, with ``payload`` sealed in it.

        Raises:
            LocalProtocolError: It is not this side's turn, or the payload is too long.
        """
        if len(payload) > MAX_MESSAGE_BYTES - KEY_BYTES - TAG_BYTES:
            raise LocalProtocolError(f"a handshake payload of {len(payload)} bytes does not fit into a Noise message")
        symmetric = self._symmetric
        message = b""
        for token in self._next_tokens(writing=True):
            if token == "e":
                message = self.ephemeral_public
                symmetric.mix_hash(message)
                symmetric.mix_key(message)  # as in every psk pattern (section 9.2)
            else:
                self._mix(token)
        return message + symmetric.encrypt_and_hash(payload)

    def read_message(self, message: bytes) -> bytes:
        """The payload of the other side's message; its return proves that the writer knew psk and prologue.

        Raises:
            AuthenticationError: The writer did not know them, or the message was altered.

            LocalProtocolError: It is not the other side's turn, or an earlier message was refused.
        """
        tokens = self._next_tokens(writing=False)
        self._broken = True  # until the tag has proved otherwise
        if not KEY_BYTES + TAG_BYTES <= len(message) <= MAX_MESSAGE_BYTES:
            raise AuthenticationError(f"a handshake message cannot have {len(message)} bytes")
        symmetric = self._symmetric
        for token in tokens:
            if token == "e":
                self._remote_public = message[:KEY_BYTES]
                symmetric.mix_hash(self._remote_public)
                symmetric.mix_key(self._remote_public)
            else:
                self._mix(token)
        payload = symmetric.decrypt_and_hash(message[KEY_BYTES:])
        self._broken = False
        return payload

    def split(self) -> tuple[CipherState, CipherState]:
        """The ciphers for what follows: (for sending, for receiving).

        Raises:
            LocalProtocolError: The handshake is not over.
        """
        self._require_finished()
        first, second = self._symmetric.split()
        return (first, second) if self._initiator else (second, first)

    def _mix(self, token: str) -> None:
        if token == "psk":
            self._symmetric.mix_key_and_hash(self._psk)
            return
        try:
            shared = self._private.exchange(X25519PublicKey.from_public_bytes(self._remote_public))
        except ValueError:
            # A point of small order makes the result all zero, whatever our key is (RFC 7748, section 6.1).
            raise AuthenticationError("the other side sent a public key that no honest side has") from None
        self._symmetric.mix_key(shared)

    def _next_tokens(self, writing: bool) -> tuple[str, ...]:
        step = self._step
        if self._broken or step == len(_MESSAGES) or (step % 2 == 0) != (self._initiator == writing):
            role = "initiator" if self._initiator else "responder"
            action = "write" if writing else "read"
            state = "after a refused message" if self._broken else f"at step {step} of {len(_MESSAGES)}"
            raise LocalProtocolError(f"the {role} of a handshake cannot {action} {state}")
        self._step = step + 1
        return _MESSAGES[step]

    def _require_finished(self) -> None:
        if not self.finished:
            raise LocalProtocolError("the handshake is not over")
