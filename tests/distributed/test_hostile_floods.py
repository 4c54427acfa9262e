"""B1, B5, M9: a peer with the right secret that sends as much of something as it can, or reads nothing."""

import gc
import struct
import threading
import time
import weakref
from dataclasses import dataclass

import pytest

from greencoro.config import Settings
from greencoro.distributed import codec, refs
from greencoro.distributed.runtime import Runtime
from greencoro.distributed.watches import UnsentResult
from greencoro.errors import RemoteError
from greencoro.hub.execution import sleep
from tests.distributed.channels import channel_at
from tests.distributed.conftest import SECRET_KEY
from tests.distributed.hand_made import CHANNEL_DELIVER, MONITOR, PING, RESULT, SEND, HandMade, asked, text
from tests.support.polling import poll_until

NOTICE, PONG = 5, 13
FINISHED, EXCEPTION = 0, 1
KIB, MIB = 1 << 10, 1 << 20
WINDOW = 4 * MIB


@dataclass
class Scene:
    victim: Runtime
    client: HandMade
    events: list

    @property
    def link(self):
        (link,) = self.victim.peer_table.online()
        return link


@pytest.fixture
def scene(tcp_world, request):
    tick = getattr(request, "param", 5.0)
    settings = Settings(max_queue_bytes=WINDOW, max_message_bytes=2 * MIB, tick_seconds=tick)
    victim = Runtime("127.0.0.1", discover_peers=False, secret_key=SECRET_KEY, settings=settings)
    tcp_world.made.append(victim)
    events = []
    victim.watch_peers(events.append)
    made = Scene(victim, HandMade(victim), events)
    poll_until(lambda: events)
    yield made
    made.client.close()
    poll_until(lambda: not victim.peers())


class Speaking:
    """Has a client say something now and then, so that nobody takes it for dead; nobody else sends meanwhile."""

    def __init__(self, client):
        self._client = client
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._over.wait(0.1):
            self._client.send()

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()


def collect_when_told(gate, count, coro=None):
    while not gate.is_set():
        sleep(0.02)
    return [coro.receive(20) for _ in range(count)]


def have_watched(scene, monitor, number):
    """Have ``monitor`` watch coroutine ``number`` of the client: the number of the watch, or the refusal."""
    client = scene.client
    observed = ["127.0.0.1", 9, client.incarnation.hex(), number, "x"]
    client.send(asked(number, "greencoro.notify", {"monitor": monitor.id, "number": number, "observed": observed}))
    said = client.first(MONITOR, 16)
    if said[0] != MONITOR:
        return said
    _, target, request, watch = struct.unpack(">BQIQ", said)
    assert target == number
    client.send(struct.pack(">BIi", RESULT, request, 0))
    assert client.reply_to(number) == {"result": 0}
    return watch


def notice(watch, outcome=FINISHED, texts=("", "", ""), value=None):
    payload = b"" if value is None else b"".join(codec.dumps(value))
    return struct.pack(">BQB", NOTICE, watch, outcome) + b"".join(map(text, texts)) + payload


