"""Somebody between two runtimes who records, repeats, leaves out, swaps and crosses what they say: S4, over sockets."""

import contextlib
import socket
import struct
import threading

import pytest

from tests.distributed.conftest import reference
from tests.distributed.hand_made import PREAMBLE
from tests.support.polling import poll_until

FORTH, BACK = 0, 1


class Middle:
    """Passes the connection of whoever dials it on to a runtime, record by record.

    Attributes:
        opening (list): For each direction what it began with: preamble and handshake message.

        records (list): For each direction the records that were said.

        meddle: Called with each record of `FORTH`; what it returns is passed on in its place.
    """

    def __init__(self, target):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._target = (target.location.addr, target.location.port)
        self.opening = [[], []]
        self.records = [[], []]
        self.meddle = lambda record: [record]
        self._socks = [self._listener]
        self._threads = [threading.Thread(target=self._run, daemon=True)]
        self._threads[0].start()

    def _run(self):
        with contextlib.suppress(OSError):
            one, _ = self._listener.accept()
            other = socket.create_connection(self._target)
            self._socks += [one, other]
            self._threads.append(threading.Thread(target=self._pump, args=(other, one, BACK), daemon=True))
            self._threads[-1].start()
            self._pump(one, other, FORTH)

    def _pump(self, source, sink, way):
        with contextlib.suppress(OSError, EOFError), source.makefile("rb") as stream:

            def exactly(size):
                data = stream.read(size)
                if len(data) < size:
                    raise EOFError
                return data

            def message():
                length = exactly(2)
                return length + exactly(*struct.unpack(">H", length))

            for read in (lambda: exactly(16), message):
                self.opening[way].append(read())
                sink.sendall(self.opening[way][-1])
            while True:
                header = exactly(8)
                record = header + exactly(struct.unpack(">I", header[:4])[0])
                self.records[way].append(record)
                for each in self.meddle(record) if way == FORTH else [record]:
                    sink.sendall(each)
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def say(self, way, data):
        """Put bytes of its own in, in this direction."""
        self._socks[2 if way == FORTH else 1].sendall(data)

    def close(self):
        for sock in self._socks:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(5)


@pytest.fixture
def middle():
    made = []

    def make(target):
        made.append(Middle(target))
        return made[-1]

    yield make
    for each in made:
        each.close()


class Trio:
    """Three runtimes; what `one` says to `other` goes through the middle, and what it said to both was recorded."""

    def __init__(self, world, middle):
        self.former = []
        self.one, self.other, self.third = (world.runtime() for _ in range(3))
        self.got = []
        self.coro = self.other.spawn(self._collect)
        # An earlier connection of the same two, and one to another node with the same secret.
        for target in (self.other, self.third):
            recorder = middle(target)
            self.one.connect(recorder.address)
            there = target.spawn(lambda coro=None: coro.receive())
            assert reference(self.one, there).deliver("recorded", 10) == 1
            there.value(10)
            self.former.append(recorder)
            recorder.close()
            poll_until(lambda: not self.one.peers() and not self.other.peers() and not self.third.peers())
        self.middle = middle(self.other)
        self.one.connect(self.middle.address)
        poll_until(lambda: self.other.peers())
        self.there = reference(self.one, self.coro)
        assert self.there.deliver(0, 10) == 1
        # By then all observers were told of what was before.
        poll_until(lambda: self.got == [0])

    def _collect(self, coro=None):
        while True:
            self.got.append(coro.receive())


@pytest.fixture
def trio(tcp_world, middle):
    made = Trio(tcp_world, middle)
    yield made
    made.coro.terminate()


def once(alter):
    """Meddles with one record, and passes on what follows."""
    pending = [alter]
    return lambda record: pending.pop()(record) if pending else [record]


def swapped():
    held = []

    def meddle(record):
        held.append(record)
        return [] if len(held) == 1 else [record, held[0]] if len(held) == 2 else [record]

    return meddle


def at_the_place_of(trio):
    """What an earlier connection had where the last record of this one is, or nearest to it."""
    earlier = trio.former[0].records[FORTH]
    return earlier[min(len(trio.middle.records[FORTH]), len(earlier)) - 1]


