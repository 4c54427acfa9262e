"""S14, S11: what a peer can do to others by naming them at places where they are not, or where nobody is."""

import contextlib
import logging
import os
import time
from types import SimpleNamespace

import pytest

from greencoro.distributed import referrals, refs
from greencoro.distributed.dial import Dial, Waiter
from greencoro.distributed.link_states import LinkState
from greencoro.distributed.location import Location
from greencoro.distributed.messages import Located
from greencoro.distributed.refs import MAX_NAME_CHARACTERS, Reference
from greencoro.errors import BusyResource, RemoteProtocolError
from greencoro.hub.execution import sleep
from tests.distributed.channels import channel_at
from tests.distributed.conftest import reference
from tests.distributed.hand_made import HandMade, asked
from tests.distributed.hand_made_server import silent_place, taken
from tests.support.polling import poll_until
from tests.support.ports import free_port

SUBSCRIBE, NOTIFY, UNDO_NOTIFY = "greencoro.channel.subscribe", "greencoro.notify", "greencoro.notify.undo"


def receive(coro=None):
    return coro.receive()


class Scene:
    def __init__(self, world, **settings):
        self.world = world
        self.victim = world.runtime(**settings)
        self.channel = channel_at(self.victim)
        self.idle = self.victim.spawn(sleep, 600)
        self.liar = HandMade(self.victim, "liar", 9)
        poll_until(self.victim.peers)

    def header(self, host, port, incarnation, number=7, name="x"):
        """That somebody there may be told of an end here, or hear what comes by the channel."""
        there = [host, port, incarnation.hex(), number, name]
        channel = refs.number("channel", self.channel.id)
        return {"channel": channel, "subscriber": there, "monitor": self.idle.id, "observed": there, "number": number}

    def close(self):
        self.liar.close()
        self.channel.close()
        self.idle.terminate()


@pytest.fixture
def scene(tcp_world, request):
    made = Scene(tcp_world, **getattr(request, "param", {}))
    yield made
    made.close()


# Somebody who lives, named at a place where it is not.


@pytest.mark.parametrize("operation", [SUBSCRIBE, NOTIFY])
def test_S14_who_was_named_at_a_closed_port_is_reached_where_it_is(scene, operation):
    honest = scene.world.runtime()
    coro = honest.spawn(receive)
    assert scene.liar.ask(1, operation, scene.header("127.0.0.1", free_port(), honest.incarnation)) is not None
    poll_until(lambda: honest.incarnation not in scene.victim.peer_table.links)
    assert honest.incarnation not in scene.victim.peer_table.lost
    assert reference(scene.victim, coro).deliver("x", 10) == 1
    assert coro.value(5) == "x"


def test_S14_who_is_being_dialled_at_a_silent_place_is_reached_where_it_is(scene):
    honest = scene.world.runtime()
    coro = honest.spawn(receive)
    with silent_place() as silent:
        wrong = scene.header("127.0.0.1", silent.getsockname()[1], honest.incarnation)
        assert scene.liar.ask(1, SUBSCRIBE, wrong) == {"result": 0}
        link = scene.victim.peer_table.links[honest.incarnation]
        assert link.state is LinkState.DIALING
        assert reference(scene.victim, coro).deliver("x", 3) == 1
        assert link.state is LinkState.UP
    assert coro.value(5) == "x"


def test_S14_one_of_two_places_where_it_is_not_does_not_lose_what_is_sent_to_the_other(scene):
    honest = scene.world.runtime()
    coro = honest.spawn(receive)
    # The connection to the right place is only accepted when the wrong one has failed.
    with silent_place() as silent:
        there = Location("127.0.0.1", silent.getsockname()[1])
        held = scene.victim.resolve(Reference(there, honest.incarnation, coro.id, "x"))
        assert held.send("x") == 0
        link = scene.victim.peer_table.links[honest.incarnation]
        scene.liar.ask(1, SUBSCRIBE, scene.header("127.0.0.1", free_port(), honest.incarnation))
        poll_until(lambda: scene.victim.peer_table._referrals._not_found)
        assert link.state is LinkState.DIALING
        assert honest.peer(scene.victim.location) == 0
    assert coro.value(5) == "x"


def test_S14_a_subscriber_that_is_not_where_it_was_said_to_be_is_none_and_masks_nobody(scene):
    stranger = os.urandom(16)
    header = scene.header("127.0.0.1", free_port(), stranger)
    assert scene.liar.ask(1, SUBSCRIBE, header) == {"result": 0}
    poll_until(lambda: not scene.channel.everybody())
    assert scene.liar.ask(2, SUBSCRIBE, header) == {"result": -1}
    assert not scene.channel.everybody()


@pytest.mark.parametrize("way", ["subscribe", "meet"])
def test_S14_who_is_being_dialled_at_a_silent_place_comes_in_by_its_own_dial(tcp_world, way, caplog):
    victim = tcp_world.runtime(discover_peers=True, udp_port=free_port())
    # The lower of two incarnations is the one whose dial stays.
    honest = tcp_world.runtime()
    while honest.incarnation < victim.incarnation:
        honest = tcp_world.runtime()
    channel = channel_at(victim)
    liar = HandMade(victim, "liar", 9)
    with silent_place() as silent, caplog.at_level(logging.WARNING, "greencoro"):
        there = ["127.0.0.1", silent.getsockname()[1], honest.incarnation.hex()]
        if way == "meet":
            liar.ask(1, "greencoro.meet", {"peer": there})
        else:
            subscriber = {"channel": refs.number("channel", channel.id), "subscriber": [*there, 7, "x"]}
            liar.ask(1, SUBSCRIBE, subscriber)
        dials = victim.peer_table._dialling._dials
        poll_until(lambda: any(dial.is_connected for dial in dials.values()))
        began = time.monotonic()
        assert honest.peer(victim.location) == 0
        assert time.monotonic() - began < 5
    assert "secret" not in caplog.text
    liar.close()
    channel.close()


