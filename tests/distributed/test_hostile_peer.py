"""A peer that knows the secret and crosses each limit there is: S11, S10; and files made by hand: F3, F4.

It is a client of its own. An honest peer is online all the time, and is not to notice.
"""

import contextlib
import struct
import threading
from dataclasses import dataclass

import pytest

from greencoro.config import Settings
from greencoro.distributed import refs
from greencoro.distributed.fields import MAX_JSON_BYTES, MAX_PARTS
from greencoro.distributed.location import Location
from greencoro.distributed.refs import Reference
from greencoro.distributed.runtime import Runtime
from greencoro.errors import LinkedCoroEnded, PeerLost
from greencoro.hub.channel import Channel
from greencoro.hub.coroutine import Coro
from greencoro.hub.execution import sleep
from tests.distributed.channels import channel_at
from tests.distributed.conftest import SECRET_KEY, reference
from tests.distributed.hand_made import (
    CHANNEL_DELIVER,
    CHANNEL_SEND,
    DELIVER,
    FIRST,
    LAST,
    LOCATE,
    LOCATED,
    MONITOR,
    PING,
    REPLY,
    REQUEST,
    RESULT,
    SEND,
    HandMade,
    asked,
    text,
)
from tests.distributed.test_rci import rci_at
from tests.support.polling import poll_until

MAX_MESSAGE = 5 << 20
MAX_WAITING = 20
LIMITS = {
    "watches.MAX_WATCHED": 15,
    "locate.MAX_OUTSTANDING": 12,
    "subscriptions.MAX_SUBSCRIPTIONS": 3,
    "send_queue._MAX_ANSWERS": 2000,
}


@dataclass
class Scene:
    """A runtime with a coroutine that reads nothing and a channel it subscribes to; an honest peer; the hostile one."""

    victim: Runtime
    honest: Runtime
    client: HandMade
    idle: Coro
    channel: Channel
    made: list

    @property
    def channel_number(self):
        return refs.number("channel", self.channel.id)

    def another(self, **introduction):
        number = len(self.made)
        self.made.append(HandMade(self.victim, f"hand-made {number}", 9 + number, **introduction))
        return self.made[-1]


@pytest.fixture
def scene(tcp_world, tmp_path, monkeypatch, caplog):
    for name, limit in LIMITS.items():
        monkeypatch.setattr(f"greencoro.distributed.{name}", limit)
    settings = Settings(max_queue_messages=MAX_WAITING, max_message_bytes=MAX_MESSAGE, max_queue_bytes=MAX_MESSAGE)
    victim = Runtime("127.0.0.1", discover_peers=False, secret_key=SECRET_KEY, settings=settings, dest_path=tmp_path)
    tcp_world.made.append(victim)
    honest = tcp_world.runtime()
    assert honest.peer(victim.location, timeout=10) == 0
    (link,) = honest.peer_table.online()
    idle = victim.spawn(sleep, 600)
    channel = channel_at(victim)
    assert channel.subscribe(idle) == 0
    client = HandMade(victim)
    poll_until(lambda: len(victim.peers()) == 2)
    made = Scene(victim, honest, client, idle, channel, [client])
    yield made
    gate = victim.spawn(lambda coro=None: coro.receive())
    assert reference(honest, gate).deliver("still here", 10) == 1
    assert gate.value(10) == "still here"
    assert honest.peer_table.online() == [link], "the honest peer was never lost"
    for each in made.made:
        each.close()
    poll_until(lambda: victim.peers() == [honest.location], what="nothing is left of the hostile peer")
    poll_until(lambda: not idle._observers, what="nobody watches it")
    poll_until(lambda: not victim.names._listeners, what="nobody looks for a name")
    channel.close()
    idle.terminate()
    bad = ("a bug in greencoro", "Traceback", "Exception")
    assert not [record.getMessage() for record in caplog.records if any(word in record.getMessage() for word in bad)]


def located(number, name=b"nobody", wait=1):
    return struct.pack(">BIB", LOCATE, number, wait) + text("coro") + text(name)


def watched(scene, watch, request=1):
    return struct.pack(">BQIQ", MONITOR, scene.idle.id, request, watch)


def sent(scene, payload=b"x"):
    return struct.pack(">BQ", SEND, scene.idle.id) + payload


