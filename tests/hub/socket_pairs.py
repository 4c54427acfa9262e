"""Sockets in pairs, and calls that wait for them, for the tests of sockets."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

from greencoro import Coro
from greencoro.hub.sockets import AsyncSocket
from tests.support.polling import poll_until

Pair = tuple[AsyncSocket, socket.socket]


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        return ours, listener.accept()[0]


@contextlib.contextmanager
def wrapped_pair(**arguments: Any) -> Iterator[Pair]:
    """Our end, wrapped, and the other one, plain and blocking with a limit."""
    ours, theirs = tcp_pair()
    theirs.settimeout(10)
    with AsyncSocket(ours, **arguments) as wrapped, theirs:
        yield wrapped, theirs


@contextlib.contextmanager
def narrow_pair(**arguments: Any) -> Iterator[Pair]:
    """The same, but our end can send no more than a little before the other one reads."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    with AsyncSocket(ours, **arguments) as wrapped, theirs:
        yield wrapped, theirs


@contextlib.contextmanager
def listening(**arguments: Any) -> Iterator[AsyncSocket]:
    with AsyncSocket(socket.socket(), **arguments) as wrapped:
        wrapped.bind(("127.0.0.1", 0))
        wrapped.listen()
        yield wrapped


def value_of(function: Callable[..., Any], *args: Any) -> Any:
    """What `function` gives in a coroutine."""
    return Coro(function, *args).value(20)


def waits(sock: AsyncSocket) -> bool:
    assert sock._endpoint is not None
    return bool(sock._endpoint.readiness._wakers)


def waiting(sock: AsyncSocket, function: Callable[..., Any], *args: Any) -> Coro:
    """A coroutine that runs `function` and waits for `sock` in it."""
    coro = Coro(function, *args)
    poll_until(lambda: waits(sock), what="it waits")
    return coro


def receive_exactly(sock: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        data = sock.recv(min(size, 1 << 16))
        assert data
        parts.append(data)
        size -= len(data)
    return b"".join(parts)