def test_S14_who_is_being_dialled_at_a_silent_place_is_dialled_where_a_ping_says(scene):
    stranger = os.urandom(16)
    with silent_place() as silent:
        scene.liar.ask(1, SUBSCRIBE, scene.header("127.0.0.1", silent.getsockname()[1], stranger))
        assert stranger in scene.victim.peer_table.links
        online = scene.victim._neighbours._online
        assert stranger not in online and scene.liar.incarnation in online


def test_S14_only_a_dial_to_where_somebody_comes_from_stands_in_its_way():
    place = Location("10.0.0.1", 7)
    dial = Dial(None, place, b"c" * 16, 0.0)
    dial.waiting.append(Waiter(None, lambda link, error: None))
    dial.wire = SimpleNamespace(is_closed=False, connection=SimpleNamespace(established=False))

    def crosses(host, **hello):
        wire = SimpleNamespace(stream=SimpleNamespace(peer_address=host))
        return dial.crosses(wire, SimpleNamespace(**{"location": place, "incarnation": b"c" * 16} | hello))

    assert crosses("10.0.0.1") and crosses("10.0.0.1", incarnation=b"d" * 16)
    assert not crosses("10.0.0.2") and not crosses("10.0.0.1", location=Location("10.0.0.1", 8))
    # Whoever has answered is known.
    dial.wire.connection.established = True
    assert crosses("10.0.0.2") and not crosses("10.0.0.1", incarnation=b"d" * 16)
    dial.wire.is_closed = True
    assert not crosses("10.0.0.1")


# Those who never were.


@pytest.mark.parametrize("operation", [SUBSCRIBE, NOTIFY, UNDO_NOTIFY])
def test_S11_a_peer_has_only_so_many_dialled_and_an_honest_one_is_reached_meanwhile(scene, operation, monkeypatch):
    monkeypatch.setattr(scene.victim.peer_table._referrals._of_all, "max_items", 20)
    monkeypatch.setattr(referrals, "MAX_OF_ONE", 12)
    with silent_place() as silent, contextlib.ExitStack() as stack:
        port = silent.getsockname()[1]
        for first, at in ((0, 12), (100, 20)):
            named = range(first, first + 50)
            client = scene.liar if not first else HandMade(scene.victim, "another", 10)
            if first:
                stack.callback(client.close)
            headers = [scene.header(f"127.1.1.{number + 1}", port, os.urandom(16), number + 1) for number in named]
            client.send(*[asked(0, operation, header) for header in headers])
            poll_until(lambda at=at: len(scene.victim.peer_table._dialling._dials) == at)
            refused = client.ask(2**31, SUBSCRIBE, scene.header("127.1.2.1", port, os.urandom(16)))
            assert refused["error"] == BusyResource.__name__
        # What a user of this runtime sends to is no matter of these.
        honest = scene.world.runtime()
        coro = honest.spawn(receive)
        assert reference(scene.victim, coro).deliver("x", 5) == 1
        assert coro.value(5) == "x"
        made = taken(silent)
        assert len(made) == 20
        for sock in made:
            sock.close()
    # With the dials the places are free again.
    poll_until(lambda: not scene.victim.peer_table._referrals._of_all.items)
    assert not scene.victim.peer_table._referrals._places
    assert scene.liar.ask(3, SUBSCRIBE, scene.header("127.0.0.1", free_port(), os.urandom(16))) == {"result": 0}


def test_S11_those_that_were_not_found_are_remembered_only_so_far(scene, monkeypatch):
    monkeypatch.setattr(referrals, "_REMEMBER", 3)
    port = free_port()
    for number in range(1, 8):
        stranger = os.urandom(16)
        scene.liar.ask(number, SUBSCRIBE, scene.header("127.0.0.1", port, stranger, number))
        poll_until(lambda stranger=stranger: stranger not in scene.victim.peer_table.links)
    assert len(scene.victim.peer_table._referrals._not_found) == 3
    assert not scene.victim.peer_table.lost


# Names.


def test_S11_a_reference_with_a_name_that_is_too_long_is_refused(scene):
    place = "127.0.0.1", free_port(), os.urandom(16), 7
    assert scene.liar.ask(1, SUBSCRIBE, scene.header(*place, "n" * MAX_NAME_CHARACTERS)) == {"result": 0}
    refused = scene.liar.ask(2, SUBSCRIBE, scene.header(*place, "n" * (MAX_NAME_CHARACTERS + 1)))
    assert refused["error"] == RemoteProtocolError.__name__


def test_S11_what_is_found_has_no_name_that_is_too_long():
    from greencoro.distributed.decoding import decode

    for length in (MAX_NAME_CHARACTERS, MAX_NAME_CHARACTERS + 1):
        encoded = b"".join(bytes(part) for part in Located(1, 7, "n" * length).encode())
        if length == MAX_NAME_CHARACTERS:
            assert decode(encoded).name == "n" * length
        else:
            with pytest.raises(RemoteProtocolError):
                decode(encoded)


def test_a_coroutine_with_a_long_name_travels_under_the_beginning_of_it(runtime_pair):
    def named(coro=None):
        return coro.receive()

    named.__name__ = "n" * 3000
    coro = runtime_pair.one.spawn(named)
    assert len(refs.from_json(refs.to_json(coro)).name) == MAX_NAME_CHARACTERS
    coro.terminate()