ATTACKS = {
    "a record is repeated": lambda t: once(lambda record: [record, record]),
    "a record is left out": lambda t: once(lambda record: []),
    "two records are swapped": lambda t: swapped(),
    "an earlier record of the same connection": lambda t: once(lambda record: [t.middle.records[FORTH][0], record]),
    "a record of the other direction": lambda t: once(lambda record: [t.middle.records[BACK][0], record]),
    "a record of an earlier connection": lambda t: once(lambda record: [t.former[0].records[FORTH][0], record]),
    "the record with the same number of an earlier connection": lambda t: once(
        lambda record: [
            t.former[0].records[FORTH][min(len(t.middle.records[FORTH]), len(t.former[0].records[FORTH])) - 1]
        ]
    ),
    "a record for another node": lambda t: once(lambda record: [t.former[1].records[FORTH][-1], record]),
    "a handshake once more": lambda t: once(lambda record: [*t.middle.opening[FORTH], record]),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_S4_a_connection_that_somebody_meddles_with_ends_and_nothing_comes_twice_or_out_of_order(trio, attack):
    trio.middle.meddle = ATTACKS[attack](trio)
    sent = [0]
    while trio.other.peers() and len(sent) < 50:
        sent.append(len(sent))
        # A short wait, so that each goes in a record of its own.
        trio.there.deliver(sent[-1], 0.3)
    poll_until(lambda: not trio.other.peers() and not trio.one.peers())
    assert trio.got == sent[: len(trio.got)]
    assert trio.one.peer(trio.other.location, timeout=10) == 0, "they can go on without the middle"


def test_S4_what_a_runtime_said_is_of_no_use_when_it_comes_back_to_it(trio):
    trio.middle.say(BACK, trio.middle.records[FORTH][-1])
    poll_until(lambda: not trio.one.peers() and not trio.other.peers())
    assert trio.got == [0]


def ended(sock):
    """What comes before the runtime ends the connection."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := sock.recv(65536):
            data += piece
    return data


def answer(sock, size):
    data = b""
    while len(data) < size:
        data += sock.recv(size - len(data))
    return data


@pytest.mark.parametrize("to_whom", ["other", "third"])
@pytest.mark.parametrize("whose", [0, 1])
@pytest.mark.parametrize("first_record", [0, 1, -1])
def test_S4_a_recorded_connection_replayed_step_by_step_leads_to_no_peer(trio, to_whom, whose, first_record):
    target, recorded = getattr(trio, to_whom), trio.former[whose]
    before = target.peers()
    events = []
    target.watch_peers(lambda event: event.online and events.append(event))
    with socket.create_connection((target.location.addr, target.location.port), 10) as sock:
        sock.settimeout(10)
        sock.sendall(recorded.opening[FORTH][0])
        assert answer(sock, 16) == PREAMBLE
        sock.sendall(recorded.opening[FORTH][1])
        (length,) = struct.unpack(">H", answer(sock, 2))
        said = answer(sock, length)
        # Its own answer is new, so that nothing that was recorded fits to it.
        assert said != recorded.opening[BACK][1][2:]
        sock.sendall(recorded.records[FORTH][first_record])
        assert ended(sock) == b""
    assert target.peers() == before and not events


def test_S4_records_without_a_handshake_are_answered_by_nothing(trio):
    for record in (trio.former[0].records[FORTH][0], trio.former[0].records[BACK][0]):
        with socket.create_connection((trio.other.location.addr, trio.other.location.port), 10) as sock:
            sock.settimeout(10)
            sock.sendall(record)
            assert ended(sock) == b""


def test_S4_two_connections_that_are_crossed_come_to_nothing(tcp_world):
    """Two runtimes dial; each is given what the other's connection is answered."""
    one, other, target = (tcp_world.runtime() for _ in range(3))
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        address = (target.location.addr, target.location.port)
        dials = []
        for runtime, listener in zip((one, other), listeners, strict=True):
            dials.append(runtime.spawn(runtime.peer, f"127.0.0.1:{listener.getsockname()[1]}"))
        dialled = [stack.enter_context(listener.accept()[0]) for listener in listeners]
        answering = [stack.enter_context(socket.create_connection(address, 10)) for _ in range(2)]
        for sock in dialled + answering:
            sock.settimeout(10)
        for step in range(2):
            for number in range(2):
                # The questions go straight, the answers crosswise; the preambles are all the same.
                answering[number].sendall(read_step(dialled[number], step))
            for number in range(2):
                dialled[1 - number].sendall(read_step(answering[number], step))
        for sock in dialled:
            assert ended(sock) == b"", "no record follows"
        for sock in answering:
            sock.shutdown(socket.SHUT_WR)
    assert not (one.peers() or other.peers() or target.peers())
    for dial in dials:
        dial.value(20)


def read_step(sock, step):
    """A preamble, or a handshake message."""
    if step == 0:
        return answer(sock, 16)
    length = answer(sock, 2)
    return length + answer(sock, struct.unpack(">H", length)[0])
