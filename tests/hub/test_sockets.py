import array
import logging
import os
import socket
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import pytest

from greencoro import (
    AsyncFile,
    AsyncPipe,
    BusyResource,
    ClosedResource,
    Coro,
    DeadlineExceeded,
    Popen,
    Terminated,
    sleep,
)
from greencoro.errors import RemoteProtocolError
from greencoro.hub.sockets import AsyncSocket
from tests.hub.socket_pairs import (
    Pair,
    listening,
    narrow_pair,
    receive_exactly,
    tcp_pair,
    value_of,
    waiting,
    wrapped_pair,
)
from tests.support.polling import poll_until


@pytest.fixture
def pair() -> Iterator[Pair]:
    with wrapped_pair() as made:
        yield made


@pytest.fixture
def narrow() -> Iterator[Pair]:
    with narrow_pair() as made:
        yield made


@pytest.fixture
def listener() -> Iterator[AsyncSocket]:
    with listening() as made:
        yield made


# Streams.


def test_a_server_and_its_client_talk(listener: AsyncSocket) -> None:
    def serve() -> Any:
        connection, address = listener.accept()
        with connection:
            assert address == connection.getpeername()
            while data := connection.recv(100):
                connection.sendall(data.upper())
            return address

    def ask() -> Any:
        with AsyncSocket(socket.socket()) as sock:
            assert sock.connect(listener.getsockname()) == 0
            sock.sendall(b"hello")
            assert sock.recvall(5) == b"HELLO"
            return sock.getsockname()

    server = Coro(serve)
    assert value_of(ask) == server.value(10)


def test_recv_gives_what_there_is_and_nothing_at_the_end(pair: Pair) -> None:
    ours, theirs = pair
    theirs.sendall(b"abc")
    assert value_of(ours.recv, 2) == b"ab"
    assert value_of(ours.recv, 100) == b"c"
    coro = waiting(ours, ours.recv, 100)
    theirs.shutdown(socket.SHUT_WR)
    assert coro.value(10) == b""
    assert value_of(ours.recv, 100) == b""


def test_recv_of_nothing_gives_nothing_at_once(pair: Pair) -> None:
    assert value_of(lambda: (pair[0].recv(0), pair[0].recvall(0))) == (b"", b"")


def test_recvall_waits_for_all_of_it_and_no_more(pair: Pair) -> None:
    ours, theirs = pair
    theirs.sendall(b"ab")
    coro = waiting(ours, ours.recvall, 5)
    theirs.sendall(b"cdefg")
    assert coro.value(10) == b"abcde"
    assert theirs.send(b"h") and value_of(ours.recvall, 3) == b"fgh"


def test_recvall_of_a_stream_that_ends_first_gives_nothing_and_keeps_what_came(pair: Pair) -> None:
    ours, theirs = pair
    theirs.sendall(b"abc")
    theirs.shutdown(socket.SHUT_WR)
    assert value_of(lambda: (ours.recvall(5), ours.recvall(5), ours.recv(2), ours.recv(2), ours.recv(2))) == (
        b"",
        b"",
        b"ab",
        b"c",
        b"",
    )


def test_large_data_pass_whole_both_ways_at_once(pair: Pair) -> None:
    ours, theirs = pair
    there, back = os.urandom(5_000_000), os.urandom(5_000_000)
    other = AsyncSocket(theirs)
    coroutines = [
        Coro(ours.sendall, there),
        Coro(other.sendall, back),
        Coro(ours.recvall, len(back)),
        Coro(other.recvall, len(there)),
    ]
    results = [coro.value(20) for coro in coroutines]
    assert results[:2] == [None, None]
    assert results[2] == back and results[3] == there
    assert type(results[2]) is bytes


def test_send_says_how_much_was_taken(narrow: Pair) -> None:
    ours, theirs = narrow
    sent = value_of(ours.send, bytes(10_000_000))
    assert 0 < sent < 10_000_000
    assert len(receive_exactly(theirs, sent)) == sent


