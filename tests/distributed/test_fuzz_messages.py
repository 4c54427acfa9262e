"""Hostile bytes for what runtimes say to each other: messages, headers of requests, datagrams. S8, S10, S11."""

import json
import struct
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from greencoro.distributed import messages, refs
from greencoro.distributed.datagrams import Ping
from greencoro.distributed.decoding import decode
from greencoro.distributed.fields import MAX_JSON_BYTES, MAX_PARTS
from greencoro.distributed.kinds import Kind
from greencoro.distributed.location import Location
from greencoro.errors import LocalProtocolError, RemoteProtocolError
from tests.distributed.test_messages import any_message, as_sent
from tests.fuzz.checks import (
    KEY,
    Edit,
    check_datagram,
    check_header,
    check_introduction,
    check_json,
    check_message,
    damaged,
    encoded,
)

edits = st.lists(st.builds(Edit, st.integers(0, 5), st.integers(0, 600), st.integers(0, 600)), min_size=1, max_size=3)


@settings(max_examples=300)
@given(st.sampled_from(list(Kind)) | st.integers(0, 255), st.binary(max_size=200))
def test_S11_any_bytes_are_refused_or_a_message_that_would_be_sent_the_same_way(kind, rest):
    check_message(b"")
    check_message(bytes((kind,)) + rest)


@settings(max_examples=300)
@given(any_message, edits)
@example(messages.Notice(1, 1, "a", "b", "c", b"d"), [Edit(0, 9, 5)])
def test_S11_a_message_that_its_author_garbled_is_refused_or_another_message(message, edits):
    check_message(damaged(encoded(message), edits))


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["..", "/", "", "a/b", "send", ".greencoro-x", "\ud800", "fe80::1%a\nb"])
    | st.sampled_from(["x" * 64, "0" * 32, "0" * 30]),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=12,
)
WORDS = (
    "transfer size mtime_ns mode overwrite timeout directory file at digest do stat failed written busy result other"
)
headers = st.dictionaries(st.sampled_from(WORDS.split()) | st.text(max_size=4), values, max_size=16)
GOOD = {
    "transfer": 1,
    "directory": ["a"],
    "file": "f",
    "size": 5,
    "mtime_ns": 0,
    "mode": 0o644,
    "overwrite": True,
    "timeout": 5.0,
    "other": ["127.0.0.1", 5, "0" * 32, 7, "name"],
}


@settings(max_examples=400)
@given(headers)
@example(GOOD)
def test_S10_a_header_with_any_values_is_read_or_refused(header):
    check_header(header)
    # All but a few fields as they should be: what lies behind the first check is reached too.
    check_header(GOOD | header)
    for name, value in header.items():
        check_header(GOOD | {name: value})
        for place in range(5):
            check_header(GOOD | {"other": [*GOOD["other"][:place], value, *GOOD["other"][place + 1 :]]})
        check_header(GOOD | {"directory": [value]})


@settings(max_examples=300)
@given(headers, edits)
def test_S10_JSON_that_its_author_garbled_is_read_or_refused(header, edits):
    check_json(damaged(json.dumps(header).encode("utf-8", "surrogatepass"), edits))


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":1e999}',
        b'{"a":-Infinity}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xff"}',
        b"\xef\xbb\xbf{}",
    ],
    ids=lambda text: ascii(text[:20]),
)
def test_S10_JSON_made_to_break_its_reader_is_refused_or_harmless(text):
    check_json(text)


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"NaN", b"Infinity"])
def test_a_number_that_no_JSON_of_ours_could_have_is_refused(number):
    body = struct.pack("!BI", Kind.REQUEST, 1) + bytes(4)
    text = b'{"a":' + number + b"}"
    with pytest.raises(RemoteProtocolError):
        decode(body + struct.pack("!I", len(text)) + text + bytes(4))


@given(st.binary(max_size=400))
def test_S8_any_datagram_signed_or_not_is_a_ping_or_nothing(data):
    check_datagram(data)


@settings(max_examples=300)
@given(st.text(min_size=1, max_size=60) | st.text(max_size=9).map("fe80::1%{}".format), st.integers(0, 65535), edits)
def test_S8_the_body_of_a_ping_garbled_and_signed_by_a_peer_is_a_ping_or_nothing(host, port, edits):
    raw = host.encode("utf-8", "surrogatepass")[:255]
    body = struct.pack(">11sBB16sHB", b"greencoro-d", 1, 0, b"i" * 16, port, len(raw)) + raw
    check_datagram(body)
    check_datagram(damaged(body, edits))


@given(edits)
def test_S8_a_ping_that_somebody_on_the_way_changed_is_nothing(edits):
    good = Ping(b"i" * 16, Location("127.0.0.1", 5)).encode(KEY)
    bad = damaged(good, edits)
    assert (Ping.decode(bad, KEY) is None) is (bad != good)


@pytest.mark.parametrize(
    "zone", ["a\nERROR root logged in", "\x1b[31m", "a b", "a]:5", "x" * 250, "\ud800", "\x00"], ids=ascii
)
def test_S18_an_IPv6_address_whose_zone_is_no_zone_is_no_location(zone):
    host = f"fe80::1%{zone}"
    with pytest.raises(ValueError):
        Location(host, 5)
    with pytest.raises(RemoteProtocolError):
        refs.from_json([host, 5, "0" * 32, 7, "x"])
    raw = host.encode("utf-8", "surrogatepass")[:255]
    check_datagram(struct.pack(">11sBB16sHB", b"greencoro-d", 1, 0, b"i" * 16, 5, len(raw)) + raw)
    numbers = struct.pack(">16sHIQQIB", b"i" * 16, 5, 9, 9000, 9000, 0, 0)
    check_introduction(numbers + bytes((len(raw),)) + raw + bytes(3))
    assert str(Location("fe80::1%eth0", 5)) == "[fe80::1%eth0]:5"


def request(text, parts):
    return struct.pack("!BI", Kind.REQUEST, 1) + bytes(4) + struct.pack("!I", len(text)) + text + parts


def test_S11_a_header_or_parts_beyond_their_bounds_are_refused_before_they_are_objects():
    empty = b'{"a":[' + b"[]," * (20 << 20) + b"[]]}"
    hostile = [
        memoryview(request(empty, bytes(4))),
        memoryview(request(b"{}", struct.pack("!I", MAX_PARTS + 1) + bytes(8 * (MAX_PARTS + 1)))),
    ]
    tracemalloc.start()
    try:
        for data in hostile:
            with pytest.raises(RemoteProtocolError, match="are allowed"):
                decode(data)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert len(decode(request(b"{}", struct.pack("!I", MAX_PARTS) + bytes(8 * MAX_PARTS))).parts) == MAX_PARTS


@pytest.mark.parametrize("make", [messages.Request, messages.Reply])
def test_what_no_peer_would_take_is_refused_where_it_is_made(make):
    operation = ("x",) if make is messages.Request else (True,)
    with pytest.raises(LocalProtocolError, match="header"):
        make(1, *operation, {"a": "x" * MAX_JSON_BYTES}, ()).encode()
    with pytest.raises(LocalProtocolError, match="parts"):
        make(1, *operation, {}, [b""] * (MAX_PARTS + 1)).encode()
    largest = make(1, *operation, {"a": "x" * (MAX_JSON_BYTES - 9)}, [b""] * MAX_PARTS)
    assert as_sent(decode(b"".join(largest.encode()))) == largest
