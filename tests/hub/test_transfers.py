"""What AsyncSocket's calls check and share before any byte moves."""

from collections.abc import Iterator

import pytest

from greencoro.errors import RemoteProtocolError
from greencoro.hub.sockets import AsyncSocket

from .socket_pairs import Pair, value_of, waiting, wrapped_pair


@pytest.fixture
def pair() -> Iterator[Pair]:
    with wrapped_pair() as made:
        yield made


def test_of_a_stream_recvfrom_gives_no_address(pair: Pair) -> None:
    ours, theirs = pair
    theirs.sendall(b"abc")
    assert value_of(ours.recvfrom, 2) == (b"ab", None)


def test_bytes_that_were_kept_are_given_without_asking_for_more(pair: Pair) -> None:
    ours, theirs = pair
    assert ours._endpoint is not None
    ours._endpoint.unread.feed(b"kept")
    ours.setblocking(False)
    assert (ours.recv(3), ours.recv(3)) == (b"kep", b"t")
    ours._endpoint.unread.feed(b"\x00\x00\x00\x02mo")
    assert ours.recv_msg() == b"mo"
    ours._endpoint.unread.feed(b"xy")
    theirs.sendall(b"z!")
    assert (ours.recvall(3), ours.recv(3)) == (b"xyz", b"!")


def test_each_wrapper_has_its_own_largest_message(pair: Pair) -> None:
    ours, theirs = pair
    assert ours._endpoint is not None
    strict = AsyncSocket(ours._endpoint.raw, max_message_bytes=3)
    theirs.sendall(b"\x00\x00\x00\x04four")
    with pytest.raises(RemoteProtocolError, match="max_message_bytes is 3"):
        value_of(strict.recv_msg)
    assert value_of(ours.recv_msg) == b"four"
    with pytest.raises(ValueError, match="max_message_bytes is 3"):
        value_of(strict.send_msg, b"four")


def test_a_wrong_argument_is_told_before_that_somebody_else_is_at_it(pair: Pair) -> None:
    ours, theirs = pair
    coro = waiting(ours, ours.recv, 1)
    for call in (ours.recv, ours.recvall, ours.recvfrom):
        with pytest.raises(ValueError, match=r"takes a number of bytes of at least 0, not -1"):
            call(-1)
    theirs.sendall(b"x")
    assert coro.value(10) == b"x"


def test_an_empty_message_may_have_the_smallest_limit(pair: Pair) -> None:
    ours, theirs = pair
    assert ours._endpoint is not None
    strict = AsyncSocket(ours._endpoint.raw, max_message_bytes=1)
    value_of(strict.send_msg, b"")
    assert theirs.recv(100) == bytes(4)
