import json
import struct
from contextlib import suppress
from dataclasses import replace
from itertools import product

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from noise.connection import NoiseConnection  # an independent implementation

from greencoro.distributed.handshake import MAX_FRAME_BYTES, Handshake, TlsBinding
from greencoro.distributed.handshake_states import TRANSITIONS, Event, Role, State
from greencoro.distributed.hello import Hello
from greencoro.distributed.identity import PROOF_BYTES, Identity
from greencoro.distributed.location import Location
from greencoro.distributed.noise import PROTOCOL_NAME, HandshakeState
from greencoro.distributed.preamble import PREAMBLE_BYTES
from greencoro.distributed.record import Batch, Opener, Sealer
from greencoro.errors import (
    AuthenticationError,
    IncompatibleVersion,
    LocalProtocolError,
    NetworkError,
    RemoteProtocolError,
)

PSK = bytes(range(32))
FINGERPRINT = "3f9a-22c1-77d0"
PREAMBLE = b"greencoro" + struct.pack(">H", 1) + bytes(5)
WHO = {Role.INITIATOR: Identity(b"A" * 32), Role.RESPONDER: Identity(b"B" * 32)}
ALICE = Hello(WHO[Role.INITIATOR].incarnation, Location("10.0.0.7", 51347), "alice", "3.11.9", "1.0", 7, 9_000, 8_000)
BOB = Hello(
    WHO[Role.RESPONDER].incarnation,
    Location("2001:db8::1", 2),
    "bob \u00fc",
    "3.11.1",
    "1.2.3",
    (1 << 32) - 1,
    1024,
    (1 << 64) - 1,
    udp_port=5,
)


def initiator(**changes):
    return _side(Role.INITIATOR, ALICE, b"\x11" * 32, FINGERPRINT, changes)


def responder(**changes):
    return _side(Role.RESPONDER, BOB, b"\x22" * 32, "aaaa-bbbb-cccc", changes)


def _side(role, hello, ephemeral_private, fingerprint, changes):
    arguments = {"hello": hello, "ephemeral_private": ephemeral_private, "fingerprint": fingerprint}
    return Handshake(role, **({"psk": PSK, "identity": WHO[role]} | arguments | changes))


def talk(a, b, size=None, alter=lambda sender, data: data):
    """Carry bytes between the two until both are quiet; returns what a and b sent."""
    sent = {id(a): b"", id(b): b""}
    moved = True
    while moved:
        moved = False
        for sender, receiver in ((a, b), (b, a)):
            data = sender.data_to_send()
            if not data:
                continue
            moved = True
            sent[id(sender)] += data
            data = alter(sender, data)
            for start in range(0, len(data), size or len(data)):
                receiver.receive_data(data[start : start + (size or len(data))])
    return sent[id(a)], sent[id(b)]


def at(state, role):
    """A handshake of that role in that state."""
    a, b = initiator(), responder()
    mine, other = (a, b) if role is Role.INITIATOR else (b, a)
    if state is State.FAILED:
        with pytest.raises(AuthenticationError):
            mine.receive_data(b"GET / HTTP/1.1")
    elif state in (State.AWAIT_PROOF, State.AWAIT_ANSWER):
        mine.receive_data(PREAMBLE)
    elif state is not State.AWAIT_PREAMBLE:
        talk(mine, other)
        if state is State.CONFIRMED:
            mine.confirm_peer()
    assert mine.state is state
    return mine


def check_agreement(a, b):
    assert a.done and b.done
    assert a.peer_hello == BOB and b.peer_hello == ALICE
    assert a.send_key == b.receive_key and a.receive_key == b.send_key
    assert a.send_key != a.receive_key
    assert a.handshake_hash == b.handshake_hash
    assert a.trailing == b.trailing == b""


@pytest.mark.parametrize("size", [None, 1, 7, 64])
def test_both_sides_agree_however_the_bytes_are_cut(size):
    a, b = initiator(), responder()
    talk(a, b, size)
    check_agreement(a, b)


