"""Files between processes, of which one is killed, stopped or kept busy."""

import hashlib
import os
import signal
import threading
import time

import pytest

from greencoro.config import Settings
from greencoro.distributed.runtime import Runtime
from greencoro.distributed.transfer import Transfers
from greencoro.hub.coroutine import Coro
from tests.cluster.peer_process import BUSY_TICK, KEY, peer_process
from tests.support.polling import poll_until

pytestmark = pytest.mark.cluster

# Its arguments: a directory, and the chunk before which it ends at once (0: none; -1: before the file gets its name).
RECEIVER = """
from greencoro.distributed.file_store import Part
from greencoro.distributed.transfer import Transfers
last = int(sys.argv[2])
written = 0
write, finish = Part.write, Part.finish
def writing(part, data):
    global written
    written += 1
    if written == last:
        os.kill(os.getpid(), signal.SIGKILL)
    write(part, data)
def finishing(part, mtime_ns):
    if last == -1:
        os.kill(os.getpid(), signal.SIGKILL)
    finish(part, mtime_ns)
Part.write, Part.finish = writing, finishing
transfers = Transfers(runtime, sys.argv[1])
def echo(coro=None):
    coro.register("echo")
    told("ready")
    while True:
        there, value = coro.receive()
        there.send(value)
Coro(echo).value()
"""

# Its arguments: where to send to, the file, the chunk as above, and a timeout.
SENDER = """
from greencoro.distributed.transfer import Transfers
from greencoro.distributed.transfer_outgoing import Outgoing
transfers = Transfers(runtime, sys.argv[2] + "-received")
last = int(sys.argv[3])
read = Outgoing._read
reads = 0
def reading(outgoing, descriptor, offset, size):
    global reads
    reads += 1
    if reads == last:
        told("there")
        os.kill(os.getpid(), signal.SIGSTOP if len(sys.argv) > 5 else signal.SIGKILL)
    return read(outgoing, descriptor, offset, size)
Outgoing._read = reading
told("result %s" % transfers.send_file(sys.argv[1], sys.argv[2], overwrite=True, timeout=float(sys.argv[4])))
time.sleep(60)
"""


# Its arguments: a directory, and a place. It says what it is told of peers.
TELLING_RECEIVER = """
from greencoro.distributed.transfer import Transfers
transfers = Transfers(runtime, sys.argv[1])
runtime.watch_peers(lambda event: told("online" if event.online else "lost: " + event.reason))
assert runtime.peer(Location.parse(sys.argv[2])) == 0
time.sleep(170)
"""

# Its arguments: a directory to save in, and one where it waits for another process that found no file there either.
SLOW_RECEIVER = """
from greencoro.distributed import file_store
from greencoro.distributed.transfer import Transfers
found = file_store._found
def looking(name, parent):
    there = found(name, parent)
    open(sys.argv[2] + "/" + str(os.getpid()), "w").close()
    while len(os.listdir(sys.argv[2])) < 2:
        time.sleep(0.01)
    return there
file_store._found = looking
transfers = Transfers(runtime, sys.argv[1])
told("ready")
time.sleep(60)
"""


@pytest.fixture
def runtime():
    # A tick of seconds: what ends in these tests within one is ended by a timeout or a broken connection.
    # Without discovery, for tests that run beside this one use that key as well.
    settings = Settings(tick_seconds=5.0)
    with Runtime("127.0.0.1", secret_key=KEY, settings=settings, discover_peers=False) as runtime:
        yield runtime


@pytest.fixture
def transfers(runtime, tmp_path):
    made = Transfers(runtime, tmp_path / "received")
    yield made
    made.close()


def names(directory):
    return sorted(path.name for path in directory.iterdir() if path.suffix != ".lock")


class Reader:
    """Reads a file all the time, and notes the digests of what it sees."""

    def __init__(self, file):
        self.file = file
        self.seen = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._stop.set()
        self._thread.join()

    def _read(self):
        while not self._stop.is_set():
            self.seen.append(hashlib.sha256(self.file.read_bytes()).hexdigest())


