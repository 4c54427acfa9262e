"""Somebody who knows the secret, and makes up what names things in a closed runtime: S16, S11."""

import os
import struct
from dataclasses import dataclass

import pytest

from greencoro.distributed import refs
from greencoro.distributed.location import Location
from greencoro.distributed.refs import Reference
from greencoro.distributed.runtime import Runtime
from greencoro.hub.channel import Channel
from greencoro.hub.coroutine import Coro
from tests.distributed.hand_made import (
    CHANNEL_DELIVER,
    CHANNEL_SEND,
    DELIVER,
    GONE,
    LOCATE,
    LOCATED,
    MONITOR,
    RESULT,
    SEND,
    TERMINATE,
    UNLOCK,
    UNLOCKED,
    HandMade,
    asked,
    text,
)
from tests.distributed.hand_made_server import WELCOME, hand_made_server
from tests.distributed.test_rci import rci_at
from tests.distributed.test_remote_channel import channel_at
from tests.support.polling import poll_until


def keep(coro=None):
    """Collects what comes, until None does."""
    kept = []
    while (message := coro.receive()) is not None:
        kept.append(message)
    return kept


@dataclass
class Scene:
    """A closed runtime with a registered coroutine, which subscribes to a channel; and who has no key to it."""

    victim: Runtime
    keeper: Coro
    channel: Channel
    client: HandMade
    made: list
    #: What may have come to the coroutine by the end of the test.
    allowed: list

    @property
    def channel_number(self):
        return refs.number("channel", self.channel.id)

    @property
    def key(self):
        return self.victim.reach.key

    def another(self, **introduction):
        number = len(self.made)
        self.made.append(HandMade(self.victim, f"hand-made {number}", 9 + number, **introduction))
        return self.made[-1]

    def own(self, client, coro_id=5):
        """A reference to a coroutine of a client's, as JSON."""
        return ["127.0.0.1", 9, client.incarnation.hex(), coro_id, "own"]

    def made_up(self, *key):
        """A reference to the coroutine here, as JSON."""
        place = self.victim.location
        return [place.addr, place.port, self.victim.incarnation.hex(), self.keeper.id, "keep", *key]


@pytest.fixture
def scene(tcp_world, caplog):
    victim = tcp_world.runtime(closed=True)

    def registered(coro=None):
        coro.register("the keeper")
        return keep(coro)

    keeper = victim.spawn(registered)
    poll_until(lambda: victim.names.lookup("coro", "the keeper") is not None)
    channel = channel_at(victim)
    assert channel.subscribe(keeper) == 0
    client = HandMade(victim)
    poll_until(lambda: len(victim.peers()) == 1)
    made = Scene(victim, keeper, channel, client, [client], [])
    yield made
    assert keeper.is_alive()
    assert keeper.send(None) == 0
    assert keeper.value(10) == made.allowed
    for each in made.made:
        each.close()
    poll_until(lambda: not victim.peers())
    channel.close()
    bad = ("a bug in greencoro", "Traceback", "Exception")
    assert not [record.getMessage() for record in caplog.records if any(word in record.getMessage() for word in bad)]


def result(client, number):
    """The RESULT of a request."""
    answer = client.first(RESULT, number=number)
    assert answer is not None
    return struct.unpack(">i", answer[5:])[0]


