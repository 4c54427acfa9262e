"""Bytes of a peer that are a message, and those that are none."""

import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greencoro.distributed import messages
from greencoro.distributed.decoding import decode
from greencoro.distributed.kinds import Kind
from greencoro.errors import RemoteProtocolError
from tests.distributed.test_messages import EVERY_KIND, any_message, encoded, u8

CARRIES_PAYLOAD = (Kind.SEND, Kind.DELIVER, Kind.NOTICE, Kind.CHANNEL_SEND, Kind.CHANNEL_DELIVER)


@settings(deadline=None)
@given(any_message, st.data())
def test_a_truncated_message_is_refused_or_another_message(message, data):
    whole = encoded(message)
    short = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        decode(short)
    except RemoteProtocolError:
        return
    # Only what ends in a user's bytes cannot be seen to be cut here; the record's tag and length table see that.
    assert whole[0] in CARRIES_PAYLOAD


@settings(deadline=None)
@given(st.sampled_from(list(Kind)) | u8, st.binary(max_size=200))
def test_garbage_is_refused_and_nothing_else_is_raised(kind, rest):
    try:
        decode(bytes((kind,)) + rest)
    except RemoteProtocolError:
        return


@settings(deadline=None)
@given(any_message, st.data())
def test_a_message_with_a_changed_byte_is_refused_or_another_message(message, data):
    changed = bytearray(encoded(message))
    place = data.draw(st.integers(0, len(changed) - 1))
    changed[place] ^= data.draw(st.integers(1, 255))
    try:
        decode(bytes(changed))
    except RemoteProtocolError:
        return


@pytest.mark.parametrize("kind", [k for k in Kind if k not in CARRIES_PAYLOAD], ids=lambda kind: kind.name)
def test_bytes_after_the_end_are_refused(kind):
    @settings(deadline=None)
    @given(EVERY_KIND[kind])
    def check(message):
        with pytest.raises(RemoteProtocolError):
            decode(encoded(message) + b"x")

    check()


@pytest.mark.parametrize(
    "header",
    [
        b"NaN",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b"[]",
        b'"text"',
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"a": ' + b"9" * 5000,
    ],
    ids=["nan", "nan inside", "infinity", "list", "text", "open", "not utf-8", "deep", "long number"],
)
def test_a_header_that_is_no_JSON_object_is_refused(header):
    data = struct.pack("!BI", Kind.REQUEST, 7) + struct.pack("!I", 1) + b"x" + struct.pack("!I", len(header)) + header
    with pytest.raises(RemoteProtocolError):
        decode(data + struct.pack("!I", 0))


def test_lengths_that_were_only_announced_set_no_memory_aside():
    announced = struct.pack("!BI", Kind.REQUEST, 7) + struct.pack("!I", 0xFFFFFFFF) + b"x"
    with pytest.raises(RemoteProtocolError, match="longer than the message"):
        decode(announced)
    head = struct.pack("!BIB", Kind.REPLY, 7, 1) + struct.pack("!I", 2) + b"{}"
    with pytest.raises(RemoteProtocolError, match="more parts than it has bytes"):
        decode(head + struct.pack("!I", 0xFFFFFFFF))
    with pytest.raises(RemoteProtocolError, match="do not add up"):
        decode(head + struct.pack("!IQ", 1, 2**63) + b"x")


@pytest.mark.parametrize("make", [messages.Request, messages.Reply])
def test_a_header_that_came_says_what_it_came_in(make):
    sent = make(1, "x" if make is messages.Request else True, {"a": "é" * 50}, [b"part"])
    length = len(json.dumps(sent.header))
    assert decode(b"".join(sent.encode())).header_bytes == 4 + length
