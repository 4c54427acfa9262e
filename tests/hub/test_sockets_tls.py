import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from greencoro import ClosedResource, Coro, DeadlineExceeded, RemoteProtocolError
from greencoro.hub.files import AsyncFile
from greencoro.hub.sockets import AsyncSocket
from tests.hub.certificates import Files, make_files
from tests.hub.places import everywhere
from tests.hub.socket_pairs import listening, value_of, waiting
from tests.support.polling import poll_until


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return make_files(tmp_path_factory.mktemp("tls"), "greencoro test")


@pytest.fixture(scope="module")
def other_files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return make_files(tmp_path_factory.mktemp("tls"), "somebody else")


@pytest.fixture
def listener(files: Files) -> Iterator[AsyncSocket]:
    with listening(**files.arguments()) as made:
        yield made


def dial(listener: AsyncSocket, **arguments: Any) -> AsyncSocket:
    sock = AsyncSocket(socket.socket(), **arguments)
    try:
        sock.connect(listener.getsockname())
    except BaseException:
        sock.close()
        raise
    return sock


@pytest.fixture
def pair(listener: AsyncSocket, files: Files) -> Iterator[tuple[AsyncSocket, AsyncSocket]]:
    accepting = Coro(lambda: listener.accept()[0])
    with value_of(lambda: dial(listener, certfile=files.certfile)) as client, accepting.value(10) as server:
        yield client, server


@everywhere
@pytest.mark.parametrize("blocking", [False, True])
def test_a_client_anywhere_talks_to_a_server_whose_certificate_it_has(
    place: Callable[..., Any], blocking: bool, listener: AsyncSocket, files: Files
) -> None:
    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            while (message := connection.recv_msg(eof=None)) is not None:
                connection.send_msg(message)

    def ask() -> str:
        with dial(listener, certfile=files.certfile, blocking=blocking) as sock:
            for size in (0, 3, 300_000):
                message = os.urandom(size)
                sock.send_msg(message)
                assert sock.recv_msg(eof=None) == message
            version: str = sock.version()
            return version

    server = threading.Thread(target=serve)
    server.start()
    assert place(ask) == "TLSv1.3"
    server.join(10)


def test_what_is_sent_is_not_what_goes_over_the_wire(listener: AsyncSocket, files: Files) -> None:
    accepting = Coro(listener.accept)
    accepting.set_daemon()
    with socket.create_connection(listener.getsockname()) as plain:
        plain.settimeout(10)
        context = ssl.create_default_context(cafile=str(files.certfile))
        context.check_hostname = False
        with context.wrap_socket(plain, suppress_ragged_eofs=False) as client:
            connection, _ = accepting.value(10)
            with connection:
                value_of(connection.sendall, b"in the clear")
                assert client.recv(100) == b"in the clear"
                assert connection.cipher()[1] == "TLSv1.3"
                assert connection.getpeercert() is None
            # It said goodbye: an end without it would be an error here.
            assert client.recv(1) == b""


def test_a_server_with_another_certificate_is_refused_and_learns_it(listener: AsyncSocket, other_files: Files) -> None:
    accepting = Coro(listener.accept)
    with pytest.raises(ssl.SSLCertVerificationError):
        value_of(lambda: dial(listener, certfile=other_files.certfile))
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        accepting.value(10)


def test_a_certificate_that_somebody_else_signed_is_known_by_itself(tmp_path: Path) -> None:
    files = make_files(tmp_path, "signed", signed_by=ec.generate_private_key(ec.SECP256R1()))
    with listening(**files.arguments()) as listener:
        accepting = Coro(listener.accept)
        with value_of(lambda: dial(listener, certfile=files.certfile)), accepting.value(10)[0]:
            pass


def test_accept_goes_on_after_a_client_that_speaks_no_tls(listener: AsyncSocket, files: Files) -> None:
    accepting = Coro(listener.accept)
    with socket.create_connection(listener.getsockname()) as plain:
        plain.settimeout(10)
        plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with pytest.raises(ssl.SSLError):
            accepting.value(10)
        while plain.recv(100):
            pass
    accepting = Coro(listener.accept)
    with value_of(lambda: dial(listener, certfile=files.certfile)), accepting.value(10)[0]:
        pass


def test_a_client_that_says_nothing_is_given_up_in_time_and_closed(listener: AsyncSocket) -> None:
    listener.settimeout(0.05)
    with socket.create_connection(listener.getsockname()) as silent:
        silent.settimeout(10)
        with pytest.raises(DeadlineExceeded):
            value_of(listener.accept)
        assert silent.recv(1) == b""


def test_a_handshake_that_waits_does_not_keep_others_from_accepting(listener: AsyncSocket, files: Files) -> None:
    with socket.create_connection(listener.getsockname()) as silent:
        silent.settimeout(10)
        stuck = Coro(listener.accept)
        stuck.set_daemon()
        Coro(lambda: None).value(10)  # by now it has begun to accept

        def no_longer_accepts() -> bool:
            assert listener._endpoint is not None
            return stuck.is_alive() and not listener._endpoint._reading

        poll_until(no_longer_accepts)
        accepting = Coro(listener.accept)
        with value_of(lambda: dial(listener, certfile=files.certfile)), accepting.value(10)[0]:
            pass
        stuck.terminate()
        assert silent.recv(1) == b""


