"""Peers that know the secret and do not let a runtime in, or are not let in, or say to be where they are not."""

import contextlib
import json
import os
import socket
import struct
import threading

import pytest

from greencoro.distributed import datagrams, neighbours
from greencoro.distributed.admission import REFUSED, Claim
from greencoro.distributed.link_states import LinkState
from greencoro.distributed.location import Location
from greencoro.distributed.messages import Bye, Ping
from greencoro.distributed.refs import Reference
from greencoro.errors import NetworkError, PeerLost, PeerUnreachable
from greencoro.hub import native
from tests.distributed.hand_made import PING, REPLY, REQUEST, HandMade, text
from tests.distributed.hand_made_server import WELCOME, hand_made_server, silent_place, taken
from tests.support.polling import poll_until
from tests.support.ports import free_port

BYE = bytes((14,))


@contextlib.contextmanager
def heartbeats(client):
    """Messages of no content, which let it live."""
    over = threading.Event()

    def beat():
        while not over.wait(0.05):
            client.send(bytes((PING,)))

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def flood(wire):
    """What comes of many heartbeats, each by itself, none of whose answers goes; on the reactor."""
    try:
        for _ in range(1500):
            wire.owner.on_message(wire, Ping())
    except NetworkError as error:
        wire.fail(error)


# Before it has let this runtime in.


def waits_for_welcome(one, server):
    """A dial of a runtime that a place made by hand has answered, and its wire."""
    errors = []
    place = Location("127.0.0.1", server.port)
    one.reactor.post(one.peer_table.dial, place, lambda link, error: errors.append(error))
    answered = server.accept()
    (dial,) = one.peer_table._dialling._dials.values()
    poll_until(lambda: dial.is_established and dial.wire.owner is dial)
    return answered, dial.wire, errors


def test_B1_who_asks_on_and_on_before_it_has_let_this_runtime_in_is_cut_off(tcp_world):
    one = tcp_world.runtime()
    with hand_made_server(one) as server:
        answered, wire, errors = waits_for_welcome(one, server)
        one.reactor.post(flood, wire)
        (error,) = poll_until(lambda: errors)
        assert "asks, and does not read the answers" in str(error)
        assert wire.is_closed and wire.connection.waiting_control <= 1000
        answered.close()


def test_B1_who_asks_on_and_on_before_it_is_known_who_it_is_is_cut_off(tcp_world):
    one, honest = tcp_world.runtime(), tcp_world.runtime(name="twin")
    assert one.peer(honest.location) == 0
    # It is asked, and does not answer for a while.
    poll_until(honest.peer_table.online)[0].wire.held = True
    newcomer = HandMade(one, "twin")
    (claim,) = poll_until(lambda: list(one.peer_table._admission._claims))
    one.reactor.post(flood, claim.wire)
    poll_until(lambda: claim.wire.is_closed, what="it is cut off")
    assert claim.wire.connection.waiting_control <= 1000
    assert claim not in one.peer_table._admission._claims
    newcomer.close()


def test_M5_N1_who_proves_itself_and_never_lets_this_runtime_in_is_given_up(tcp_world, caplog):
    one = tcp_world.runtime(tick_seconds=0.1, handshake_seconds=0.5)
    dialling = one.peer_table._dialling
    assert dialling._welcome_seconds == pytest.approx(0.8)
    with hand_made_server(one) as server:
        there = one.resolve(Reference(Location("127.0.0.1", server.port), server.incarnation, 5, "x"))
        assert there.send("x") == 0
        answered = server.accept()
        with heartbeats(answered):
            with pytest.raises(PeerUnreachable, match=r"did not let this runtime in within 0\.8 s"):
                one.connect(Location("127.0.0.1", server.port), 10)
            poll_until(lambda: "dropped 1 messages that were queued for" in caplog.text)
        assert there.send("y") == -1
        assert not dialling._dials and not one.peer_table.links
        answered.close()


def test_who_lets_this_runtime_in_late_and_in_time_stays(tcp_world):
    one = tcp_world.runtime(tick_seconds=0.1, handshake_seconds=0.5)
    with hand_made_server(one) as server:
        answered, wire, _ = waits_for_welcome(one, server)
        with heartbeats(answered):
            poll_until(lambda: one.peer_table._dialling._dials)
            answered.send(WELCOME)
            poll_until(one.peers)
            came = native.monotonic()
            poll_until(lambda: native.monotonic() - came > 1.2)
            assert one.peers() and not wire.is_closed
        answered.close()


def test_one_that_is_not_let_in_by_this_side_in_time_leaves_no_claim(tcp_world):
    one, honest = tcp_world.runtime(tick_seconds=2.0, handshake_seconds=0.5), tcp_world.runtime(name="twin")
    one.peer_table._dialling._welcome_seconds = 0.3
    assert one.peer(honest.location) == 0
    poll_until(honest.peer_table.online)[0].wire.held = True
    with hand_made_server(one, "twin") as server:
        reached = []
        place = Location("127.0.0.1", server.port)
        one.reactor.post(one.peer_table.dial, place, lambda link, error: reached.append((link, error)))
        answered = server.accept()
        poll_until(lambda: one.peer_table._admission._claims)
        ((link, error),) = poll_until(lambda: reached)
        assert link is None and "did not let this runtime in" in str(error)
        poll_until(lambda: not one.peer_table._admission._claims)
        answered.close()
    assert one.peers() == [honest.location]


