"""Records: what one side seals, or sends as it is, arrives at the other."""

import struct
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greencoro.distributed import record
from greencoro.distributed.outbox import _BATCH_MESSAGES
from greencoro.distributed.record import (
    HEADER_BYTES,
    MAX_BATCH_MESSAGES,
    MAX_CHUNK_BYTES,
    MAX_CHUNK_HEADER_BYTES,
    MAX_RECORD_BYTES,
    TAG_BYTES,
    Batch,
    Chunk,
    Opener,
    Sealer,
)
from greencoro.errors import AuthenticationError, LocalProtocolError, RemoteProtocolError

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))

KEYS = pytest.mark.parametrize("key", [KEY, None], ids=["sealed", "unsealed"])


def joined(buffers):
    return b"".join(buffers)


def wire(key, *plans):
    """The stream of one sealer: a list of messages makes a batch, a tuple a chunk."""
    sealer = Sealer(key)
    return [joined(sealer.chunk(*plan) if isinstance(plan, tuple) else sealer.batch(plan)) for plan in plans]


def unsealed(kind, plaintext, reserved=bytes(3)):
    return struct.pack(">IB", len(plaintext), kind) + reserved + plaintext


@KEYS
def test_a_batch_arrives_as_sent(key):
    messages = [b"one", b"", b"three" * 1000]
    (data,) = wire(key, messages)
    assert Opener(key).receive_data(data) == [Batch(messages)]


@KEYS
def test_an_empty_batch_arrives(key):
    assert Opener(key).receive_data(*wire(key, [])) == [Batch([])]


@KEYS
def test_segments_of_a_message_arrive_as_one(key):
    (data,) = wire(key, [[b"he", memoryview(b"ad"), bytearray(b"er")], b"plain", [], memoryview(b"view")])
    assert Opener(key).receive_data(data) == [Batch([b"header", b"plain", b"", b"view"])]


@KEYS
def test_small_messages_are_bytes_of_their_own_and_large_ones_views(key):
    sizes = [10, 64 << 10, (64 << 10) + 1]
    ((batch),) = Opener(key).receive_data(*wire(key, [bytes(size) for size in sizes]))
    assert [type(message) for message in batch.messages] == [bytes, bytes, memoryview]
    assert [len(message) for message in batch.messages] == sizes


@KEYS
@pytest.mark.parametrize("size", [0, 1, 65536, MAX_CHUNK_BYTES])
def test_a_chunk_arrives_as_sent(key, size):
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    (stream,) = wire(key, (b"transfer 7, byte 0", memoryview(data)))
    assert Opener(key).receive_data(stream) == [Chunk(b"transfer 7, byte 0", memoryview(data))]


def test_a_chunk_may_have_the_longest_header_and_none():
    for header in (b"", bytes(MAX_CHUNK_HEADER_BYTES)):
        (chunk,) = Opener(KEY).receive_data(*wire(KEY, (header, b"data")))
        assert chunk == Chunk(header, memoryview(b"data"))


def test_the_layout_is_the_documented_one():
    (batch,) = wire(None, [b"ab", b"c"])
    assert batch == bytes.fromhex("0000000f 00 000000  00000002 00000002 00000001") + b"abc"
    (chunk,) = wire(None, (b"h", b"data"))
    assert chunk == bytes.fromhex("00000007 01 000000  0001") + b"hdata"
    (sealed,) = wire(KEY, [b"ab", b"c"])
    assert sealed[:HEADER_BYTES] == bytes.fromhex("0000001f 00 000000")
    assert len(sealed) == len(batch) + TAG_BYTES


def test_a_sealed_record_shows_nothing_of_its_messages():
    stream = joined(wire(KEY, [b"attack at dawn"], (b"attack at dawn", b"attack at dawn")))
    assert b"attack" not in stream and b"dawn" not in stream


def test_equal_batches_look_different():
    first, second = wire(KEY, [b"same"], [b"same"])
    assert first != second


PLANS = st.lists(
    st.one_of(
        st.lists(st.binary(max_size=200), max_size=6),
        st.tuples(st.binary(max_size=30), st.binary(max_size=6000)),
    ),
    max_size=8,
)


@KEYS
@settings(deadline=None)
@given(plans=PLANS, cuts=st.lists(st.integers(0, 60_000)))
def test_records_arrive_however_the_stream_is_cut(key, plans, cuts):
    stream = joined(wire(key, *plans))
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    opener = Opener(key)
    records = [r for a, b in pairwise(edges) for r in opener.receive_data(stream[a:b])]
    assert records == [Chunk(p[0], memoryview(p[1])) if isinstance(p, tuple) else Batch(p) for p in plans]
    assert opener.buffered_bytes == 0
    assert opener.opened == len(plans)


@KEYS
def test_records_arrive_one_byte_at_a_time(key):
    opener = Opener(key)
    stream = joined(wire(key, [b"one", b"two"], (b"h", b"data"), []))
    records = [record for byte in stream for record in opener.receive_data(bytes((byte,)))]
    assert records == [Batch([b"one", b"two"]), Chunk(b"h", memoryview(b"data")), Batch([])]


@KEYS
@pytest.mark.parametrize("container", [bytes, bytearray, memoryview])
def test_the_buffer_given_may_be_used_again(key, container):
    stream = joined(wire(key, [b"one" * 3000], (b"h", b"two" * 3000), [b"three"]))
    opener = Opener(key)
    records = []
    for start in range(0, len(stream), 5000):
        reused = bytearray(stream[start : start + 5000])
        records += opener.receive_data(container(reused))
        reused[:] = bytes(len(reused))
    assert records == [Batch([b"one" * 3000]), Chunk(b"h", memoryview(b"two" * 3000)), Batch([b"three"])]


