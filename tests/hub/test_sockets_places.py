import os
import socket
import threading
from collections.abc import Callable
from typing import Any

import gevent
import pytest

from greencoro import ClosedResource, Coro, WouldBlock
from greencoro.hub import userhub
from greencoro.hub.sockets import AsyncSocket
from tests.hub.places import everywhere, from_greenlet_of_another_hub
from tests.hub.socket_pairs import listening, narrow_pair, receive_exactly, waits, wrapped_pair
from tests.support.polling import poll_until


@everywhere
@pytest.mark.parametrize("blocking", [False, True])
def test_a_client_anywhere_talks_to_a_server_in_a_coroutine(place: Callable[..., Any], blocking: bool) -> None:
    with listening() as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                while (message := connection.recv_msg(eof=None)) is not None:
                    connection.send_msg(message)

        def ask() -> bool:
            with AsyncSocket(socket.socket(), blocking=blocking) as sock:
                sock.settimeout(10)
                sock.connect(("localhost", listener.getsockname()[1]))
                for size in (0, 3, 300_000):
                    sock.send_msg(bytes(size))
                    assert sock.recv_msg(eof=None) == bytes(size)
            return True

        # Where the place is the user hub, a client that blocks it would wait for a server there.
        server: Any = threading.Thread(target=serve) if blocking else Coro(serve)
        if blocking:
            server.start()
        assert place(ask) is True
        server.join(10) if blocking else server.value(10)


@everywhere
def test_a_server_anywhere_serves_a_client_in_a_coroutine(place: Callable[..., Any]) -> None:
    with listening() as listener:

        def ask() -> bytes:
            with AsyncSocket(socket.socket()) as sock:
                sock.connect(listener.getsockname())
                sock.sendall(b"hello")
                return sock.recvall(5)

        client = Coro(ask)

        def serve() -> bool:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(connection.recvall(5))
            return True

        assert place(serve) is True
        assert client.value(10) == b"hello"


@everywhere
@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize("call", ["recv", "sendall"])
def test_closing_wakes_whoever_waits_anywhere(place: Callable[..., Any], blocking: bool, call: str) -> None:
    with narrow_pair(blocking=blocking) as (ours, _):

        def close() -> None:
            poll_until(lambda: waits(ours))
            ours.close()

        def wait() -> str:
            with pytest.raises(ClosedResource):
                ours.recv(1) if call == "recv" else ours.sendall(bytes(5_000_000))
            return "closed"

        closer = threading.Thread(target=close)
        closer.start()
        assert place(wait) == "closed"
        closer.join(10)
        assert ours.fileno() == -1


@everywhere
def test_a_socket_made_anywhere_is_used_in_a_coroutine_and_closed_anywhere(place: Callable[..., Any]) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        sock = place(lambda: AsyncSocket(ours))
        theirs.sendall(b"x")
        assert Coro(sock.recv, 1).value(10) == b"x"
        place(sock.close)
        assert ours.fileno() == -1


@everywhere
def test_reading_and_writing_wait_at_the_same_time(place: Callable[..., Any]) -> None:
    with narrow_pair() as (ours, theirs):
        data = os.urandom(1_000_000)
        reader = Coro(ours.recvall, 3)

        def answer() -> bytes:
            received = receive_exactly(theirs, len(data))
            theirs.sendall(b"yes")
            return received

        got: list[bytes] = []
        thread = threading.Thread(target=lambda: got.append(answer()))
        thread.start()
        assert place(lambda: ours.sendall(data)) is None
        thread.join(10)
        assert got == [data] and reader.value(10) == b"yes"


def test_blocking_stops_the_hub_for_so_long() -> None:
    with wrapped_pair(blocking=True) as (ours, theirs):
        timer = threading.Timer(0.05, theirs.sendall, [b"x"])

        def receive() -> tuple[bytes, list[int]]:
            ran: list[int] = []
            other = Coro(ran.append, 1)
            timer.start()
            result = ours.recv(1), list(ran)
            other.value(10)
            return result

        assert Coro(receive).value(10) == (b"x", [])
        timer.join()