@pytest.mark.parametrize("end", ["read", "over"])
def test_B1_N4_notices_that_nobody_reads_are_bounded_in_bytes_and_none_is_missing(scene, monkeypatch, end):
    monkeypatch.setattr("greencoro.distributed.monitors._WORDS_BYTES", MIB // 4)
    gate, large = threading.Event(), bytes(MIB + MIB // 2 - 1000)
    monitor = scene.victim.spawn(collect_when_told, gate, 9)
    watches = [have_watched(scene, monitor, number) for number in range(1, 10)]
    for watch in watches[:-1]:
        scene.client.send_large(notice(watch, value=large))
    texts = "KeyError", "x" * 10_000, "y" * MIB
    scene.client.send_large(notice(watches[-1], EXCEPTION, texts))
    unread = scene.victim.services.monitors._unread
    poll_until(lambda: len(monitor._mailbox) == 9)
    tally = unread.of(scene.client.incarnation)
    assert (tally.items, tally.size <= WINDOW) == (6, True)
    assert sum(len(entry._notice.payload) for entry in monitor._mailbox._queue) < WINDOW
    refusal = have_watched(scene, monitor, 10)
    assert b"BusyResource" in refusal and b"not read yet" in refusal
    if end == "read":
        gate.set()
        notices = monitor.value(20)
        assert [each.coro.id for each in notices] == [*range(1, 10)]
        assert [each.value == large for each in notices[:8]] == [True] * 2 + [False] * 6
        assert all(isinstance(each.value, UnsentResult) for each in notices[2:8])
        assert "too many notices of its process were not read yet" in notices[2].value.reason
        last = notices[8]
        assert last.kind == "exception" and isinstance(last.error, RemoteError)
        assert str(last.error).startswith("KeyError: " + "x" * 200 + " at ")
    else:
        monitor.terminate()
        poll_until(lambda: not monitor.is_alive())
        del monitor
    poll_until(lambda: (tally.items, tally.size) == (0, 0), what="what was read, or is no more, counts no more")
    other = scene.victim.spawn(collect_when_told, gate, 1)
    assert isinstance(have_watched(scene, other, 11), int)
    other.terminate()


def test_M9_of_pings_that_come_at_once_one_is_answered(scene):
    assert not scene.client.is_cut_off()
    scene.client._aside.clear()
    scene.client.send(*[bytes((PING,))] * 10_000)
    assert not scene.client.is_cut_off()
    pongs = scene.client._aside.count(bytes((PONG,)))
    # It came in several reads, perhaps.
    assert 1 <= pongs <= 50


def flooded(scene):
    """A coroutine that sends to one of the client's until that fails; the connection takes no more of it."""
    there = refs.Reference(scene.link.info.location, scene.client.incarnation, 5, "x")

    def flood():
        proxy = scene.victim.resolve(there)
        while proxy.send(bytes(MIB)) == 0:
            continue
        return "lost"

    link = scene.link
    coro = scene.victim.spawn(flood)
    poll_until(lambda: link.wire is None or is_stuck(link.wire))
    return coro


def is_stuck(wire):
    """Does it send no more before the other side has read something?"""
    return wire.stream.blocked or wire.connection.session.is_full


@pytest.mark.parametrize("scene", [0.2], indirect=True, ids=["tick"])
def test_B5_a_peer_that_speaks_and_never_reads_is_lost_and_what_waited_for_it_is_freed(scene):
    link, wire = scene.link, scene.link.wire
    with Speaking(scene.client):
        sending = flooded(scene)
        poll_until(lambda: not scene.victim.peers())
    assert sending.value(10) == "lost"
    assert "the peer read nothing for 0.8 s" in poll_until(lambda: scene.events[-1].reason)
    assert link.wire is None and not wire.stream._kept
    freed = weakref.ref(wire.connection)
    del wire
    poll_until(lambda: gc.collect() is not None and freed() is None, what="what waited in the connection is gone")


@pytest.mark.parametrize("scene", [0.2], indirect=True, ids=["tick"])
def test_B5_a_peer_that_reads_slowly_is_not_lost(scene):
    with Speaking(scene.client):
        sending = flooded(scene)
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            scene.client.first(SEND)
            time.sleep(0.05)
        assert scene.victim.peers()
        poll_until(lambda: is_stuck(scene.link.wire))
    scene.client.close()
    assert sending.value(10) == "lost"


def test_B1_nothing_is_left_of_a_delivery_whose_number_was_used_already(scene):
    channel = channel_at(scene.victim)
    number = refs.number("channel", channel.id)
    for sender in (1, 2):
        scene.client.send(struct.pack(">BQQIId", CHANNEL_DELIVER, number, sender, 7, 9, 60.0) + b"\0" + b"\0\0x")
    assert scene.client.is_cut_off()
    assert "number of a delivery twice" in poll_until(lambda: scene.events[-1].reason)
    poll_until(lambda: not scene.victim.services._channels._streams)
    channel.close()


def test_S10_a_header_of_any_depth_ends_a_connection_or_is_taken_and_is_no_fault_of_ours(tcp_world, caplog):
    """Between what the decoder takes and what an encoder would there is little, and where it is differs."""
    victim = tcp_world.runtime()
    victim.handle("test.take", lambda request: request.reply())
    for depth in [*range(940, 1000), 30_000]:
        client = HandMade(victim, f"deep {depth}", depth)
        client.ask(1, "test.take", b'{"a":' + b"[" * depth + b"]" * depth + b"}")
        client.close()
    assert "a bug in greencoro" not in caplog.text