# With those of a sender, of cuts and of full disks these are more than 50 points.
@pytest.mark.parametrize("point", [1, 3, 5, 7, 9, 11, 13, 16, -1])
def test_F1_F7_a_receiver_that_is_killed_leaves_the_old_file_and_its_rests_are_removed_at_the_next_start(
    runtime, transfers, tmp_path, point
):
    dest, source = tmp_path / "dest", tmp_path / "f"
    dest.mkdir()
    (dest / "f").write_bytes(b"old")
    source.write_bytes(os.urandom(8 << 20))
    with (
        Reader(dest / "f") as reader,
        peer_process(RECEIVER, False, str(dest), str(point), settings={"tick_seconds": 5.0}) as peer,
    ):
        assert peer.line() == "ready"
        assert transfers.send_file(peer.location, source, overwrite=True) == -1
        peer.wait()
    assert set(reader.seen) == {hashlib.sha256(b"old").hexdigest()}
    assert len(names(dest)) == 2, "what it had written so far"
    again = Transfers(runtime, dest)
    poll_until(lambda: names(dest) == ["f"], what="the next start removes what is left")
    again.close()
    assert [path.name for path in dest.iterdir()] == ["f"]


@pytest.mark.parametrize("point", [1, 4, 11, 16])
def test_F1_a_sender_that_is_killed_leaves_the_old_file_and_nothing_else(runtime, transfers, tmp_path, point):
    dest, source = tmp_path / "received", tmp_path / "f"
    (dest / "f").write_bytes(b"old")
    source.write_bytes(os.urandom(8 << 20))
    arguments = (str(runtime.location), str(source), str(point), "20")
    with Reader(dest / "f") as reader, peer_process(SENDER, False, *arguments) as peer:
        assert peer.line() == "there"
        peer.wait()
        poll_until(lambda: names(dest) == ["f"])
    assert set(reader.seen) == {hashlib.sha256(b"old").hexdigest()}


@pytest.mark.parametrize("same", [False, True])
def test_F6_F7_of_two_processes_with_one_directory_one_saves_a_file_that_neither_may_overwrite(
    runtime, transfers, tmp_path, same
):
    dest, waiting = tmp_path / "dest", tmp_path / "waiting"
    contents = [os.urandom(300_000), os.urandom(200_000)]
    sources = []
    for number, content in enumerate(contents):
        sources.append(tmp_path / str(number) / "f")
        sources[-1].parent.mkdir()
        sources[-1].write_bytes(content)
    dest.mkdir()
    waiting.mkdir()
    arguments = (SLOW_RECEIVER, False, str(dest), str(waiting))
    with peer_process(*arguments) as one, peer_process(*arguments) as other:
        assert one.line() == other.line() == "ready"
        coros = [
            Coro(transfers.send_file, peer.location, source)
            for peer, source in zip((one, other), sources[:1] * 2 if same else sources, strict=True)
        ]
        results = [coro.value(20) for coro in coros]
        poll_until(lambda: names(dest) == ["f"])
    assert results.count(0) == 1
    winner, loser = results.index(0), results[1 - results.index(0)]
    if same:
        assert loser == 1
    else:
        assert loser.st_size == len(contents[winner])
    assert (dest / "f").read_bytes() == contents[0 if same else winner]


@pytest.mark.parametrize("patched", [False, True])
def test_F1_a_reader_sees_the_old_content_and_then_the_new(runtime, transfers, tmp_path, patched):
    dest, source = tmp_path / "dest", tmp_path / "f"
    dest.mkdir()
    contents = [os.urandom(8 << 20), os.urandom(8 << 20)]
    with peer_process(RECEIVER, patched, str(dest), "0") as peer:
        (dest / "f").write_bytes(contents[0])
        assert peer.line() == "ready"
        with Reader(dest / "f") as reader:
            poll_until(lambda: reader.seen)
            source.write_bytes(contents[1])
            assert transfers.send_file(peer.location, source, overwrite=True) == 0
            count = len(reader.seen)
            poll_until(lambda: len(reader.seen) > count + 1)
    distinct = list(dict.fromkeys(reader.seen))
    assert distinct == [hashlib.sha256(content).hexdigest() for content in contents]


