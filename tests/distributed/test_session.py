"""What two have under way to each other goes on over another connection: nothing lost, nothing twice (M4)."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greencoro.distributed import control, messages
from greencoro.distributed.connection import Connection, Established, Limits
from greencoro.distributed.control import Ack, Resume, Resumed
from greencoro.distributed.handshake_states import Role
from greencoro.distributed.hello import Hello
from greencoro.distributed.identity import Identity
from greencoro.distributed.location import Location
from greencoro.distributed.record import Batch
from greencoro.distributed.session import ACK_RECORDS, MAX_UNACKNOWLEDGED_RECORDS, Session, max_unacknowledged_bytes
from greencoro.errors import AuthenticationError, PeerLost, RemoteProtocolError

LIMITS = Limits(
    tick_seconds=1.0,
    peer_timeout_seconds=4.0,
    max_handshake_frame_bytes=4096,
    max_message_bytes=1 << 20,
    chunk_bytes=4096,
)
QUEUE_BYTES = 1 << 20


class End:
    """One side: a session, over one connection after another."""

    def __init__(self, number: int) -> None:
        place = Location("127.0.0.1", 1000 + number)
        self.identity = Identity(bytes([number]) * 32)
        self.hello = Hello(
            self.identity.incarnation, place, f"peer {number}", "3.11", "0.1", 1000, QUEUE_BYTES, 1 << 20
        )
        self.connection: Connection
        self.session: Session | None = None
        self.got: list[tuple[int, bytes]] = []
        self.sent: list[tuple[int, bytes]] = []

    def connect(self, role: Role) -> None:
        self.connection = Connection(role, b"k" * 32, self.hello, self.identity, os.urandom(32), "print", LIMITS, 0.0)

    def hear(self, data: bytes) -> list[object]:
        events = list(self.connection.receive_data(data, 0.0))
        for event in events:
            if isinstance(event, Established) and self.session is not None and self.connection.role is Role.INITIATOR:
                self.connection.ask_to_resume(self.session)
            elif isinstance(event, messages.Send):
                self.got.append((event.target, bytes(event.payload)))
        return events

    def say(self) -> bytes:
        return b"".join(b"".join(record) for record in iter(self.connection.data_to_send, []))

    def send(self, target: int, payload: bytes) -> None:
        self.sent.append((target, payload))
        assert self.session is not None
        message = [messages.send_header(target), payload]
        self.session.outbox.push(target, message, sum(map(len, message)))


def join(one: End, other: End) -> None:
    """Make a connection, and go on over it with what there is."""
    one.connect(Role.INITIATOR)
    other.connect(Role.RESPONDER)
    for _ in range(3):
        other.hear(one.say())
        one.hear(other.say())
    assert one.connection.established and other.connection.established
    if one.session is None:
        one.session, other.session = one.connection.session, other.connection.session
        return
    assert other.session is not None and other.connection.asks_to_resume(other.session)
    other.connection.resume(other.session)
    (resumed,) = [event for event in one.hear(other.connection.data_to_send()[0]) if isinstance(event, Resumed)]
    assert resumed.received <= other.session.received
    assert one.connection.session is one.session


@pytest.fixture
def pair() -> tuple[End, End]:
    one, other = End(1), End(2)
    join(one, other)
    return one, other


def talk(one: End, other: End) -> None:
    """Until both are silent."""
    quiet = False
    while not quiet:
        quiet = True
        for here, there in ((one, other), (other, one)):
            if data := here.say():
                quiet = False
                there.hear(data)


sends = st.lists(st.tuples(st.booleans(), st.integers(1, 3), st.integers(0, 20_000)), max_size=12)
cuts = st.lists(st.tuples(sends, st.floats(0, 1), st.floats(0, 1), st.booleans()), max_size=8)


@settings(max_examples=150, deadline=None)
@given(cuts)
def test_M4_whatever_is_cut_at_whichever_byte_however_often_nothing_is_lost_and_nothing_comes_twice(plan) -> None:
    one, other = End(1), End(2)
    join(one, other)
    number = 0
    for what, ahead, back, turned in plan:
        for is_first, target, size in what:
            number += 1
            (one if is_first else other).send(target, number.to_bytes(4, "big") + bytes(size))
        # Of what each says some bytes come before the connection breaks; of what is said to that, again.
        for here, there in ((one, other), (other, one), (one, other)):
            data = here.say()
            there.hear(data[: round(len(data) * (ahead if here is one else back))])
            if ahead < 1 and here is one:
                break
        join(*((other, one) if turned else (one, other)))
    talk(one, other)
    for here, there in ((one, other), (other, one)):
        assert sorted(there.got) == sorted(here.sent)
        for target in (1, 2, 3):
            assert [m for m in there.got if m[0] == target] == [m for m in here.sent if m[0] == target]


def test_what_the_other_side_has_said_to_have_is_kept_no_longer(pair: tuple[End, End]) -> None:
    one, other = pair
    assert one.session is not None and other.session is not None
    for _ in range(ACK_RECORDS):
        one.send(1, b"x")
        other.hear(one.say())
    assert one.session.unacknowledged == ACK_RECORDS and not other.session.has_unsaid
    one.hear(other.say())
    assert not one.session.unacknowledged and one.session.is_idle
    one.send(1, b"x")
    other.hear(one.say())
    assert not other.say(), "a single one is said with the next heartbeat"
    other.connection.tick(2.0)
    one.hear(other.say())
    assert not one.session.unacknowledged


@pytest.mark.parametrize(("size", "most"), [(1, MAX_UNACKNOWLEDGED_RECORDS), (100_000, 1 + QUEUE_BYTES // 100_000)])
def test_B1_who_hears_no_ack_sends_no_more_than_the_bound_and_goes_on_with_the_ack(
    pair: tuple[End, End], size: int, most: int
) -> None:
    one, other = pair
    assert one.session is not None
    said = b""
    for _ in range(2000):
        one.send(1, bytes(size))
        data = one.say()
        said += data
        if not data:
            break
    assert one.session.is_full and not one.session.is_idle
    assert one.session._kept_bytes <= max_unacknowledged_bytes(QUEUE_BYTES) + 5000
    came = len(one.sent)
    assert came <= most + 1
    other.hear(said)
    one.hear(other.say())
    assert one.connection.is_urgent, "it is to send what waited"
    talk(one, other)
    assert other.got == one.sent


def test_B5_who_reads_and_never_says_so_is_lost_by_the_time_out(pair: tuple[End, End]) -> None:
    one, other = pair
    assert one.session is not None
    while not one.session.is_full:
        one.send(1, b"x")
        one.say()
    other.connection.push_control(messages.Ping().encode())
    with pytest.raises(PeerLost, match="read nothing"):
        for half in range(12):
            other.connection.push_control(messages.Ping().encode())
            one.connection.receive_data(other.say(), half / 2)
            one.connection.tick(half / 2)
    assert one.connection.is_silent


def test_at_the_end_all_goes_however_much_it_is(pair: tuple[End, End]) -> None:
    one, other = pair
    assert one.session is not None
    for _ in range(50):
        one.send(1, bytes(100_000))
    one.session.lift_bound()
    other.hear(one.say())
    assert other.got == one.sent


def test_an_ack_of_more_than_was_sent_or_less_than_before_ends_the_connection(pair: tuple[End, End]) -> None:
    one, other = pair
    one.send(1, b"x")
    other.hear(one.say())
    for count in (2, 1 << 63):
        with pytest.raises(RemoteProtocolError, match="records"):
            one.session.acknowledge(count)  # type: ignore[union-attr]
    one.session.acknowledge(1)  # type: ignore[union-attr]
    with pytest.raises(RemoteProtocolError, match="records"):
        one.session.acknowledge(0)  # type: ignore[union-attr]


def test_an_ack_of_what_has_not_gone_over_this_connection_ends_it() -> None:
    session = Session(4096, 1 << 20, QUEUE_BYTES)
    session.outbox.push(None, b"x", 1)
    session.outbox.push(None, b"y", 1)
    assert session.next_record() and not session.next_record()
    session.go_on(0)
    with pytest.raises(RemoteProtocolError):
        session.acknowledge(1)
    assert session.next_record() == [b"x", b"y"]
    session.acknowledge(1)
    with pytest.raises(RemoteProtocolError):
        session.go_on(2)


def test_S14_only_who_was_there_from_the_beginning_can_go_on(pair: tuple[End, End]) -> None:
    _, other = pair
    assert other.session is not None
    # Somebody who knows the secret, and says to be the same incarnation.
    stranger = End(1)
    join(stranger, End(9))
    stranger.connect(Role.INITIATOR)
    other.connect(Role.RESPONDER)
    for _ in range(3):
        other.hear(stranger.say())
        stranger.hear(other.say())
    assert other.connection._asked is not None
    assert not other.connection.asks_to_resume(other.session)


def test_S4_a_proof_is_good_for_one_connection_and_one_direction(pair: tuple[End, End]) -> None:
    one, other = pair
    assert one.session is not None and other.session is not None
    seen = one.session.proof(Role.INITIATOR, b"h" * 32)
    assert other.session.is_proved_by(seen, Role.INITIATOR, b"h" * 32)
    assert not other.session.is_proved_by(seen, Role.INITIATOR, b"i" * 32)
    assert not one.session.is_proved_by(seen, Role.RESPONDER, b"h" * 32)
    assert not Session(4096, 1 << 20, QUEUE_BYTES).is_proved_by(seen, Role.INITIATOR, b"h" * 32)


def test_who_answers_without_the_proof_takes_nothing_over(pair: tuple[End, End]) -> None:
    one, other = pair
    one.connect(Role.INITIATOR)
    other.connect(Role.RESPONDER)
    for _ in range(3):
        other.hear(one.say())
        one.hear(other.say())
    other.connection.push_control(Resumed(0, bytes(32)).encode())
    with pytest.raises(AuthenticationError, match="proved"):
        one.hear(other.say())


@pytest.mark.parametrize("message", [Resume(0, bytes(32)), Resumed(0, bytes(32))])
def test_nobody_goes_on_in_the_middle_of_a_connection(pair: tuple[End, End], message: Resume | Resumed) -> None:
    for here, there in (pair, pair[::-1]):
        here.send(1, b"x")
        there.hear(here.say())
        here.connection.push_control(message.encode())
        with pytest.raises(RemoteProtocolError):
            there.hear(here.say())


def test_who_spoke_before_it_was_let_go_on_does_not(pair: tuple[End, End]) -> None:
    one, other = pair
    assert other.session is not None
    one.connect(Role.INITIATOR)
    other.connect(Role.RESPONDER)
    for _ in range(2):
        other.hear(one.say())
        one.hear(other.say())
    one.connection.push(None, b"\x0d", 1)
    other.hear(one.say())
    assert other.connection.asks_to_resume(other.session)
    with pytest.raises(RemoteProtocolError, match="speaks before"):
        other.connection.resume(other.session)


@pytest.mark.parametrize(
    "message", [messages.Ping(), messages.Pong(), Ack(7), Resume(1 << 63, bytes(32)), Resumed(0, b"p" * 32)]
)
def test_what_is_said_about_a_connection_arrives_as_said_and_nothing_else_is_such_a_message(message) -> None:
    encoded = b"".join(message.encode())
    assert control.decode(encoded) == message
    for wrong in (encoded[:-1], encoded + b"x", b"", b"\x01" + encoded):
        with pytest.raises(RemoteProtocolError):
            control.decode(wrong)


def test_batches_count_whatever_is_in_them() -> None:
    session = Session(4096, 1 << 20, QUEUE_BYTES)
    assert session.take(Batch([b"one", b"two"])) == [b"one", b"two"]
    assert session.received == 1 and not session.is_fresh
    assert session.say_received() == 1 and not session.has_unsaid