def test_the_initiator_is_sure_of_its_peer_at_once_and_the_responder_after_the_first_record():
    a, b = initiator(), responder()
    talk(a, b)
    assert a.state is State.CONFIRMED and a.peer_confirmed
    assert b.state is State.UNCONFIRMED and not b.peer_confirmed
    record = b"".join(Sealer(a.send_key).batch([]))
    assert Opener(b.receive_key).receive_data(record) == [Batch([])]
    b.confirm_peer()
    b.confirm_peer()
    assert b.peer_confirmed


def test_a_replayed_first_message_leads_to_no_confirmed_peer():
    recorded, _ = talk(initiator(), responder())
    b = responder(ephemeral_private=b"\x33" * 32)
    b.receive_data(recorded)
    assert b.state is State.UNCONFIRMED
    other = responder()
    other.receive_data(recorded)
    assert other.receive_key != b.receive_key
    with pytest.raises(AuthenticationError):  # what was recorded behind it does not open
        Opener(b.receive_key).receive_data(b"".join(Sealer(other.receive_key).batch([b"again"])))


@pytest.mark.parametrize("size", [None, 1])
def test_what_comes_behind_the_handshake_is_kept_for_the_records(size):
    a, b = initiator(), responder()
    b.receive_data(a.data_to_send())
    a.receive_data(b.data_to_send())
    b.receive_data(a.data_to_send())
    a.receive_data(b.data_to_send() + b"the first record")
    assert a.trailing == b"the first record"
    assert b.trailing == b""


def test_the_initiator_speaks_first_and_the_responder_says_nothing_to_a_stranger():
    a, b = initiator(), responder()
    assert b.data_to_send() == b""
    assert a.data_to_send() == PREAMBLE
    assert a.data_to_send() == b""
    with pytest.raises(AuthenticationError):
        b.receive_data(b"GET / HTTP/1.1\r\n\r\n")
    assert b.data_to_send() == b""


@pytest.mark.parametrize("make", [initiator, responder])
def test_another_magic_is_refused_at_its_first_byte(make):
    handshake = make()
    handshake.receive_data(b"green")
    with pytest.raises(AuthenticationError, match="wrong secret or not greencoro; ours has fingerprint"):
        handshake.receive_data(b"p")
    assert handshake.state is State.FAILED


def test_another_protocol_number_is_named_on_both_sides():
    a, b = initiator(), responder()
    future = b"greencoro" + struct.pack(">H", 7) + b"later"
    b.receive_data(future[:15])
    with pytest.raises(IncompatibleVersion, match=r"protocol 7, this side 1"):
        b.receive_data(future[15:])
    assert b.data_to_send() == PREAMBLE  # so that the other side can name ours
    a.data_to_send()
    with pytest.raises(IncompatibleVersion, match=r"protocol 7, this side 1"):
        a.receive_data(future)
    assert a.data_to_send() == b""


def test_another_minor_version_of_python_is_named_on_both_sides():
    a, b = initiator(), responder(hello=replace(BOB, python_version="3.12.4"))
    b.receive_data(a.data_to_send())
    a.receive_data(b.data_to_send())
    with pytest.raises(
        IncompatibleVersion, match=r"\(10\.0\.0\.7:51347\) runs Python 3\.11, this side 3\.12: use the same"
    ):
        b.receive_data(a.data_to_send())
    assert b.state is State.FAILED and not b.done
    with pytest.raises(IncompatibleVersion, match=r"runs Python 3\.12, this side 3\.11: use the same minor version"):
        a.receive_data(b.data_to_send())  # so that this side can name both as well
    assert a.state is State.FAILED and not a.done


def test_a_wrong_secret_is_told_of_before_another_version_of_python():
    a, b = initiator(psk=bytes(32)), responder(hello=replace(BOB, python_version="3.12.4"))
    b.receive_data(a.data_to_send())
    a.receive_data(b.data_to_send())
    with pytest.raises(AuthenticationError):
        b.receive_data(a.data_to_send())
    assert b.data_to_send() == b""


def test_reserved_bytes_of_our_protocol_are_zero():
    with pytest.raises(RemoteProtocolError, match="reserved"):
        responder().receive_data(PREAMBLE[:-1] + b"\1")


