"""Users' objects as bytes."""

import pickle
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greencoro.distributed import codec
from greencoro.errors import RemoteProtocolError

BIG = codec.OUT_OF_BAND_BYTES


def joined(buffers):
    return b"".join(buffers)


@settings(deadline=None)
@given(st.recursive(st.none() | st.integers() | st.text() | st.binary(), lambda x: st.lists(x) | st.tuples(x, x)))
def test_an_object_arrives_equal(value):
    assert codec.loads(joined(codec.dumps(value))) == value


def test_the_first_buffer_begins_with_the_head():
    assert joined(codec.dumps(5, b"head")).startswith(b"head")
    assert joined(codec.dumps(np.zeros(BIG), b"head")).startswith(b"head")


@pytest.mark.parametrize("count", [10, BIG // 8 - 1, BIG // 8, BIG])
@pytest.mark.parametrize("carrier", [bytes, lambda data: memoryview(bytearray(data))], ids=["batch", "chunks"])
def test_an_array_arrives_equal_and_can_be_changed(count, carrier):
    array = np.arange(count, dtype=np.float64)
    arrived = codec.loads(carrier(joined(codec.dumps({"a": array, "b": [array, 1]}))))
    assert (arrived["a"] == array).all()
    assert arrived["a"] is arrived["b"][0]
    arrived["a"][0] = -1.0
    assert arrived["b"][0][0] == -1.0


def test_big_buffers_are_not_copied_into_the_pickle():
    buffers = codec.dumps([np.zeros(BIG, np.uint8), np.ones(BIG, np.uint8)])
    assert [len(buffer) for buffer in buffers[2:]] == [BIG, BIG]
    assert len(buffers[1]) < 1000


def test_what_arrives_is_a_snapshot():
    array = np.zeros(BIG)
    data = codec.dumps(array)
    array[:] = 7
    assert not codec.loads(joined(data)).any()
    view = np.frombuffer(bytearray(BIG), np.uint8)
    view.flags.writeable = False
    data = codec.dumps(view)
    view.base[:] = b"x" * BIG
    assert not codec.loads(joined(data)).any()


def test_constant_bytes_are_not_copied_at_all():
    constant = bytes(BIG)
    buffers = codec.dumps(pickle.PickleBuffer(constant))
    assert buffers[2].obj is constant


def test_what_cannot_be_pickled_raises():
    with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
        codec.dumps(lambda: 1)


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", struct.pack("!H", 3), struct.pack("!HQQ", 1, 5, 2**63), struct.pack("!HQQ", 1, 5, 0) + b"1234"],
    ids=["empty", "one byte", "no lengths", "gigantic pickle", "short buffer"],
)
def test_another_layout_is_refused(data):
    with pytest.raises(RemoteProtocolError):
        codec.loads(data)


@settings(deadline=None)
@given(st.binary(max_size=60).filter(lambda data: data[:2] != b"\0\0"))
def test_garbage_in_the_layout_is_refused(data):
    # Behind two zero bytes stands a pickle, and what that does is its maker's.
    with pytest.raises(RemoteProtocolError):
        codec.loads(data)