def through_channel(scene, route=0, payload=b"\0\0x"):
    stages = b"".join(bytes(16) + struct.pack(">Q", number) for number in range(route))
    return struct.pack(">BQQB", CHANNEL_SEND, scene.channel_number, 7, route) + stages + payload


def delivered(scene, request, n=0, seconds=60.0):
    fields = (CHANNEL_DELIVER, scene.channel_number, 7, request, n, seconds, 0)
    return struct.pack(">BQQIIdB", *fields) + b"\0\0x"


#: What it does: why it is cut off, and how it does it.
CROSSINGS = {
    "a record of more than 2 MiB": (
        "2097153 bytes",
        lambda s: s.client.send_raw(struct.pack(">IB3x", (2 << 20) + 1, 0) + bytes(100)),
    ),
    "a record of 4 GiB": (
        "4294967295 bytes",
        lambda s: s.client.send_raw(b"\xff" * 4 + bytes(100)),
    ),
    "a record of an unknown type": (
        "unknown type 3",
        lambda s: s.client.send_raw(s.client.sealed(3, b"")),
    ),
    "a record with a wrong tag": (
        "altered on its way",
        lambda s: s.client.send_raw(s.client.altered(s.client.sealed(0, bytes(4)))),
    ),
    "a batch that announces messages it does not have": (
        "does not fit into it",
        lambda s: s.client.send_raw(s.client.sealed(0, struct.pack(">II", 0xFFFFFFFF, 4))),
    ),
    "a batch of more messages than may be": (
        "10000 are allowed",
        lambda s: s.client.send(*[bytes((PING,))] * 10_001),
    ),
    "an operation with a long name": (
        "longer than 200 bytes",
        lambda s: s.client.send(asked(1, "x" * 201, b"{}")),
    ),
    "a chunk of no stream": (
        "belongs to no stream",
        lambda s: s.client.send_chunk(1, 0, 10, b"x"),
    ),
    "more chunks than announced": (
        "longer than announced",
        lambda s: s.client.send_chunk(1, FIRST, 10, b"x" * 11),
    ),
    "fewer chunks than announced": (
        "shorter than announced",
        lambda s: s.client.send_chunk(1, FIRST | LAST, 10, b"x"),
    ),
    "a stream begun twice": (
        "begins twice",
        lambda s: [s.client.send_chunk(1, FIRST, 10, b"x") for _ in range(2)],
    ),
    "more streams than 64": (
        "one too many",
        lambda s: [s.client.send_chunk(number, FIRST, 10, b"x") for number in range(65)],
    ),
    "a message beyond max_message_bytes": (
        "max_message_bytes is 5242880",
        lambda s: s.client.send_chunk(1, FIRST, MAX_MESSAGE + 1, b"x"),
    ),
    "a message of no kind": (
        "unknown kind",
        lambda s: s.client.send(b"\0"),
    ),
    "an empty message": (
        "malformed",
        lambda s: s.client.send(b""),
    ),
    "a header beyond its bound": (
        "the header of a request has",
        lambda s: s.client.send_large(asked(1, "greencoro.ping", b'{"a":"' + b"x" * MAX_JSON_BYTES + b'"}')),
    ),
    "a header nested without end": (
        "recursion",
        lambda s: s.client.send(asked(1, "greencoro.ping", b"[" * 100_000)),
    ),
    "a header that is no object": (
        "not a JSON object",
        lambda s: s.client.send(asked(1, "greencoro.ping", b"[]")),
    ),
    "more parts than may be": (
        "announces 65537 parts",
        lambda s: s.client.send(asked(1, "greencoro.ping", b"{}", [b""] * (MAX_PARTS + 1))),
    ),
    "more watches than may be": (
        "number of a watch twice, or has too many",
        lambda s: s.client.send(*(watched(s, number) for number in range(16))),
    ),
    "one watch twice": (
        "number of a watch twice",
        lambda s: s.client.send(watched(s, 1), watched(s, 1)),
    ),
    "more names than may be": (
        "for too many",
        lambda s: s.client.send(*(located(number) for number in range(13))),
    ),
    "one name twice": (
        "one name twice",
        lambda s: s.client.send(located(1), located(1)),
    ),
    "a name too long": (
        "too long",
        lambda s: s.client.send(located(1, b"x" * 1001)),
    ),
    "more messages than credit": (
        "than it had credit for",
        lambda s: s.client.send(*(sent(s) for _ in range(MAX_WAITING + 1))),
    ),
    "more bytes than credit": (
        "than it had credit for",
        lambda s: [s.client.send_large(sent(s, bytes(MAX_MESSAGE - 9))) for _ in range(2)],
    ),
    "more deliveries than credit": (
        "than it had credit for",
        lambda s: s.client.send(
            *(struct.pack(">BQI", DELIVER, s.idle.id, number) + b"x" for number in range(MAX_WAITING + 1))
        ),
    ),
    "more through a channel than credit": (
        "than it had credit for",
        lambda s: s.client.send(*(delivered(s, number, n=9) for number in range(1, MAX_WAITING + 2))),
    ),
    "one delivery twice": (
        "number of a delivery twice",
        lambda s: s.client.send(delivered(s, 1, n=9), delivered(s, 1, n=9)),
    ),
    "a route too long": (
        "more channels than it may",
        lambda s: s.client.send(through_channel(s, 33)),
    ),
    "a time to wait that is none": (
        "no time to wait",
        lambda s: s.client.send(delivered(s, 1, seconds=float("nan"))),
    ),
}