def test_a_wrong_secret_is_found_by_the_responder_which_answers_nothing():
    a, b = initiator(psk=bytes(32)), responder()
    b.receive_data(a.data_to_send())
    a.receive_data(b.data_to_send())
    with pytest.raises(AuthenticationError) as caught:
        b.receive_data(a.data_to_send())
    assert str(caught.value) == "wrong secret or not greencoro; ours has fingerprint aaaa-bbbb-cccc"
    assert b.data_to_send() == b""
    with pytest.raises(AuthenticationError) as caught:
        a.receive_eof()
    assert str(caught.value).endswith(f"wrong secret or not greencoro; ours has fingerprint {FINGERPRINT}")
    assert a.state is State.FAILED and not a.done


def test_a_responder_with_another_secret_is_refused_by_the_initiator():
    _, answer = talk(initiator(psk=bytes(32)), responder(psk=bytes(32)))
    a = initiator()
    with pytest.raises(AuthenticationError, match=f"wrong secret or not greencoro; ours has fingerprint {FINGERPRINT}"):
        a.receive_data(answer)
    assert a.state is State.FAILED


def test_no_byte_of_the_exchange_can_be_changed_by_somebody_in_between():
    whole = talk(initiator(), responder())
    for role, mask in product(Role, (0x01, 0x80)):
        for target in range(len(whole[0 if role is Role.INITIATOR else 1])):
            a, b = initiator(), responder()
            position = 0

            def alter(sender, data, role=role, target=target, mask=mask):
                nonlocal position
                if sender.role is not role:
                    return data
                index = target - position
                position += len(data)
                if not 0 <= index < len(data):
                    return data
                return data[:index] + bytes((data[index] ^ mask,)) + data[index + 1 :]

            with suppress(NetworkError):
                talk(a, b, alter=alter)
            # An altered length makes a side wait for bytes that never come, until the connection's deadline.
            assert not a.peer_confirmed and not b.peer_confirmed, (role, target, mask)
            if role is Role.INITIATOR:
                assert not b.done, target


def answer_on_its_way():
    """An initiator that awaits the answer, and the answer."""
    a, b = initiator(), responder()
    b.receive_data(a.data_to_send())
    a.receive_data(b.data_to_send())
    b.receive_data(a.data_to_send())
    return a, b.data_to_send()


def test_an_answer_that_lost_a_byte_is_never_taken():
    for index in range(len(answer_on_its_way()[1])):
        a, answer = answer_on_its_way()
        try:
            a.receive_data(answer[:index] + answer[index + 1 :])
        except NetworkError:
            continue
        assert not a.done, index


def test_own_bytes_sent_back_are_refused():
    a = initiator()
    a.receive_data(a.data_to_send())
    with pytest.raises(AuthenticationError):
        a.receive_data(a.data_to_send())


def test_crossed_connections_fail():
    a1, b1 = initiator(), responder()
    a2, b2 = initiator(ephemeral_private=b"\x44" * 32), responder(ephemeral_private=b"\x55" * 32)
    for a, b in ((a1, b1), (a2, b2)):
        b.receive_data(a.data_to_send())
        a.receive_data(b.data_to_send())
        b.receive_data(a.data_to_send())
    with pytest.raises(AuthenticationError):
        a1.receive_data(b2.data_to_send())


def test_a_responder_does_not_talk_to_its_own_runtime():
    a, b = initiator(), responder(hello=replace(BOB, incarnation=ALICE.incarnation))
    b.receive_data(a.data_to_send())
    a.receive_data(b.data_to_send())
    with pytest.raises(RemoteProtocolError, match=r"connected to myself: 10\.0\.0\.7:51347"):
        b.receive_data(a.data_to_send())
    assert b.data_to_send() == b"" and b.state is State.FAILED


