"""B1: what a peer can make us hold is bounded, in messages and in bytes, whatever it asks for and however often it
breaks its connection."""

import asyncio
import re
import struct
import threading
from dataclasses import dataclass

import pytest

from greencoro.config import Settings
from greencoro.distributed.runtime import Runtime
from greencoro.errors import BusyResource, DeadlineExceeded, RemoteError
from greencoro.hub.execution import sleep
from tests.distributed.conftest import SECRET_KEY, reference
from tests.distributed.hand_made import FIRST, LAST, SEND, HandMade, asked
from tests.support.polling import poll_until

DEBT = 22
KIB, MIB = 1 << 10, 1 << 20
WINDOW, MESSAGES = 4 * MIB, 20
SETTINGS = Settings(
    max_queue_messages=MESSAGES, max_queue_bytes=WINDOW, max_message_bytes=MIB, send_timeout_seconds=0.3
)


@dataclass
class Scene:
    victim: Runtime
    made: list
    events: list

    def client(self, name="hand-made", port=9, identity=None):
        known = len(self.events)
        self.made.append(HandMade(self.victim, name, port, identity=identity))
        poll_until(lambda: [event.online for event in self.events[known:]][-1:] == [True])
        return self.made[-1]

    def again(self, client):
        """The same one, after its connection broke."""
        client.close()
        poll_until(lambda: not self.victim.peers())
        return self.client(identity=client.identity)

    @property
    def link(self):
        (link,) = self.victim.peer_table.online()
        return link


@pytest.fixture
def scene(tcp_world):
    victim = Runtime("127.0.0.1", discover_peers=False, secret_key=SECRET_KEY, settings=SETTINGS)
    tcp_world.made.append(victim)
    events = []
    victim.watch_peers(events.append)
    made = Scene(victim, [], events)
    yield made
    for each in made.made:
        each.close()
    poll_until(lambda: not victim.peers())
    poll_until(lambda: not len(victim._calls.serving), what="nothing of the peer is under way")


def error_of(reply):
    return reply.get("error"), reply.get("message", "")


def waiting_in(coro):
    """How many messages are in its mailbox."""
    return len(coro._mailbox._queue or ())


def test_B1_answers_that_a_peer_does_not_read_are_held_up_to_a_limit_in_bytes_and_then_refused(scene):
    client, peak = scene.client(), []

    def answer(request):
        request.reply({}, [bytes(512 * KIB)])
        peak.append(request.link._queue.waiting[1])

    scene.victim.handle("test.large", answer)
    numbers = range(1, 201)
    for number in numbers:
        # A few at a time: this is about answers, not about how many may be under way.
        client.send(asked(number, "test.large", {}))
        poll_until(lambda number=number: len(peak) == number, interval=0)
    assert WINDOW < max(peak) <= 2 * WINDOW
    told = [error_of(client.reply_to(number)) for number in numbers]
    refused = [text for error, text in told if error is not None]
    assert {error for error, _ in told} == {None, "BusyResource"}
    words = r"it was done; there is no room for the answer of 5243\d\d bytes, others wait to be read"
    assert all(re.fullmatch(words, text) for text in refused)
    assert not client.is_cut_off()


@pytest.mark.parametrize("where", ["parts", "header"])
def test_B1_requests_that_wait_for_their_handlers_are_bounded_in_bytes_across_broken_connections(scene, where):
    gate, started = threading.Event(), []

    def slow(request):
        started.append(request)
        while not gate.is_set():
            sleep(0.02)
        request.reply()

    def ask(client, number):
        if where == "parts":
            client.send(asked(number, "test.slow", {}, [bytes(900 * KIB)]))
        else:
            # As objects, text is larger.
            client.send(asked(number, "test.slow", {"x": [0] * (15 * KIB)}))

    scene.victim.handle("test.slow", slow)
    try:
        client = scene.client()
        for number in range(1, 11):
            ask(client, number)
        refused = [error_of(client.reply_to(number)) for number in range(5, 11)]
        assert [error for error, _ in refused] == ["BusyResource"] * 6
        assert "4 requests of this peer, " in refused[0][1] and "bytes, are under way here already" in refused[0][1]
        tally = scene.victim._calls.serving.of(client.incarnation)
        assert tally.items == 4 and tally.size <= WINDOW
        for _ in range(3):
            client = scene.again(client)
            ask(client, 1)
            assert error_of(client.reply_to(1))[0] == "BusyResource"
        poll_until(lambda: len(started) == 4)
        other = scene.client("other", 10)
        ask(other, 1)
        poll_until(lambda: len(started) == 5, what="another peer has its own bound")
    finally:
        gate.set()
    poll_until(lambda: not tally.items and not tally.size)
    assert client.ask(2, "test.slow", {}) == {}


