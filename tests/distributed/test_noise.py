import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from noise.connection import NoiseConnection  # an independent implementation

from greencoro.distributed.noise import PROTOCOL_NAME, HandshakeState
from greencoro.errors import AuthenticationError, LocalProtocolError

FILE = json.loads((Path(__file__).parent / "vectors" / "nnpsk0.json").read_text())
PSK = bytes(range(32))


def pair(psk=PSK, other_psk=None, prologue=b"p", other_prologue=None):
    initiator = HandshakeState(initiator=True, prologue=prologue, psk=psk, ephemeral_private=b"\x11" * 32)
    responder = HandshakeState(
        initiator=False,
        prologue=prologue if other_prologue is None else other_prologue,
        psk=other_psk or psk,
        ephemeral_private=b"\x22" * 32,
    )
    return initiator, responder


def flipped(data, index, mask=1):
    altered = bytearray(data)
    altered[index] ^= mask
    return bytes(altered)


@pytest.mark.parametrize("vector", FILE["vectors"])
def test_published_vectors_are_met_byte_by_byte(vector):
    assert FILE["protocol_name"].encode() == PROTOCOL_NAME
    unhex = bytes.fromhex
    initiator, responder = (
        HandshakeState(
            initiator=is_initiator,
            prologue=unhex(vector["init_prologue"]),
            psk=unhex(vector["psk"]),
            ephemeral_private=unhex(vector[ephemeral]),
        )
        for is_initiator, ephemeral in ((True, "init_ephemeral"), (False, "resp_ephemeral"))
    )
    first, second, third, fourth = ((unhex(m["payload"]), unhex(m["ciphertext"])) for m in vector["messages"])
    assert initiator.write_message(first[0]) == first[1]
    assert responder.read_message(first[1]) == first[0]
    assert responder.write_message(second[0]) == second[1]
    assert initiator.read_message(second[1]) == second[0]
    initiator_send, initiator_receive = initiator.split()
    responder_send, responder_receive = responder.split()
    assert initiator_send.encrypt_with_ad(b"", third[0]) == third[1]
    assert responder_receive.decrypt_with_ad(b"", third[1]) == third[0]
    assert responder_send.encrypt_with_ad(b"", fourth[0]) == fourth[1]
    assert initiator_receive.decrypt_with_ad(b"", fourth[1]) == fourth[0]


def independent(initiator, psk=PSK, prologue=b"p"):
    other = NoiseConnection.from_name(PROTOCOL_NAME)
    other.set_psks(psk=psk)
    other.set_prologue(prologue)
    if initiator:
        other.set_as_initiator()
    else:
        other.set_as_responder()
    other.start_handshake()
    return other


def test_an_independent_initiator_is_understood():
    other = independent(initiator=True)
    _, ours = pair()
    assert ours.read_message(bytes(other.write_message(b"one"))) == b"one"
    assert bytes(other.read_message(ours.write_message(b"two"))) == b"two"
    check_transport(ours, other)


def test_an_independent_responder_is_understood():
    other = independent(initiator=False)
    ours, _ = pair()
    assert bytes(other.read_message(ours.write_message(b"one"))) == b"one"
    assert ours.read_message(bytes(other.write_message(b"two"))) == b"two"
    check_transport(ours, other)


def check_transport(ours, other):
    assert ours.handshake_hash == other.get_handshake_hash()
    send, receive = ours.split()
    for number in range(3):
        text = b"message %d" % number
        assert bytes(other.decrypt(send.encrypt_with_ad(b"", text))) == text
        assert receive.decrypt_with_ad(b"", bytes(other.encrypt(text))) == text


def test_both_sides_end_with_crossed_keys_and_one_hash():
    initiator, responder = pair()
    responder.read_message(initiator.write_message(b""))
    initiator.read_message(responder.write_message(b""))
    assert initiator.finished and responder.finished
    assert initiator.handshake_hash == responder.handshake_hash
    (send, receive), (other_send, other_receive) = initiator.split(), responder.split()
    assert send.key == other_receive.key and receive.key == other_send.key
    assert send.key != receive.key