@pytest.mark.parametrize(
    "data",
    [b"abcd", bytearray(b"abcd"), memoryview(b"abcd"), array.array("H", [0x6261, 0x6463])],
    ids=lambda data: type(data).__name__,
)
def test_any_bytes_can_be_sent(pair: Pair, data: Any) -> None:
    ours, theirs = pair

    def send() -> int:
        ours.sendall(data)
        ours.send_msg(data)
        return ours.send(data)

    assert value_of(send) == 4
    assert receive_exactly(theirs, 16) == b"abcd" + b"\x00\x00\x00\x04abcd" + b"abcd"


def test_sending_to_one_that_is_gone_is_an_error(pair: Pair) -> None:
    ours, theirs = pair
    theirs.close()

    def send() -> None:
        while True:
            ours.sendall(b"x")

    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        value_of(send)


def test_unlisted_attributes_are_those_of_the_wrapped_socket(pair: Pair) -> None:
    ours, _ = pair
    raw = ours._endpoint.raw  # type: ignore[union-attr]
    assert (ours.fileno(), ours.family, ours.getpeername()) == (raw.fileno(), raw.family, raw.getpeername())
    ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    for name in ("no_such_thing", "_no_such_thing"):
        with pytest.raises(AttributeError, match=name):
            getattr(ours, name)


