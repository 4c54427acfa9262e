"""Pings: what is read, and that nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greencoro.distributed.datagrams import MAX_DATAGRAM_BYTES, Echo, Ping
from greencoro.distributed.location import Location
from greencoro.distributed.presence import ROLES, Presence

KEY = b"d" * 32
PING = Ping(bytes(range(16)), Location("192.0.2.7", 51347))


@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::7", "a", "n" * 255, "bücher.example"])
def test_a_ping_is_read_as_it_was_written(host):
    ping = Ping(bytes(range(16)), Location(host, 1))
    assert Ping.decode(ping.encode(KEY), KEY) == ping
    assert len(ping.encode(KEY)) <= MAX_DATAGRAM_BYTES


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("schedulers_only", [False, True])
def test_a_ping_tells_as_what_its_author_is_met(role, schedulers_only):
    ping = PING._replace(presence=Presence(role, schedulers_only))
    assert Ping.decode(ping.encode(KEY), KEY) == ping


def test_S8_a_ping_under_another_key_is_none():
    assert Ping.decode(PING.encode(b"e" * 32), KEY) is None


def test_S8_a_ping_of_which_any_bit_was_changed_is_none():
    datagram = PING.encode(KEY)
    for position in range(len(datagram)):
        for bit in range(8):
            changed = bytearray(datagram)
            changed[position] ^= 1 << bit
            assert Ping.decode(bytes(changed), KEY) is None


def test_S8_a_ping_that_was_cut_or_grew_is_none():
    datagram = PING.encode(KEY)
    for length in range(len(datagram)):
        assert Ping.decode(datagram[:length], KEY) is None
    assert Ping.decode(datagram + b"x", KEY) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": 0},
        {"kind": 4},
        {"presence": 4},
        {"presence": 0x40},
        {"count": 8},
        {"count": 10},
        {"port": 0},
        {"host": b"\xff\xfe\xfd"},
        {"host": b"two\nlines"},
        {"host": b""},
    ],
    ids=str,
)
def test_S8_a_ping_with_the_right_tag_that_says_nonsense_is_none(wrong):
    from greencoro.distributed import datagrams

    host = wrong.get("host", b"192.0.2.7")
    body = datagrams._HEAD.pack(
        datagrams.MAGIC,
        wrong.get("kind", 1),
        wrong.get("presence", 0),
        bytes(16),
        wrong.get("port", 1),
        wrong.get("count", len(host)),
    )
    datagram = body + host + datagrams._tag(KEY, body + host)
    assert Ping.decode(datagram, KEY) is None


@given(st.binary(max_size=400))
def test_S8_noise_is_none(noise):
    assert Ping.decode(noise, KEY) is None
    assert Ping.decode(b"greencoro-d" + noise, KEY) is None


@pytest.mark.parametrize("place", [Location("192.0.2.7", 1), Location("2001:db8::7", 65535), Location("n" * 255, 9)])
def test_S8_an_echo_is_answered_with_as_many_bytes_as_it_was_asked_with(place):
    echo = Echo(b"n" * 16, place)
    question, answer = echo.question(KEY), echo.answer(KEY)
    assert Echo.asked(question, KEY) == echo
    assert len(question) == len(answer) <= MAX_DATAGRAM_BYTES
    assert question != answer


def test_S8_each_kind_of_datagram_is_read_as_that_kind_only():
    echo = Echo(PING.incarnation, PING.location)
    datagrams = {"ping": PING.encode(KEY), "question": echo.question(KEY), "answer": echo.answer(KEY)}
    assert [name for name, data in datagrams.items() if Ping.decode(data, KEY) is not None] == ["ping"]
    assert [name for name, data in datagrams.items() if Echo.asked(data, KEY) is not None] == ["question"]


def test_S8_a_question_that_tells_of_a_presence_is_none():
    from greencoro.distributed import datagrams

    told = datagrams._encode(datagrams.QUESTION, b"n" * 16, PING.location, KEY, 3)
    assert Echo.asked(told, KEY) is None


def test_S8_a_question_under_another_key_or_with_any_byte_changed_is_none():
    question = Echo(b"n" * 16, PING.location).question(KEY)
    assert Echo.asked(question, b"e" * 32) is None
    for position in range(len(question)):
        changed = bytearray(question)
        changed[position] ^= 1
        assert Echo.asked(bytes(changed), KEY) is None
    assert Echo.asked(question[:-1], KEY) is None and Echo.asked(question + b"x", KEY) is None
