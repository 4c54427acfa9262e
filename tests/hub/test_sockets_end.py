"""Operations that end otherwise than by what they wait for: in time, by termination, by closing."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from greencoro import BusyResource, ClosedResource, Coro, DeadlineExceeded, RemoteProtocolError, WouldBlock
from greencoro.hub.sockets import AsyncSocket
from tests.hub.socket_pairs import Pair, listening, narrow_pair, receive_exactly, value_of, waiting, wrapped_pair
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


def test_the_timeout_is_that_of_the_wrapped_socket_until_it_is_set() -> None:
    with socket.socket() as raw:
        assert AsyncSocket(raw).gettimeout() is None
        raw.settimeout(3)
        assert AsyncSocket(raw).gettimeout() == 3
        raw.setblocking(False)
        wrapped = AsyncSocket(raw)
        assert wrapped.gettimeout() is None
        wrapped.settimeout(2.5)
        assert wrapped.gettimeout() == 2.5
        assert raw.gettimeout() == 0


@pytest.mark.parametrize("call", ["recv", "recvall", "recvfrom", "recv_msg"])
def test_receiving_ends_at_its_limit(pair: Pair, call: str) -> None:
    ours, theirs = pair
    ours.settimeout(0.05)
    began = time.monotonic()
    with pytest.raises(socket.timeout, match=r"nothing came within 0.05 s"):
        value_of(getattr(ours, call), *(() if call == "recv_msg" else (5,)))
    assert 0.045 < time.monotonic() - began < 5
    theirs.sendall(b"\x00\x00\x00\x01x")
    assert value_of(ours.recv_msg) == b"x"


def test_the_limit_is_for_the_operation_and_not_for_each_piece(pair: Pair) -> None:
    ours, theirs = pair
    ours.settimeout(0.2)
    coro = Coro(ours.recvall, 1_000_000)
    coro.set_daemon()
    while coro.is_alive():
        theirs.send(b"x")
        time.sleep(0.01)
    with pytest.raises(DeadlineExceeded):
        coro.value()


def test_what_recvall_had_received_when_its_time_was_over_is_not_lost(pair: Pair) -> None:
    ours, theirs = pair
    ours.settimeout(0.03)
    theirs.sendall(b"abc")
    with pytest.raises(DeadlineExceeded):
        value_of(ours.recvall, 5)
    theirs.sendall(b"defg")
    assert value_of(lambda: (ours.recvall(5), ours.recv(5))) == (b"abcde", b"fg")


@pytest.mark.parametrize("cut", [1, 4, 6])
def test_a_message_of_which_a_part_came_in_time_is_received_whole_later(pair: Pair, cut: int) -> None:
    ours, theirs = pair
    message = b"\x00\x00\x00\x04abcd"
    ours.settimeout(0.03)
    theirs.sendall(message[:cut])
    for _ in range(2):
        with pytest.raises(DeadlineExceeded):
            value_of(ours.recv_msg)
    theirs.sendall(message[cut:])
    assert value_of(ours.recv_msg) == b"abcd"


def test_what_a_terminated_coroutine_had_received_is_not_lost(pair: Pair) -> None:
    ours, theirs = pair
    theirs.sendall(b"abc")
    coro = waiting(ours, ours.recvall, 5)
    coro.terminate()
    poll_until(lambda: not coro.is_alive())
    theirs.sendall(b"de")
    assert value_of(ours.recvall, 5) == b"abcde"


def test_sendall_that_is_too_slow_says_how_much_was_sent(narrow: Pair) -> None:
    ours, theirs = narrow
    data = os.urandom(2_000_000)
    ours.settimeout(0.03)
    with pytest.raises(socket.timeout, match=r"the other side took nothing more within 0.03 s") as raised:
        value_of(ours.sendall, data)
    sent = raised.value.sent  # type: ignore[attr-defined]
    assert 0 < sent < len(data)
    ours.settimeout(10)
    coro = Coro(ours.sendall, data[sent:])
    assert receive_exactly(theirs, len(data)) == data
    coro.value(10)
    with pytest.raises(socket.timeout) as raised:
        ours.settimeout(0.03)
        while True:
            value_of(ours.send, bytes(100_000))
    assert raised.value.sent == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("given_up", ["timeout", "terminated"])
def test_a_message_of_which_a_part_was_sent_goes_out_before_the_next_one(narrow: Pair, given_up: str) -> None:
    ours, theirs = narrow
    first, second = os.urandom(2_000_000), b"second"
    if given_up == "timeout":
        ours.settimeout(0.03)
        with pytest.raises(socket.timeout):
            value_of(ours.send_msg, first)
        ours.settimeout(None)
    else:
        coro = waiting(ours, ours.send_msg, first)
        coro.terminate()
        poll_until(lambda: not coro.is_alive())
    with AsyncSocket(theirs) as other:
        receiver = Coro(lambda: (other.recv_msg(), other.recv_msg()))
        value_of(ours.send_msg, second)
        assert receiver.value(10) == (first, second)


def test_with_no_time_a_call_does_not_wait(narrow: Pair) -> None:
    ours, theirs = narrow
    ours.settimeout(0)

    def fill() -> None:
        while True:
            ours.send(bytes(100_000))

    for call in (lambda: ours.recv(5), fill):
        with pytest.raises(WouldBlock, match="timeout of 0"):
            value_of(call)
        with pytest.raises(BlockingIOError):
            call()
    theirs.sendall(b"abc")
    assert value_of(ours.recv, 5) == b"abc"


def test_accepting_and_connecting_end_at_their_limit_and_can_go_on(listener: AsyncSocket) -> None:
    listener.settimeout(0.03)
    with pytest.raises(DeadlineExceeded):
        value_of(listener.accept)
    listener.listen(0)
    address = listener.getsockname()
    # The queue of those who wait to be accepted takes one more than it was told; what comes then gets no answer.
    with socket.create_connection(address), AsyncSocket(socket.socket()) as sock:
        sock.settimeout(0.05)
        with pytest.raises(DeadlineExceeded):
            value_of(sock.connect, address)
        assert os.get_blocking(sock.fileno())
        listener.settimeout(10)
        value_of(lambda: listener.accept()[0].close())
        # The system asks again after a second.
        sock.settimeout(10)
        assert value_of(sock.connect, address) == 0


# The end.


@pytest.mark.parametrize("closer", ["coroutine", "thread"])
@pytest.mark.parametrize("call", ["recv", "recvall", "recv_msg", "sendall", "accept"])
def test_closing_wakes_whoever_waits(narrow: Pair, listener: AsyncSocket, call: str, closer: str) -> None:
    sock = listener if call == "accept" else narrow[0]
    argument: tuple[Any, ...] = {"sendall": (bytes(5_000_000),), "accept": (), "recv_msg": ()}.get(call, (10,))
    coro = waiting(sock, getattr(sock, call), *argument)
    coro.set_daemon()
    if closer == "thread":
        sock.close()
    else:
        value_of(sock.close)
    with pytest.raises(ClosedResource, match=r"^AsyncSocket of descriptor \d+ was closed here$"):
        coro.value(10)
    poll_until(lambda: sock.fileno() == -1, what="the descriptor is closed")


def test_a_descriptor_is_not_closed_while_it_is_in_use(pair: Pair) -> None:
    ours, _ = pair
    fd = ours.fileno()
    endpoint = ours._endpoint
    assert endpoint is not None
    endpoint.start_reading("the test")
    endpoint.start_writing("the test")
    ours.close()
    os.fstat(fd)
    endpoint.stop_reading()
    os.fstat(fd)
    endpoint.stop_writing()
    with pytest.raises(OSError):
        os.fstat(fd)


@pytest.mark.usefixtures("frequent_switches")
def test_it_is_closed_while_threads_are_about_to_use_it() -> None:
    for _ in range(100):
        ours, theirs = socket.socketpair()
        wrapped = AsyncSocket(ours)
        ended: list[type] = []

        def use(call: Callable[[], Any], ended: list[type] = ended) -> None:
            try:
                while True:
                    call()
            except (ClosedResource, BrokenPipeError, ConnectionResetError) as error:
                ended.append(type(error))

        calls = (lambda wrapped=wrapped: wrapped.send(b"x"), lambda wrapped=wrapped: wrapped.recv(1))
        threads = [threading.Thread(target=use, args=(call,)) for call in calls]
        for thread in threads:
            thread.start()
        wrapped.close()
        for thread in threads:
            thread.join(10)
        assert ended == [ClosedResource] * 2
        assert ours.fileno() == -1
        theirs.close()


def test_a_closed_socket_refuses_every_call_in_one_way(pair: Pair) -> None:
    ours, _ = pair
    ours.close()
    ours.close()
    calls: list[Callable[[], Any]] = [
        lambda: ours.recv(1),
        lambda: ours.recvall(1),
        lambda: ours.recvfrom(1),
        ours.recv_msg,
        lambda: ours.send(b"x"),
        lambda: ours.sendall(b"x"),
        lambda: ours.send_msg(b"x"),
        lambda: ours.connect(("127.0.0.1", 1)),
        ours.accept,
        ours.unwrap,
        lambda: ours.settimeout(1),
        lambda: ours.setblocking(False),
    ]
    for call in calls:
        with pytest.raises(ClosedResource, match=r"^AsyncSocket of descriptor \d+ was closed here$"):
            value_of(call)
        with pytest.raises(ClosedResource):
            call()


def test_leaving_the_with_block_closes_it() -> None:
    raw = socket.socket()
    with AsyncSocket(raw) as sock:
        assert sock.fileno() == raw.fileno() >= 0
    assert raw.fileno() == -1


def test_the_wrapped_socket_is_given_back_as_it_was(pair: Pair) -> None:
    ours, theirs = pair
    raw = ours.unwrap()
    with raw:
        assert raw.gettimeout() is None and os.get_blocking(raw.fileno())
        theirs.sendall(b"x")
        assert raw.recv(1) == b"x"
        for call in (lambda: ours.recv(1), ours.unwrap, lambda: ours.fileno()):
            with pytest.raises(ClosedResource, match="given its socket back"):
                call()
        ours.close()
        assert raw.fileno() >= 0


def test_a_socket_that_accepted_is_given_back_as_it_was(listener: AsyncSocket) -> None:
    listener.settimeout(0.01)
    with pytest.raises(DeadlineExceeded):
        value_of(listener.accept)
    with listener.unwrap() as raw:
        assert raw.gettimeout() is None and os.get_blocking(raw.fileno())


def test_detach_gives_the_descriptor(pair: Pair) -> None:
    fd = pair[0].fileno()
    assert pair[0].detach() == fd
    os.close(fd)


def test_it_is_not_given_back_while_something_would_be_lost(pair: Pair) -> None:
    ours, theirs = pair
    theirs.sendall(b"a")
    coro = waiting(ours, ours.recvall, 2)
    with pytest.raises(BusyResource, match="in use"):
        ours.unwrap()
    coro.terminate()
    poll_until(lambda: not coro.is_alive())
    with pytest.raises(RuntimeError, match="1 bytes that came would be lost"):
        ours.unwrap()
    assert value_of(ours.recv, 5) == b"a"
    ours.unwrap().close()


def test_a_wrapper_that_is_dropped_leaves_the_socket_open() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wrapped = AsyncSocket(ours)
        theirs.sendall(b"ab")
        assert value_of(wrapped.recv, 1) == b"a"
        del wrapped
        assert ours.recv(1) == b"b"


@pytest.mark.parametrize("call", ["send", "sendall", "send_msg"])
def test_text_is_refused_with_a_way_out(pair: Pair, call: str) -> None:
    with pytest.raises(TypeError, match=rf"{call}\(\) takes bytes: encode the text"):
        getattr(pair[0], call)("text")


# Without waiting.


def test_a_socket_set_to_not_block_says_at_once_that_it_would_have_to_wait(narrow: Pair) -> None:
    ours, theirs = narrow
    assert ours.getblocking()
    ours.setblocking(False)
    assert not ours.getblocking() and ours.gettimeout() == 0
    for call in (lambda: ours.recv(5), lambda: ours.recvall(5), ours.recv_msg, lambda: ours.recvfrom(5)):
        with pytest.raises(BlockingIOError):
            value_of(call)
        with pytest.raises(BlockingIOError):
            call()
    theirs.sendall(b"abc")
    assert value_of(ours.recv, 5) == b"abc"
    ours.setblocking(True)
    assert ours.getblocking() and ours.gettimeout() is None
    coro = waiting(ours, ours.recv, 5)
    theirs.sendall(b"def")
    assert coro.value(10) == b"def"


def test_a_listener_set_to_not_block_accepts_only_who_is_there(listener: AsyncSocket) -> None:
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        value_of(listener.accept)
    with socket.create_connection(listener.getsockname()) as client:
        listener.settimeout(10)
        connection, address = value_of(listener.accept)
        with connection:
            assert address == client.getsockname() and connection.getblocking()


def test_sendall_that_may_not_wait_says_how_much_was_sent(narrow: Pair) -> None:
    ours, theirs = narrow
    data = os.urandom(2_000_000)
    ours.setblocking(False)
    with pytest.raises(BlockingIOError) as raised:
        value_of(ours.sendall, data)
    sent = raised.value.sent  # type: ignore[attr-defined]
    assert 0 < sent < len(data)
    ours.setblocking(True)
    coro = Coro(ours.sendall, data[sent:])
    assert receive_exactly(theirs, len(data)) == data
    coro.value(10)


@pytest.mark.parametrize("timeout", [-1, -0.001, float("-inf")])
def test_a_timeout_below_nothing_is_refused_and_changes_nothing(pair: Pair, timeout: float) -> None:
    ours, _ = pair
    ours.settimeout(3)
    with pytest.raises(ValueError, match=r"settimeout\(\) takes a timeout of at least 0 seconds"):
        ours.settimeout(timeout)
    with pytest.raises(ValueError, match=r"create_connection\(\) takes a timeout of at least 0 seconds"):
        ours.create_connection(("127.0.0.1", 1), timeout=timeout)
    assert ours.gettimeout() == 3


@pytest.mark.parametrize("flag", [None, "no", 0.0])
def test_a_flag_that_is_none_is_refused(pair: Pair, flag: Any) -> None:
    with pytest.raises(TypeError, match=r"setblocking\(\) takes True or False"):
        pair[0].setblocking(flag)


# The end of the stream.


@pytest.mark.parametrize(
    ("came", "sentence"),
    [
        (b"\x00", "only 1 of the 4 bytes of its length came"),
        (b"\x00\x00\x00", "only 3 of the 4 bytes of its length came"),
        (b"\x00\x00\x00\x03", "only 0 of its 3 bytes came"),
        (b"\x00\x00\x00\x03ab", "only 2 of its 3 bytes came"),
    ],
    ids=["length cut", "length cut late", "only a length", "message cut"],
)
def test_a_stream_that_ends_in_the_middle_of_a_message_is_broken(pair: Pair, came: bytes, sentence: str) -> None:
    ours, theirs = pair
    theirs.sendall(b"\x00\x00\x00\x01x" + came)
    theirs.shutdown(socket.SHUT_WR)
    assert value_of(ours.recv_msg, None) == b"x"
    for arguments in ((), (None,)):
        with pytest.raises(RemoteProtocolError, match=f"ended in the middle of a message: {sentence}"):
            value_of(ours.recv_msg, *arguments)
    assert value_of(lambda: (ours.recv(100), ours.recv_msg(None))) == (came, None)
