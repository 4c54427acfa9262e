"""One connection as bytes in, events out: two ends joined in memory."""

import dataclasses
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greencoro.distributed import messages
from greencoro.distributed.connection import Connection, Established, Introduced, Limits
from greencoro.distributed.handshake_states import Role
from greencoro.distributed.hello import Hello
from greencoro.distributed.identity import Identity
from greencoro.distributed.location import Location
from greencoro.distributed.messages import Ping, Pong
from greencoro.distributed.preamble import PREAMBLE_BYTES
from greencoro.errors import AuthenticationError, LocalProtocolError, PeerLost, RemoteProtocolError

LIMITS = Limits(
    tick_seconds=1.0,
    peer_timeout_seconds=4.0,
    max_handshake_frame_bytes=4096,
    max_message_bytes=100_000,
    chunk_bytes=4096,
)


def identity(number):
    return Identity(bytes([number]) * 32)


def hello(number, name="peer"):
    return Hello(
        identity(number).incarnation, Location("127.0.0.1", 1000 + number), name, "3.11", "0.1", 10, 10_000, 10_000
    )


def connection(role, number, psk=b"k" * 32, now=0.0):
    return Connection(
        role, psk, hello(number), identity(number), os.urandom(32), f"print-{psk[:1].decode()}", LIMITS, now
    )


def pair(**kwargs):
    return connection(Role.INITIATOR, 1), connection(Role.RESPONDER, 2, **kwargs)


def everything(end):
    """All that an end has to send."""
    data = b""
    while record := end.data_to_send():
        data += b"".join(record)
    return data


def talk(one, other, cut=None, now=0.0):
    """Carry bytes back and forth until both are silent, `cut` bytes at a time; the events of both."""
    events = {one: [], other: []}
    while True:
        quiet = True
        for here, there in ((one, other), (other, one)):
            data = everything(here)
            for start in range(0, len(data), cut or len(data) or 1):
                quiet = False
                events[there] += there.receive_data(memoryview(data)[start : start + (cut or len(data))], now)
        if quiet:
            return events[one], events[other]


def send(end, target, payload):
    head = messages.send_header(target)
    end.push(target, [head, payload], len(head) + len(payload))


@pytest.mark.parametrize("cut", [1, 7, None])
def test_two_ends_that_share_a_secret_introduce_and_establish_themselves(cut):
    one, other = pair()
    at_one, at_other = talk(one, other, cut)
    assert at_one == [Introduced(hello(2)), Established(hello(2))]
    assert at_other == [Introduced(hello(1)), Established(hello(1))]
    assert one.established and other.established


@pytest.mark.parametrize("windows", [(10_000, 50_000), (50_000, 10_000), (10_000, 10_000)])
def test_B1_no_side_begins_more_large_messages_than_the_other_takes(windows):
    one, other = (
        Connection(
            role,
            b"k" * 32,
            dataclasses.replace(hello(number), max_queue_bytes=window),
            identity(number),
            os.urandom(32),
            "print",
            LIMITS,
            0.0,
        )
        for role, number, window in ((Role.INITIATOR, 1, windows[0]), (Role.RESPONDER, 2, windows[1]))
    )
    talk(one, other)
    for end in (one, other):
        for target in range(30):
            send(end, target, bytes(9_000))
    at_one, at_other = talk(one, other)  # raises where one is given more than it takes
    assert len(at_one) == len(at_other) == 30


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 30_000)), max_size=20), st.integers(1, 5000))
def test_messages_of_any_size_arrive_whole_and_in_order_for_each_target_however_cut(sends, cut):
    one, other = pair()
    talk(one, other)
    sent = {one: [], other: []}
    for number, (first, target, size) in enumerate(sends):
        payload = number.to_bytes(2, "big") + bytes(size)
        here = one if first else other
        send(here, target, payload)
        sent[here].append(messages.Send(target, payload))
    at_one, at_other = talk(one, other, cut)
    for came, went in ((at_one, sent[other]), (at_other, sent[one])):
        came = [messages.Send(m.target, bytes(m.payload)) for m in came]
        assert sorted(came) == sorted(went)
        for target in range(4):
            assert [m for m in came if m.target == target] == [m for m in went if m.target == target]


def test_nothing_can_be_sent_before_the_handshake_is_over():
    one, other = pair()
    with pytest.raises(LocalProtocolError):
        send(one, 1, b"x")
    other.receive_data(everything(one)[: PREAMBLE_BYTES - 1], 0.0)
    assert not other.established and not other.has_room