@pytest.mark.parametrize("what", CROSSINGS)
def test_S11_who_crosses_a_limit_is_cut_off_and_only_it(scene, what):
    why, cross = CROSSINGS[what]
    events = []
    scene.victim.watch_peers(lambda event: event.online or events.append(event))
    cross(scene)
    assert scene.client.is_cut_off()
    poll_until(lambda: events)
    assert [event.peer.name for event in events] == ["hand-made"]
    assert why in events[0].reason


#: The same, up to the limit.
KEPT = {
    "watches": lambda s: s.client.send(*(watched(s, number) for number in range(12))),
    "names": lambda s: s.client.send(*(located(number) for number in range(12))),
    "a name": lambda s: s.client.send(located(1, b"x" * 1000)),
    "credit": lambda s: s.client.send(*(sent(s) for _ in range(MAX_WAITING))),
    "credit of a channel": lambda s: s.client.send(
        *(delivered(s, number, n=9) for number in range(1, MAX_WAITING + 1))
    ),
    "streams": lambda s: [s.client.send_chunk(number, FIRST, 10, b"x") for number in range(64)],
    "a message": lambda s: s.client.send_large(sent(s, bytes(MAX_MESSAGE - 9))),
    "a header": lambda s: s.client.send_large(asked(1, "x", b'{"a":"' + b"x" * (MAX_JSON_BYTES - 8) + b'"}')),
    "parts": lambda s: s.client.send(asked(1, "greencoro.ping", b"{}", [b""] * MAX_PARTS)),
    "a route": lambda s: s.client.send(through_channel(s, 32)),
}


@pytest.mark.parametrize("what", KEPT)
def test_S11_who_goes_to_a_limit_and_not_beyond_is_heard_on(scene, what):
    KEPT[what](scene)
    assert not scene.client.is_cut_off()


def test_B1_S11_who_asks_and_does_not_read_is_cut_off_and_only_it(scene):
    question = located(7, b"x" * 1000, wait=0)
    for _ in range(1000):
        scene.client.send(*[question] * 100)
        if len(scene.victim.peers()) < 2:
            break
    poll_until(lambda: scene.victim.peers() == [scene.honest.location])


def test_S11_requests_beyond_those_that_may_be_under_way_are_refused(scene):
    gate = threading.Event()

    def slow(request):
        while not gate.is_set():
            sleep(0.02)
        request.reply()

    scene.victim.handle("test.slow", slow)
    scene.client.send(*(asked(number, "test.slow", {}) for number in range(1, MAX_WAITING + 1)))
    refused = scene.client.ask(MAX_WAITING + 1, "test.slow", {})
    assert refused["error"] == "BusyResource"
    gate.set()
    assert not scene.client.is_cut_off()