def test_another_psk_fails_at_the_first_message():
    initiator, responder = pair(other_psk=bytes(32))
    with pytest.raises(AuthenticationError):
        responder.read_message(initiator.write_message(b"hello"))


def test_another_prologue_fails_at_the_first_message():
    initiator, responder = pair(other_prologue=b"q")
    with pytest.raises(AuthenticationError):
        responder.read_message(initiator.write_message(b"hello"))


@settings(deadline=None)
@given(st.binary(max_size=40), st.data())
def test_a_first_message_with_any_bit_changed_is_refused(payload, data):
    initiator, responder = pair()
    message = initiator.write_message(payload)
    index = data.draw(st.integers(0, len(message) - 1))
    with pytest.raises(AuthenticationError):
        responder.read_message(flipped(message, index, 1 << data.draw(st.integers(0, 7))))


@given(st.binary(max_size=40), st.data())
@settings(deadline=None)
def test_an_answer_with_any_bit_changed_is_refused(payload, data):
    initiator, responder = pair()
    responder.read_message(initiator.write_message(b""))
    message = responder.write_message(payload)
    index = data.draw(st.integers(0, len(message) - 1))
    with pytest.raises(AuthenticationError):
        initiator.read_message(flipped(message, index, 1 << data.draw(st.integers(0, 7))))


@pytest.mark.parametrize("size", [0, 31, 47, 65536])
def test_a_message_of_impossible_size_is_refused(size):
    _, responder = pair()
    with pytest.raises(AuthenticationError, match=f"{size} bytes"):
        responder.read_message(bytes(size))


@pytest.mark.parametrize("public", [bytes(32), b"\x01" + bytes(31)])
def test_a_public_key_that_would_fix_the_shared_secret_is_refused(public):
    initiator, responder = pair()
    responder.read_message(initiator.write_message(b""))
    answer = responder.write_message(b"")
    with pytest.raises(AuthenticationError, match="no honest side"):
        initiator.read_message(public + answer[32:])


def test_turns_are_kept():
    initiator, responder = pair()
    with pytest.raises(LocalProtocolError, match=r"responder .* cannot write"):
        responder.write_message(b"")
    with pytest.raises(LocalProtocolError, match=r"initiator .* cannot read"):
        initiator.read_message(bytes(48))
    message = initiator.write_message(b"")
    with pytest.raises(LocalProtocolError):
        initiator.write_message(b"")
    for attribute in ("split", "handshake_hash"):
        with pytest.raises(LocalProtocolError, match="not over"):
            getattr(initiator, attribute)()
    assert responder.read_message(message) == b""  # the refused calls have changed nothing
    assert initiator.read_message(responder.write_message(b"")) == b""
    with pytest.raises(LocalProtocolError):
        initiator.write_message(b"")


def test_nothing_goes_on_after_a_refused_message():
    initiator, responder = pair()
    message = initiator.write_message(b"")
    with pytest.raises(AuthenticationError):
        responder.read_message(flipped(message, 40))
    for call in (lambda: responder.read_message(message), lambda: responder.write_message(b""), responder.split):
        with pytest.raises(LocalProtocolError):
            call()


def test_a_payload_too_long_for_a_message_is_refused_and_changes_nothing():
    initiator, responder = pair()
    with pytest.raises(LocalProtocolError, match="does not fit"):
        initiator.write_message(bytes(65535 - 47))
    longest = bytes(65535 - 48)
    assert responder.read_message(initiator.write_message(longest)) == longest


@pytest.mark.parametrize("wrong", [{"psk": b"short"}, {"ephemeral_private": bytes(33)}])
def test_keys_of_another_length_are_refused(wrong):
    arguments = {"initiator": True, "prologue": b"", "psk": PSK, "ephemeral_private": PSK} | wrong
    with pytest.raises(ValueError, match="32 bytes"):
        HandshakeState(**arguments)
