"""Which message goes out next, and large ones put together again."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greencoro.distributed.assembly import Assembly
from greencoro.distributed.outbox import BARRIER, CHUNK_HEADER, FIRST, LAST, MAX_STREAMS, Outbox
from greencoro.errors import RemoteProtocolError

CHUNK = 16
MAX = 10_000


def records(outbox, arrived, assembly, limit=None):
    """Send up to `limit` records, as a connection does, and append what arrives."""
    sent = 0
    while limit is None or sent < limit:
        batch = outbox.next_batch()
        if batch is not None:
            arrived += [bytes(m) if isinstance(m, bytes) else b"".join(m) for m in batch]
        else:
            chunk = outbox.next_chunk()
            if chunk is None:
                assert not outbox
                return
            assert len(chunk[1]) <= CHUNK
            whole = assembly.add(*chunk)
            if whole is not None:
                arrived.append(bytes(whole))
        sent += 1


def message(key, number, size):
    """A message that says whose it is, `size` bytes at least."""
    return f"{key}/{number}/".encode().ljust(size, b".")


KEYS = ["a", "b", "c", None, BARRIER]
step = st.tuples(st.sampled_from(KEYS), st.sampled_from([1, 8, 17, 40, 200])) | st.integers(1, 5)


@settings(max_examples=300, deadline=None)
@given(st.lists(step, max_size=60))
def test_the_order_of_each_key_is_kept_and_a_barrier_overtakes_nothing(steps):
    outbox, assembly, arrived, pushed = Outbox(CHUNK), Assembly(MAX), [], []
    for each in steps:
        if isinstance(each, int):
            records(outbox, arrived, assembly, each)
        else:
            key, size = each
            data = message(key, len(pushed), size)
            outbox.push(key, data if len(pushed) % 2 else [data[:3], data[3:]], len(data))
            pushed.append((key, data))
    records(outbox, arrived, assembly)
    assert sorted(arrived) == sorted(data for _, data in pushed)
    for key in ("a", "b", "c"):
        mine = [data for k, data in pushed if k == key]
        assert [data for data in arrived if data in mine] == mine
    for place, (key, data) in enumerate(pushed):
        if key == BARRIER:
            before = {data for _, data in pushed[:place]}
            assert before <= set(arrived[: arrived.index(data)])
    assert outbox.waiting_bytes == 0
    assert outbox.has_room


def test_small_messages_of_several_batches_come_before_a_large_one_of_the_same_key():
    outbox, arrived = Outbox(CHUNK), []
    small = [message("a", n, 10) for n in range(50)]
    for data in small:
        outbox.push("a", data, len(data))
    large = message("a", 50, 3 * CHUNK)
    outbox.push("a", large, len(large))
    records(outbox, arrived, Assembly(MAX))
    assert arrived == [*small, large]


def test_a_small_message_passes_a_bulk():
    outbox, arrived, assembly = Outbox(CHUNK), [], Assembly(MAX)
    bulk = bytes(100 * CHUNK)
    outbox.push("bulk", bulk, len(bulk))
    records(outbox, arrived, assembly, 10)
    outbox.push("other", b"ping", 4)
    records(outbox, arrived, assembly, 2)
    assert arrived == [b"ping"]


def test_a_small_message_passes_a_bulky_barrier():
    outbox, arrived, assembly = Outbox(CHUNK), [], Assembly(MAX)
    outbox.push(BARRIER, bytes(100 * CHUNK), 100 * CHUNK)
    outbox.push(None, b"pong", 4)
    records(outbox, arrived, assembly, 3)
    assert arrived == [b"pong"]


def test_bulks_that_follow_one_another_do_not_starve_a_barrier():
    outbox, arrived, assembly = Outbox(CHUNK), [], Assembly(MAX)
    outbox.push(0, bytes(10 * CHUNK), 10 * CHUNK)
    outbox.push(BARRIER, b"notice", 6)
    for number in range(1, 20):
        outbox.push(number, bytes(10 * CHUNK), 10 * CHUNK)
        records(outbox, arrived, assembly, 8)
    assert b"notice" in arrived
    records(outbox, arrived, assembly)


def test_bulks_take_turns():
    outbox = Outbox(CHUNK)
    for key in ("a", "b", "c"):
        outbox.push(key, bytes(5 * CHUNK), 5 * CHUNK)
    streams = [CHUNK_HEADER.unpack(outbox.next_chunk()[0])[0] for _ in range(9)]
    assert streams == [1, 2, 3] * 3


def test_there_is_room_for_about_a_batch():
    outbox = Outbox(CHUNK)
    pushed = 0
    while outbox.has_room:
        outbox.push("a", b"12345", 5)
        pushed += 1
    assert pushed == 4
    outbox.next_batch()
    assert outbox.has_room


def test_only_so_many_streams_are_under_way_and_the_other_side_takes_as_many():
    outbox, assembly, arrived = Outbox(CHUNK), Assembly(MAX), []
    keys = itertools.count()
    while outbox.has_room:
        outbox.push(next(keys), bytes(2 * CHUNK), 2 * CHUNK)
    assert next(keys) == MAX_STREAMS
    assert outbox.waiting_bytes == MAX_STREAMS * 2 * CHUNK
    records(outbox, arrived, assembly)
    assert len(arrived) == MAX_STREAMS


def chunk(number, flags, size, data=b"x"):
    return CHUNK_HEADER.pack(number, flags, size), memoryview(data)


@pytest.mark.parametrize(
    "chunks",
    [
        [chunk(1, 0, 10)],
        [chunk(1, FIRST, 10), chunk(1, FIRST, 10)],
        [chunk(1, FIRST, MAX + 1)],
        [chunk(1, FIRST, 1), chunk(1, 0, 1)],
        [chunk(1, FIRST | LAST, 2)],
        [chunk(1, FIRST | LAST, 1), chunk(1, 0, 1)],
        [chunk(n, FIRST, 10) for n in range(MAX_STREAMS + 1)],
        [(b"short", memoryview(b"x"))],
    ],
    ids=["no stream", "begins twice", "too large", "longer", "shorter", "after its end", "too many", "header"],
)
def test_chunks_that_do_not_add_up_are_refused(chunks):
    assembly = Assembly(MAX)
    with pytest.raises(RemoteProtocolError):
        for each in chunks:
            assembly.add(*each)


@settings(deadline=None)
@given(st.binary(max_size=20), st.binary(max_size=20))
def test_a_garbled_chunk_is_refused_or_taken(header, data):
    try:
        Assembly(MAX).add(header, memoryview(data))
    except RemoteProtocolError:
        return


def test_the_message_can_be_changed_by_whoever_gets_it():
    whole = Assembly(MAX).add(*chunk(1, FIRST | LAST, 3, b"abc"))
    whole[0] = ord("x")
    assert bytes(whole) == b"xbc"
