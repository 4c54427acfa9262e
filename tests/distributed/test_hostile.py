"""What comes to the port of a runtime from those who do not know its secret: the promises S1, S2, S4, S9, S10, S18."""

import contextlib
import logging
import os
import pickle
import select
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time

import psutil
import pytest

from greencoro.distributed import datagrams
from greencoro.distributed.preamble import MAGIC, PROTOCOL
from greencoro.errors import NetworkError
from greencoro.hub.execution import sleep
from tests.distributed.conftest import reference
from tests.distributed.hand_made import HandMade
from tests.support.polling import poll_until
from tests.support.ports import free_port

PREAMBLE = struct.pack(">9sH5s", MAGIC, PROTOCOL, bytes(5))


@contextlib.contextmanager
def connected(runtime):
    with socket.create_connection((runtime.location.addr, runtime.location.port), 5) as sock:
        sock.settimeout(10)
        yield sock


def answer(sock):
    """All that comes until the other side ends."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := sock.recv(65536):
            data += piece
    return data


class Marker:
    """Unpickling it leaves a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"\x00" * 100, b"g" * 5000],
    ids=["HTTP", "TLS", "zeros", "nearly"],
)
def test_a_stranger_is_told_nothing(tcp_world, data):
    runtime = tcp_world.runtime()
    with connected(runtime) as sock:
        sock.sendall(data)
        assert answer(sock) == b""
    assert tcp_world.runtime().peer(runtime.location) == 0


@pytest.mark.parametrize(
    "frame",
    [b"\xff\xff", b"\x00\x00", b"\x00\x30" + bytes(48), b"\x01\x00" + b"x" * 256],
    ids=["too long", "empty", "zeros", "garbage"],
)
def test_who_does_not_prove_the_secret_is_told_the_protocol_number_and_nothing_else(tcp_world, frame):
    runtime = tcp_world.runtime()
    with connected(runtime) as sock:
        sock.sendall(PREAMBLE + frame)
        assert answer(sock) == PREAMBLE
    poll_until(lambda: not runtime.peer_table.incoming._unproven)


def test_another_protocol_number_is_named_to_both(tcp_world, caplog):
    runtime = tcp_world.runtime()
    with connected(runtime) as sock:
        sock.sendall(struct.pack(">9sH5s", MAGIC, 77, bytes(5)))
        assert answer(sock) == PREAMBLE
    poll_until(lambda: "protocol 77" in caplog.text)


def test_S9_the_handshake_has_one_deadline_however_the_bytes_drip(tcp_world):
    runtime = tcp_world.runtime(handshake_seconds=0.5)
    began = time.monotonic()
    with connected(runtime) as silent, connected(runtime) as slow:
        with contextlib.suppress(OSError):
            for byte in PREAMBLE + b"\x0f\xff" + bytes(4095):
                slow.sendall(bytes((byte,)))
                time.sleep(0.02)
                if time.monotonic() - began > 20:
                    break
        assert time.monotonic() - began < 10
        answer(silent)
    assert 0.4 < time.monotonic() - began < 20
    poll_until(lambda: not runtime.peer_table.incoming._unproven)


FLOOD = """
import socket, sys
address = (sys.argv[1], int(sys.argv[2]))
made = []
for number in range(2000):
    if number == 16:
        print("begun", flush=True)
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex(address)
    made.append(sock)
print("made", flush=True)
sys.stdin.read()
"""


def test_S9_2000_silent_connections_do_not_keep_an_honest_peer_out(tcp_world):
    process = psutil.Process()
    runtime = tcp_world.runtime()
    honest = tcp_world.runtime()
    assert honest.peer(runtime.location) == 0
    honest.finish()
    before = process.num_fds()
    took = []
    # A process of its own: it is not to slow the runtimes down by way of the interpreter's lock.
    command = [sys.executable, "-c", FLOOD, runtime.location.addr, str(runtime.location.port)]
    with subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as flood:
        assert flood.stdout.readline() == b"begun\n"
        while len(took) < 10 or not select.select([flood.stdout], [], [], 0)[0]:
            peer = tcp_world.runtime()
            began = time.monotonic()
            # An attempt may be dropped with the silent ones; the next is not far.
            poll_until(lambda peer=peer: peer.peer(runtime.location, timeout=1) == 0, 20, "the honest peer is in")
            took.append(time.monotonic() - began)
            peer.finish()
        assert flood.stdout.readline() == b"made\n"
        assert len(runtime.peer_table.incoming._unproven) <= 16
        flood.stdin.close()
    print(f"2000 silent connections, {len(took)} honest ones, slowest {max(took):.3f} s")
    # Of the ones meanwhile, for other work on the machine may make one slow.
    assert statistics.median(took) < 2
    poll_until(lambda: not runtime.peer_table.incoming._unproven, what="all are dropped")
    poll_until(lambda: process.num_fds() <= before, what="descriptors are back")


