import socket
from collections.abc import Iterator
from typing import Any

import pytest

from greencoro import Coro, DeadlineExceeded, WouldBlock
from greencoro.hub import endpoint as endpoints
from greencoro.hub import socket_io
from greencoro.hub.endpoint import Endpoint
from greencoro.hub.socket_io import Limit

Pair = tuple[Endpoint, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield endpoints.of(ours), theirs


def test_a_limit_counts_down_and_none_does_not() -> None:
    assert Limit(False, None).left() is None
    left = Limit(False, 100).left()
    assert left is not None and 0 < left <= 100
    over = Limit(False, 0).left()
    assert over is not None and over <= 0


@pytest.mark.parametrize(("timeout", "error"), [(0, WouldBlock), (1e-9, DeadlineExceeded)])
def test_between_two_tries_nobody_waits_longer_than_his_limit(timeout: float, error: type[Exception]) -> None:
    limit = Limit(False, timeout)
    with pytest.raises(error, match="there was no room"):
        while True:
            limit.pause(0.001)
    Limit(False, None).pause(0.001)


def test_no_hub_turns_for_one_who_blocks() -> None:
    assert Coro(lambda: Limit(False, None).hub()).value(10) is not None
    assert Coro(lambda: Limit(True, None).hub()).value(10) is None


@pytest.mark.parametrize(
    "address",
    [("127.0.0.1", 80), ("", 80), ("127.0.0.1%lo", 80), ("<broadcast>", 80), "path", b"\0abstract", ("one",), 5, None],
)
def test_what_has_no_name_is_not_looked_up(address: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_io, "_getaddrinfo", None)
    with socket.socket() as raw:
        assert socket_io.resolve(endpoints.of(raw), address, Limit(True, None)) == [address]


def test_asking_for_much_sets_no_memory_aside(pair: Pair) -> None:
    ours, theirs = pair
    theirs.sendall(b"little")
    assert socket_io.receive(ours, 1 << 60, Limit(True, 10)) == b"little"


def test_what_must_go_out_first_does(pair: Pair) -> None:
    ours, theirs = pair
    ours.unsent += b"rest of a message, "
    with memoryview(b"the next") as data:
        assert socket_io.transmit(ours, data, Limit(True, 10), whole=True) == 8
    assert not ours.unsent
    assert theirs.recv(100, socket.MSG_WAITALL | socket.MSG_DONTWAIT) == b"rest of a message, the next"


def test_of_what_was_begun_the_rest_is_kept_only_where_it_is_to_be_finished(pair: Pair) -> None:
    ours, theirs = pair
    with memoryview(bytes(4_000_000)) as data:
        with pytest.raises(WouldBlock) as raised:
            socket_io.transmit(ours, data, Limit(True, 0), whole=True, finish=True)
        sent = raised.value.sent  # type: ignore[attr-defined]
        assert 0 < sent < len(data) and len(ours.unsent) == len(data) - sent
        ours.unsent.clear()
        theirs.recv(1 << 20)
        with pytest.raises(WouldBlock):
            socket_io.transmit(ours, data, Limit(True, 0), whole=True)
        assert not ours.unsent
