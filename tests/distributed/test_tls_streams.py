"""One stream inside TLS, and the listener that it came to."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass

import pytest

from greencoro.distributed import reactor as reactors
from greencoro.distributed import tls as tls_module
from greencoro.distributed.location import Location
from greencoro.distributed.tls import Tls, TlsListener, TlsStream
from greencoro.errors import AuthenticationError
from greencoro.hub.completion import Completion
from tests.distributed.certificates import Made
from tests.distributed.test_transport import Collects
from tests.distributed.tls_runtimes import TlsNetwork, answer, context
from tests.support.polling import poll_until


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Made(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def reactor():
    yield reactors.acquire()
    reactors.release()


@dataclass
class Joined:
    """A stream that came in, and the socket of who dialled."""

    tls: Tls
    listener: TlsListener
    stream: TlsStream
    receiver: Collects
    sock: socket.socket


@pytest.fixture
def joined(reactor, made):
    tls = TlsNetwork(made.both).transport(reactor)
    listener = tls.listen(Location("127.0.0.1", 0))
    came = Completion()
    receiver = Collects()

    def accept(stream):
        stream.open(receiver)
        came.set(stream)

    reactor.post(listener.start, accept)
    with socket.create_connection((listener.location.addr, listener.location.port), 10) as sock:
        yield Joined(tls, listener, came.result(10), receiver, sock)
    reactor.post(listener.close)


def secured(joined, made):
    """The dialling end, once it is inside TLS."""
    client = context(ssl.PROTOCOL_TLS_CLIENT, made, made).wrap_socket(joined.sock, suppress_ragged_eofs=False)
    poll_until(lambda: not joined.stream.blocked)
    return client


def test_a_stream_that_is_closed_says_goodbye_so_that_its_end_is_no_truncation(reactor, joined, made):
    closed = Completion()
    with secured(joined, made) as client:
        reactor.post(joined.stream.write, [b"last words"])
        reactor.post(joined.stream.close, closed.set)
        assert client.recv(100) == b"last words"
        assert client.recv(100) == b"", "without a goodbye this raises"
    assert closed.wait(10)


def test_a_stream_that_is_closed_with_more_than_is_read_can_still_be_ended_at_once(reactor, joined, made):
    closed, looked = Completion(), Completion()
    with secured(joined, made):
        reactor.post(joined.stream.write, [bytes(32 << 20)])
        reactor.post(joined.stream.close, closed.set)
        reactor.post(lambda: looked.set(closed.done))
        assert looked.result(10) is False
        reactor.post(joined.stream.abort)
        assert closed.wait(10)


def test_a_stream_that_was_refused_is_over_for_who_has_it(reactor, joined):
    closed = Completion()
    joined.sock.sendall(b"greencoro")
    poll_until(lambda: joined.receiver.ends)
    assert isinstance(joined.receiver.ends[0], AuthenticationError)
    reactor.post(joined.stream.abort)
    reactor.post(joined.stream.close, closed.set)
    assert closed.wait(10)
    assert answer(joined.sock) == tls_module._ALERT
    joined.sock.close()
    poll_until(lambda: not joined.tls._parting)
    assert joined.receiver.ends[1:] == [] and not joined.receiver.data


def test_a_listener_that_closes_waits_for_no_refused_one(reactor, joined):
    looked = Completion()
    joined.sock.sendall(b"greencoro")
    poll_until(lambda: joined.receiver.ends)
    reactor.post(lambda: looked.set(len(joined.tls._parting)))
    assert looked.result(10) == 1
    looked = Completion()
    reactor.post(joined.listener.close)
    reactor.post(lambda: looked.set(len(joined.tls._parting)))
    assert looked.result(10) == 0


def test_a_listener_that_was_added_closes_and_those_refused_elsewhere_may_read_on(reactor, joined):
    looked = Completion()
    with socket.create_server(("127.0.0.1", 0)) as another:
        added = joined.tls.adopt(another.fileno())
    joined.sock.sendall(b"greencoro")
    poll_until(lambda: joined.receiver.ends)
    reactor.post(added.close)
    reactor.post(lambda: looked.set(len(joined.tls._parting)))
    assert looked.result(10) == 1
    assert answer(joined.sock) == tls_module._ALERT