def refuses_all(scene, client):
    """Is everything that names something there answered as if it were not?"""
    target, payload = scene.keeper.id, b"\0\0\x80\x05N."
    before = scene.victim.reach.refused
    client.send(struct.pack(">BQ", SEND, target) + payload)
    assert client.first(GONE, about=struct.pack(">Q", target)) is not None
    client.send(struct.pack(">BQI", DELIVER, target, 1) + payload)
    assert result(client, 1) == 0
    client.send(struct.pack(">BQIQ", MONITOR, target, 2, 77))
    assert result(client, 2) == -1
    for number, hard in ((3, 0), (4, 1)):
        client.send(struct.pack(">BQIB", TERMINATE, target, number, hard))
        assert result(client, number) == -1
    client.send(struct.pack(">BQIB", TERMINATE, target, 0, 0))
    client.send(struct.pack(">BQQB", CHANNEL_SEND, scene.channel_number, 1, 0) + payload)
    assert client.first(GONE, about=struct.pack(">Q", scene.channel_number)) is not None
    client.send(struct.pack(">BQQIIdB", CHANNEL_DELIVER, scene.channel_number, 1, 5, 0, 1.0, 0) + payload)
    assert result(client, 5) == 0
    for number, wait in ((6, 0), (7, 1)):
        client.send(struct.pack(">BIB", LOCATE, number, wait) + text("coro") + text("the keeper"))
        answer = client.first(LOCATED, number=number)
        assert struct.unpack(">Q", answer[5:13]) == (0,)
    own, forged = scene.own(client), scene.made_up()
    answered = [
        ("greencoro.notify", {"monitor": target, "observed": own, "number": 1}),
        ("greencoro.link", {"target": target, "other": own}),
        ("greencoro.channel.subscribe", {"channel": scene.channel_number, "subscriber": own}),
        ("greencoro.channel.unsubscribe", {"channel": scene.channel_number, "subscriber": forged}),
    ]
    for number, (operation, header) in enumerate(answered, 10):
        assert client.ask(number, operation, header)["result"] == -1, operation
    client.send(asked(20, "greencoro.notify.undo", {"monitor": target, "observed": forged, "number": 1}))
    client.send(asked(21, "greencoro.unlink", {"target": target, "other": own}))
    assert not client.is_cut_off()
    assert scene.channel.subscribers() == (scene.keeper,)
    poll_until(lambda: scene.victim.reach.refused >= before + 14)
    assert ("watched", 77) not in scene.victim.peer_table.links[client.incarnation].on_lost


def test_S16_without_the_key_there_is_nothing_there(scene):
    refuses_all(scene, scene.client)


def test_S16_an_rci_is_not_called_without_the_key(scene):
    started = []
    rci = rci_at(scene.victim, lambda: started.append(1))
    header = {"rci": refs.number("rci", rci.id), "watch": 5}
    answer = scene.client.ask(1, "greencoro.rci.call", header, [b"\0\0\x80\x05)}\x86."])
    assert answer["error"] == "BrokenResource"
    assert not started
    rci.unregister()


def test_S16_wrong_keys_are_not_answered_and_open_nothing(scene):
    key = scene.key
    wrong = [bytes(16), key[::-1], key[:15] + bytes((key[15] ^ 1,)), os.urandom(16)]
    scene.client.send(*(struct.pack(">B", UNLOCK) + each for each in wrong))
    # Nor does what an answer would look like.
    scene.client.send(struct.pack(">B", UNLOCKED) + key)
    refuses_all(scene, scene.client)
    assert not [each for each in scene.client._aside if each[0] == UNLOCKED]


@pytest.mark.parametrize("length", [0, 15, 17])
def test_S11_a_key_of_another_length_ends_the_connection(scene, length):
    scene.client.send(struct.pack(">B", UNLOCK) + bytes(length))
    assert scene.client.is_cut_off()


def test_S11_another_way_to_end_a_coroutine_ends_the_connection(scene):
    scene.client.send(struct.pack(">BQIB", TERMINATE, scene.keeper.id, 1, 2))
    assert scene.client.is_cut_off()


def test_the_key_opens_the_link_that_it_is_shown_on_and_is_answered_once(scene):
    stranger = scene.another()
    poll_until(lambda: len(scene.victim.peers()) == 2)
    client, target = scene.client, scene.keeper.id
    unlock = struct.pack(">B", UNLOCK) + scene.key
    client.send(unlock, struct.pack(">BQI", DELIVER, target, 1) + b"\0\0\x80\x05K\x01.")
    assert client.first(UNLOCKED) == struct.pack(">B", UNLOCKED) + scene.key
    assert result(client, 1) == 1
    scene.allowed.append(1)
    client.send(unlock)
    assert not client.is_cut_off()
    assert not [each for each in client._aside if each[0] == UNLOCKED]
    refuses_all(scene, stranger)