def noise_responder_says(introduction, proving=lambda signed: WHO[Role.RESPONDER].prove(Role.RESPONDER, signed)):
    """What an initiator raises or becomes when a holder of the secret answers with that, behind its proof."""
    a = initiator()
    a.data_to_send()
    a.receive_data(PREAMBLE)
    noise = HandshakeState(initiator=False, prologue=PREAMBLE + PREAMBLE, psk=PSK, ephemeral_private=b"\x22" * 32)
    noise.read_message(a.data_to_send()[2:])
    signed = noise.transcript_hash + X25519PrivateKey.from_private_bytes(b"\x22" * 32).public_key().public_bytes_raw()
    message = noise.write_message(proving(signed) + introduction)
    try:
        a.receive_data(struct.pack(">H", len(message)) + message)
    finally:
        assert a.state is not State.AWAIT_ANSWER
    return a


def test_an_initiator_does_not_talk_to_its_own_runtime():
    assert noise_responder_says(BOB.encode()).done
    with pytest.raises(RemoteProtocolError, match="connected to myself"):
        noise_responder_says(replace(BOB, incarnation=ALICE.incarnation).encode())


@pytest.mark.parametrize("payload", [b"", b"\x80\x04.", ALICE.encode()[:-1], bytes(2000)])
def test_a_holder_of_the_secret_that_introduces_itself_wrongly_is_refused(payload):
    with pytest.raises(RemoteProtocolError, match="introduced itself wrongly"):
        noise_responder_says(payload)


@pytest.mark.parametrize("length", [MAX_FRAME_BYTES + 1, 0xFFFF])
@pytest.mark.parametrize("make", [initiator, responder])
def test_a_frame_announced_too_long_is_refused_before_it_comes(make, length):
    with pytest.raises(RemoteProtocolError, match=f"{length} bytes; 4096 are allowed"):
        make().receive_data(PREAMBLE + struct.pack(">H", length))


def test_the_bound_for_frames_can_be_set():
    handshake = initiator(max_frame_bytes=2000)
    handshake.receive_data(PREAMBLE + struct.pack(">H", 2000))
    assert handshake.state is State.AWAIT_ANSWER
    with pytest.raises(RemoteProtocolError):
        initiator(max_frame_bytes=2000).receive_data(PREAMBLE + struct.pack(">H", 2001))


def test_the_longest_hello_fits_into_a_frame():
    texts = "n" * 255, "p" * 255, "v" * 255
    longest = Hello(b"L" * 16, Location("h" * 255, 65535), *texts, 1, 2048, 1024, certificate_hash=b"c" * 32)
    a, b = initiator(hello=longest), responder(hello=replace(longest, incarnation=BOB.incarnation))
    for each in (a, b):
        each.bind(TlsBinding(b"c" * 32, b"c" * 32, b""))
    sent, answer = talk(a, b, size=100)
    assert b.peer_hello == longest
    assert len(sent) - PREAMBLE_BYTES - 2 == 1147
    assert len(answer) - PREAMBLE_BYTES - 2 == 1147 + PROOF_BYTES


def captures():
    first = talk(initiator(), responder())
    second = talk(initiator(ephemeral_private=b"\x77" * 32), responder(ephemeral_private=b"\x88" * 32))
    return first, second


def test_two_handshakes_share_no_run_of_16_bytes_but_the_preambles():
    def runs(capture):
        assert all(side.startswith(PREAMBLE) for side in capture)
        bodies = [side[PREAMBLE_BYTES:] for side in capture]
        return {body[start : start + 16] for body in bodies for start in range(len(body) - 15)}

    first, second = captures()
    assert not runs(first) & runs(second)


def test_a_capture_holds_neither_the_secret_nor_what_was_said():
    a, b = initiator(), responder()
    capture = b"".join(talk(a, b))
    keys = (PSK, a.send_key, a.receive_key, b"\x11" * 32, b"\x22" * 32)
    for key in keys:
        assert not any(key[start : start + 8] in capture for start in range(25))
    for said in (ALICE.incarnation, BOB.incarnation, b"alice", b"10.0.0.7", b"3.11.9"):
        assert said not in capture