def test_S18_what_one_says_as_it_leaves_before_it_is_decided_is_told_in_one_short_line():
    claim = Claim(None, None, lambda claim, error: None, lambda size: True)
    with pytest.raises(PeerLost) as raised:
        claim.on_message(None, Bye("refused: \n\x1b[2J" * 100))
    assert str(raised.value).isprintable() and len(str(raised.value)) < 1000
    # How it begins decides what is made of it.
    assert str(raised.value).startswith(REFUSED)


def test_S18_what_one_says_as_it_leaves_before_it_is_let_in_is_told_in_one_short_line(tcp_world):
    one = tcp_world.runtime()
    with hand_made_server(one) as server:
        errors = []
        place = Location("127.0.0.1", server.port)
        one.reactor.post(one.peer_table.dial, place, lambda link, error: errors.append(error))
        # In one batch with its proof: it is heard by the claim.
        answered = server.accept(BYE + text("gone\n\x1b[2J" * 100))
        (error,) = poll_until(lambda: errors)
        assert isinstance(error, NetworkError)
        assert str(error).isprintable() and len(str(error)) < 1000
        assert r"gone\n\x1b[2J" in str(error)
        answered.close()


# Those it tells of.


def test_S8_those_that_a_peer_tells_of_are_dialled_so_many_at_a_time(tcp_world, monkeypatch):
    monkeypatch.setattr(neighbours, "_MEET_AT_ONCE", 10)
    monkeypatch.setattr(neighbours, "_MEET_AGAIN_SECONDS", 600.0)
    port = free_port()
    one = tcp_world.runtime(discover_peers=True, udp_port=port)
    with silent_place() as silent, hand_made_server(one) as server:
        waits = threading.Thread(target=one.peer, args=(Location("127.0.0.1", server.port),))
        waits.start()
        answered = server.accept(WELCOME)
        asked = answered.first(REQUEST, about=b"siblings")
        (number,) = struct.unpack_from(">I", asked, 1)
        at = silent.getsockname()[1]
        siblings = [[f"127.1.1.{count + 1}", at, os.urandom(16).hex()] for count in range(100)]
        answered.send(struct.pack(">BIB", REPLY, number, 1) + text(json.dumps({"siblings": siblings})) + bytes(4))
        dials = one.peer_table._dialling._dials
        poll_until(lambda: len(dials) == 10)
        waiting = one._neighbours
        assert len(waiting._to_meet) == 90
        # After the pause the next ones.
        one.reactor.post(waiting._pause.cancel)
        one.reactor.post(waiting._meet_some)
        poll_until(lambda: len(dials) == 20)
        made = taken(silent)
        assert {sock.getsockname()[0] for sock in made} == {f"127.1.1.{count + 1}" for count in range(20)}
        for sock in made:
            sock.close()
        waits.join()
        answered.close()


def test_S8_one_that_peers_tell_of_again_and_again_is_not_dialled_each_time(tcp_world, monkeypatch):
    monkeypatch.setattr(neighbours, "_MEET_AGAIN_SECONDS", 0.01)
    one = tcp_world.runtime()
    told, met = one._neighbours, []
    monkeypatch.setattr(told, "_meet", met.append)
    places = [datagrams.Ping(os.urandom(16), Location("127.0.0.9", port)) for port in (9, 9, 9, 10)]
    for ping in places:
        one.reactor.post(told._to_meet.update, {ping.location: ping})
        one.reactor.post(told._meet_some)
        poll_until(lambda: not told._to_meet)
    poll_until(lambda: met[-1:] == places[-1:])
    assert met == [places[0], places[3]]


# Where it says to be.


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9"])
def test_who_dialled_this_runtime_is_dialled_again_only_where_it_came_from(tcp_world, host):
    one = tcp_world.runtime(redials=True)
    with silent_place() as place:
        client = HandMade(one, "hand-made", place.getsockname()[1], source=host)
        poll_until(one.peers)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        (link,) = one.peer_table.online()
        poll_until(lambda: link.state is LinkState.SUSPENDED)
        assert bool(one.peer_table.redials._broken) == (host == "127.0.0.1")
        assert one.peers(), "it may come back, until it is silent for the whole time-out"


def test_who_was_reached_where_it_says_to_be_is_found_again_whatever_its_address(tcp_world):
    one, other = tcp_world.runtime(redials=True), tcp_world.runtime()
    assert one.peer(other.location) == 0
    events = []
    one.watch_peers(events.append)
    (link,) = one.peer_table.online()
    link.wire.stream.peer_address = "127.0.0.9"
    one.reactor.post(link.wire.on_end, ConnectionResetError(104, "Connection reset by peer"))
    poll_until(lambda: [event.online for event in events] == [False, True])
