"""The handshake inside TLS, as bytes in, bytes out: what ties it to one TLS session."""

import os
from dataclasses import replace

import pytest

from greencoro.distributed.connection import Connection, Established, Limits
from greencoro.distributed.handshake import Handshake, TlsBinding
from greencoro.distributed.handshake_states import Role, State
from greencoro.distributed.hello import Hello
from greencoro.distributed.identity import Identity
from greencoro.distributed.location import Location
from greencoro.errors import AuthenticationError, LocalProtocolError
from tests.distributed.test_connection import everything, send, talk

PSK = b"k" * 32
A, B = b"a" * 32, b"b" * 32  # hashes of certificates
WHO = {role: Identity(bytes([number]) * 32) for number, role in enumerate(Role)}
LIMITS = Limits(1.0, 4.0, 4096, 100_000, 4096)


def hello(role):
    number = 1 if role is Role.INITIATOR else 2
    return Hello(WHO[role].incarnation, Location("127.0.0.1", number), "peer", "3.11", "0.1", 10, 10_000, 10_000)


def handshake(role, binding, psk=PSK):
    made = Handshake(role, psk, hello(role), WHO[role], os.urandom(32), "print")
    if binding is not None:
        made.bind(binding)
    return made


def carry(one, other):
    while data := one.data_to_send():
        other.receive_data(data)
        one, other = other, one


def both(at_initiator, at_responder):
    return handshake(Role.INITIATOR, at_initiator), handshake(Role.RESPONDER, at_responder)


def test_S2_each_side_names_the_certificate_that_it_shows():
    one, other = both(TlsBinding(A, B, b"unique"), TlsBinding(B, A, b"unique"))
    carry(one, other)
    assert one.peer_hello.certificate_hash == B and other.peer_hello.certificate_hash == A
    assert one.send_key == other.receive_key


@pytest.mark.parametrize(
    ("at_initiator", "at_responder"),
    [
        (TlsBinding(A, A, b"one session"), TlsBinding(A, A, b"another")),
        (TlsBinding(A, A, b"one session"), TlsBinding(A, A, b"")),
        (TlsBinding(A, A, b"one session"), None),
        (None, TlsBinding(A, A, b"one session")),
        (TlsBinding(A, A, b""), TlsBinding(A, B, b"")),
        (TlsBinding(A, B, b""), TlsBinding(A, A, b"")),
        (TlsBinding(A, A, b""), None),
        (None, TlsBinding(A, A, b"")),
    ],
)
def test_S2_who_stands_between_two_TLS_sessions_or_takes_TLS_away_is_refused(at_initiator, at_responder):
    one, other = both(at_initiator, at_responder)
    with pytest.raises(AuthenticationError):
        carry(one, other)
    assert State.FAILED in (one.state, other.state)
    assert not (one.done and other.done)


def test_S4_a_first_message_of_another_TLS_session_is_refused():
    one, other = both(TlsBinding(A, A, b"one"), TlsBinding(A, A, b"one"))
    preamble = one.data_to_send()
    other.receive_data(preamble)
    one.receive_data(other.data_to_send())
    proof = one.data_to_send()
    other.receive_data(proof)
    assert other.done
    again = handshake(Role.RESPONDER, TlsBinding(A, A, b"two"))
    again.receive_data(preamble)
    again.data_to_send()
    with pytest.raises(AuthenticationError, match="wrong secret"):
        again.receive_data(proof)
    assert again.data_to_send() == b""


def test_a_wrong_secret_is_refused_inside_TLS_too():
    one = handshake(Role.INITIATOR, TlsBinding(A, A, b"one"), psk=b"x" * 32)
    other = handshake(Role.RESPONDER, TlsBinding(A, A, b"one"))
    with pytest.raises(AuthenticationError, match="wrong secret"):
        carry(one, other)


def test_it_is_tied_once_and_before_anything_came():
    tied = handshake(Role.INITIATOR, TlsBinding(A, A, b"one"))
    begun = handshake(Role.RESPONDER, None)
    begun.receive_data(b"green")
    over, _ = both(None, None)
    carry(over, _)
    for each in (tied, begun, over):
        with pytest.raises(LocalProtocolError, match="tied"):
            each.bind(TlsBinding(A, A, b"two"))


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("first", [b"\x15\x03\x03\x00\x02\x02\x46", b"\x16\x03\x01"], ids=["alert", "greeting"])
def test_TLS_at_a_side_without_is_named(role, first):
    with pytest.raises(AuthenticationError, match="the other side speaks TLS, and this side does not"):
        handshake(role, None).receive_data(first)


def connection(role, binding):
    said = replace(hello(role), incarnation=WHO[role].incarnation)
    made = Connection(role, PSK, said, WHO[role], os.urandom(32), "print", LIMITS, 0.0)
    if binding is not None:
        made.bind(binding)
    return made


@pytest.mark.parametrize("binding", [TlsBinding(A, A, b"one"), None], ids=["inside TLS", "without"])
def test_records_are_sealed_once_by_TLS_or_by_us(binding):
    one, other = connection(Role.INITIATOR, binding), connection(Role.RESPONDER, binding)
    at_one, at_other = talk(one, other)
    assert any(isinstance(event, Established) for event in at_one)
    assert any(isinstance(event, Established) for event in at_other)
    send(one, 1, b"known words")
    data = everything(one)
    assert (b"known words" in data) == (binding is not None)
    (message,) = other.receive_data(memoryview(data), 0.0)
    assert message.payload == b"known words"