def test_a_unix_socket_whose_listener_has_no_room_is_connected_when_it_has(tmp_path: Any) -> None:
    path = str(tmp_path / "socket")
    with AsyncSocket(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(path)
        listener.listen(0)
        with socket.socket(socket.AF_UNIX) as first, AsyncSocket(socket.socket(socket.AF_UNIX)) as second:
            first.connect(path)
            connecting = Coro(second.connect, path)

            def accept_both() -> None:
                sleep(0.03)
                assert connecting.is_alive()
                for _ in range(2):
                    listener.accept()[0].close()

            value_of(accept_both)
            assert connecting.value(10) == 0
        with socket.socket(socket.AF_UNIX) as first, AsyncSocket(socket.socket(socket.AF_UNIX)) as second:
            first.connect(path)
            second.settimeout(0.03)
            with pytest.raises(DeadlineExceeded):
                value_of(second.connect, path)


# Messages.


def test_messages_come_as_they_were_sent(pair: Pair) -> None:
    ours, theirs = pair
    other = AsyncSocket(theirs)
    messages = [b"one", b"", os.urandom(3_000_000), b"x"]

    def send() -> None:
        for message in messages:
            other.send_msg(message)
        other.shutdown(socket.SHUT_WR)

    def receive() -> list[Any]:
        return [ours.recv_msg(eof=None) for _ in range(6)]

    sender = Coro(send)
    assert value_of(receive) == [*messages, None, None]
    sender.value(10)


def test_the_end_of_the_stream_looks_like_an_empty_message_unless_asked_otherwise(pair: Pair) -> None:
    ours, theirs = pair
    theirs.sendall(bytes(4))
    theirs.shutdown(socket.SHUT_WR)
    assert value_of(lambda: [ours.recv_msg(None), ours.recv_msg(), ours.recv_msg(None)]) == [b"", b"", None]


def test_recv_msg_reads_no_further_than_to_the_end_of_the_message(pair: Pair) -> None:
    ours, theirs = pair
    theirs.sendall(b"\x00\x00\x00\x03abcrest")
    assert value_of(ours.recv_msg) == b"abc"
    raw = ours.unwrap()
    assert raw.recv(10) == b"rest"
    raw.close()


def test_a_message_that_is_too_large_is_neither_sent_nor_received() -> None:
    first, second = tcp_pair()
    with AsyncSocket(first, max_message_bytes=10) as ours, AsyncSocket(second, max_message_bytes=5) as other:
        with pytest.raises(ValueError, match="a message of 11 bytes is too large to be sent: max_message_bytes is 10"):
            value_of(ours.send_msg, bytes(11))
        value_of(ours.send_msg, bytes(5))
        value_of(ours.send_msg, bytes(6))
        assert value_of(other.recv_msg) == bytes(5)
        for _ in range(2):
            with pytest.raises(RemoteProtocolError, match="a message of 6 bytes: max_message_bytes is 5"):
                value_of(other.recv_msg)


# One reader, one writer.


def test_a_second_reader_is_refused_and_the_first_goes_on(pair: Pair) -> None:
    ours, theirs = pair
    first = waiting(ours, ours.recvall, 4)
    theirs.sendall(b"ab")
    for call in (lambda: ours.recv(1), lambda: ours.recvall(1), ours.recv_msg, lambda: ours.recvfrom(1)):
        with pytest.raises(BusyResource, match="somebody else reads"):
            value_of(call)
        with pytest.raises(BusyResource, match="somebody else reads"):
            call()
    theirs.sendall(b"cd")
    assert first.value(10) == b"abcd"


def test_a_second_writer_is_refused_and_the_first_goes_on(narrow: Pair) -> None:
    ours, theirs = narrow
    data = os.urandom(2_000_000)
    first = waiting(ours, ours.sendall, data)
    for call in (lambda: ours.send(b"x"), lambda: ours.sendall(b"x"), lambda: ours.send_msg(b"x")):
        with pytest.raises(BusyResource, match="somebody else writes"):
            value_of(call)
    assert receive_exactly(theirs, len(data)) == data
    first.value(10)


def test_a_fast_peer_does_not_keep_other_coroutines_from_running(pair: Pair) -> None:
    ours, theirs = pair
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    theirs.sendall(bytes(1000))

    def receive(order: list[str]) -> None:
        Coro(order.append, "other")
        for _ in range(500):
            ours.recvall(1)
        order.append("received")

    order: list[str] = []
    value_of(receive, order)
    assert order == ["other", "received"]

    def send(order: list[str]) -> None:
        Coro(order.append, "other")
        for _ in range(500):
            ours.sendall(b"x")
        order.append("sent")

    value_of(send, order)
    assert order[2:] == ["other", "sent"]


# Wrapped twice.


def test_one_wrapper_reads_in_a_coroutine_and_a_blocking_one_writes_in_a_thread(pair: Pair) -> None:
    ours, theirs = pair
    writer = AsyncSocket(ours._endpoint.raw, blocking=True)  # type: ignore[union-attr]
    coro = waiting(ours, ours.recv_msg)
    writer.send_msg(b"question")
    assert receive_exactly(theirs, 12)[4:] == b"question"
    theirs.sendall(b"\x00\x00\x00\x06answer")
    assert coro.value(10) == b"answer"
    coro = waiting(ours, ours.recv_msg)
    coro.set_daemon()
    writer.close()
    with pytest.raises(ClosedResource):
        coro.value(10)


def test_wrapping_a_wrapper_shares_the_socket_with_a_warning(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = pair
    with caplog.at_level(logging.WARNING):
        again = AsyncSocket(ours)
    assert "wrapped again" in caplog.text
    assert again.fileno() == ours.fileno()
    value_of(again.sendall, b"x")
    assert theirs.recv(1) == b"x"


# Bad arguments.


@pytest.mark.parametrize("sock", [None, 3, "socket", object()])
def test_what_is_no_socket_is_refused(sock: Any) -> None:
    with pytest.raises(TypeError, match=r"AsyncSocket\(\) takes a socket"):
        AsyncSocket(sock)


def test_a_socket_that_is_closed_already_is_refused() -> None:
    raw = socket.socket()
    raw.close()
    with pytest.raises(ValueError, match="open socket"):
        AsyncSocket(raw)


@pytest.mark.parametrize(
    ("limit", "error"), [(0, ValueError), (2**32, ValueError), ("5", TypeError), (True, TypeError)]
)
def test_a_limit_of_messages_that_cannot_be_is_refused(limit: Any, error: type[Exception]) -> None:
    with socket.socket() as raw, pytest.raises(error, match="max_message_bytes"):
        AsyncSocket(raw, max_message_bytes=limit)


@pytest.mark.parametrize("call", ["recv", "recvall", "recvfrom"])
@pytest.mark.parametrize(("size", "error"), [(-1, ValueError), ("1", TypeError), (True, TypeError), (1.0, TypeError)])
def test_a_size_that_is_none_is_refused(pair: Pair, call: str, size: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=rf"{call}\(\) takes a number of bytes"):
        getattr(pair[0], call)(size)


def test_text_is_refused_and_nothing_stays_locked(pair: Pair) -> None:
    ours, theirs = pair
    for call in (ours.send, ours.sendall, ours.send_msg):
        with pytest.raises(TypeError, match="takes bytes: encode the text first"):
            call("text")
    ours.sendall(b"x")
    assert theirs.recv(1) == b"x"


@pytest.mark.parametrize("timeout", ["1", True, float("nan")])
def test_what_is_no_time_is_refused(pair: Pair, timeout: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"settimeout\(\) takes its timeout"):
        pair[0].settimeout(timeout)


def test_datagram_calls_are_refused_on_streams(pair: Pair) -> None:
    with pytest.raises(TypeError, match="datagram socket"):
        pair[0].sendto(b"x", ("127.0.0.1", 1))


def test_connecting_tells_what_went_wrong(listener: AsyncSocket) -> None:
    address = listener.getsockname()
    listener.close()
    with AsyncSocket(socket.socket()) as sock:
        with pytest.raises(ConnectionRefusedError):
            value_of(sock.connect, address)
        with pytest.raises(TypeError):
            value_of(sock.connect, "nowhere")
        with pytest.raises(socket.gaierror):
            value_of(sock.connect, ("no such name", 1))


def test_a_terminated_coroutine_that_connects_leaves_the_descriptor_as_it_was(listener: AsyncSocket) -> None:
    listener.listen(0)
    address = listener.getsockname()
    with socket.create_connection(address), AsyncSocket(socket.socket()) as sock:
        ended: list[bool] = []

        def connect() -> None:
            try:
                sock.connect(address)
            except Terminated:
                ended.append(os.get_blocking(sock.fileno()))
                raise

        coro = waiting(sock, connect)
        coro.terminate()
        poll_until(lambda: not coro.is_alive())
        assert ended == [True]


def test_create_connection_tries_each_address_of_a_name(listener: AsyncSocket, monkeypatch: pytest.MonkeyPatch) -> None:
    from greencoro.hub import socket_io

    address = listener.getsockname()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        refusing = unused.getsockname()
    asked: list[Any] = []

    def lookup(host: str, port: int, family: int, kind: int) -> list[Any]:
        asked.append((host, port))
        return [(family, kind, 6, "", refusing), (family, kind, 6, "", address)]

    monkeypatch.setattr(socket_io, "_getaddrinfo", lookup)

    def connect(sock: AsyncSocket) -> int:
        return sock.create_connection(("a name", 80), timeout=5, source_address=("127.0.0.2", 0))

    # It blocks the thread, so it is that function that looks the name up, also where a hub turns.
    with AsyncSocket(socket.socket(), blocking=True) as sock:
        assert value_of(connect, sock) == 0
        assert sock.getpeername() == address and sock.getsockname()[0] == "127.0.0.2"
        assert sock.gettimeout() == 5
    with AsyncSocket(socket.socket(), blocking=True) as sock, pytest.raises(ConnectionRefusedError):
        sock.connect(("a name", 80))
    assert asked == [("a name", 80)] * 2


def test_a_name_is_looked_up_while_others_run(listener: AsyncSocket) -> None:
    with AsyncSocket(socket.socket()) as sock:
        assert value_of(sock.connect, ("localhost", listener.getsockname()[1])) == 0


@pytest.mark.parametrize("kind", [AsyncFile, AsyncPipe, AsyncSocket, Popen])
def test_all_that_a_class_offers_is_described(kind: type) -> None:
    ours = [base for base in kind.__mro__ if base.__module__.startswith("greencoro.")]
    offered = {name: member for base in ours for name, member in vars(base).items() if not name.startswith("_")}
    assert "close" in offered or kind is Popen
    for name, member in offered.items():
        if isinstance(member, property | classmethod | FunctionType):
            assert member.__doc__, f"{kind.__name__}.{name}"
