"""Hostile bytes for the handshake, the records and the chunks: S2, S3, S9."""

import struct

from hypothesis import example, given, settings
from hypothesis import strategies as st

from greencoro.distributed.handshake_states import Role, State
from greencoro.distributed.outbox import CHUNK_HEADER, FIRST, LAST
from greencoro.distributed.record import Opener
from tests.fuzz.checks import (
    PREAMBLE,
    Edit,
    check_chunks,
    check_damaged_records,
    check_handshake,
    check_introduction,
    check_plaintext,
    damaged,
    handshake,
    hello,
    opened,
)

u8, u32, u64 = (st.integers(0, 2**bits - 1) for bits in (8, 32, 64))
edits = st.lists(st.builds(Edit, st.integers(0, 5), st.integers(0, 2000), st.integers(0, 2000)), max_size=4)
cuts = st.lists(st.integers(0, 5000), max_size=8)
roles = st.sampled_from(Role)


def honest(role):
    """What an honest other side says to one of ``role``, whose own bytes are always the same."""
    one, other = handshake(Role.INITIATOR), handshake(Role.RESPONDER)
    if role is Role.RESPONDER:
        other.receive_data(PREAMBLE)
        one.receive_data(other.data_to_send())
        return one.data_to_send()
    other.receive_data(one.data_to_send())
    said = other.data_to_send()
    one.receive_data(said)
    other.receive_data(one.data_to_send())
    return said + other.data_to_send()


@settings(max_examples=300)
@given(roles, st.binary(max_size=300), st.integers(0, 3), cuts)
def test_S2_no_bytes_that_anybody_makes_up_get_a_side_through_its_handshake(role, rest, known, cuts):
    start = (b"", PREAMBLE, PREAMBLE + struct.pack(">H", len(rest)), PREAMBLE + struct.pack(">H", 48 + len(rest) % 400))
    side = check_handshake(role, start[known] + rest, cuts)
    assert not side.done


@settings(max_examples=300)
@given(roles, edits, cuts)
@example(Role.RESPONDER, [], [])
@example(Role.INITIATOR, [], [])
def test_S2_a_side_gets_through_its_handshake_only_by_what_the_other_side_said(role, edits, cuts):
    said = honest(role)
    heard = damaged(said, edits)
    side = check_handshake(role, heard, cuts)
    assert side.done is heard.startswith(said)
    if side.done:
        assert side.peer_hello == hello(2 if role is Role.INITIATOR else 1)


@given(st.binary(max_size=400))
def test_S11_who_knows_the_secret_and_introduces_itself_in_any_way_is_refused_or_well_formed(payload):
    check_introduction(payload)


@settings(max_examples=300)
@given(edits)
@example([Edit(5, len(hello(1).encode()) - 1, 0)])
def test_S11_an_introduction_that_was_changed_is_refused_or_well_formed(edits):
    check_introduction(damaged(hello(1).encode(), edits))


@given(roles, st.integers(4097, 65535), cuts)
def test_S9_a_frame_that_is_too_long_is_refused_by_its_length(role, length, cuts):
    assert check_handshake(role, PREAMBLE + struct.pack(">H", length), cuts).state is State.FAILED


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=600), max_size=6), edits, cuts)
def test_S3_a_sealed_stream_that_was_altered_gives_what_was_sent_up_to_there_and_no_more(contents, edits, cuts):
    check_damaged_records(contents, (), edits, cuts)


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=60), min_size=2, max_size=6), edits, cuts)
def test_S3_S4_records_repeated_left_out_swapped_or_of_another_type_are_refused_there(contents, moves, cuts):
    check_damaged_records(contents, moves, (), cuts)


@settings(max_examples=200)
@given(st.binary(max_size=400), u32, u8, cuts)
def test_an_unsealed_stream_of_anything_is_refused_or_records(data, length, kind, cuts):
    opened(Opener(None), data, cuts)
    opened(Opener(None), struct.pack(">IB3x", length % 500, kind % 3) + data, cuts)


tables = st.builds(
    lambda count, lengths, rest: struct.pack(f">{len(lengths) + 1}I", count, *lengths) + rest,
    st.integers(0, 5) | u32,
    st.lists(st.integers(0, 30) | u32, max_size=5),
    st.binary(max_size=60),
)


@settings(max_examples=300)
@given(tables | st.binary(max_size=200), st.integers(0, 3), cuts)
def test_S11_whatever_a_peer_seals_is_taken_apart_without_loss_or_refused(data, kind, cuts):
    check_plaintext(data, kind, cuts)


chunk = st.tuples(
    st.builds(CHUNK_HEADER.pack, st.integers(0, 3) | u32, st.integers(0, FIRST | LAST) | u8, st.integers(0, 90) | u64)
    | st.binary(max_size=20),
    st.binary(max_size=60),
)


@settings(max_examples=300)
@given(st.lists(chunk, max_size=12))
def test_S11_chunks_make_whole_messages_of_what_came_or_are_refused(chunks):
    check_chunks(100, chunks)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 40)), max_size=20))
def test_chunks_of_streams_that_take_turns_make_their_messages(turns):
    sizes = [sum(size for number, size in turns if number == each) for each in range(4)]
    left, chunks = list(sizes), []
    for number, size in turns:
        first = FIRST if left[number] == sizes[number] else 0
        left[number] -= size
        chunks.append((CHUNK_HEADER.pack(number, first | (0 if left[number] else LAST), sizes[number]), bytes(size)))
    assert check_chunks(1000, chunks) == [bytes(size) for size in last_first(turns, sizes)]


def last_first(turns, sizes):
    """The sizes of the streams in the order of their ends."""
    ends = {number: place for place, (number, _) in enumerate(turns)}
    return [sizes[number] for number in sorted(ends, key=ends.__getitem__)]
