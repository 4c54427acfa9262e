"""The proof that a runtime is the incarnation that it says to be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greencoro.distributed.handshake_states import Role
from greencoro.distributed.identity import PROOF_BYTES, Identity, check_proof
from greencoro.errors import AuthenticationError, RemoteProtocolError
from tests.distributed.test_handshake import BOB, WHO, initiator, noise_responder_says, responder, talk

ONE, OTHER = Identity(b"1" * 32), Identity(b"2" * 32)
HASH = b"h" * 32
PROOF = ONE.prove(Role.INITIATOR, HASH)


def refused(proof, incarnation=ONE.incarnation, role=Role.INITIATOR, handshake_hash=HASH):
    with pytest.raises(AuthenticationError, match="does not prove that it is the incarnation"):
        check_proof(proof, incarnation, role, handshake_hash)
    return True


def test_a_proof_is_good_for_its_incarnation_its_connection_and_its_side():
    check_proof(PROOF, ONE.incarnation, Role.INITIATOR, HASH)
    assert len(PROOF) == PROOF_BYTES and len(ONE.incarnation) == 16
    assert refused(PROOF, incarnation=OTHER.incarnation)
    assert refused(PROOF, handshake_hash=b"o" * 32)
    assert refused(PROOF, role=Role.RESPONDER), "it cannot be sent back to who made it"
    assert refused(OTHER.prove(Role.INITIATOR, HASH))


def test_the_key_of_one_does_not_stand_beside_the_signature_of_another():
    other = OTHER.prove(Role.INITIATOR, HASH)
    assert refused(PROOF[:32] + other[32:])
    assert refused(other[:32] + PROOF[32:])


def test_the_same_private_key_is_the_same_incarnation_and_each_other_one_is_another():
    assert Identity(b"1" * 32).incarnation == ONE.incarnation != OTHER.incarnation


@given(at=st.integers(0, PROOF_BYTES - 1), bits=st.integers(1, 255))
def test_no_byte_of_it_can_be_another(at, bits):
    assert refused(PROOF[:at] + bytes((PROOF[at] ^ bits,)) + PROOF[at + 1 :])


@given(st.binary(max_size=200))
def test_nothing_else_proves_it(data):
    assert refused(data)
    assert refused(PROOF[: len(data)] if len(data) < PROOF_BYTES else PROOF + b"x" + data)


# In the answer of the handshake.


def _proof_by(who, role):
    return lambda signed: who.prove(role, signed)


@pytest.mark.parametrize(
    "proving",
    [
        lambda signed: b"",
        lambda signed: bytes(PROOF_BYTES),
        # Who knows the secret, and is another one.
        _proof_by(WHO[Role.INITIATOR], Role.RESPONDER),
        # What the one in question has signed, for something else.
        _proof_by(WHO[Role.RESPONDER], Role.INITIATOR),
        lambda signed: WHO[Role.RESPONDER].prove(Role.RESPONDER, signed[:32] + bytes(32)),
        lambda signed: WHO[Role.RESPONDER].prove(Role.RESPONDER, bytes(32) + signed[32:]),
        lambda signed: WHO[Role.RESPONDER].prove(Role.RESPONDER, signed)[:32] + bytes(64),
    ],
)
def test_S14_who_answers_without_the_proof_of_its_incarnation_is_never_taken_for_it(proving):
    # Where there is none, what it says of itself is not where it is looked for.
    with pytest.raises((AuthenticationError, RemoteProtocolError), match=r"does not prove that|introduced itself wr"):
        noise_responder_says(BOB.encode(), proving)


def test_S14_a_proof_of_one_connection_is_worth_nothing_in_another():
    seen = []

    def record(signed):
        seen.append(WHO[Role.RESPONDER].prove(Role.RESPONDER, signed))
        return seen[0]

    assert noise_responder_says(BOB.encode(), record).done
    a = initiator(ephemeral_private=b"\x33" * 32)
    b = responder(identity=type("Replaying", (), {"prove": lambda self, role, signed: seen[0]})())
    with pytest.raises(AuthenticationError, match="does not prove"):
        talk(a, b)
    assert not a.done