@KEYS
def test_memory_grows_with_what_came_rather_than_with_what_was_announced(key):
    opener = Opener(key, max_record_bytes=1 << 30)
    tracemalloc.start()
    try:
        assert opener.receive_data(struct.pack(">IB3x", 1 << 30, 0) + bytes(100)) == []
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_drained_opener_keeps_no_memory():
    stream = joined(wire(KEY, *[(b"", bytes(MAX_CHUNK_BYTES))] * 4))
    opener = Opener(KEY)
    tracemalloc.start()
    try:
        for start in range(0, len(stream), 100_000):
            opener.receive_data(stream[start : start + 100_000])
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()


def test_the_bound_is_inclusive():
    (stream,) = wire(KEY, [bytes(100)])
    body_bytes = len(stream) - HEADER_BYTES
    assert len(Opener(KEY, max_record_bytes=body_bytes).receive_data(stream)) == 1
    with pytest.raises(AuthenticationError, match="are allowed"):
        Opener(KEY, max_record_bytes=body_bytes - 1).receive_data(stream)
    assert Sealer(KEY, max_record_bytes=body_bytes).batch([bytes(100)])
    with pytest.raises(LocalProtocolError, match="too many for one record"):
        Sealer(KEY, max_record_bytes=body_bytes - 1).batch([bytes(100)])


@pytest.mark.parametrize(
    ("header", "data"),
    [
        (bytes(MAX_CHUNK_HEADER_BYTES + 1), b""),
        (b"", bytes(MAX_CHUNK_BYTES + 1)),
        (b"", memoryview(b"12345678").cast("I")),
    ],
)
def test_a_chunk_that_no_opener_would_take_is_refused(header, data):
    with pytest.raises(LocalProtocolError):
        Sealer(KEY).chunk(header, data)


def test_a_segment_of_larger_items_is_refused():
    with pytest.raises(LocalProtocolError, match="single bytes"):
        Sealer(KEY).batch([memoryview(b"12345678").cast("I")])


def test_a_refused_call_leaves_the_sealer_in_step():
    sealer = Sealer(KEY)
    with pytest.raises(LocalProtocolError):
        sealer.batch([bytes(MAX_RECORD_BYTES)])
    with pytest.raises(LocalProtocolError):
        sealer.chunk(b"", bytes(MAX_CHUNK_BYTES + 1))
    assert Opener(KEY).receive_data(joined(sealer.batch([b"one"]))) == [Batch([b"one"])]


@KEYS
def test_a_key_seals_no_more_records_than_it_may(key, monkeypatch):
    monkeypatch.setattr(record, "MAX_RECORDS", 2)
    sealer = Sealer(key)
    sealer.batch([])
    sealer.chunk(b"", b"")
    for call in (lambda: sealer.batch([]), lambda: sealer.chunk(b"", b"")):
        with pytest.raises(LocalProtocolError, match="all the records it may"):
            call()


@pytest.mark.parametrize(("limit", "value"), [("_RENEW_AFTER_BYTES", 1000), ("_RENEW_AFTER_RECORDS", 2)])
def test_renewal_is_due_after_enough_bytes_or_records(limit, value, monkeypatch):
    monkeypatch.setattr(record, limit, value)
    sealer = Sealer(KEY)
    sealer.batch([bytes(600)])
    assert not sealer.renewal_due
    sealer.batch([bytes(600)])
    assert sealer.renewal_due


def test_large_bodies_are_not_copied_behind_their_header():
    assert len(Sealer(KEY).batch([bytes(100)])) == 1
    header, body = Sealer(KEY).batch([bytes(100_000)])
    assert (len(header), len(body)) == (HEADER_BYTES, 8 + 100_000 + TAG_BYTES)


def test_an_unsealed_chunk_is_sent_from_where_it_is():
    data = memoryview(bytes(1000))
    assert Sealer(None).chunk(b"h", data)[-1] is data


def batched(*messages):
    table = struct.pack(f">{len(messages) + 1}I", len(messages), *map(len, messages))
    plaintext = table + b"".join(messages)
    return struct.pack(">IB3x", len(plaintext), 0) + plaintext


@pytest.mark.parametrize("shares", [(100, 1900), (300, 300, 300), (1000, 1000), (1100, 900)], ids=str)
def test_B1_whoever_keeps_a_large_message_keeps_less_than_twice_its_size(shares):
    sizes = [kib << 10 for kib in shares]
    (batch,) = Opener(None).receive_data(batched(*map(bytes, sizes)))
    assert [*map(len, batch.messages)] == sizes
    for message in batch.messages:
        # What a payload is a view of stays as long as that.
        assert isinstance(message, memoryview) and len(message.obj) < 2 * len(message)
    # What has most of the record is not copied.
    assert any(len(message.obj) > len(message) for message in batch.messages) == (2 * max(sizes) > sum(sizes))


def test_M9_a_batch_has_so_many_messages_at_most():
    most = [b"x"] * MAX_BATCH_MESSAGES
    (batch,) = Opener(None).receive_data(batched(*most))
    assert batch.messages == most
    assert Opener(None).receive_data(joined(Sealer(None).batch(most))) == [batch]
    assert _BATCH_MESSAGES <= MAX_BATCH_MESSAGES, "no batch that we make is refused"
    with pytest.raises(RemoteProtocolError, match="a batch of 10001 messages; 10000 are allowed"):
        Opener(None).receive_data(batched(*most, b"x"))
    with pytest.raises(LocalProtocolError, match="too many for one record"):
        Sealer(None).batch([*most, b"x"])