def test_S11_coroutines_that_a_peer_starts_beyond_their_number_are_refused(scene):
    ended = threading.Event()

    def long():
        while not ended.is_set():
            sleep(0.02)

    function = rci_at(scene.victim, long)
    number = refs.number("rci", function.id)
    arguments = b"\0\0" + b"\x80\x04)}\x86."  # ((), {})
    try:
        for watch in range(1, MAX_WAITING + 1):
            assert "coro" in scene.client.ask(watch, "greencoro.rci.call", {"rci": number, "watch": watch}, [arguments])
        header = {"rci": number, "watch": 99}
        assert scene.client.ask(99, "greencoro.rci.call", header, [arguments])["error"] == "BusyResource"
        other = scene.another()
        assert "coro" in other.ask(1, "greencoro.rci.call", header, [arguments]), "another peer has its own number"
    finally:
        ended.set()
        function.unregister()


@pytest.mark.parametrize("watch", [-1, 1 << 64, 1 << 70, True])
def test_S10_a_number_of_a_watch_that_no_notice_could_carry_is_refused(scene, watch):
    function = rci_at(scene.victim, lambda: None, "short")
    header = {"rci": refs.number("rci", function.id), "watch": watch}
    reply = scene.client.ask(1, "greencoro.rci.call", header, [b"\0\0" + b"\x80\x04)}\x86."])
    function.unregister()
    assert reply["error"] == "RemoteProtocolError"


def test_S11_subscriptions_beyond_their_number_are_refused(scene):
    replies = []
    for number in range(5):
        subscriber = ["127.0.0.1", 9, scene.client.incarnation.hex(), 100 + number, "x"]
        header = {"channel": scene.channel_number, "subscriber": subscriber}
        replies.append(scene.client.ask(number + 1, "greencoro.channel.subscribe", header))
    assert [reply.get("result") for reply in replies] == [0, 0, 0, None, None]
    assert replies[4]["error"] == "BusyResource"
    assert not scene.client.is_cut_off()
    scene.client.close()
    poll_until(lambda: len(scene.channel.everybody()) == 1, what="who is lost subscribes to nothing")


@pytest.mark.parametrize("seconds", [0.0, 5e-324, 1e10, 1e300, float("inf")])
def test_S10_a_delivery_may_wait_for_any_time_and_the_answer_comes(scene, seconds):
    scene.client.send(delivered(scene, 5, n=1, seconds=seconds), delivered(scene, 6, n=2, seconds=seconds))
    assert scene.client.first(RESULT, number=5) == struct.pack(">BIi", RESULT, 5, 1)
    if seconds < 1:
        assert scene.client.first(RESULT, number=6) == struct.pack(">BIi", RESULT, 6, 1)
    else:
        other = scene.victim.spawn(sleep, 600)
        assert scene.channel.subscribe(other) == 0
        assert scene.client.first(RESULT, number=6) == struct.pack(">BIi", RESULT, 6, 2)
        other.terminate()


def test_S10_an_error_with_a_text_of_any_length_is_told_in_what_the_peer_takes(scene):
    def fails(request):
        raise ValueError("\U0001f600" * (3 << 20))

    for operation, on_reactor in (("test.reactor", True), ("test.coroutine", False)):
        scene.victim.handle(operation, fails, on_reactor=on_reactor)
    small = scene.another(max_message_bytes=1024)
    for client in (scene.client, small):
        for operation in ("test.reactor", "test.coroutine"):
            reply = client.ask(1, operation, {})
            assert reply["error"] == "ValueError" and reply["message"].startswith("\U0001f600")
        assert not client.is_cut_off()


OFFER = {"directory": [], "size": 10, "mtime_ns": 0, "mode": 0o644, "overwrite": True, "timeout": 5.0}