def test_S9_of_too_many_the_oldest_unproven_is_dropped(tcp_world):
    runtime = tcp_world.runtime(max_unauthenticated_per_address=3, handshake_seconds=60)
    socks = []
    try:
        for _ in range(5):
            socks.append(socket.create_connection((runtime.location.addr, runtime.location.port)))
            poll_until(lambda: len(runtime.peer_table.incoming._unproven) == min(len(socks), 3))
        for sock in socks[:2]:
            sock.settimeout(5)
            assert answer(sock) == b""
        for sock in socks[2:]:
            sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                sock.recv(1)
    finally:
        for sock in socks:
            sock.close()


class Recorder:
    """Stands between two runtimes and records what the one who dialled said."""

    def __init__(self, target):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.recorded = b""
        self.answered = b""
        self._target = (target.location.addr, target.location.port)
        self._socks = [self.listener]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        with contextlib.suppress(OSError):
            one, _ = self.listener.accept()
            other = socket.create_connection(self._target)
            self._socks += [one, other]
            back = threading.Thread(target=self._pump, args=(other, one, False), daemon=True)
            back.start()
            self._pump(one, other, True)
            back.join()

    def _pump(self, source, sink, forth):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if forth:
                    self.recorded += data
                else:
                    self.answered += data
                sink.sendall(data)
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self):
        for sock in self._socks:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self._thread.join(5)


def receive_one(coro=None):
    return coro.receive()


def test_S4_a_recorded_connection_has_no_effect_when_it_is_replayed(tcp_world):
    one, other, third = (tcp_world.runtime() for _ in range(3))
    recorder = Recorder(other)
    try:
        one.connect(f"127.0.0.1:{recorder.port}")
        coro = other.spawn(receive_one)
        assert reference(one, coro).deliver("secret words", 5) == 1
        assert coro.value(5) == "secret words"
        recorded, answered = recorder.recorded, recorder.answered
        one.finish()
    finally:
        recorder.close()
    poll_until(lambda: not other.peers())
    events = []
    for target in (other, third):
        target.watch_peers(events.append)
        with connected(target) as sock:
            sock.sendall(recorded)
            # It is answered, which is of no use to whoever replays, and then refused.
            assert len(answer(sock)) < 2000
        # Its own bytes back to it: an initiator's stream, a responder's stream.
        with connected(target) as sock:
            sock.sendall(answered)
            assert len(answer(sock)) <= len(PREAMBLE)
    assert not other.peers() and not third.peers()
    assert not events
    for secret in (b"secret words", one.secret.psk(), one.secret.key, one.name.encode()):
        assert secret not in recorded + answered


def test_S1_nothing_is_unpickled_before_its_sender_is_authenticated(tcp_world, tmp_path):
    runtime = tcp_world.runtime()
    path = str(tmp_path / "marker")
    bomb = pickle.dumps(Marker(path))
    for data in (
        bomb,
        struct.pack("!I", len(bomb)) + bomb,
        PREAMBLE + bomb,
        PREAMBLE + struct.pack("!H", len(bomb)) + bomb,
        PREAMBLE + struct.pack("!IB3s", len(bomb) + 20, 0, b"") + struct.pack("!II", 1, len(bomb)) + bomb,
    ):
        with connected(runtime) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            answer(sock)
    stranger = tcp_world.runtime(secret_key=b"q" * 32)
    coro = runtime.spawn(sleep, 60)
    assert reference(stranger, coro).deliver(Marker(path), 2) == 0
    assert not os.path.exists(path)
    coro.terminate()
    # The same from a peer that knows the secret does arrive: the trap works.
    friend = tcp_world.runtime()
    coro = runtime.spawn(receive_one)
    reference(friend, coro).send(Marker(path))
    coro.value(5)
    assert os.path.exists(path)


