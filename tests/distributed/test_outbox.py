"""Which message goes out next, and large ones put together again."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greencoro.distributed.assembly import Assembly
from greencoro.distributed.outbox import BARRIER, CHUNK_HEADER, FIRST, LAST, MAX_STREAMS, Outbox, Parcel
from greencoro.errors import RemoteProtocolError

CHUNK = 16
MAX = 10_000


def records(outbox, arrived, assembly, limit=None):
    """Send up to `limit` records, as a connection does, and append what arrives; refused is what is too much."""
    sent = 0
    while limit is None or sent < limit:
        batch = outbox.next_batch()
        if batch == []:
            continue
        if batch is not None:
            arrived += [bytes(m) if isinstance(m, bytes) else b"".join(m) for m in batch]
        else:
            chunk = outbox.next_chunk()
            if chunk is None:
                if not outbox:
                    return
                continue
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


def taken_back(parcel):
    """Did that come before its first byte went?"""
    return parcel.take() is not None


@settings(max_examples=300, deadline=None)
@given(st.lists(step | st.tuples(st.just("withdraw"), st.integers(0, 59)), max_size=60), st.booleans())
def test_M6_what_was_taken_back_in_time_never_goes_and_all_else_does_in_order(steps, is_cleared):
    outbox, assembly, arrived, pushed = Outbox(CHUNK, MAX), Assembly(MAX, MAX), [], []
    withdrawn, withdrawn_bytes = [], 0
    for each in steps:
        if isinstance(each, int):
            records(outbox, arrived, assembly, each)
        elif each[0] == "withdraw":
            if each[1] < len(pushed) and taken_back(pushed[each[1]][2]):
                withdrawn.append(pushed[each[1]][1])
                withdrawn_bytes += len(withdrawn[-1])
                if is_cleared:
                    outbox.forget_taken()
        else:
            key, size = each
            data = message(key, len(pushed), size)
            parcel = Parcel([data[:3], data[3:]])
            outbox.push(key, parcel, len(data))
            pushed.append((key, data, parcel))
        left = [data for _, data, _ in pushed if data not in withdrawn]
        sent = sum(map(len, arrived)) + sum(len(part) for part, _ in assembly._streams.values())
        assert outbox.waiting_bytes - withdrawn_bytes == sum(map(len, left)) - sent
        assert outbox.waiting_messages - len(withdrawn) == len(left) - len(arrived)
    records(outbox, arrived, assembly)
    assert sorted(arrived) == sorted(data for _, data, _ in pushed if data not in withdrawn)
    for key in ("a", "b", "c"):
        mine = [data for k, data, _ in pushed if k == key and data not in withdrawn]
        assert [data for data in arrived if data in mine] == mine
    for place, (key, data, _) in enumerate(pushed):
        if key == BARRIER and data in arrived:
            before = {data for _, data, _ in pushed[:place] if data not in withdrawn}
            assert before <= set(arrived[: arrived.index(data)])
    assert outbox.has_room and not outbox


def test_what_is_left_of_messages_that_were_taken_back_behind_a_stream_is_cleared_away():
    outbox = Outbox(CHUNK, MAX)
    outbox.push("a", bytes(5 * CHUNK), 5 * CHUNK)
    parcels = [Parcel([b"%d" % number]) for number in range(100)]
    for parcel in parcels:
        outbox.push("a", parcel, 1)
    for parcel in parcels[1:]:
        assert taken_back(parcel)
    outbox.forget_taken()
    assert [queued.message for queued in outbox._held["a"]] == parcels[:1]


def test_B1_both_sides_agree_how_many_bytes_of_large_messages_may_be_unfinished():
    outbox, assembly, arrived = Outbox(CHUNK, 10 * CHUNK), Assembly(MAX, 10 * CHUNK), []
    largest = 0
    for number in range(40):
        size = (2 + number % 7) * CHUNK
        outbox.push(number, bytes(size), size)
    while outbox:
        records(outbox, arrived, assembly, 1)  # raises where they do not
        largest = max(largest, sum(size for _, size in assembly._streams.values()))
    assert len(arrived) == 40
    assert 10 * CHUNK < largest <= 10 * CHUNK + 8 * CHUNK


def test_a_small_message_passes_large_ones_that_may_not_begin_yet():
    outbox, arrived, assembly = Outbox(CHUNK, 1), [], Assembly(MAX, 1)
    for key in range(5):
        outbox.push(key, bytes(4 * CHUNK), 4 * CHUNK)
    records(outbox, arrived, assembly, 2)
    outbox.push("other", b"ping", 4)
    records(outbox, arrived, assembly, 2)
    assert arrived == [b"ping"]
    assert len(assembly._streams) == 1


@settings(max_examples=300, deadline=None)
@given(st.lists(step, max_size=60))
def test_the_order_of_each_key_is_kept_and_a_barrier_overtakes_nothing(steps):
    outbox, assembly, arrived, pushed = Outbox(CHUNK, MAX), Assembly(MAX, MAX), [], []
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
    assert outbox.waiting_bytes == outbox.waiting_messages == 0
    assert outbox.has_room


def test_small_messages_of_several_batches_come_before_a_large_one_of_the_same_key():
    outbox, arrived = Outbox(CHUNK, MAX), []
    small = [message("a", n, 10) for n in range(50)]
    for data in small:
        outbox.push("a", data, len(data))
    large = message("a", 50, 3 * CHUNK)
    outbox.push("a", large, len(large))
    records(outbox, arrived, Assembly(MAX, MAX))
    assert arrived == [*small, large]


def test_a_small_message_passes_a_bulk():
    outbox, arrived, assembly = Outbox(CHUNK, MAX), [], Assembly(MAX, MAX)
    bulk = bytes(100 * CHUNK)
    outbox.push("bulk", bulk, len(bulk))
    records(outbox, arrived, assembly, 10)
    outbox.push("other", b"ping", 4)
    records(outbox, arrived, assembly, 2)
    assert arrived == [b"ping"]


def test_a_small_message_passes_a_bulky_barrier():
    outbox, arrived, assembly = Outbox(CHUNK, MAX), [], Assembly(MAX, MAX)
    outbox.push(BARRIER, bytes(100 * CHUNK), 100 * CHUNK)
    outbox.push(None, b"pong", 4)
    records(outbox, arrived, assembly, 3)
    assert arrived == [b"pong"]


def test_bulks_that_follow_one_another_do_not_starve_a_barrier():
    outbox, arrived, assembly = Outbox(CHUNK, MAX), [], Assembly(MAX, MAX)
    outbox.push(0, bytes(10 * CHUNK), 10 * CHUNK)
    outbox.push(BARRIER, b"notice", 6)
    for number in range(1, 20):
        outbox.push(number, bytes(10 * CHUNK), 10 * CHUNK)
        records(outbox, arrived, assembly, 8)
    assert b"notice" in arrived
    records(outbox, arrived, assembly)


def test_bulks_take_turns():
    outbox = Outbox(CHUNK, MAX)
    for key in ("a", "b", "c"):
        outbox.push(key, bytes(5 * CHUNK), 5 * CHUNK)
    streams = [CHUNK_HEADER.unpack(outbox.next_chunk()[0])[0] for _ in range(9)]
    assert streams == [1, 2, 3] * 3


def test_there_is_room_for_about_a_batch():
    outbox = Outbox(CHUNK, MAX)
    pushed = 0
    while outbox.has_room:
        outbox.push("a", b"12345", 5)
        pushed += 1
    assert pushed == 4
    outbox.next_batch()
    assert outbox.has_room


def test_only_so_many_streams_are_under_way_and_the_other_side_takes_as_many():
    outbox, assembly, arrived, most = Outbox(CHUNK, MAX), Assembly(MAX, MAX), [], 0
    for key in range(2 * MAX_STREAMS):
        outbox.push(key, bytes(4 * CHUNK), 4 * CHUNK)
    while outbox:
        records(outbox, arrived, assembly, 1)  # raises where they do not
        most = max(most, len(assembly._streams))
    assert most == MAX_STREAMS
    assert len(arrived) == 2 * MAX_STREAMS


def test_M9_a_small_message_passes_more_large_ones_than_may_be_under_way():
    outbox, arrived, assembly = Outbox(CHUNK, MAX), [], Assembly(MAX, MAX)
    for key in range(2 * MAX_STREAMS):
        assert outbox.push(key, bytes(4 * CHUNK), 4 * CHUNK), "there is room for what is small and comes later"
    records(outbox, arrived, assembly, 2 * MAX_STREAMS)
    outbox.push("other", b"ping", 4)
    arrived.clear()
    records(outbox, arrived, assembly, 2)
    assert b"ping" in arrived


def test_B1_large_messages_that_were_taken_back_before_they_began_do_not_pile_up():
    outbox, arrived, assembly = Outbox(CHUNK, 1), [], Assembly(MAX, 1)
    outbox.push("first", bytes(4 * CHUNK), 4 * CHUNK)
    records(outbox, arrived, assembly, 1)
    parcels = [Parcel([bytes(2 * CHUNK)]) for _ in range(4)]
    outbox.push("a", parcels[0], 2 * CHUNK)
    outbox.push("small", b"before", 6)
    for key, parcel in zip("bcd", parcels[1:], strict=True):
        outbox.push(key, parcel, 2 * CHUNK)
    outbox.push("a", b"behind", 6)
    outbox.push("b", b"behind", 6)
    assert all(map(taken_back, parcels[:3]))
    outbox.forget_taken()
    assert [stream.key for stream in (*outbox._ready, *outbox._coming)] == ["d"]
    records(outbox, arrived, assembly)
    assert [len(each) for each in arrived] == [6, 6, 6, 4 * CHUNK, 2 * CHUNK]
    assert not outbox and not outbox._held


def chunk(number, flags, size, data=b"x"):
    return CHUNK_HEADER.pack(number, flags, size), memoryview(data)


def test_B1_while_too_many_bytes_are_unfinished_no_message_may_begin():
    assembly = Assembly(MAX, 100)
    for number, size in enumerate((60, 60)):
        assembly.add(*chunk(number, FIRST, size, b""))
    with pytest.raises(RemoteProtocolError, match="began a message while 120 bytes of others were unfinished"):
        assembly.add(*chunk(2, FIRST, 1))
    assembly.add(*chunk(0, LAST, 60, bytes(60)))
    assembly.add(*chunk(2, FIRST, 1, b""))


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
    assembly = Assembly(MAX, MAX)
    with pytest.raises(RemoteProtocolError):
        for each in chunks:
            assembly.add(*each)


@settings(deadline=None)
@given(st.binary(max_size=20), st.binary(max_size=20))
def test_a_garbled_chunk_is_refused_or_taken(header, data):
    try:
        Assembly(MAX, MAX).add(header, memoryview(data))
    except RemoteProtocolError:
        return


def test_the_message_can_be_changed_by_whoever_gets_it():
    whole = Assembly(MAX, MAX).add(*chunk(1, FIRST | LAST, 3, b"abc"))
    whole[0] = ord("x")
    assert bytes(whole) == b"xbc"
