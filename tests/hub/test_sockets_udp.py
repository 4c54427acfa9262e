import array
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from greencoro import BusyResource, ClosedResource, Coro, DeadlineExceeded
from greencoro.hub.sockets import AsyncSocket
from tests.hub.places import everywhere
from tests.hub.socket_pairs import value_of, waiting
from tests.support.polling import poll_until


def bound(family: int = socket.AF_INET, host: Any = "127.0.0.1") -> AsyncSocket:
    sock = AsyncSocket(socket.socket(family, socket.SOCK_DGRAM))
    sock.bind((host, 0))
    return sock


@pytest.fixture
def pair() -> Iterator[tuple[AsyncSocket, AsyncSocket]]:
    with bound() as first, bound() as second:
        yield first, second


@everywhere
def test_a_datagram_comes_with_the_address_of_its_sender(
    place: Callable[..., Any], pair: tuple[AsyncSocket, AsyncSocket]
) -> None:
    first, second = pair
    answering = Coro(lambda: second.sendto(*second.recvfrom(100)))

    def ask() -> tuple[int, Any]:
        return first.sendto(b"hello", second.getsockname()), first.recvfrom(100)

    assert place(ask) == (5, (b"hello", second.getsockname()))
    assert answering.value(10) == 5


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_datagrams_pass_over_ipv6() -> None:
    try:
        first, second = bound(socket.AF_INET6, "::1"), bound(socket.AF_INET6, "::1")
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with first, second:
        value_of(first.sendto, b"x", second.getsockname()[:2])
        data, address = value_of(second.recvfrom, 10)
        assert data == b"x" and address[:2] == first.getsockname()[:2]


def test_datagrams_pass_between_unix_sockets(tmp_path: Any) -> None:
    with (
        AsyncSocket(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as first,
        AsyncSocket(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as second,
    ):
        first.bind(str(tmp_path / "first"))
        second.bind(str(tmp_path / "second"))
        value_of(first.sendto, b"x", str(tmp_path / "second"))
        assert value_of(second.recvfrom, 10) == (b"x", str(tmp_path / "first"))


def test_a_datagram_is_cut_at_the_size_asked_for_and_the_next_one_is_whole(
    pair: tuple[AsyncSocket, AsyncSocket],
) -> None:
    first, second = pair
    for data in (b"abcdef", b"", b"ghi"):
        value_of(first.sendto, data, second.getsockname())
    assert [value_of(second.recvfrom, 3)[0], value_of(second.recv, 3), value_of(second.recv, 3)] == [
        b"abc",
        b"",
        b"ghi",
    ]


def test_connected_ones_send_and_receive_without_addresses(pair: tuple[AsyncSocket, AsyncSocket]) -> None:
    first, second = pair
    assert value_of(first.connect, second.getsockname()) == 0
    assert value_of(first.send, array.array("H", [1, 2])) == 4
    assert len(value_of(second.recv, 100)) == 4
    address = second.getsockname()
    second.close()

    def send_until_refused() -> None:
        while True:
            first.send(b"x")

    assert address == first.getpeername()
    with pytest.raises(ConnectionRefusedError):
        value_of(send_until_refused)


def test_a_name_is_looked_up(pair: tuple[AsyncSocket, AsyncSocket]) -> None:
    first, second = pair
    address = ("localhost", second.getsockname()[1])
    assert value_of(first.sendto, b"x", address) == 1
    assert first.sendto(b"y", address) == 1
    assert [value_of(second.recv, 10), second.recv(10)] == [b"x", b"y"]


def test_receiving_ends_at_its_limit_by_closing_and_is_for_one(pair: tuple[AsyncSocket, AsyncSocket]) -> None:
    first, second = pair
    first.settimeout(0.02)
    with pytest.raises(DeadlineExceeded, match=r"nothing came within 0\.02 s"):
        value_of(first.recvfrom, 10)
    coro = waiting(second, second.recvfrom, 10)
    coro.set_daemon()
    with pytest.raises(BusyResource):
        value_of(second.recv, 10)
    second.close()
    with pytest.raises(ClosedResource):
        coro.value(10)
    poll_until(lambda: second.fileno() == -1)


def test_threads_send_at_once(pair: tuple[AsyncSocket, AsyncSocket]) -> None:
    first, second = pair
    failed: list[BaseException] = []

    def send() -> None:
        try:
            for _ in range(200):
                first.sendto(b"x", second.getsockname())
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert failed == []


def test_stream_calls_are_refused(pair: tuple[AsyncSocket, AsyncSocket]) -> None:
    first, _ = pair
    calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
        (first.recvall, (1,)),
        (first.sendall, (b"x",)),
        (first.send_msg, (b"x",)),
        (first.recv_msg, ()),
    ]
    for call, arguments in calls:
        with pytest.raises(TypeError, match="needs a stream socket; this one carries datagrams"):
            value_of(call, *arguments)
