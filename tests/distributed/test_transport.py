"""Streams, over every transport: one suite for all of them, and what is special about TCP."""

import errno
import fcntl
import os
import select
import socket
import sys
import termios
import time

import pytest

from greencoro.distributed import connecting
from greencoro.distributed import reactor as reactors
from greencoro.distributed import transport as tcp_module
from greencoro.distributed.credentials import Credentials
from greencoro.distributed.location import Location
from greencoro.distributed.memory import MemoryNetwork
from greencoro.distributed.tls import Tls
from greencoro.distributed.transport import Tcp
from greencoro.hub.completion import Completion
from tests.distributed.certificates import Made
from tests.support.polling import poll_until

HERE = Location("127.0.0.1", 0)


@pytest.fixture
def reactor():
    yield reactors.acquire()
    reactors.release()


@pytest.fixture(params=["memory", "tcp", "tls", "tls in memory"])
def transport(request, reactor, tmp_path):
    plain = MemoryNetwork().transport(reactor) if "memory" in request.param else Tcp(reactor)
    return Tls(plain, Credentials(Made(tmp_path).both)) if "tls" in request.param else plain


@pytest.fixture
def tcp(reactor):
    return Tcp(reactor)


class Collects:
    """A receiver that keeps what it hears of."""

    def __init__(self):
        self.data = bytearray()
        self.ends = []
        self.writable = 0
        self.bindings = []

    def on_secured(self, binding):
        assert not self.data
        self.bindings.append(binding)

    def on_data(self, data):
        self.data += data

    def on_writable(self):
        self.writable += 1

    def on_end(self, error):
        self.ends.append(error)


def on_reactor(reactor, function, *args):
    """The result of a call on the reactor's thread."""
    done = Completion()
    reactor.post(lambda: done.set(function(*args)))
    return done.result(5)


class Joined:
    """Two streams that are connected, and a receiver at each."""

    def __init__(self, reactor, transport):
        self.reactor = reactor
        self.listener = transport.listen(HERE)
        came, went = Completion(), Completion()
        on_reactor(reactor, self.listener.start, came.set)
        transport.dial(self.listener.location, 5, lambda stream, error: went.set(stream or error))
        self.one, self.other = went.result(5), came.result(5)
        self.at_one, self.at_other = Collects(), Collects()

    def open(self):
        on_reactor(self.reactor, self.one.open, self.at_one)
        on_reactor(self.reactor, self.other.open, self.at_other)
        poll_until(lambda: not on_reactor(self.reactor, lambda: self.one.blocked or self.other.blocked))

    def close(self):
        for each in (self.one.abort, self.other.abort, self.listener.close):
            on_reactor(self.reactor, each)


@pytest.fixture
def joined(reactor, transport):
    made = Joined(reactor, transport)
    yield made
    made.close()


def test_bytes_arrive_in_order_in_both_directions(reactor, joined):
    joined.open()
    expected = b"".join(bytes([n]) * n * 100 for n in range(100))
    pieces = [bytearray(bytes([n]) * n * 100) for n in range(100)]
    on_reactor(reactor, joined.one.write, pieces)
    on_reactor(reactor, joined.other.write, [b"back", memoryview(b"wards"), b""])
    poll_until(lambda: joined.at_other.data == expected and joined.at_one.data == b"backwards")


def test_what_came_before_it_is_opened_is_kept(reactor, joined):
    on_reactor(reactor, joined.one.write, [b"early"])
    joined.open()
    poll_until(lambda: joined.at_other.data == b"early")


def test_who_writes_more_than_is_read_is_blocked_and_told_when_it_is_gone(reactor, joined):
    on_reactor(reactor, joined.one.open, joined.at_one)
    size = 32 << 20
    on_reactor(reactor, joined.one.write, [os.urandom(1000)] * 2000)
    on_reactor(reactor, joined.one.write, [bytes(size)])
    assert on_reactor(reactor, lambda: joined.one.blocked)
    assert joined.at_one.writable == 0
    on_reactor(reactor, joined.other.open, joined.at_other)
    poll_until(lambda: len(joined.at_other.data) == size + 2_000_000, 20)
    poll_until(lambda: joined.at_one.writable == 1)
    assert not on_reactor(reactor, lambda: joined.one.blocked)


def test_close_sends_what_is_kept_and_is_the_others_end(reactor, joined):
    joined.open()
    sent = Completion()
    size = 8 << 20
    on_reactor(reactor, joined.one.write, [bytes(size)])
    on_reactor(reactor, joined.other.write, [bytes(size)])
    on_reactor(reactor, joined.one.close, sent.set)
    poll_until(lambda: len(joined.at_other.data) == size, 10)
    poll_until(lambda: joined.at_other.ends == [None])
    on_reactor(reactor, joined.other.abort)
    assert sent.wait(5)
    assert joined.at_one.ends == []
    on_reactor(reactor, joined.one.write, [b"after the end"])


