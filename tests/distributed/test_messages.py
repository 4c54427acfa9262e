"""What one runtime says to another, as bytes and back."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greencoro.distributed import messages
from greencoro.distributed.decoding import decode
from greencoro.distributed.fields import MAX_ROUTE, NumberedHeader
from greencoro.distributed.kinds import Kind
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
    about_connections = [(25, "ACK"), (26, "RESUME"), (27, "RESUMED")]
    assert [(int(number), name) for number, name in sorted(listed, key=lambda each: int(each[0]))] == [
        *((kind.value, kind.name) for kind in Kind),
        *about_connections,
    ]


def as_sent(message):
    """Without what only one that came has."""
    if isinstance(message, messages.Request | messages.Reply):
        return message._replace(header_bytes=0)
    return message


@settings(deadline=None)
@given(any_message)
def test_a_message_arrives_as_it_was_sent(message):
    data = encoded(message)
    assert as_sent(decode(data)) == as_sent(message)
    assert as_sent(decode(memoryview(data))) == as_sent(message)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_message_begins_with_its_kind(kind):
    @settings(deadline=None)
    @given(EVERY_KIND[kind])
    def check(message):
        assert encoded(message)[0] == kind

    check()


def test_a_header_that_is_no_JSON_fails_where_it_is_made():
    with pytest.raises(ValueError, match="JSON"):
        messages.Request(1, "x", {"a": float("nan")}, ()).encode()


def test_parts_may_be_views_of_anything():
    import array

    reply = messages.Reply(1, True, {"a": 1}, [array.array("i", [1, 2]), memoryview(b"xy"), bytearray(b"z")])
    parts = decode(b"".join(reply.encode())).parts
    assert [len(part) for part in parts] == [8, 2, 1]
    assert json.loads('{"a": 1}') == decode(b"".join(reply.encode())).header


def test_B1_the_name_of_an_operation_and_the_reason_of_a_goodbye_are_bounded():
    longest = messages.Request(1, "x" * messages.MAX_OPERATION_BYTES, {}, [])
    data = encoded(longest)
    assert as_sent(decode(data)) == longest
    name = b"\0\0\0\xc8" + b"x" * 200
    with pytest.raises(RemoteProtocolError, match="operation is longer than 200 bytes"):
        decode(data.replace(name, b"\0\0\0\xc9x" + name[4:]))
    with pytest.raises(LocalProtocolError, match="operation is longer than 200 bytes"):
        messages.Request(1, "x" * 201, {}, []).encode()
    assert decode(encoded(messages.Bye("y" * 5000))) == messages.Bye("y" * 1000)


@pytest.mark.parametrize("header", [{}, {"a": "ü", "b": [1, {"c": None}]}])
def test_a_header_with_a_number_left_open_is_that_header_with_each_number(header):
    open_header = NumberedHeader(header, "watch")
    for number in (0, 7, (1 << 64) - 1):
        data = b"".join(messages.request(1, "x", open_header.numbered(number), [b"part"]))
        assert data == encoded(messages.Request(1, "x", {**header, "watch": number}, [b"part"]))
    assert open_header.header == header


def test_a_header_that_is_no_JSON_is_refused_before_it_has_a_number():
    with pytest.raises(ValueError, match="JSON"):
        NumberedHeader({"a": float("inf")}, "watch")
