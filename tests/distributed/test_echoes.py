"""Questions by UDP, over real sockets: who gets an answer, and that nobody else gets one."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from greencoro.distributed.datagrams import Echo
from greencoro.distributed.location import Location
from tests.support.ports import free_port


@pytest.fixture
def asker() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock


def heard(sock: socket.socket, seconds: float) -> list[bytes]:
    """What comes within so long, or at once where something comes."""
    sock.settimeout(seconds)
    with suppress(TimeoutError):
        return [sock.recv(1000)]
    return []


def test_S8_a_question_is_answered_where_it_came_from_if_it_says_so_and_is_signed(tcp_world, asker):
    port = free_port()
    runtime = tcp_world.runtime(discover_peers=True, udp_port=port)
    key = runtime.secret.discovery_key()
    there = ("127.0.0.1", port)
    echo = Echo(b"n" * 16, Location(*asker.getsockname()))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        # Recorded and sent again by somebody else; signed with another key; the answer itself.
        for datagram in (echo.question(key), echo.question(b"e" * 32), echo.answer(key)):
            other.sendto(datagram, there)
        # What came first was looked at first, so an answer to one of those would be here by now.
        answers: list[bytes] = []
        while not answers:
            asker.sendto(echo.question(key), there)
            answers = heard(asker, 0.5)
        assert answers == [echo.answer(key)]
        assert heard(other, 0.0001) == []
    assert heard(asker, 0.0001) == []