def test_large_data_pass_whole_both_ways_at_once(pair: tuple[AsyncSocket, AsyncSocket]) -> None:
    client, server = pair
    there, back = os.urandom(3_000_000), os.urandom(3_000_000)
    got: list[bytes] = []
    # One of the four in a thread: the session is shared by threads.
    thread = threading.Thread(target=lambda: got.append(client.recvall(len(back))))
    thread.start()
    coroutines = [
        Coro(client.sendall, there),
        Coro(server.sendall, back),
        Coro(server.recvall, len(there)),
    ]
    assert [coro.value(20) for coro in coroutines] == [None, None, there]
    thread.join(20)
    assert got == [back]


def test_the_end_of_one_side_is_the_end_for_the_other(pair: tuple[AsyncSocket, AsyncSocket]) -> None:
    client, server = pair
    value_of(client.send, b"last")
    client.close()
    assert value_of(lambda: (server.recv(100), server.recv(100), server.recv_msg(None))) == (b"last", b"", None)


def test_a_connection_that_breaks_off_is_at_its_end(pair: tuple[AsyncSocket, AsyncSocket]) -> None:
    client, server = pair
    client.shutdown(socket.SHUT_RDWR)
    assert value_of(server.recv, 100) == b""


def test_what_was_given_up_while_sending_goes_out_before_the_rest(pair: tuple[AsyncSocket, AsyncSocket]) -> None:
    client, server = pair
    data = os.urandom(20_000_000)
    client.settimeout(0.2)
    with pytest.raises(DeadlineExceeded) as raised:
        value_of(client.sendall, data)
    sent = raised.value.sent  # type: ignore[attr-defined]
    assert 0 < sent < len(data)
    client.settimeout(None)
    sender = Coro(client.sendall, data[sent:])
    assert value_of(server.recvall, len(data)) == data
    sender.value(10)


def test_a_message_given_up_while_it_was_sent_goes_out_before_the_next(
    pair: tuple[AsyncSocket, AsyncSocket],
) -> None:
    client, server = pair
    first = os.urandom(20_000_000)
    sender = waiting(client, client.send_msg, first)
    sender.terminate()
    poll_until(lambda: not sender.is_alive())
    sender = Coro(client.send_msg, b"second")
    assert value_of(lambda: (server.recv_msg(), server.recv_msg())) == (first, b"second")
    sender.value(10)


def test_receiving_ends_at_its_limit_and_loses_nothing(pair: tuple[AsyncSocket, AsyncSocket]) -> None:
    client, server = pair
    value_of(server.sendall, b"\x00\x00\x00\x04ab")
    client.settimeout(0.05)
    with pytest.raises(DeadlineExceeded):
        value_of(client.recv_msg)
    value_of(server.sendall, b"cd")
    client.settimeout(10)
    assert value_of(client.recv_msg) == b"abcd"


def test_closing_wakes_whoever_waits(pair: tuple[AsyncSocket, AsyncSocket]) -> None:
    coro = waiting(pair[0], pair[0].recv, 1)
    coro.set_daemon()
    pair[0].close()
    with pytest.raises(ClosedResource):
        coro.value(10)


def test_a_session_cannot_be_taken_off(pair: tuple[AsyncSocket, AsyncSocket]) -> None:
    with pytest.raises(RuntimeError, match="TLS session cannot be taken off"):
        pair[0].unwrap()


def test_a_second_wrapper_speaks_the_same_tls(pair: tuple[AsyncSocket, AsyncSocket], files: Files) -> None:
    client, server = pair
    writer = AsyncSocket(client._endpoint.raw, blocking=True)  # type: ignore[union-attr]
    writer.sendall(b"x")
    assert value_of(server.recv, 1) == b"x"


def test_nothing_is_sent_in_the_clear_before_the_handshake(files: Files) -> None:
    with listening() as plain, AsyncSocket(socket.socket(), certfile=files.certfile) as sock:
        # As an unlisted method of the wrapped socket this knows nothing of TLS.
        assert sock.connect_ex(plain.getsockname()) == 0
        for call in (lambda: sock.sendall(b"x"), lambda: sock.recv(1)):
            with pytest.raises(OSError, match="TLS was asked for"):
                value_of(call)


@pytest.mark.parametrize("version", [None, ssl.PROTOCOL_TLS, ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER])
def test_versions_that_mean_any_give_the_latest(version: Any, listener: AsyncSocket, files: Files) -> None:
    accepting = Coro(listener.accept)
    client = value_of(lambda: dial(listener, certfile=files.certfile, ssl_version=version))
    with client, accepting.value(10)[0]:
        assert client.version() == "TLSv1.3"