def test_B1_unfinished_large_messages_are_bounded_in_bytes(scene):
    client = scene.client()
    for number in range(1, 6):
        client.send_chunk(number, FIRST, MIB, b"x")
    assert not client.is_cut_off(), "so many may be begun: together they are just larger than the window"
    client.send_chunk(1, LAST, MIB, bytes(MIB - 1))
    assert client.is_cut_off(), "no message begins with 0, so this was the end of one"
    client = scene.client()
    for number in range(1, 7):
        client.send_chunk(number, FIRST, MIB, b"x")
    assert client.is_cut_off()
    poll_until(lambda: "began a message while 5242880 bytes of others were unfinished" in scene.events[-1].reason)


def sent(coro, size=0):
    return struct.pack(">BQ", SEND, coro.id) + bytes(size)


@pytest.mark.parametrize(("size", "at_once"), [(0, MESSAGES), (900 * KIB, 4)], ids=["by number", "by size"])
def test_B1_who_breaks_its_connection_again_and_again_fills_a_mailbox_up_to_twice_the_limit(scene, size, at_once):
    idle = scene.victim.spawn(lambda coro=None: sleep(600))
    client = scene.client()
    rounds = 0
    while rounds < 5:
        for _ in range(at_once):
            client.send(sent(idle, size))
        if client.is_cut_off():
            break
        rounds += 1
        client = scene.again(client)
    poll_until(lambda: not scene.victim.peers())
    assert rounds == 2
    poll_until(lambda: "more than it had credit for, after connections that broke" in scene.events[-1].reason)
    assert waiting_in(idle) <= 2 * at_once + 1
    idle.terminate()


def test_B1_who_comes_back_is_told_what_waits_for_each_mailbox(scene):
    read = scene.victim.spawn(lambda coro=None: [coro.receive() for _ in range(3)] and sleep(600))
    unread = scene.victim.spawn(lambda coro=None: sleep(600))
    over = scene.victim.spawn(lambda coro=None: sleep(600))
    client = scene.client()
    client.send(*[sent(read)] * 3, *[sent(unread, 10)] * 5, *[sent(over)] * 2)
    assert not client.is_cut_off()
    poll_until(lambda: not waiting_in(read))
    over.terminate()
    poll_until(lambda: not over.is_alive())
    client = scene.again(client)
    assert client.first(DEBT) == struct.pack(">BQIQ", DEBT, unread.id, 5, 5 * 19)
    client.close()
    for coro in (read, unread):
        coro.terminate()
    poll_until(lambda: not scene.victim.peers())
    poll_until(lambda: not len(scene.victim.inflows._held), what="nothing is remembered of who has nothing under way")


def test_B1_B2_after_a_break_the_sender_has_as_much_credit_as_without_it(world):
    one, other = world.runtime(), world.runtime(max_queue_messages=MESSAGES)
    go_on = threading.Event()

    def late_reader(coro=None):
        while not go_on.is_set():
            sleep(0.02)
        return [coro.receive(20) for _ in range(2 * MESSAGES)]

    reader = other.spawn(late_reader)
    lost = []
    one.watch_peers(lambda event: event.online or lost.append(event.dropped))

    def send(first):
        assert one.peer(other.location, timeout=10) == 0
        there = reference(one, reader)
        link = there.reach()
        sender = one.spawn(lambda: [there.send(number) for number in range(first, first + MESSAGES)])
        return link, sender

    link, sender = send(0)
    assert sender.value(10) == [0] * MESSAGES
    poll_until(lambda: waiting_in(reader) == MESSAGES)
    one.reactor.post(link.wire.on_end, ConnectionResetError(104, "Connection reset by peer"))
    poll_until(lambda: link.is_lost and not other.peer_table.online())
    assert one.peer(other.location, timeout=10) == 0
    (link,) = one.peer_table.online()
    poll_until(lambda: reader.id in link.outflows and link.outflows[reader.id].granted_messages == 0)
    _, sender = send(MESSAGES)
    poll_until(lambda: link.outflows[reader.id].waiters)
    assert link.outflows[reader.id].unconfirmed_messages == 0
    go_on.set()
    assert sender.value(10) == [0] * MESSAGES
    assert reader.value(20) == list(range(2 * MESSAGES))
    assert lost == [MESSAGES]
    assert not link.is_lost


