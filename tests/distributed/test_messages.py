"""What one runtime says to another, as bytes and back."""

import json
import re
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greencoro.distributed import messages
from greencoro.distributed.fields import MAX_ROUTE
from greencoro.distributed.messages import Kind, decode
from greencoro.errors import LocalProtocolError, RemoteProtocolError

u8, u32, u64 = (st.integers(0, 2**bits - 1) for bits in (8, 32, 64))
text = st.text(max_size=50)
payload = st.binary(max_size=100)
header = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=5,
    ),
    max_size=4,
)
parts = st.lists(payload, max_size=4)
route = st.lists(st.tuples(st.binary(min_size=16, max_size=16), u64), max_size=MAX_ROUTE)

EVERY_KIND = {
    Kind.SEND: st.builds(messages.Send, u64, payload),
    Kind.DELIVER: st.builds(messages.Deliver, u64, u32, payload),
    Kind.RESULT: st.builds(messages.Result, u32, st.integers(-(2**31), 2**31 - 1)),
    Kind.MONITOR: st.builds(messages.Monitor, u64, u32, u64),
    Kind.NOTICE: st.builds(messages.Notice, u64, st.integers(0, 2), text, text, text, payload),
    Kind.TERMINATE: st.builds(messages.Terminate, u64, u32, st.booleans()),
    Kind.GONE: st.builds(messages.Gone, u64),
    Kind.CREDIT: st.builds(messages.Credit, u64, u32, u64),
    Kind.LOCATE: st.builds(messages.Locate, u32, st.booleans(), text, text),
    Kind.LOCATED: st.builds(messages.Located, u32, u64, text),
    Kind.FORGET: st.builds(messages.Forget, u32),
    Kind.PING: st.builds(messages.Ping),
    Kind.PONG: st.builds(messages.Pong),
    Kind.BYE: st.builds(messages.Bye, text),
    Kind.REQUEST: st.builds(messages.Request, u32, text, header, parts),
    Kind.REPLY: st.builds(messages.Reply, u32, st.booleans(), header, parts),
    Kind.CHANNEL_SEND: st.builds(messages.ChannelSend, u64, u64, route, payload),
    Kind.CHANNEL_DELIVER: st.builds(
        messages.ChannelDeliver, u64, u64, u32, u32, st.floats(min_value=0), route, payload
    ),
    Kind.WITHDRAW: st.builds(messages.Withdraw, u32),
    Kind.UNMONITOR: st.builds(messages.Unmonitor, u64),
    Kind.WELCOME: st.builds(messages.Welcome),
    Kind.DEBT: st.builds(messages.Debt, u64, u32, u64),
    Kind.UNLOCK: st.builds(messages.Unlock, st.binary(min_size=16, max_size=16)),
    Kind.UNLOCKED: st.builds(messages.Unlocked, st.binary(min_size=16, max_size=16)),
}
CARRIES_PAYLOAD = (Kind.SEND, Kind.DELIVER, Kind.NOTICE, Kind.CHANNEL_SEND, Kind.CHANNEL_DELIVER)
any_message = st.one_of(*EVERY_KIND.values())


def encoded(message):
    if isinstance(message, messages.Send):
        return messages.send_header(message.target) + message.payload
    if isinstance(message, messages.Deliver | messages.Notice | messages.ChannelSend | messages.ChannelDeliver):
        return message.header() + message.payload
    return b"".join(message.encode())


def test_every_kind_is_in_this_test():
    assert set(EVERY_KIND) == set(Kind)


def test_every_kind_is_in_the_manual():
    page = Path(__file__).parent.parent.parent / "docs/reference/wire.md"
    listed = re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert [(int(number), name) for number, name in listed] == [(kind.value, kind.name) for kind in Kind]


@settings(deadline=None)
@given(any_message)
def test_a_message_arrives_as_it_was_sent(message):
    data = encoded(message)
    assert decode(data) == message
    assert decode(memoryview(data)) == message


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_message_begins_with_its_kind(kind):
    @settings(deadline=None)
    @given(EVERY_KIND[kind])
    def check(message):
        assert encoded(message)[0] == kind

    check()


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


def test_a_header_that_is_no_JSON_fails_where_it_is_made():
    with pytest.raises(ValueError, match="JSON"):
        messages.Request(1, "x", {"a": float("nan")}, ()).encode()


def test_lengths_that_were_only_announced_set_no_memory_aside():
    announced = struct.pack("!BI", Kind.REQUEST, 7) + struct.pack("!I", 0xFFFFFFFF) + b"x"
    with pytest.raises(RemoteProtocolError, match="longer than the message"):
        decode(announced)
    head = struct.pack("!BIB", Kind.REPLY, 7, 1) + struct.pack("!I", 2) + b"{}"
    with pytest.raises(RemoteProtocolError, match="more parts than it has bytes"):
        decode(head + struct.pack("!I", 0xFFFFFFFF))
    with pytest.raises(RemoteProtocolError, match="do not add up"):
        decode(head + struct.pack("!IQ", 1, 2**63) + b"x")


def test_parts_may_be_views_of_anything():
    import array

    reply = messages.Reply(1, True, {"a": 1}, [array.array("i", [1, 2]), memoryview(b"xy"), bytearray(b"z")])
    parts = decode(b"".join(reply.encode())).parts
    assert [len(part) for part in parts] == [8, 2, 1]
    assert json.loads('{"a": 1}') == decode(b"".join(reply.encode())).header


def test_B1_the_name_of_an_operation_and_the_reason_of_a_goodbye_are_bounded():
    longest = messages.Request(1, "x" * messages.MAX_OPERATION_BYTES, {}, [])
    data = encoded(longest)
    assert decode(data) == longest
    name = b"\0\0\0\xc8" + b"x" * 200
    with pytest.raises(RemoteProtocolError, match="operation is longer than 200 bytes"):
        decode(data.replace(name, b"\0\0\0\xc9x" + name[4:]))
    with pytest.raises(LocalProtocolError, match="operation is longer than 200 bytes"):
        messages.Request(1, "x" * 201, {}, []).encode()
    assert decode(encoded(messages.Bye("y" * 5000))) == messages.Bye("y" * 1000)