def test_a_responder_is_established_only_by_the_first_record_so_a_replay_is_not():
    one, other = pair()
    recorded = [everything(one)]
    other.receive_data(recorded[-1], 0.0)
    one.receive_data(everything(other), 0.0)
    recorded.append(everything(one))
    assert other.receive_data(recorded[-1], 0.0) == [Introduced(hello(1))]
    assert not other.established
    one.receive_data(everything(other), 0.0)
    recorded.append(everything(one))
    assert other.receive_data(recorded[-1], 0.0) == [Established(hello(1))]

    _, replayed = pair()
    for data in recorded[:2]:
        replayed.receive_data(data, 0.0)
    everything(replayed)
    with pytest.raises(AuthenticationError):
        replayed.receive_data(recorded[2], 0.0)
    assert not replayed.established


def test_a_wrong_secret_is_told_apart_by_the_fingerprint_and_answered_by_silence():
    one, other = pair(psk=b"q" * 32)
    other.receive_data(everything(one), 0.0)
    one.receive_data(everything(other), 0.0)
    with pytest.raises(AuthenticationError, match="print-q"):
        other.receive_data(everything(one), 0.0)
    assert everything(other) == b""
    with pytest.raises(AuthenticationError, match="print-k"):
        one.receive_eof()


def test_half_a_handshake_and_then_the_end_is_an_error():
    one, other = pair()
    other.receive_data(everything(one), 0.0)
    one.receive_data(everything(other), 0.0)
    with pytest.raises(AuthenticationError, match="closed"):
        one.receive_eof()
    # Who dialled has heard nothing that could be wrong with a secret.
    with pytest.raises(PeerLost, match="closed the connection before it had proved itself"):
        other.receive_eof()


def test_a_stranger_is_refused():
    _, other = pair()
    with pytest.raises(AuthenticationError, match="not greencoro"):
        other.receive_data(b"GET / HTTP/1.1\r\n\r\n", 0.0)
    assert everything(other) == b""


def test_garbage_after_the_handshake_ends_the_connection():
    one, other = pair()
    talk(one, other)
    with pytest.raises(AuthenticationError):
        other.receive_data(b"\xff" * 100, 0.0)
    assert other.is_altered


def test_an_altered_record_ends_the_connection():
    one, other = pair()
    talk(one, other)
    send(one, 1, b"x" * 100)
    data = bytearray(everything(one))
    data[50] ^= 1
    with pytest.raises(AuthenticationError):
        other.receive_data(bytes(data), 0.0)


def test_a_message_that_is_none_ends_the_connection():
    one, other = pair()
    talk(one, other)
    one.push(None, b"\xee", 1)
    with pytest.raises(RemoteProtocolError, match="unknown kind"):
        other.receive_data(everything(one), 0.0)


def test_a_message_larger_than_allowed_ends_the_connection_before_its_bytes_came():
    one, other = pair()
    talk(one, other)
    send(one, 1, bytes(LIMITS.max_message_bytes + 1))
    first = b"".join(one.data_to_send())
    with pytest.raises(RemoteProtocolError, match="max_message_bytes"):
        other.receive_data(first, 0.0)


def test_the_end_of_the_stream_is_a_loss_and_in_a_record_says_so():
    one, other = pair()
    talk(one, other)
    with pytest.raises(PeerLost, match="closed the connection"):
        one.receive_eof()
    send(one, 1, b"x")
    other.receive_data(everything(one)[:-1], 0.0)
    with pytest.raises(PeerLost, match="in the middle of a record"):
        other.receive_eof()


def test_a_connection_asks_once_a_tick_and_is_lost_after_the_timeout():
    one, other = pair()
    talk(one, other)
    one.tick(1.0)
    assert talk(one, other, now=1.0)[1] == [messages.Ping()]
    with pytest.raises(PeerLost, match="4 s"):
        for half in range(3, 20):
            one.tick(half / 2)
    # The one that was asked heard something, at least.
    other.tick(4.5)


def test_S3_a_connection_whose_key_has_sealed_enough_ends_so_that_a_new_one_is_made(monkeypatch):
    one, other = pair()
    talk(one, other)
    one.tick(0.5)
    monkeypatch.setattr("greencoro.distributed.record._RENEW_AFTER_BYTES", 1000)
    send(one, 1, bytes(1000))
    talk(one, other)
    with pytest.raises(PeerLost, match="key"):
        one.tick(0.6)
    other.tick(0.6)


def test_what_arrives_keeps_the_connection_alive():
    one, other = pair()
    talk(one, other)
    for half in range(1, 40):
        one.tick(half / 2)
        other.tick(half / 2)
        talk(one, other, now=half / 2)


def test_a_large_message_can_be_changed_by_whoever_gets_it():
    one, other = pair()
    talk(one, other)
    send(one, 1, bytes(50_000))
    (message,) = talk(one, other)[1]
    message.payload[0] = 1


