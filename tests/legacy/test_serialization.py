"""Objects as bytes, as old programs make them (legacy-api, section 3.10)."""

import pickle

import pytest

from greencoro.legacy import asyncoro


@pytest.mark.parametrize("name", ["deserialize", "unserialize"])
@pytest.mark.parametrize("value", [None, 5, "text", [1, {"a": (2, b"3")}], {1, 2}])
def test_what_was_serialized_comes_back(name, value):
    data = asyncoro.serialize(value)
    assert type(data) is bytes
    assert getattr(asyncoro, name)(data) == value
    # As it was received by `recvall`.
    assert getattr(asyncoro, name)(bytearray(data)) == value


def test_it_is_pickles_newest_protocol():
    assert asyncoro.serialize([1]) == pickle.dumps([1], pickle.HIGHEST_PROTOCOL)