@pytest.mark.parametrize("how", ["abort", "reset"])
def test_abort_is_the_others_end_and_nothing_is_reported_here(reactor, joined, how):
    joined.open()
    on_reactor(reactor, getattr(joined.one, how))
    on_reactor(reactor, joined.one.reset)
    on_reactor(reactor, joined.one.abort)
    poll_until(lambda: len(joined.at_other.ends) == 1)
    assert joined.at_one.ends == []
    done = Completion()
    on_reactor(reactor, joined.one.close, done.set)
    assert done.wait(5)


def test_dialling_where_nobody_listens_is_refused(reactor, transport):
    listener = transport.listen(HERE)
    place = listener.location
    listener.close()
    failed = Completion()
    transport.dial(place, 5, lambda stream, error: failed.set(error))
    assert failed.result(5).errno == errno.ECONNREFUSED


def test_an_attempt_that_was_given_up_reports_nothing(reactor, transport):
    listener = transport.listen(HERE)
    came, reported = [], []
    on_reactor(reactor, listener.start, came.append)

    def dial_and_give_up():
        transport.dial(listener.location, 5, lambda stream, error: reported.append(stream))()

    on_reactor(reactor, dial_and_give_up)
    done = Completion()
    transport.dial(listener.location, 5, lambda stream, error: done.set(stream))
    stream = done.result(5)
    poll_until(lambda: came)
    assert reported == []
    for each in (stream, *came):
        on_reactor(reactor, each.abort)
    on_reactor(reactor, listener.close)


def test_a_place_is_one_listeners(transport, reactor):
    listener = transport.listen(HERE)
    with pytest.raises(OSError, match="Address already in use"):
        transport.listen(listener.location)
    on_reactor(reactor, listener.close)
    on_reactor(reactor, transport.listen(listener.location).close)


# TCP


@pytest.mark.parametrize("how", ["abort", "reset"])
@pytest.mark.parametrize("transport", ["tcp", "tls"], indirect=True)
def test_N1_B5_a_reset_waits_for_nothing_that_was_written_and_an_abort_does(reactor, joined, how):
    joined.open()
    carrier = getattr(joined.other, "_carrier", joined.other)
    # It reads no more.
    on_reactor(reactor, carrier._read_watcher.stop)
    on_reactor(reactor, joined.one.write, [bytes(32 << 20)])
    assert on_reactor(reactor, lambda: joined.one.blocked)
    ended = select.poll()
    ended.register(carrier._sock.fileno(), 0)
    on_reactor(reactor, getattr(joined.one, how))
    if how == "reset":
        poll_until(lambda: ended.poll(0), what="the other side's kernel knows")
        assert ended.poll(0)[0][1] & select.POLLERR
    else:
        assert not ended.poll(100)


def test_what_was_written_before_an_abort_arrives(reactor, tcp):
    joined = Joined(reactor, tcp)
    on_reactor(reactor, joined.one.open, joined.at_one)
    on_reactor(reactor, joined.one.write, [b"last words"])
    on_reactor(reactor, joined.one.abort)
    on_reactor(reactor, joined.other.open, joined.at_other)
    poll_until(lambda: joined.at_other.ends == [None])
    assert joined.at_other.data == b"last words"
    joined.close()