def test_S16_who_goes_on_as_one_that_had_the_key_has_to_show_it_all_the_same(scene):
    """What that one sent waits unread, and is counted to whoever says to be it."""
    busy = scene.victim.spawn(lambda coro=None: coro.suspend())
    first = scene.client
    first.send(struct.pack(">B", UNLOCK) + scene.key, struct.pack(">BQI", DELIVER, busy.id, 1) + b"\0\0\x80\x05K\x01.")
    assert result(first, 1) == 1
    first.close()
    poll_until(lambda: not scene.victim.peers())
    second = scene.another(identity=first.identity)
    poll_until(lambda: len(scene.victim.peers()) == 1)
    second.send(struct.pack(">BQI", DELIVER, busy.id, 1) + b"\0\0\x80\x05K\x01.")
    assert result(second, 1) == 0
    refuses_all(scene, second)
    busy.terminate()


def test_who_is_connected_anew_hears_of_the_end_of_what_it_had_sent_to(scene):
    busy = scene.victim.spawn(lambda coro=None: coro.suspend())
    first = scene.client
    first.send(struct.pack(">B", UNLOCK) + scene.key, struct.pack(">BQI", DELIVER, busy.id, 1) + b"\0\0\x80\x05K\x01.")
    assert result(first, 1) == 1
    first.close()
    poll_until(lambda: not scene.victim.peers())
    second = scene.another(identity=first.identity)
    poll_until(lambda: len(scene.victim.peers()) == 1)
    busy.terminate()
    assert second.first(GONE, about=struct.pack(">Q", busy.id)) is not None


@pytest.mark.parametrize("dials", [True, False], ids=["it dials", "it is dialled"])
def test_S16_who_says_to_be_the_closed_runtime_is_shown_no_key(scene, tcp_world, dials):
    """Its incarnation is in its hello, for anybody who knows the secret and connects."""
    holder = tcp_world.runtime()
    assert scene.client.introduced[:16] == scene.victim.incarnation
    place = Reference(scene.victim.location, scene.victim.incarnation, scene.keeper.id, "keep", scene.key)
    with hand_made_server(holder, incarnation=scene.victim.incarnation) as server:
        if dials:
            liar = HandMade(holder, "liar", incarnation=scene.victim.incarnation)
            scene.made.append(liar)
        else:
            # What is queued for it goes to the true one, if that is met in time.
            other = scene.victim.spawn(keep)
            there = holder.resolve(place._replace(location=Location("127.0.0.1", server.port), id=other.id))
            sending = holder.spawn(lambda: there.send("a secret"))
            liar = server.accept(WELCOME)
            scene.made.append(liar)
            sending.value(10)
        assert liar.first(UNLOCK, SEND) is None, "it is cut off before anything was sent to it"
    assert not holder.peers()
    scene.allowed.append("at last")
    assert holder.resolve(place).deliver("at last", 10) == 1
    holder.finish()
    if not dials:
        other.terminate()


def test_S16_the_key_is_in_nothing_that_a_stranger_is_told(scene):
    assert scene.key not in scene.client.introduced
    for number, operation in enumerate(("greencoro.ping", "greencoro.clock", "no such operation"), 20):
        assert scene.key.hex() not in str(scene.client.ask(number, operation, {}))


def test_S16_a_reference_in_a_request_of_one_let_in_needs_the_key_of_its_own(scene):
    """One here that may be named is not told of the end of one here that is merely made up."""
    unlock = struct.pack(">B", UNLOCK) + scene.key
    scene.client.send(unlock)
    watcher = scene.victim.spawn(keep)
    header = {"monitor": watcher.id, "observed": scene.made_up(), "number": 1}
    assert scene.client.ask(1, "greencoro.notify", header)["result"] == -1
    assert not [each for each in scene.keeper._observers or () if each is watcher]
    header["observed"] = scene.made_up(scene.key.hex())
    assert scene.client.ask(2, "greencoro.notify", header)["result"] == 0
    watcher.terminate()


@pytest.mark.parametrize("key", ["", "x" * 32, "0" * 30, "0" * 34, 5, None, ["0" * 32]])
def test_S11_a_reference_with_no_key_for_a_key_is_refused(scene, key):
    scene.client.send(struct.pack(">B", UNLOCK) + scene.key)
    watcher = scene.victim.spawn(keep)
    answer = scene.client.ask(1, "greencoro.notify", {"monitor": watcher.id, "observed": scene.made_up(key)})
    assert answer["error"] == "RemoteProtocolError"
    answer = scene.client.ask(2, "greencoro.notify", {"monitor": watcher.id, "observed": scene.made_up("0" * 32, "0")})
    assert answer["error"] == "RemoteProtocolError"
    watcher.terminate()
