import copy
import pickle
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greencoro.distributed.location import Location


def test_attributes_are_as_given():
    location = Location("node-7.example.org", 51347)
    assert (location.addr, location.port) == ("node-7.example.org", 51347)


def test_a_numeric_string_is_a_port():
    location = Location("10.0.0.7", "51347")
    assert location.port == 51347
    assert location == Location("10.0.0.7", 51347)


def test_names_are_not_resolved():
    assert Location("no-such-host.invalid", 1).addr == "no-such-host.invalid"


def test_text_is_host_and_port():
    assert str(Location("10.0.0.7", 51347)) == "10.0.0.7:51347"
    assert repr(Location("localhost", 0)) == "localhost:0"


def test_text_of_an_ipv6_address_has_brackets():
    assert str(Location("::1", 51347)) == "[::1]:51347"


def test_spellings_of_one_ipv6_address_are_one_location():
    assert Location("2001:DB8:0:0:0:0:0:1", 1) == Location("2001:db8::1", 1)
    assert Location("2001:DB8::1", 1).addr == "2001:db8::1"
    assert Location("FE80::1%eth0", 1).addr == "fe80::1%eth0"


def test_equality_is_by_both_parts_and_hash_follows():
    assert len({Location("a", 1), Location("a", 1), Location("a", 2), Location("b", 1)}) == 3


@pytest.mark.parametrize("other", [("a", 1), "a:1", None, object()])
def test_a_location_differs_from_every_other_type(other):
    assert Location("a", 1) != other


def test_locations_have_an_order():
    assert sorted([Location("b", 1), Location("a", 10), Location("a", 9)]) == [
        Location("a", 9),
        Location("a", 10),
        Location("b", 1),
    ]
    with pytest.raises(TypeError):
        assert Location("a", 1) < ("a", 2)


def test_a_location_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Location("a", 1).port = 2


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_location_survives_pickling(protocol):
    location = Location("2001:db8::1", 51347)
    assert pickle.loads(pickle.dumps(location, protocol)) == location
    assert copy.deepcopy(location) == location


@pytest.mark.parametrize("port", [-1, 65536, "65536", "", " 1", "+1", "1_0", "\u0661", "http", True, False, 1.0, None])
def test_a_bad_port_is_refused_in_a_sentence(port):
    with pytest.raises(ValueError, match="a TCP port is a number from 0 to 65535"):
        Location("a", port)


@pytest.mark.parametrize(
    "host",
    ["", "a b", "a\n", "\x1b[31m", "[::1]", "http://a", "a,b", "1:2", "g::1", "a:51347", "x" * 256, 7, None, b"a"],
)
def test_a_bad_host_is_refused(host):
    with pytest.raises(ValueError, match="host"):
        Location(host, 1)


@pytest.mark.parametrize(
    ("text", "addr", "port"),
    [
        ("node-7", "node-7", 0),
        ("node-7:51347", "node-7", 51347),
        ("10.0.0.7:0", "10.0.0.7", 0),
        ("[::1]", "::1", 0),
        ("[2001:DB8::1]:51347", "2001:db8::1", 51347),
    ],
)
def test_parse_reads_what_people_write(text, addr, port):
    assert Location.parse(text) == Location(addr, port)


@pytest.mark.parametrize("text", ["", ":1", "a:", "a:b", "[::1", "[::1]1", "[::1]:", "[a]:1", "[]", "a:1:2", "a:70000"])
def test_parse_refuses_what_is_no_location(text):
    with pytest.raises(ValueError):
        Location.parse(text)


def test_parse_asks_for_brackets_around_an_ipv6_address():
    with pytest.raises(ValueError, match="brackets"):
        Location.parse("fe80::1:51347")


@settings(deadline=None)
@given(st.one_of(st.ip_addresses().map(str), st.sampled_from(["localhost", "n-1.example"])), st.integers(0, 65535))
def test_parse_reads_what_str_writes(host, port):
    location = Location(host, port)
    assert Location.parse(str(location)) == location


def test_what_a_caller_gives_is_a_location_or_its_text():
    place = Location("127.0.0.1", 7)
    assert Location.of(place, "f") is place
    assert Location.of("[::1]:7", "f") == Location("::1", 7)
    assert Location.of("host", "f") == Location("host", 0)
    for wrong in (5, None, b"host", ("127.0.0.1", 7)):
        with pytest.raises(TypeError, match=r"^f takes a Location, or a host"):
            Location.of(wrong, "f")
    with pytest.raises(ValueError, match="ambiguous"):
        Location.of("1:2:3", "f")