def test_S1_nothing_is_unpickled_in_place_of_a_step_of_the_handshake(tcp_world, tmp_path):
    runtime = tcp_world.runtime()
    path = str(tmp_path / "marker")
    bomb = pickle.dumps(Marker(path))
    # Instead of what the dialled one says first, and second.
    for words in (bomb, PREAMBLE + bomb, PREAMBLE + struct.pack("!H", len(bomb)) + bomb):
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def serve(listener=listener, words=words):
                sock, _ = listener.accept()
                with sock, contextlib.suppress(OSError):
                    sock.sendall(words)
                    sock.shutdown(socket.SHUT_WR)
                    answer(sock)

            thread = threading.Thread(target=serve)
            thread.start()
            with pytest.raises(NetworkError):
                runtime.connect(f"127.0.0.1:{listener.getsockname()[1]}", 10)
            thread.join(10)
    # Instead of the proof in the first record, by one who knows the secret.

    class Bombs(HandMade):
        def _proof(self, role, unique):
            return bomb

    client = Bombs(runtime)
    assert client.is_cut_off()
    client.close()
    assert not os.path.exists(path)


def test_S1_nothing_is_unpickled_that_comes_by_UDP(tcp_world, tmp_path):
    port = free_port()
    one = tcp_world.runtime(discover_peers=True, udp_port=port)
    path = str(tmp_path / "marker")
    bomb = pickle.dumps(Marker(path))
    heads = [
        datagrams._HEAD.pack(datagrams.MAGIC, kind, 0, bytes(16), 9, size)
        for kind in (datagrams.PING, datagrams.QUESTION, datagrams.ANSWER, 77)
        for size in (0, len(bomb))
    ]
    # Never, not even of one who knows the secret.
    keys = b"q" * 32, one.secret.discovery_key()
    signed = [head + bomb + datagrams._tag(key, head + bomb) for head in heads for key in keys]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as voice:
        voice.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for datagram in (bomb, struct.pack("!I", len(bomb)) + bomb, PREAMBLE + bomb, *heads, *signed):
            for place in ("127.0.0.1", "127.255.255.255"):
                voice.sendto(datagram, (place, port))
    # Who comes after them is heard after them.
    other = tcp_world.runtime(discover_peers=True, udp_port=port)
    poll_until(lambda: one.peers() == [other.location] and other.peers() == [one.location])
    assert not os.path.exists(path)
    pickle.loads(bomb)
    assert os.path.exists(path), "the trap works"


def test_S18_the_log_is_not_filled_by_strangers(tcp_world, caplog):
    runtime = tcp_world.runtime()
    with caplog.at_level(logging.WARNING, "greencoro"):
        for _ in range(60):
            with connected(runtime) as sock:
                sock.sendall(b"\x1b[31m\n\nroot logged in\n")
                answer(sock)
        assert tcp_world.runtime().peer(runtime.location) == 0
        runtime.finish()
        tcp_world.finish()
    lines = [record.getMessage() for record in caplog.records]
    refused = [line for line in lines if line.startswith("refused a connection from 127.0.0.1: ")]
    assert len(refused) == 1, "one address and one cause make one line"
    assert not any("\n" in line or "\x1b" in line or "root logged in" in line for line in lines)


def test_who_is_called_with_a_wrong_secret_is_told_once_though_it_set_up_no_logging(tcp_world, capsys, monkeypatch):
    monkeypatch.setattr("greencoro.hub.telling._is_heard", lambda logger: False)
    # Both would be told again at once, as after a minute; those who set up no logging are not.
    monkeypatch.setattr("greencoro.distributed.peers._REPORT_SECONDS", 0.0)
    one = tcp_world.runtime(announce=False)
    with_another = tcp_world.runtime(announce=False, secret="another", discover_peers=False)
    lines = []

    def said():
        lines.extend(line for line in capsys.readouterr().err.splitlines() if "refused" in line)
        return lines

    for _ in range(2):
        assert with_another.peer(one.location) == -1
        poll_until(said)
    tcp_world.finish()
    said()
    wrong = "wrong secret or not greencoro; ours has fingerprint"
    assert lines == [f"greencoro: refused a connection from 127.0.0.1: {wrong} {one.secret.fingerprint}"]


def test_a_bug_in_a_handler_ends_one_connection_and_nothing_else(tcp_world, caplog):
    one, other, third = (tcp_world.runtime() for _ in range(3))
    for runtime in (one, third):
        assert runtime.peer(other.location) == 0

    def fails(link, message):
        raise KeyError("a bug")

    from greencoro.distributed.messages import Terminate

    other.peer_table._on_message.register(Terminate, fails)
    (link,) = one.peer_table.online()
    link.send(None, Terminate(1).encode())
    poll_until(lambda: not one.peers() and one.location not in other.peers())
    assert third.location in other.peers()
    poll_until(lambda: "a bug in greencoro" in caplog.text and "KeyError" in caplog.text)
    coro = other.spawn(receive_one)
    assert reference(third, coro).deliver("x", 5) == 1
    assert one.peer(other.location) == 0
