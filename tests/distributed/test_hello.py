"""What a runtime tells about itself: what is read, what is refused, and which versions go together."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greencoro.distributed.hello import Hello, check_python, minor_version
from greencoro.distributed.location import Location
from greencoro.distributed.presence import ROLES, Presence
from greencoro.errors import IncompatibleVersion, RemoteProtocolError

ALICE = Hello(b"A" * 16, Location("10.0.0.7", 51347), "alice", "3.11.9", "1.0", 7, 9_000, 8_000)
BOB = replace(ALICE, incarnation=b"B" * 16, location=Location("2001:db8::1", 2), name="bob \u00fc", udp_port=5)

HELLOS = st.builds(
    Hello,
    incarnation=st.binary(min_size=16, max_size=16),
    location=st.builds(Location, st.sampled_from(["::1", "host", "10.0.0.7", "h" * 255]), st.integers(0, 65535)),
    name=st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=60),
    python_version=st.sampled_from(["", "3.11.9"]),
    package_version=st.sampled_from(["", "1.0"]),
    max_queue_messages=st.integers(1, 2**32 - 1),
    max_queue_bytes=st.integers(1024, 2**64 - 1),
    max_message_bytes=st.integers(1024, 2**64 - 1),
    presence=st.builds(Presence, st.sampled_from(ROLES), st.booleans()),
    udp_port=st.integers(0, 2**16 - 1),
    certificate_hash=st.sampled_from([b"", bytes(32)]),
)


@settings(deadline=None)
@given(HELLOS)
def test_a_hello_decodes_to_what_was_encoded(hello):
    assert Hello.decode(hello.encode()) == hello


@pytest.mark.parametrize("hello", [ALICE, BOB])
def test_a_hello_cut_anywhere_or_with_more_behind_it_is_refused(hello):
    data = hello.encode()
    for size in range(len(data)):
        with pytest.raises(RemoteProtocolError):
            Hello.decode(data[:size])
    with pytest.raises(RemoteProtocolError, match="add up"):
        Hello.decode(data + b"x")


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_garbage_is_refused_or_is_a_hello(data):
    try:
        hello = Hello.decode(data)
    except RemoteProtocolError:
        return
    assert Hello.decode(hello.encode()) == hello


@pytest.mark.parametrize(
    "change",
    [
        {"incarnation": b"short"},
        {"name": "line\nbreak"},
        {"name": "\x1b[31m"},
        {"name": "\u00fc" * 128},
        {"python_version": "3\0"},
        {"package_version": "v" * 256},
        {"max_queue_messages": 0},
        {"max_queue_messages": 2**32},
        {"max_queue_bytes": 1023},
        {"max_message_bytes": 2**64},
        {"udp_port": -1},
        {"udp_port": 1 << 16},
        {"certificate_hash": b"short"},
    ],
)
def test_a_hello_that_could_not_be_sent_is_refused_when_made(change):
    with pytest.raises(ValueError):
        replace(ALICE, **change)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b"\0\0\x03\x12", b"\0\x04\x03\x12"),
        (b"alice", b"ali\n\x1b"),
        (b"alice", b"ali\xff\xfe"),
        (b"10.0.0.7", b"10.0 0.7"),
        (b"10.0.0.7", b"10:0:0:7"),
    ],
)
def test_a_hello_with_fields_that_no_honest_side_sends_is_refused(good, bad):
    with pytest.raises(RemoteProtocolError, match="introduced itself wrongly"):
        Hello.decode(replace(ALICE, udp_port=0x312).encode().replace(good, bad))


@pytest.mark.parametrize(
    ("version", "minor"),
    [("3.11.7", "3.11"), ("3.13.0rc1", "3.13"), ("3.12", "3.12"), ("3", "3"), ("", ""), ("3.11.7.8", "3.11")],
)
def test_the_first_two_numbers_are_the_minor_version(version, minor):
    assert minor_version(version) == minor


@pytest.mark.parametrize("theirs", ["3.11.0", "3.11.13+", "3.11"])
def test_other_patch_levels_of_python_go_together(theirs):
    check_python(ALICE, replace(BOB, python_version=theirs))


@pytest.mark.parametrize("theirs", ["3.12.9", "3.1.1", "2.11.9", "", "3", "nonsense"])
def test_another_minor_version_of_python_is_refused_with_both_versions(theirs):
    with pytest.raises(IncompatibleVersion) as caught:
        check_python(ALICE, replace(BOB, python_version=theirs))
    assert str(caught.value) == (
        f"the other side ([2001:db8::1]:2) runs Python {minor_version(theirs)}, this side 3.11: "
        "use the same minor version of Python on both"
    )
