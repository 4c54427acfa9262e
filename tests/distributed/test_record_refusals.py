"""Records that were changed, left out, repeated or made up: none is delivered."""

import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greencoro.distributed.record import MAX_CHUNK_BYTES, MAX_CHUNK_HEADER_BYTES, Batch, Opener
from greencoro.errors import AuthenticationError, LocalProtocolError, RemoteProtocolError
from tests.distributed.test_record import KEY, KEYS, OTHER_KEY, unsealed, wire


def refusal(key):
    """A header that is wrong may have been altered on its way, except inside TLS."""
    return RemoteProtocolError if key is None else AuthenticationError


@pytest.mark.parametrize("plan", [[b"one", b"two"], (b"head", b"data")], ids=["batch", "chunk"])
def test_no_byte_of_a_record_can_be_changed(plan):
    first, second = wire(KEY, plan, [b"after"])
    for index in range(len(first)):
        for mask in (0x01, 0x80):
            altered = bytearray(first)
            altered[index] ^= mask
            opener = Opener(KEY)
            delivered = []
            with pytest.raises(AuthenticationError):
                # A longer length only waits for more; what comes then makes it whole, and its tag wrong.
                for data in (altered, second, bytes(1 << 16)):
                    delivered += opener.receive_data(data)
            assert delivered == []


def test_order_is_bound():
    first, second = wire(KEY, [b"one"], [b"two"])
    with pytest.raises(AuthenticationError):
        Opener(KEY).receive_data(second + first)


def test_a_replayed_record_is_refused():
    (first,) = wire(KEY, [b"one"])
    opener = Opener(KEY)
    assert opener.receive_data(first) == [Batch([b"one"])]
    with pytest.raises(AuthenticationError):
        opener.receive_data(first)


def test_a_left_out_chunk_is_noticed():
    first, _, third = wire(KEY, (b"0", b"a"), (b"1", b"b"), (b"2", b"c"))
    opener = Opener(KEY)
    opener.receive_data(first)
    with pytest.raises(AuthenticationError):
        opener.receive_data(third)


def test_a_truncated_record_is_never_delivered():
    (stream,) = wire(KEY, [b"one"])
    for size in range(len(stream)):
        opener = Opener(KEY)
        assert opener.receive_data(stream[:size]) == []
        assert opener.buffered_bytes == size


def test_a_record_of_the_other_direction_or_another_connection_is_refused():
    (reflected,) = wire(OTHER_KEY, [b"one"])
    with pytest.raises(AuthenticationError):
        Opener(KEY).receive_data(reflected)


def test_a_chunk_cannot_be_passed_off_as_a_batch():
    (chunk,) = wire(KEY, (b"", bytes(20)))
    with pytest.raises(AuthenticationError):
        Opener(KEY).receive_data(chunk[:4] + b"\0" + chunk[5:])


@KEYS
def test_after_an_error_everything_is_refused(key):
    opener = Opener(key)
    with pytest.raises(refusal(key)):
        opener.receive_data(unsealed(99, bytes(40)))
    with pytest.raises(LocalProtocolError, match="given up"):
        opener.receive_data(*wire(key, [b"good"]))
    with pytest.raises(LocalProtocolError):
        opener.receive_data(b"")
    assert opener.buffered_bytes == 0


def test_intact_records_before_a_bad_one_are_not_delivered_either():
    first, second = wire(KEY, [b"one"], [b"two"])
    with pytest.raises(AuthenticationError):
        Opener(KEY).receive_data(first + second[:-1] + bytes((second[-1] ^ 1,)))


@KEYS
def test_a_length_of_4_gib_is_refused_from_the_header_alone(key):
    opener = Opener(key)
    tracemalloc.start()
    try:
        with pytest.raises(refusal(key), match="4294967295 bytes"):
            opener.receive_data(b"\xff\xff\xff\xff" + bytes(4))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "plaintext",
    [
        b"",
        b"\0\0\0",
        struct.pack(">I", 1),
        struct.pack(">II", 2, 0),
        struct.pack(">I", 0) + b"x",
        struct.pack(">II", 1, 4) + b"abc",
        struct.pack(">II", 1, 2) + b"abc",
        struct.pack(">III", 2, 0xFFFFFFFF, 1) + b"",
        struct.pack(">I", 0xFFFFFFFF) + bytes(100),
    ],
)
def test_a_batch_whose_table_does_not_add_up_is_refused(plaintext):
    with pytest.raises(RemoteProtocolError, match="length table"):
        Opener(None).receive_data(unsealed(0, plaintext))


@pytest.mark.parametrize(
    "plaintext",
    [
        b"",
        b"\0",
        b"\0\2x",
        struct.pack(">H", MAX_CHUNK_HEADER_BYTES + 1) + bytes(MAX_CHUNK_HEADER_BYTES + 1),
        b"\0\0" + bytes(MAX_CHUNK_BYTES + 1),
    ],
)
def test_a_chunk_whose_parts_do_not_add_up_is_refused(plaintext):
    with pytest.raises(RemoteProtocolError, match="parts of a chunk"):
        Opener(None).receive_data(unsealed(1, plaintext))


@KEYS
def test_unknown_types_and_reserved_bytes_are_refused_from_the_header(key):
    for header in (struct.pack(">IB3x", 100, 3), struct.pack(">IB3s", 100, 0, b"\0\0\1")):
        with pytest.raises(refusal(key), match="unknown type"):
            Opener(key).receive_data(header)


def test_a_sealed_record_without_room_for_a_tag_is_refused():
    with pytest.raises(AuthenticationError, match="no room for its tag"):
        Opener(KEY).receive_data(struct.pack(">IB3x", 15, 0))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.sampled_from([KEY, None]))
def test_garbage_never_raises_anything_but_protocol_errors(data, key):
    opener = Opener(key)
    try:
        records = opener.receive_data(data)
    except (AuthenticationError, RemoteProtocolError):
        return
    assert key is None or records == []
