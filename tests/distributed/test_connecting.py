"""Reaching a host that has several addresses."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from greencoro.distributed import connecting
from greencoro.distributed import reactor as reactors
from greencoro.distributed.connecting import Attempt
from greencoro.distributed.location import Location
from greencoro.distributed.reactor import Reactor
from greencoro.hub.completion import Completion

V4, V6 = socket.AF_INET, socket.AF_INET6
#: A family that no machine has.
LACKED = 250


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    yield reactors.acquire()
    reactors.release()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture
def black_hole(listener: socket.socket) -> Iterator[str]:
    """An address at which the listener's port is one that does not answer: of somebody whose queue is full."""
    address, port = "127.0.0.3", listener.getsockname()[1]
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind((address, port))
        full.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex((address, port))
        yield address


def connect(
    reactor: Reactor,
    monkeypatch: pytest.MonkeyPatch,
    port: int,
    *addresses: tuple[int, str],
    timeout: float = 10.0,
) -> tuple[Any, str, OSError | None]:
    """What becomes of an attempt to reach a host with these addresses."""
    found = [(family, socket.SOCK_STREAM, 6, "", (address, port)) for family, address in addresses]
    monkeypatch.setattr(connecting, "_getaddrinfo", lambda *_: found)
    done = Completion()
    attempt = Attempt(reactor, Location("a.name.example", port), timeout, lambda *ended: done.set(ended))
    reactor.post(attempt.start)
    ended: tuple[Any, str, OSError | None] = done.result(30)
    assert not attempt._connecting and attempt._next_turn is None
    return ended


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


@pytest.mark.parametrize("first", [(V4, "127.0.0.2"), (LACKED, "x"), (V6, "::1"), (V6, "fe80::1%no-such-interface")])
def test_one_that_fails_at_once_does_not_keep_the_next_from_being_tried(
    reactor: Reactor, monkeypatch: pytest.MonkeyPatch, listener: socket.socket, first: tuple[int, str]
) -> None:
    port = listener.getsockname()[1]
    sock, address, error = connect(reactor, monkeypatch, port, first, (V4, "127.0.0.1"))
    assert (address, error) == ("127.0.0.1", None)
    sock.close()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_that_swallows_everything_does_not_keep_the_others_from_being_tried(
    reactor: Reactor, monkeypatch: pytest.MonkeyPatch, listener: socket.socket, black_hole: str, place: int
) -> None:
    addresses = [(V4, "127.0.0.2"), (V4, "127.0.0.1")]
    addresses.insert(place, (V4, black_hole))
    sock, address, error = connect(reactor, monkeypatch, listener.getsockname()[1], *addresses)
    assert (address, error) == ("127.0.0.1", None)
    sock.close()


def test_where_some_refuse_and_one_does_not_answer_it_is_over_in_time(
    reactor: Reactor, monkeypatch: pytest.MonkeyPatch, listener: socket.socket, black_hole: str
) -> None:
    addresses = [(V4, "127.0.0.2"), (V4, black_hole), (V4, "127.0.0.4")]
    sock, _, error = connect(reactor, monkeypatch, listener.getsockname()[1], *addresses, timeout=0.5)
    assert sock is None and error is not None and "no answer within 0.5 s" in str(error)


def test_where_all_fail_the_last_ones_error_is_told(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    sock, _, error = connect(reactor, monkeypatch, closed_port(), (LACKED, "x"), (V4, "127.0.0.1"))
    assert sock is None and error is not None and error.errno == errno.ECONNREFUSED


def test_a_host_without_addresses_is_an_error(reactor: Reactor, monkeypatch: pytest.MonkeyPatch) -> None:
    sock, _, error = connect(reactor, monkeypatch, 9)
    assert sock is None and error is not None and error.errno == errno.EHOSTUNREACH