def test_a_name_is_resolved_and_its_addresses_are_tried_one_after_another(reactor, tcp, monkeypatch):
    listener = tcp.listen(Location("localhost", 0))
    assert listener.location.addr in ("127.0.0.1", "::1")
    port = listener.location.port
    came, done = Completion(), Completion()
    on_reactor(reactor, listener.start, came.set)

    def resolve(host, port, *_):
        addresses = [(socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.2"), (socket.AF_INET, "127.0.0.1")]
        return [(family, socket.SOCK_STREAM, 6, "", (address, port)) for family, address in addresses]

    monkeypatch.setattr(connecting, "_getaddrinfo", resolve)
    tcp.dial(Location("a.name.example", port), 5, lambda stream, error: done.set(stream or error))
    stream = done.result(5)
    assert stream.peer_address == listener.location.addr
    for each in (stream.abort, came.result(5).abort, listener.close):
        on_reactor(reactor, each)


def test_a_name_that_does_not_exist_is_an_error_that_names_it(reactor, tcp, monkeypatch):
    def resolve(*_):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(connecting, "_getaddrinfo", resolve)
    done = Completion()
    tcp.dial(Location("no.such.example", 1), 5, lambda stream, error: done.set(error))
    assert "no.such.example" in str(done.result(5))


def test_a_place_that_does_not_answer_is_given_up_in_time(reactor, tcp):
    # A listener whose queue is full does not answer any more.
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        place = Location("127.0.0.1", full.getsockname()[1])
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex((place.addr, place.port))
        done = Completion()
        tcp.dial(place, 0.3, lambda stream, error: done.set(error))
        assert "no answer within 0.3 s" in str(done.result(5))
        for filler in fillers:
            filler.close()


def test_a_process_out_of_descriptors_rests_and_accepts_again(reactor, tcp, monkeypatch, caplog):
    listener = tcp.listen(HERE)
    came = []
    on_reactor(reactor, listener.start, came.append)
    real = listener._sock

    class Exhausted:
        def __getattr__(self, name):
            return getattr(real, name)

        def _accept(self):
            raise OSError(errno.EMFILE, "Too many open files")

    listener._sock = Exhausted()
    began = time.monotonic()
    with socket.create_connection((listener.location.addr, listener.location.port)):
        poll_until(lambda: "cannot accept: Too many open files" in caplog.text)
        # It rests between two attempts.
        assert len(caplog.records) <= 3 + (time.monotonic() - began) / tcp_module._ACCEPT_REST_SECONDS
        listener._sock = real
        poll_until(lambda: came)
    for each in (came[0].abort, listener.close):
        on_reactor(reactor, each)


def test_M9_who_gives_much_work_with_each_read_has_one_in_a_turn(reactor, tcp):
    joined, seen = Joined(reactor, tcp), []

    class Slow:
        def on_data(self, data):
            seen.append("data")
            reactor.post(seen.append, "turn")
            time.sleep(0.03)

    on_reactor(reactor, joined.one.open, joined.at_one)
    on_reactor(reactor, joined.one.write, [bytes(4 << 20)])
    on_reactor(reactor, joined.other.open, Slow())
    poll_until(lambda: seen.count("data") >= 10)
    joined.close()
    assert "data data data" not in " ".join(seen)


class Elsewhere:
    """A reactor, as whoever is not on its thread sees it."""

    is_current = False
    read_buffer = memoryview(bytearray(1))

    def __init__(self):
        self.posted, self.watched = [], []

    def post(self, function, *args):
        self.posted.append((function, args))

    def watch(self, descriptor, writable, function):
        self.watched.append(function)


def test_what_the_network_does_not_take_off_the_reactors_thread_is_watched_for_there():
    reactor = Elsewhere()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as sock:
        near = tcp_module.TcpStream(reactor, sock, "127.0.0.1")
        near.write([bytes(64 << 20)])
        assert near.blocked and not reactor.watched
        ((function, args),) = reactor.posted
        function(*args)
        assert reactor.watched == [near._writable]


def test_M4_of_a_blocked_stream_each_flush_sends_as_much_as_the_other_side_has_made_room_for_however_little():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as sock:
        far, _ = server.accept()
        with far:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
            near = tcp_module.TcpStream(Elsewhere(), sock, "127.0.0.1")
            near.write([bytes(64 << 20)])

            seen = []

            def flush():
                near.flush()
                seen.append(near.sent_bytes)
                return seen

            poll_until(lambda: flush()[-10:] == [near.sent_bytes] * 10, what="the network is full")
            before = near.sent_bytes
            far.recv(100 << 10, socket.MSG_WAITALL)
            assert not select.select([], [sock], [], 0)[1]
            assert near.sent_bytes == before
            poll_until(lambda: flush()[-1] > before)
            # It is not said yet that there is room.
            assert not select.select([], [sock], [], 0)[1]


def test_N2_M9_the_kernel_keeps_little_that_the_network_does_not_take_however_large_its_buffer():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        near = tcp_module.TcpStream(Elsewhere(), sock, "127.0.0.1")
        seen = []

        def flush():
            near.flush()
            seen.append(near.sent_bytes)
            return seen

        near.write([bytes(64 << 20)])
        poll_until(lambda: flush()[-10:] == [near.sent_bytes] * 10, what="the network is full")
        unsent = int.from_bytes(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
        assert unsent < 2 << 20


def test_nothing_goes_out_behind_what_could_not_be_sent_until_the_reactor_has_ended_the_stream():
    class Breaks:
        def __init__(self):
            self.sent = []

        def send(self, data):
            if not self.sent:
                self.sent.append(None)
                raise ConnectionResetError(104, "reset")
            self.sent.append(data)
            return len(data)

        sendmsg = send
        setblocking = setsockopt = close = lambda *_: None

    reactor, sock = Elsewhere(), Breaks()
    near = tcp_module.TcpStream(reactor, sock, "127.0.0.1")
    near.write([b"first"])
    near.write([b"second"])
    assert near.blocked and sock.sent == [None]
    ((function, args),) = reactor.posted
    reactor.is_current = True
    function(*args)
    assert near.descriptor is None and sock.sent == [None]