def test_a_callback_of_the_hub_may_receive_what_there_is_and_not_wait() -> None:
    with wrapped_pair() as (ours, theirs):
        theirs.sendall(b"x")
        poll_until(lambda: ours._endpoint.readiness.wait_readable(0))  # type: ignore[union-attr]
        got: list[Any] = []

        def callback() -> None:
            got.append(ours.recv(1))
            try:
                ours.recv(1)
            except WouldBlock as error:
                got.append(error)

        Coro(lambda: None).value(10)
        userhub.post(callback)
        poll_until(lambda: len(got) == 2)
        assert got[0] == b"x"
        theirs.sendall(b"y")
        assert ours.recv(1) == b"y"


def test_sockets_of_gevent_work_as_those_of_the_standard_library() -> None:
    def on_another_hub() -> bool:
        from gevent import socket as gevent_socket

        with AsyncSocket(gevent_socket.socket()) as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            client = AsyncSocket(gevent_socket.socket())

            def serve() -> bytes:
                connection, _ = listener.accept()
                assert type(connection._endpoint.raw) is gevent_socket.socket
                data: bytes = connection.recvall(2)
                # Closed by a thread that is not of this socket's hub.
                Coro(connection.close).value(10)
                return data

            server = gevent.spawn(serve)
            client.connect(listener.getsockname())
            client.sendall(b"ab")
            assert server.get() == b"ab"
            assert client.recv(1) == b""
            # From a coroutine as well, though its hub is another one than the socket's.
            waiting = Coro(client.recv, 1)
            assert waiting.value(10) == b""
            raw = client.unwrap()
            raw.close()
            return True

    assert from_greenlet_of_another_hub(on_another_hub) is True


def test_a_socket_of_gevent_outlives_its_hub() -> None:
    ours, theirs = socket.socketpair()
    with theirs:

        def make() -> AsyncSocket:
            from gevent import socket as gevent_socket

            return AsyncSocket(gevent_socket.socket(fileno=ours.detach()))

        sock = from_greenlet_of_another_hub(make)
        theirs.sendall(b"x")
        assert Coro(sock.recv, 1).value(10) == b"x"
        sock.close()
        assert theirs.recv(1) == b""


@pytest.mark.parametrize("patched", [False, True])
def test_a_program_uses_sockets_alike_whether_it_is_patched_or_not(run: Callable[..., Any], patched: bool) -> None:
    ended = run(
        """
        import socket
        from greencoro.hub.sockets import AsyncSocket
        raw = socket.socket()
        raw.bind(("127.0.0.1", 0))
        raw.listen()
        listener = AsyncSocket(raw)
        def serve():
            while True:
                connection, _ = listener.accept()
                Coro(echo, connection)
        def echo(connection):
            with connection:
                while (message := connection.recv_msg(None)) is not None:
                    connection.send_msg(message)
        server = Coro(serve)
        server.set_daemon()
        def ask(label):
            sock = AsyncSocket(socket.socket(), blocking=label == "blocking")
            sock.connect(("localhost", listener.getsockname()[1]))
            sock.send_msg(label.encode())
            os.write(1, sock.recv_msg() + b"\\n")
            sock.close()
        ask("main")
        ask("blocking")
        thread = threading.Thread(target=ask, args=["thread"])
        thread.start()
        thread.join()
        Coro(ask, "coroutine").value(10)
        def close():
            sleep(0.01)
            listener.close()
        server.set_daemon(False)
        Coro(close)
        try:
            server.value(10)
        except Exception as error:
            os.write(1, type(error).__name__.encode())
        """,
        patched=patched,
    )
    assert ended.out.split() == ["main", "blocking", "thread", "coroutine", "ClosedResource"], ended.err
    assert ended.status == 0
