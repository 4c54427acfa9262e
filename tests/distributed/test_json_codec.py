"""Users' objects as JSON."""

import enum
import json
import math
import pickle
import subprocess
import sys
from collections import OrderedDict, namedtuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greencoro.distributed import json_codec
from greencoro.distributed.location import Location
from greencoro.errors import RemoteProtocolError
from greencoro.hub.coroutine import Coro

KEY = "$greencoro"
REFERENCE = ["127.0.0.1", 5000, "ab" * 16, 7, "a coroutine"]

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
keys = st.text() | st.just(KEY)
values = st.recursive(leaves, lambda x: st.lists(x, max_size=5) | st.dictionaries(keys, x, max_size=5), max_leaves=30)
whatever = st.recursive(
    leaves | st.sampled_from(["location", "reference", "request", "object", REFERENCE]),
    lambda x: st.lists(x, max_size=5) | st.dictionaries(keys, x, max_size=5),
    max_leaves=30,
)


def there_and_back(value):
    return json_codec.loads(b"".join(json_codec.dumps(value)))


@settings(deadline=None)
@given(values)
def test_an_object_arrives_equal(value):
    assert there_and_back(value) == value


@settings(deadline=None)
@given(values)
def test_what_is_sent_is_plain_json(value):
    (data,) = json_codec.dumps(value)
    json.loads(data.decode("ascii"))


def test_the_buffer_begins_with_the_head():
    assert json_codec.dumps([1], b"head") == [b"head[1]"]


def test_a_location_arrives_equal():
    place = Location("fe80::1", 5000)
    assert there_and_back({"at": [place]}) == {"at": [place]}


class Level(enum.IntEnum):
    HIGH = 3


def test_what_is_of_a_derived_class_arrives_as_its_base():
    point = namedtuple("Point", "x y")
    arrived = there_and_back([(1, (2,)), point(3, 4), Level.HIGH, OrderedDict(a=1)])
    assert arrived == [[1, [2]], [3, 4], 3, {"a": 1}]
    assert [type(each) for each in arrived] == [list, list, int, dict]


NESTED = []
NESTED.append(NESTED)
CHAIN: object = None
for _ in range(100_000):
    CHAIN = [CHAIN]


@pytest.mark.parametrize(
    ("value", "kind", "why"),
    [
        ({1, 2}, TypeError, "it is of type set"),
        (b"bytes", TypeError, "it is of type bytes"),
        ({"a": [0, {"b": object()}]}, TypeError, "its part ['a'][1]['b'] is of type object"),
        ([("x", ValueError("boom"))], TypeError, "its part [0][1] is of type ValueError"),
        ({"a": {1: 2}}, TypeError, "its part ['a'] has the key 1, and keys of JSON are text"),
        ([1, math.nan], ValueError, "its part [1] is nan, and JSON has numbers alone"),
        ({"far": -math.inf}, ValueError, "its part ['far'] is -inf, and JSON has numbers alone"),
        ([[10**5000]], ValueError, "its part [0][0] is an integer of 16610 bits, too long to be text"),
        (NESTED, ValueError, "it is nested too deeply, or is part of itself"),
        (CHAIN, ValueError, "it is nested too deeply, or is part of itself"),
        ([Coro], TypeError, "its part [0] is of type type"),
    ],
)
def test_S15_what_cannot_be_json_is_refused_with_its_place(value, kind, why):
    with pytest.raises(kind) as caught:
        json_codec.dumps(value)
    assert str(caught.value) == f"what is sent cannot be JSON: {why}"


def test_S15_the_place_of_what_cannot_be_json_is_cut_to_a_line():
    value: object = b""
    for _ in range(200):
        value = {"key": value}
    with pytest.raises(TypeError) as caught:
        json_codec.dumps(value)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1",
        "NaN",
        "[1e999]",
        "1" * 5000,
        "[" * 1_000_000,
        '{"a":' * 100_000,
        '{"$greencoro": 5}',
        '{"$greencoro": []}',
        '{"$greencoro": ["code", "1"]}',
        '{"$greencoro": ["location", "a b", 1]}',
        '{"$greencoro": ["location", "host", 70000]}',
        '{"$greencoro": ["location", "host", 1, 1]}',
        '{"$greencoro": ["object", [["a", 1], [[], 1]]]}',
        '{"$greencoro": ["object", {"a": 1}]}',
        '{"$greencoro": ["reference", ["127.0.0.1", 5000, "ab", 7, "name"]]}',
        '{"$greencoro": ["reference", null]}',
        # Of what is no coroutine, channel or RCI: an address for answers, and nothing at all.
        json.dumps({KEY: ["reference", [*REFERENCE[:3], 1 << 60 | 5, "answer"]]}),
        json.dumps({KEY: ["reference", [*REFERENCE[:3], 3 << 60, "?"]]}),
        json.dumps({KEY: ["request", "message", REFERENCE]}),
    ],
)
def test_S15_what_is_not_of_this_form_is_not_opened(text):
    value, why = json_codec.JSON.opened(text.encode())
    assert value is None
    assert why.startswith(("RemoteProtocolError", "ValueError", "JSONDecodeError", "RecursionError"))


@settings(deadline=None)
@given(st.binary() | whatever.map(lambda value: json.dumps(value).encode()))
def test_S15_whatever_comes_is_data_or_refused_in_words(data):
    value, why = json_codec.JSON.opened(data)
    assert why is None or value is None


def test_deep_nesting_is_refused_in_a_coroutine_as_well():
    for text in (b"[" * 1_000_000, b'{"a":' * 200_000):
        value, why = Coro(lambda text=text: json_codec.JSON.opened(text)).value(20)
        assert value is None and why.startswith("RecursionError")


def test_a_reference_to_a_process_without_a_runtime_is_an_error():
    program = f"from greencoro.distributed import json_codec; print(json_codec.JSON.opened({dumped(REFERENCE)!r}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert "came to a process that has no Runtime" in done.stdout


def dumped(reference):
    return json.dumps({KEY: ["reference", reference]}).encode()


def test_a_pickle_is_not_opened():
    value, why = json_codec.JSON.opened(b"\0\0" + pickle.dumps([1]))
    assert value is None and why.startswith(("UnicodeDecodeError", "JSONDecodeError"))


def test_errors_of_the_form_are_the_peers():
    with pytest.raises(RemoteProtocolError, match="none of its meanings"):
        json_codec.loads(b'{"$greencoro": ["code", "1"]}')