def test_a_client_can_insist_on_tls_1_2(listener: AsyncSocket, files: Files) -> None:
    accepting = Coro(listener.accept)
    client = value_of(lambda: dial(listener, certfile=files.certfile, ssl_version=ssl.PROTOCOL_TLSv1_2))
    with client, accepting.value(10)[0] as server:
        assert client.version() == "TLSv1.2"
        value_of(server.sendall, b"x")
        assert value_of(client.recv, 1) == b"x"


def test_a_peer_that_knows_older_versions_only_is_refused(listener: AsyncSocket, files: Files) -> None:
    accepting = Coro(listener.accept)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(listener.getsockname()) as plain, pytest.raises(ssl.SSLError):
        plain.settimeout(10)
        context.wrap_socket(plain)
    with pytest.raises(ssl.SSLError, match=r"(?i)unsupported.protocol|version"):
        accepting.value(10)


def test_arguments_that_cannot_work_are_refused_at_once(files: Files, tmp_path: Path) -> None:
    with socket.socket() as raw, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        with pytest.raises(ValueError, match="certfile to go with the keyfile"):
            AsyncSocket(raw, keyfile=files.keyfile)
        with pytest.raises(FileNotFoundError, match="missing"):
            AsyncSocket(raw, certfile=tmp_path / "missing")
        with pytest.raises(FileNotFoundError, match="missing"):
            AsyncSocket(raw, certfile=files.certfile, keyfile=tmp_path / "missing")
        with pytest.raises(ValueError, match=r"before TLS 1\.2 are not safe"):
            AsyncSocket(raw, certfile=files.certfile, ssl_version=ssl.PROTOCOL_TLSv1)
        with pytest.raises(ValueError, match="no TLS for datagrams"):
            AsyncSocket(datagrams, certfile=files.certfile)
    first, second = socket.socketpair()
    with first, second, pytest.raises(ValueError, match="not connected"):
        AsyncSocket(first, certfile=files.certfile)
    in_tls = ssl.create_default_context().wrap_socket(socket.socket(), server_hostname="x")
    with in_tls, pytest.raises(TypeError, match="in TLS already"):
        AsyncSocket(in_tls)


@pytest.mark.parametrize("patched", [False, True])
def test_it_works_in_programs_whether_they_are_patched_or_not(
    run: Callable[..., Any], patched: bool, files: Files
) -> None:
    ended = run(
        f"""
        import socket
        from greencoro.hub.sockets import AsyncSocket
        files = dict(certfile={str(files.certfile)!r}, keyfile={str(files.keyfile)!r})
        raw = socket.socket()
        raw.bind(("127.0.0.1", 0))
        raw.listen()
        listener = AsyncSocket(raw, **files)
        def serve():
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    connection.send_msg(connection.recv_msg())
        server = Coro(serve)
        def ask(label):
            with AsyncSocket(socket.socket(), **files) as sock:
                sock.connect(listener.getsockname())
                sock.send_msg(label)
                os.write(1, sock.recv_msg())
        ask(b"main ")
        Coro(ask, b"coroutine").value(10)
        server.value(10)
        listener.close()
        """,
        patched=patched,
    )
    assert ended.out == "main coroutine", ended.err
    assert ended.status == 0 and ended.err == ""


def test_what_was_encrypted_counts_as_written_where_there_was_no_time(pair: tuple[AsyncSocket, AsyncSocket]) -> None:
    client, server = pair
    data = os.urandom(8_000_000)
    file = AsyncFile(client)

    def write() -> int:
        written = 0
        while count := file.write(data[written:], timeout=0):
            written += count
        return written

    written = value_of(write)
    assert 0 < written < len(data)
    receiving = Coro(server.recvall, len(data))
    assert value_of(lambda: file.write(data[written:], full=True, timeout=20)) == len(data) - written
    assert receiving.value(20) == data


def test_a_connection_that_breaks_off_in_a_message_is_no_clean_end(pair: tuple[AsyncSocket, AsyncSocket]) -> None:
    client, server = pair
    value_of(client.sendall, b"\x00\x00\x00\x05abc")
    client.shutdown(socket.SHUT_RDWR)
    with pytest.raises(RemoteProtocolError, match="only 3 of its 5 bytes came"):
        value_of(server.recv_msg)


def test_a_handshake_for_which_there_is_no_time_is_not_begun(listener: AsyncSocket, files: Files) -> None:
    listener.setblocking(False)
    with pytest.raises(
        ValueError, match=r"accept\(\) has to wait for the TLS handshake: settimeout\(\) to some seconds"
    ):
        value_of(listener.accept)
    with AsyncSocket(socket.socket(), certfile=files.certfile) as client:
        client.settimeout(0)
        with pytest.raises(ValueError, match=r"connect\(\) has to wait for the TLS handshake"):
            value_of(client.connect, listener.getsockname())
        client.settimeout(10)
        listener.settimeout(10)
        accepting = Coro(listener.accept)
        assert value_of(client.connect, listener.getsockname()) == 0
        accepting.value(10)[0].close()
