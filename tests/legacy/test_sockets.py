"""AsyncSocket as old programs use it (legacy-api, section 4)."""

import errno
import socket
import ssl
import threading

import pytest

from greencoro import BusyResource, Coro
from greencoro.hub.files import AsyncFile
from greencoro.hub.sockets import AsyncSocket as NativeAsyncSocket
from greencoro.legacy import asyncoro
from greencoro.legacy.sockets import AsynCoroSocket, AsyncSocket
from tests.hub.certificates import make_files
from tests.hub.socket_pairs import tcp_pair, waiting
from tests.support.polling import poll_until


def value_of(function, *args):
    """What a generator function gives as a coroutine."""
    return Coro(function, *args).value(20)


def calling(call, *args):
    """What ``yield call(*args)`` evaluates to in a coroutine."""

    def coroutine():
        raise StopIteration((yield call(*args)))

    return value_of(coroutine)


@pytest.fixture
def pair():
    """Our end, wrapped, and the other one, plain and blocking with a limit."""
    ours, theirs = tcp_pair()
    theirs.settimeout(10)
    with AsyncSocket(ours) as wrapped, theirs:
        yield wrapped, theirs


@pytest.fixture
def narrow():
    """The same, but our end can send no more than a little before the other one reads."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    with AsyncSocket(ours) as wrapped, theirs:
        yield wrapped, theirs


@pytest.fixture
def listener():
    with AsyncSocket(socket.socket()) as wrapped:
        wrapped.bind(("127.0.0.1", 0))
        wrapped.listen(5)
        yield wrapped


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("tls"), "legacy")


def test_the_class_has_both_of_its_names_and_is_a_socket_of_greencoro():
    assert asyncoro.AsyncSocket is asyncoro.AsynCoroSocket is AsynCoroSocket is AsyncSocket
    assert issubclass(AsyncSocket, NativeAsyncSocket)


# The methods.

RECEIVING = [
    # call, its arguments, what the other side sends before it closes, result
    ("recv", (100,), b"abc", b"abc"),
    ("recv", (2,), b"abc", b"ab"),
    ("recv", (100,), b"", b""),
    ("recvall", (3,), b"abcd", bytearray(b"abc")),
    ("recvall", (5,), b"abcd", b""),
    ("recvall", (0,), b"", b""),
    ("recv_msg", (), b"\0\0\0\3abcd", b"abc"),
    ("recv_msg", (), b"\0\0\0\0", b""),
    ("recv_msg", (), b"", b""),
    ("recv_msg", (), b"\0\0", b""),
    ("recv_msg", (), b"\0\0\0\5abcd", b""),
    ("recv_msg", (), b"\xff\xff\xff\xffabcd", b""),
]


@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize(("method", "arguments", "sent", "result"), RECEIVING)
def test_what_a_receiving_call_gives_for_what_was_sent(pair, method, arguments, sent, result, blocking):
    sock, theirs = pair
    sock.setblocking(blocking)
    theirs.sendall(sent)
    theirs.shutdown(socket.SHUT_WR)
    call = getattr(sock, method)
    received = call(*arguments) if blocking else calling(call, *arguments)
    assert received == result


def test_recvall_gives_a_bytearray_and_recv_and_recv_msg_give_bytes(pair):
    sock, theirs = pair
    theirs.sendall(b"ab\0\0\0\1c")
    assert type(calling(sock.recv, 1)) is bytes
    assert type(calling(sock.recvall, 1)) is bytearray
    assert type(calling(sock.recv_msg)) is bytes


SENDING = [
    ("send", b"abc", 3, b"abc"),
    ("sendall", b"abc", None, b"abc"),
    ("send_msg", b"abc", None, b"\0\0\0\3abc"),
    ("send_msg", b"", None, b"\0\0\0\0"),
]


@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize(("method", "data", "result", "sent"), SENDING)
def test_what_a_sending_call_gives_and_sends(pair, method, data, result, sent, blocking):
    sock, theirs = pair
    sock.setblocking(blocking)
    call = getattr(sock, method)
    assert (call(data) if blocking else calling(call, data)) == result
    sock.close()
    assert theirs.recv(100) == sent


def test_a_message_of_more_than_greencoros_own_limit_goes_through(pair):
    sock, theirs = pair
    size = 65 * 2**20
    theirs.settimeout(None)
    with AsyncSocket(theirs) as other:
        sender = Coro(lambda: (yield other.send_msg(bytes(size))))
        assert len(calling(sock.recv_msg)) == size
        sender.value(10)


def test_accept_gives_a_socket_of_this_class_and_connect_gives_0(listener):
    def serve():
        connection, address = yield listener.accept()
        assert type(connection) is AsyncSocket
        yield connection.send(repr(address).encode())
        connection.close()

    def client():
        sock = AsyncSocket(socket.socket())
        connected = yield sock.connect(listener.getsockname())
        raise StopIteration(connected, sock.getsockname(), (yield sock.recv(100)), sock.close())

    server = Coro(serve)
    connected, ours, told, _ = value_of(client)
    server.value(10)
    assert connected == 0
    assert told == repr(ours).encode()


def test_the_same_calls_block_the_thread_of_a_blocking_socket():
    with AsyncSocket(socket.socket(), blocking=True) as listener, AsyncSocket(socket.socket(), True) as sock:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        accepted = []
        thread = threading.Thread(target=lambda: accepted.extend(listener.accept()))
        thread.start()
        # Any host of its own, as `('', port)` says it, is this one.
        assert sock.connect(("", listener.getsockname()[1])) == 0
        thread.join(10)
        connection, address = accepted
        assert type(connection) is AsyncSocket and connection.getblocking()
        assert address == sock.getsockname()
        connection.close()


def test_datagrams_go_by_sendto_and_come_by_recvfrom():
    def coroutine():
        with (
            AsyncSocket(socket.socket(type=socket.SOCK_DGRAM)) as one,
            AsyncSocket(socket.socket(type=socket.SOCK_DGRAM)) as two,
        ):
            one.bind(("127.0.0.1", 0))
            two.bind(("127.0.0.1", 0))
            assert (yield one.sendto(b"abc", two.getsockname())) == 3
            assert (yield two.recvfrom(100)) == (b"abc", one.getsockname())
            yield True

    assert value_of(coroutine)


@pytest.mark.parametrize(
    ("method", "arguments"), [("recvall", (1,)), ("recv_msg", ()), ("sendall", (b"",)), ("send_msg", (b"",))]
)
def test_what_only_a_stream_has_cannot_be_called_for_datagrams(method, arguments):
    with AsyncSocket(socket.socket(type=socket.SOCK_DGRAM)) as sock, pytest.raises(TypeError):
        calling(getattr(sock, method), *arguments)


@pytest.mark.parametrize("timeout", [None, 0, 5])
def test_create_connection_connects_within_a_timeout_from_an_address(listener, timeout):
    with AsyncSocket(socket.socket()) as sock:
        assert calling(sock.create_connection, listener.getsockname(), timeout, ("127.0.0.1", 0)) == 0
        assert sock.getpeername() == listener.getsockname()
        assert sock.gettimeout() == (timeout or 0)


def test_what_is_not_listed_is_the_wrapped_sockets(listener):
    assert listener.getsockname()[0] == "127.0.0.1"
    assert listener.fileno() == listener._fileno
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    with pytest.raises(AttributeError):
        listener.nothing  # noqa: B018


def test_the_number_of_a_socket_is_known_after_it_was_closed(pair):
    sock, _ = pair
    number = sock._fileno
    sock.close()
    assert (sock._fileno, sock.fileno()) == (number, -1)


# Time.

MODES = [
    # what is set, from a socket that waits as coroutines do: (gettimeout(), getblocking()) then
    (lambda sock: None, (0, False)),
    (lambda sock: sock.settimeout(2.5), (2.5, False)),
    (lambda sock: sock.settimeout(0), (0, False)),
    (lambda sock: sock.settimeout(None), (None, True)),
    (lambda sock: sock.setblocking(False), (0, False)),
    (lambda sock: sock.setblocking(1), (None, True)),
    (lambda sock: (sock.settimeout(2), sock.settimeout(0)), (0, False)),
    (lambda sock: (sock.settimeout(None), sock.settimeout(2)), (2, True)),
    (lambda sock: (sock.settimeout(None), sock.settimeout(2), sock.settimeout(None)), (None, True)),
    (lambda sock: (sock.settimeout(None), sock.settimeout(0)), (0, False)),
]


@pytest.mark.parametrize(("change", "mode"), MODES)
def test_settimeout_and_setblocking_say_how_a_socket_waits(pair, change, mode):
    sock, _ = pair
    change(sock)
    assert (sock.gettimeout(), sock.getblocking()) == mode


def test_a_timeout_that_the_socket_had_before_does_not_count():
    ours, theirs = tcp_pair()
    ours.settimeout(0)
    with AsyncSocket(ours) as sock, theirs:
        assert sock.gettimeout() == 0
        reader = waiting(sock, sock.recv, 10)
        theirs.sendall(b"late")
        assert reader.value(10) == b"late"


@pytest.mark.parametrize(("method", "arguments"), [("recv", (1,)), ("recvall", (1,)), ("recv_msg", ())])
def test_where_nothing_comes_in_time_socket_timeout_is_raised_at_the_yield(pair, method, arguments):
    sock, _ = pair
    sock.settimeout(0.01)

    def coroutine():
        try:
            yield getattr(sock, method)(*arguments)
        except socket.timeout:  # noqa: UP041 - what old programs call it
            raise StopIteration("late") from None

    assert value_of(coroutine) == "late"


def test_recvall_gives_what_came_in_time_and_its_time_begins_again_with_every_piece(pair):
    sock, theirs = pair
    sock.settimeout(1)
    pieces = 15

    def send():
        for _ in range(pieces):
            theirs.sendall(b"a")
            # In all half as long again as the timeout is.
            threading.Event().wait(0.1)

    thread = threading.Thread(target=send)
    thread.start()
    assert calling(sock.recvall, 100) == b"a" * pieces
    thread.join(10)


def test_sendall_gives_how_much_was_sent_in_time_and_raises_where_that_is_nothing(narrow):
    sock, theirs = narrow
    sock.settimeout(0.05)
    data = bytes(range(256)) * 2**14
    sent = calling(sock.sendall, data)
    assert 0 < sent < len(data)
    with pytest.raises(socket.timeout):
        calling(sock.sendall, data)
    sock.close()
    received = b"".join(iter(lambda: theirs.recv(2**20), b""))
    assert received == data[:sent]


def test_a_coroutine_that_is_terminated_while_it_waits_meets_generator_exit(pair):
    sock, theirs = pair
    met = []

    def coroutine():
        try:
            yield sock.recv(10)
        except GeneratorExit:
            met.append("exit")
            raise

    coro = waiting(sock, coroutine)
    coro.terminate()
    poll_until(lambda: met == ["exit"])
    # It took nothing with it.
    theirs.sendall(b"abc")
    assert calling(sock.recv, 10) == b"abc"


# Errors.


def test_a_failure_is_raised_at_the_yield_as_for_any_socket():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))

        def coroutine():
            with AsyncSocket(socket.socket()) as sock:
                try:
                    yield sock.connect(nobody.getsockname())
                except OSError as error:
                    raise StopIteration(error.errno) from None

        assert value_of(coroutine) == errno.ECONNREFUSED


CALLS = [
    ("accept", ()),
    ("connect", (("127.0.0.1", 1),)),
    ("create_connection", (("127.0.0.1", 1),)),
    ("recv", (1,)),
    ("recvall", (1,)),
    ("recv_msg", ()),
    ("recvfrom", (1,)),
    ("send", (b"a",)),
    ("sendall", (b"a",)),
    ("send_msg", (b"a",)),
    ("sendto", (b"a", ("127.0.0.1", 1))),
]


@pytest.mark.parametrize(("method", "arguments"), CALLS)
@pytest.mark.parametrize("end", ["close", "unwrap"])
def test_a_closed_socket_is_a_bad_descriptor(pair, end, method, arguments):
    sock, _ = pair
    raw = getattr(sock, end)()
    with pytest.raises(OSError, match=r"closed|given") as raised:
        calling(getattr(sock, method), *arguments)
    assert raised.value.errno == errno.EBADF
    if raw is not None:
        raw.close()


def test_whoever_waits_for_a_socket_that_is_closed_meets_a_bad_descriptor(pair):
    sock, _ = pair
    reader = waiting(sock, sock.recv_msg)
    sock.close()
    with pytest.raises(OSError, match="closed") as raised:
        reader.value(10)
    assert raised.value.errno == errno.EBADF


def test_a_second_reader_is_refused(pair):
    sock, theirs = pair
    reader = waiting(sock, sock.recv, 10)
    with pytest.raises(BusyResource):
        calling(sock.recv, 10)
    theirs.sendall(b"abc")
    assert reader.value(10) == b"abc"


# Wrapping.


def test_unwrap_gives_the_socket_back_and_a_with_block_closes_it(pair):
    sock, theirs = pair
    raw = sock.unwrap()
    raw.sendall(b"abc")
    assert theirs.recv(10) == b"abc"
    with AsyncSocket(raw) as again:
        assert calling(again.send, b"def") == 3
    assert raw.fileno() == -1


def test_to_wrap_it_again_warns_and_shares_all_it_has(listener, files, capsys):
    with AsyncSocket(socket.socket(), keyfile=files.keyfile, certfile=files.certfile) as first:
        first.settimeout(3)
        second = AsyncSocket(first, blocking=True)
        assert f"asyncoro - Socket {first._fileno} is already AsyncSocket" in capsys.readouterr().out
        assert second._fileno == first._fileno
        assert (second.gettimeout(), second.getblocking(), second._certificates) == (3, False, first._certificates)
    assert second.fileno() == -1


def test_what_has_given_its_socket_back_cannot_be_wrapped_again(pair):
    sock, _ = pair
    with sock.unwrap(), pytest.raises(Exception, match="given its socket back"):
        AsyncSocket(sock)


def test_one_raw_socket_is_read_in_a_coroutine_and_written_to_by_a_thread():
    ours, theirs = tcp_pair()
    theirs.settimeout(10)
    with theirs:
        reading, writing = AsyncSocket(ours), AsyncSocket(ours, blocking=True)
        reader = waiting(reading, reading.recv_msg)
        writing.send_msg(b"there")
        assert theirs.recv(100) == b"\0\0\0\5there"
        theirs.sendall(b"\0\0\0\4back")
        assert reader.value(10) == b"back"
        reading.close()


def test_what_a_main_thread_has_accepted_is_wrapped_for_a_coroutine_and_read_as_a_file():
    ours, theirs = tcp_pair()

    def coroutine(sock):
        with AsyncFile(AsyncSocket(sock)) as file:
            raise StopIteration((yield file.readline()))

    with theirs:
        theirs.sendall(b"line\nrest")
        assert value_of(coroutine, ours) == b"line\n"


@pytest.mark.parametrize("no_socket", [None, 5, "socket"])
def test_what_is_no_socket_is_refused(no_socket, files):
    with pytest.raises(TypeError):
        AsyncSocket(no_socket)
    with pytest.raises(TypeError):
        AsyncSocket(no_socket, blocking=True, certfile=files.certfile)


# TLS.


@pytest.fixture
def tls_listener(files):
    with AsyncSocket(socket.socket(), False, str(files.keyfile), str(files.certfile)) as wrapped:
        wrapped.bind(("127.0.0.1", 0))
        wrapped.listen(5)
        yield wrapped


def echo(listener):
    connection, _ = yield listener.accept()
    with connection:
        while True:
            message = yield connection.recv_msg()
            if not message:
                break
            yield connection.send_msg(message)


@pytest.mark.parametrize("ssl_version", [None, ssl.PROTOCOL_TLS])
def test_with_a_certificate_accept_and_connect_begin_tls(tls_listener, files, ssl_version):
    def client():
        with AsyncSocket(socket.socket(), certfile=str(files.certfile), ssl_version=ssl_version) as sock:
            assert (yield sock.connect(tls_listener.getsockname())) == 0
            yield sock.send_msg(b"secret")
            raise StopIteration((yield sock.recv_msg()), sock.version())

    server = Coro(echo, tls_listener)
    message, version = value_of(client)
    server.value(10)
    assert message == b"secret"
    assert version.startswith("TLSv1.")


@pytest.mark.parametrize("connected", [False, True])
def test_a_blocking_socket_with_a_certificate_begins_tls_too_and_where_it_is_connected_at_once(
    tls_listener, files, connected
):
    server = Coro(echo, tls_listener)
    raw = socket.socket()
    if connected:
        raw.connect(tls_listener.getsockname())
    with AsyncSocket(raw, blocking=True, certfile=str(files.certfile)) as sock:
        if not connected:
            assert sock.connect(tls_listener.getsockname()) == 0
        sock.send_msg(b"secret")
        assert sock.recv_msg() == b"secret"
    server.value(10)


@pytest.mark.parametrize("connected", [False, True])
def test_a_server_with_another_certificate_is_refused(tls_listener, tmp_path, connected):
    other = make_files(tmp_path, "other")

    def serve():
        try:
            yield tls_listener.accept()
        except ssl.SSLError:
            raise StopIteration("refused") from None

    server = Coro(serve)
    with socket.socket() as raw:
        if connected:
            raw.connect(tls_listener.getsockname())
            with pytest.raises(ssl.SSLCertVerificationError):
                AsyncSocket(raw, blocking=True, certfile=other.certfile)
        else:
            sock = AsyncSocket(raw, certfile=other.certfile)
            with pytest.raises(ssl.SSLCertVerificationError):
                calling(sock.connect, tls_listener.getsockname())
    assert server.value(10) == "refused"


@pytest.mark.parametrize("none", ["", None])
def test_an_empty_certificate_is_none(none, pair):
    sock, theirs = pair
    raw = sock.unwrap()
    with AsyncSocket(raw, keyfile=none, certfile=none, ssl_version=none) as again:
        calling(again.sendall, b"plain")
        assert theirs.recv(10) == b"plain"
