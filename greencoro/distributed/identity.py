"""The proof that a runtime is the incarnation that it says to be.

An incarnation is made of a public key, whose private half never leaves the runtime: 16 bytes of the hash of it. The
responder's answer in the handshake, and the initiator's first record, have that public key with a signature of what
only this connection has. So whoever knows the secret can come as anybody new, and as nobody that there is: what a
reference names is met, or nobody.

Pure: bytes in, bytes out.
"""

from __future__ import annotations

from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from greencoro.distributed.handshake_states import Role
from greencoro.distributed.hello import INCARNATION_BYTES
from greencoro.errors import AuthenticationError

__all__ = ["PROOF_BYTES", "Identity", "check_proof"]

_KEY_BYTES = 32
#: The public key and the signature.
PROOF_BYTES = _KEY_BYTES + 64

_INCARNATION = b"greencoro 1 incarnation"
#: What each side signs begins with its own words, so that none can send the other's proof back.
_WORDS = {Role.INITIATOR: b"greencoro 1 initiator", Role.RESPONDER: b"greencoro 1 responder"}


class Identity:
    """Who a runtime is.

    Args:
        private_key: 32 random bytes, never used before.

    Attributes:
        incarnation (bytes): What names it.
    """

    __slots__ = ("_private", "_public", "incarnation")

    def __init__(self, private_key: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(private_key)
        self._public = self._private.public_key().public_bytes_raw()
        self.incarnation = _incarnation_of(self._public)

    def prove(self, role: Role, unique: bytes) -> bytes:
        """The proof for one connection, in which this runtime has that role; ``unique`` is what only that one has."""
        return self._public + self._private.sign(_WORDS[role] + unique)


def check_proof(proof: bytes, incarnation: bytes, role: Role, unique: bytes) -> None:
    """Refuse a peer that is not who it said to be.

    Args:
        incarnation: Who it said to be.

        role: The peer's in this connection.

        unique: What only this connection has.

    Raises:
        AuthenticationError: ``proof`` does not prove that.
    """
    public, signature = proof[:_KEY_BYTES], proof[_KEY_BYTES:]
    if _incarnation_of(public) == incarnation:
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, _WORDS[role] + unique)
        except (InvalidSignature, ValueError):
            pass
        else:
            return
    raise AuthenticationError("the other side does not prove that it is the incarnation that it says to be")


def _incarnation_of(public: bytes) -> bytes:
    return sha256(_INCARNATION + public).digest()[:INCARNATION_BYTES]