def test_nothing_that_is_shown_of_a_handshake_contains_a_key():
    a, b = initiator(), responder()
    talk(a, b)
    shown = json.dumps([repr(a), str(b), repr(a.peer_hello)])
    assert a.send_key.hex() not in shown and repr(a.send_key) not in shown and repr(PSK) not in shown


@pytest.mark.parametrize("ours_dials", [True, False])
def test_an_independent_noise_implementation_is_understood_in_both_roles(ours_dials):
    other = NoiseConnection.from_name(PROTOCOL_NAME)
    other.set_psks(psk=PSK)
    other.set_prologue(PREAMBLE + PREAMBLE)
    if ours_dials:
        ours, hello = initiator(), BOB
        other.set_as_responder()
        other.start_handshake()
        assert ours.data_to_send() == PREAMBLE
        ours.receive_data(PREAMBLE)
        assert Hello.decode(bytes(other.read_message(ours.data_to_send()[2:]))) == ALICE
    else:
        ours, hello = responder(), ALICE
        other.set_as_initiator()
        other.start_handshake()
        ours.receive_data(PREAMBLE)
        assert ours.data_to_send() == PREAMBLE
    proof = b""
    if ours_dials:
        exchange = other.noise_protocol
        ephemeral = exchange.handshake_state.e = exchange.dh_fn.generate_keypair()
        proof = WHO[Role.RESPONDER].prove(Role.RESPONDER, exchange.symmetric_state.h + ephemeral.public_bytes)
    message = bytes(other.write_message(proof + hello.encode()))
    ours.receive_data(struct.pack(">H", len(message)) + message)
    if not ours_dials:
        assert Hello.decode(bytes(other.read_message(ours.data_to_send()[2:]))[PROOF_BYTES:]) == BOB
    assert ours.peer_hello == hello
    assert ours.handshake_hash == other.get_handshake_hash()
    (record,) = Sealer(ours.send_key).batch([b"hi"])
    assert bytes(other.noise_protocol.cipher_state_decrypt.decrypt_with_ad(record[:8], record[8:]))[-2:] == b"hi"


def test_the_table_covers_every_state_a_role_can_be_in():
    for (role, _), moves in TRANSITIONS.items():
        assert all((role, state) in TRANSITIONS for state in moves.values())
    assert {role for role, _ in TRANSITIONS} == set(Role)
    assert {state for _, state in TRANSITIONS} == set(State)


@pytest.mark.parametrize(
    ("role", "state", "event"),
    [(*where, event) for where, moves in TRANSITIONS.items() for event in Event if event not in moves],
)
def test_an_event_that_is_not_in_the_table_is_refused_and_changes_nothing(role, state, event):
    handshake = at(state, role)
    with pytest.raises(
        LocalProtocolError, match=f"{event.name} cannot happen to the {role.name} in state {state.name}"
    ):
        handshake._advance(event)
    assert handshake.state is state


@pytest.mark.parametrize(
    ("role", "state"), [w for w in TRANSITIONS if w[1].name in ("FAILED", "UNCONFIRMED", "CONFIRMED")]
)
def test_a_handshake_that_is_over_takes_nothing(role, state):
    handshake = at(state, role)
    for call in (lambda: handshake.receive_data(b""), handshake.receive_eof):
        with pytest.raises(LocalProtocolError, match=state.name):
            call()
    assert handshake.state is state


@pytest.mark.parametrize(("role", "state"), [w for w in TRANSITIONS if w[1].name not in ("UNCONFIRMED", "CONFIRMED")])
def test_a_handshake_that_is_not_done_has_no_result(role, state):
    handshake = at(state, role)
    assert not handshake.done and not handshake.peer_confirmed
    for attribute in ("peer_hello", "send_key", "receive_key", "handshake_hash", "trailing"):
        with pytest.raises(LocalProtocolError, match="no result"):
            getattr(handshake, attribute)


@settings(deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_garbage_behind_the_preamble_raises_nothing_but_network_errors(data, dialled):
    handshake = initiator() if dialled else responder()
    try:
        handshake.receive_data(PREAMBLE + data)
    except NetworkError:
        assert handshake.state is State.FAILED
    assert not handshake.done