@pytest.mark.parametrize("way", ["request", "post"])
def test_B2_requests_to_a_peer_that_does_not_read_wait_for_room_and_are_refused(scene, way):
    client = scene.client()
    peer, link = scene.link.info, scene.link
    parts = [bytes(900 * KIB)]

    def ask():
        try:
            if way == "post":
                return scene.victim.post(peer, "test.any", {}, parts)
            scene.victim.request(peer, "test.any", {}, parts, 0.3)
        except DeadlineExceeded:
            return 0
        except BusyResource as error:
            return -1 if "no room for 'test.any'" in str(error) else 1

    took = [scene.victim.spawn(ask) for _ in range(60)]
    results = [each.value(20) for each in took]
    assert set(results) == {0, -1}
    assert link._queue.waiting[1] <= WINDOW + MIB
    assert not link._queue.waiters and not link.answers.pending
    # Who reads makes room.
    for _ in range(results.count(0)):
        assert client.first(15, about=b"test.any") is not None
    assert scene.victim.post(peer, "test.any", {}, parts) == 0


def test_B1_an_answer_of_a_coroutine_that_finds_no_room_fails_the_call(tcp_world):
    one, other = tcp_world.runtime(), tcp_world.runtime(max_queue_bytes=WINDOW, max_message_bytes=MIB)
    calls = 20

    def answer_all(coro=None):
        requests = [coro.receive(20) for _ in range(calls)]
        (back,) = other.peer_table.online()
        back.wire.held = True
        for request in requests:
            request.reply(bytes(900 * KIB))
        size = back._queue.waiting[1]
        back.wire.held = False
        other.reactor.post(back.wire.flush)
        return size

    answering = other.spawn(answer_all)
    assert one.peer(other.location, timeout=10) == 0
    there = reference(one, answering)

    def ask():
        try:
            return len(there.call("question", 20))
        except RemoteError as error:
            return str(error)

    asking = [one.spawn(ask) for _ in range(calls)]
    told = [each.value(30) for each in asking]
    assert WINDOW < answering.value(10) <= 2 * WINDOW
    refused = [each for each in told if each != 900 * KIB]
    assert 0 < len(refused) < calls
    assert all("there is no room for the answer, others wait to be read" in text for text in refused)


def test_what_may_not_wait_has_its_request_refused_where_there_is_no_room(scene):
    scene.client()
    peer, link, told = scene.link.info, scene.link, []
    link.wire.held = True
    while scene.victim.post_nowait(peer, "test.any", {}, [bytes(900 * KIB)]):
        continue

    def ask():
        try:
            told.append(scene.victim.post(peer, "test.any", {}))
        except BusyResource as error:
            told.append(str(error))

    async def on_a_loop():
        ask()

    scene.victim.reactor.post(ask)
    poll_until(lambda: told)
    asyncio.run(on_a_loop())
    assert told == [f"there was no room for 'test.any' on the way to {peer}"] * 2
    link.wire.held = False
    scene.victim.reactor.post(link.wire.flush)


def test_an_honest_peer_that_says_of_more_mailboxes_what_waits_for_them_than_are_remembered_is_heard_on(
    scene, monkeypatch
):
    monkeypatch.setattr("greencoro.distributed.inflows.MAX_DEBTS", 5)
    client = scene.client()
    link = scene.link
    link.outflow(1000)
    client.send(*(struct.pack(">BQIQ", DEBT, target, 3, 30) for target in [*range(1, 10), 1000]))
    assert not client.is_cut_off()
    assert sorted(link.outflows) == [1, 2, 3, 4, 1000]
    assert {flow.window_messages - flow.granted_messages for flow in link.outflows.values()} == {3}