def test_F9_a_sender_whose_receiver_stops_ends_the_transfer_and_so_does_the_receiver(runtime, transfers, tmp_path):
    dest, source = tmp_path / "dest", tmp_path / "f"
    source.write_bytes(bytes(64 << 20))
    with peer_process(RECEIVER, False, str(dest), "0", settings={"tick_seconds": 5.0}) as peer:
        assert peer.line() == "ready"
        assert runtime.peer(peer.location) == 0
        there = f"/proc/{peer.process.pid}/fd"
        # One to begin with, for what is opened once only.
        (tmp_path / "g").write_bytes(b"x")
        assert transfers.send_file(peer.location, tmp_path / "g") == 0
        before, at_peer = len(os.listdir("/proc/self/fd")), len(os.listdir(there))
        peer.signal(signal.SIGSTOP)
        began = time.monotonic()
        assert transfers.send_file(peer.location, source, timeout=1.0) == -1
        assert time.monotonic() - began < 10, "not only when the peer is lost"
        assert runtime.peers() == [peer.location]
        assert len(os.listdir("/proc/self/fd")) == before
        peer.signal(signal.SIGCONT)
        poll_until(lambda: len(os.listdir(there)) == at_peer, seconds=10)
        poll_until(lambda: names(dest) == ["g"], seconds=10)


def test_F9_a_receiver_whose_sender_stops_ends_the_transfer(runtime, transfers, tmp_path):
    source = tmp_path / "f"
    source.write_bytes(bytes(8 << 20))
    (tmp_path / "received/there").touch()
    arguments = (str(runtime.location), str(source), "5", "1.0", "stop")
    with peer_process(SENDER, False, *arguments, settings={"tick_seconds": 5.0}) as peer:
        assert peer.line() == "there"
        [location] = runtime.peers()
        poll_until(lambda: names(tmp_path / "received") == ["there"], seconds=10)
        assert runtime.peers() == [location], "not because the peer was lost"
        open_files = [os.path.realpath(f"/proc/self/fd/{each}") for each in os.listdir("/proc/self/fd")]
        mine = [path for path in open_files if path.startswith(str(tmp_path / "received"))]
        assert len(mine) == 1, "the lock of the directory and nothing else"
        assert mine[0].endswith(".lock")
        peer.signal(signal.SIGCONT)
        assert peer.line() == "result -1"


def test_M9_messages_take_no_longer_than_100_ms_while_a_file_of_200_MiB_is_sent(runtime, transfers, tmp_path):
    source = tmp_path / "f"
    with source.open("wb") as file:
        for _ in range(200):
            file.write(os.urandom(1 << 20))
    with peer_process(RECEIVER, False, str(tmp_path / "dest"), "0", settings={"tick_seconds": 5.0}) as peer:
        assert peer.line() == "ready"
        assert runtime.peer(peer.location) == 0
        there = Coro.locate("echo", peer.location, 10)

        def ping(coro=None):
            taken = []
            while True:
                sending = len(transfers._outgoing) == 1
                began = time.monotonic()
                there.send((coro, None))
                coro.receive()
                if sending:
                    taken.append(time.monotonic() - began)
                elif taken:
                    return sorted(taken)

        pings = Coro(ping)
        assert transfers.send_file(peer.location, source, timeout=30) == 0
        taken = pings.value(20)
    assert len(taken) >= 20
    print(f"{len(taken)} pings, median {taken[len(taken) // 2] * 1e3:.2f} ms, longest {taken[-1] * 1e3:.2f} ms")
    assert taken[int(len(taken) * 0.99)] < 0.1


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_N2_nobody_is_lost_while_a_file_of_1_GiB_is_sent(tmp_path):
    source, dest = tmp_path / "f", tmp_path / "dest"
    source.touch()
    os.truncate(source, 1 << 30)
    settings = {"tick_seconds": BUSY_TICK}
    with (
        Runtime("127.0.0.1", secret_key=KEY, settings=Settings(**settings), discover_peers=False) as runtime,
        peer_process(TELLING_RECEIVER, False, str(dest), str(runtime.location), settings=settings) as peer,
    ):
        transfers = Transfers(runtime, tmp_path / "received")
        events = []
        runtime.watch_peers(events.append)
        assert peer.line() == "online"
        began = time.monotonic()
        assert transfers.send_file(peer.location, source, timeout=60) == 0
        print(f"{time.monotonic() - began:.1f} s")
        assert [event.online for event in events] == [True]
        transfers.close()
        peer.signal(signal.SIGKILL)
        assert peer.rest() == ""
    # pytest keeps the directories of the last runs.
    (dest / "f").unlink()


def test_a_patched_process_sends_files_from_its_main_thread(runtime, transfers, tmp_path):
    source = tmp_path / "f"
    source.write_bytes(os.urandom(8 << 20))
    with peer_process(SENDER, True, str(runtime.location), str(source), "0", "20") as peer:
        assert peer.line() == "result 0"
    assert (tmp_path / "received/f").read_bytes() == source.read_bytes()