@pytest.mark.parametrize(
    "place",
    [
        {"file": "\ud800"},
        {"file": "a\ud800b", "directory": ["\udcff"]},
        {"file": "../x"},
        {"file": "x", "directory": [".."]},
        {"file": "x", "directory": [""]},
        {"file": "x", "directory": ["a"] * 100_000},
        {"file": "x" * 100_000},
        {"file": "x", "directory": ["y" * 255] * 63},
        {"file": "x", "size": 1 << 62},
        {"file": "x", "mtime_ns": -(1 << 62)},
        {"file": "x", "mtime_ns": (1 << 63) - 1},
        {"file": "x", "mode": 1 << 62},
        {"file": "x", "timeout": 5e-324},
        {"file": "x", "transfer": (1 << 63) - 1},
    ],
    ids=lambda place: ascii(place)[:40],
)
def test_F3_S10_any_offer_and_removal_of_a_hand_made_client_is_answered(scene, tmp_path, place):
    reply = scene.client.ask(1, "greencoro.file.offer", OFFER | {"transfer": 1} | place)
    assert reply is not None and ("error" in reply or reply["do"] == "send")
    number = place.get("transfer", 1)
    scene.client.send(asked(0, "greencoro.file.data", {"transfer": number, "at": 0}, [bytes(11)]))
    assert scene.client.ask(2, "greencoro.file.delete", {"directory": []} | place)["error"]
    assert not scene.client.is_cut_off()
    poll_until(lambda: not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"])


def test_S11_transfers_and_data_of_a_hand_made_client_beyond_their_bounds_are_refused(scene):
    client = scene.client
    for number in range(1, 17):
        assert client.ask(number, "greencoro.file.offer", OFFER | {"transfer": number, "file": f"f{number}"})
    refused = client.ask(17, "greencoro.file.offer", OFFER | {"transfer": 17, "file": "g"})
    assert refused["error"] == "BusyResource"
    client.send(asked(0, "greencoro.file.data", {"transfer": 1, "at": 0}, [bytes(11)]))
    assert b"more bytes came than the 10" in client.first(REQUEST, about=b'"failed"')
    assert not client.is_cut_off()


def answering(scene, ask, kind):
    """Have the victim ask something; returns what came of it and the number of the question."""
    asker = scene.victim.spawn(ask)
    question = scene.client.first(kind)
    place = 9 if kind == DELIVER else 1
    return asker, struct.unpack_from(">I", question, place)[0]


def test_S10_an_answer_to_another_kind_of_question_ends_the_connection_and_the_asker_hears_of_the_loss(scene):
    location, incarnation = Location("127.0.0.1", 9), scene.client.incarnation
    there = scene.victim.resolve(Reference(location, incarnation, 5, "x"))
    asker, number = answering(scene, lambda: there.deliver("x", 20), DELIVER)
    scene.client.send(struct.pack(">BIB", REPLY, number, 1) + text("{}") + bytes(4))
    assert asker.value(10) == 0
    assert scene.client.is_cut_off()

    client = scene.client = scene.another()
    poll_until(lambda: len(scene.victim.peers()) == 2)
    (info,) = [info for info in scene.victim.peer_infos() if info.incarnation == client.incarnation]
    asker, number = answering(scene, lambda: scene.victim.request(info, "anything", {}, timeout=20), REQUEST)
    client.send(struct.pack(">BIi", RESULT, number, 1))
    with pytest.raises(PeerLost, match="another kind of question"):
        asker.value(10)


@pytest.mark.parametrize("target", [7 | 1 << 62, 7 | 1 << 60, 7 | 3 << 60, (1 << 64) - 1], ids=hex)
def test_S10_who_finds_something_else_than_was_looked_for_is_cut_off(scene, target):
    asker = scene.victim.spawn(lambda: Coro.locate("wanted", timeout=20))
    # The runtime may look for other things on its own.
    question = scene.client.first(LOCATE, about=b"wanted")
    (number,) = struct.unpack_from(">I", question, 1)
    scene.client.send(struct.pack(">BIQ", LOCATED, number, target) + text("wanted"))
    assert scene.client.is_cut_off()
    asker.terminate()


def test_S11_links_beyond_their_number_are_refused(scene):
    def tied(coro=None):
        with contextlib.suppress(LinkedCoroEnded):
            sleep(600)

    coro = scene.victim.spawn(tied)
    for number in range(1, 31):
        other = ["127.0.0.1", 9, scene.client.incarnation.hex(), number, "x"]
        scene.client.send(asked(number, "greencoro.link", {"target": coro.id, "other": other}))
        # It watches our coroutine in turn, unless it refuses.
        said = scene.client.first(MONITOR, REPLY)
        if said[0] == REPLY:
            assert b"BusyResource" in said
            break
        scene.client.send(struct.pack(">BIi", RESULT, struct.unpack_from(">I", said, 9)[0], 0))
        assert scene.client.reply_to(number) == {"result": 0}
    assert 5 < number <= LIMITS["watches.MAX_WATCHED"] + 1
    assert not scene.client.is_cut_off()
    scene.client.close()
    assert coro.value(10) is None