def test_B5_a_peer_that_speaks_and_reads_nothing_is_lost_after_the_timeout():
    one, other = pair()
    talk(one, other)
    for half in range(1, 40):
        one.tick(half / 2, is_blocked=True, has_moved=half % 8 == 0)
        send(other, 1, b"x")
        talk(one, other, now=half / 2)
    assert not one.is_silent, "it read something every four seconds"
    with pytest.raises(PeerLost, match="the peer read nothing for 4 s"):
        for half in range(40, 50):
            send(other, 1, b"x")
            talk(one, other, now=half / 2)
            one.tick(half / 2, is_blocked=True)
    assert half == 41 and one.is_silent


def test_B5_a_peer_is_lost_that_reads_nothing_though_the_network_takes_all_of_it_and_our_pings():
    """Where its buffers hold all that may be on its way, nothing is ever refused."""
    one, other = pair()
    talk(one, other)
    while not one.session.is_full:
        send(one, 1, bytes(4000))
        everything(one)
    with pytest.raises(PeerLost, match="the peer read nothing for 4 s"):
        for half in range(1, 20):
            send(other, 1, b"x")
            one.receive_data(everything(other), half / 2)
            one.tick(half / 2, is_blocked=False, has_moved=True)
            everything(one)
    # It had done well until the first look, for all that one could tell.
    assert 4.0 <= half / 2 <= 5.0


def test_B5_a_peer_for_which_the_network_makes_room_is_not_lost_though_it_has_acknowledged_nothing():
    one, other = pair()
    talk(one, other)
    while not one.session.is_full:
        send(one, 1, bytes(4000))
        everything(one)
    for half in range(1, 40):
        if half < 36:
            one.receive_data(everything(other), half / 2)
            send(other, 1, b"x")
        one.tick(half / 2, is_blocked=half % 6 > 0, has_moved=half % 6 == 0)
    # It hears us.
    assert one.seconds_left(19.5) == 18.0 + 4.25 - 19.5


def test_M4_an_answer_to_the_handshake_is_one():
    one, other = pair()
    talk(one, other, now=3.0)
    assert one.seconds_left(3.0) == other.seconds_left(3.0) == 4.25


def answers(one, other, now):
    """``other`` answers what ``one`` asks."""
    if Ping() in talk(one, other, now=now)[1]:
        other.push_control(Pong().encode())
        talk(one, other, now=now)


def test_N1_after_the_end_the_time_out_counts_from_a_tick_before_it_was_heard_or_from_the_last_answer():
    one, other = pair()
    talk(one, other)
    for half in range(1, 9):
        one.tick(half / 2)
        if half <= 4:
            answers(one, other, half / 2)
            assert one.seconds_left(half / 2) == 4.25 - half % 2 / 2
        else:
            # From here on it hears nothing, and is heard.
            everything(one)
            send(other, 1, b"x")
            one.receive_data(everything(other), half / 2)
    assert one.heard_at == 4.0
    assert one.seconds_left(4.0) == 3.25


def impostor(role, number, said):
    """A side that says to be ``said`` and can prove to be ``number``."""
    return Connection(role, b"k" * 32, hello(said), identity(number), os.urandom(32), "print-k", LIMITS, 0.0)


def test_S16_who_dials_and_does_not_prove_to_be_who_it_says_is_never_established():
    liar, honest = impostor(Role.INITIATOR, 3, 1), connection(Role.RESPONDER, 2)
    with pytest.raises(AuthenticationError, match="does not prove that it is the incarnation"):
        talk(liar, honest)
    assert not honest.established
    with pytest.raises(LocalProtocolError):
        send(honest, 1, b"for the honest one")


def test_S16_who_was_dialled_and_does_not_prove_to_be_who_it_says_is_heard_of_nothing():
    honest, liar = connection(Role.INITIATOR, 1), impostor(Role.RESPONDER, 3, 2)
    with pytest.raises(AuthenticationError, match="does not prove that it is the incarnation"):
        talk(honest, liar)


@pytest.mark.parametrize("payload", [b"small", bytes(50_000)], ids=["batch", "chunk"])
def test_S16_what_comes_before_the_proof_is_refused(payload):
    honest, hasty = connection(Role.RESPONDER, 1), connection(Role.INITIATOR, 2)
    for _ in range(4):
        for here, there in ((honest, hasty), (hasty, honest)):
            if hasty.established:
                break
            there.receive_data(everything(here), 0.0)
    hasty._proof = b""
    send(hasty, 1, payload)
    said = b"".join(hasty.data_to_send())
    with pytest.raises((RemoteProtocolError, AuthenticationError), match="prove"):
        honest.receive_data(said, 0.0)
