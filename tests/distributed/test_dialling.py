"""Dialling: connections that are cut early, places with two names, dials that cross, and who is told of what."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from greencoro.distributed.incoming import Incoming
from greencoro.distributed.link import Link
from greencoro.distributed.location import Location
from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.peers import Peers
from greencoro.distributed.runtime import PeerEvent, Runtime
from greencoro.errors import NetworkError, PeerUnreachable
from tests.distributed.conftest import World, reference
from tests.distributed.forwarder import Forwarder
from tests.distributed.hand_made import PREAMBLE
from tests.distributed.hand_made_server import silent_place, taken
from tests.support.held import hold_still
from tests.support.polling import poll_until
from tests.support.ports import free_port


def receive(coro: Any = None) -> Any:
    return coro.receive()


def watched(runtime: Runtime) -> list[PeerEvent]:
    events: list[PeerEvent] = []
    runtime.watch_peers(events.append)
    return events


@pytest.fixture
def forwarders() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def forwarder(stack: contextlib.ExitStack, to: Runtime) -> Forwarder:
    made = Forwarder(to.location)
    stack.callback(made.close)
    return made


# Connections that end before anything was said.


@pytest.mark.parametrize("world", ["tcp", "tls"], indirect=True)
@pytest.mark.parametrize("cuts", [1, 3])
def test_L3_a_connection_that_was_cut_unread_is_made_again(
    world: World, monkeypatch: pytest.MonkeyPatch, cuts: int
) -> None:
    accept = Incoming.let_in
    cut: list[Any] = []

    def cuts_first(incoming: Incoming, stream: Any) -> None:
        if len(cut) < cuts:
            cut.append(stream)
            stream.abort()
        else:
            accept(incoming, stream)

    monkeypatch.setattr(Incoming, "let_in", cuts_first)
    one, other = world.runtime(), world.runtime()
    assert one.peer(other.location) == 0
    assert len(cut) == cuts


def test_one_that_cuts_every_connection_is_given_up_in_a_while(
    tcp_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greencoro.distributed.dialling._TRY_AGAIN_SECONDS", 0.5)
    cut: list[Any] = []

    def cuts(incoming: Incoming, stream: Any) -> None:
        cut.append(stream)
        stream.abort()

    monkeypatch.setattr(Incoming, "let_in", cuts)
    one, other = tcp_world.runtime(), tcp_world.runtime()
    with pytest.raises(PeerUnreachable, match="cannot reach"):
        one.connect(other.location, 60)
    assert not one.peer_table._dialling._dials
    assert len(cut) >= 6, "each try may take long on a busy machine"


def test_one_that_never_speaks_is_dialled_once(tcp_world: World) -> None:
    one = tcp_world.runtime(handshake_seconds=0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = Location("127.0.0.1", silent.getsockname()[1])
        with pytest.raises(PeerUnreachable, match=f"cannot reach {place}: the handshake took longer than 0.1 s"):
            one.connect(place, 60)
        silent.setblocking(False)
        with silent.accept()[0], pytest.raises(BlockingIOError):
            silent.accept()


def test_one_that_speaks_too_slowly_is_dialled_again(tcp_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greencoro.distributed.dialling._TRY_AGAIN_SECONDS", 0.0)
    one = tcp_world.runtime(handshake_seconds=0.2)
    with contextlib.ExitStack() as stack:
        busy = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        place = Location("127.0.0.1", busy.getsockname()[1])
        dial = one.spawn(one.peer, place)
        for _ in range(2):
            busy.settimeout(15)
            sock = stack.enter_context(busy.accept()[0])
            sock.sendall(PREAMBLE)
        dial.terminate()


def test_a_connection_that_was_reset_before_anybody_looked_is_made_again(
    tcp_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = tcp_world.runtime(), tcp_world.runtime()
    transport = one.peer_table._dialling._transport
    dials = [lambda place, timeout, on_done: one.reactor.post(on_done, None, ConnectionResetError(104, "reset"))]
    really = transport.dial

    def dial(*args: Any) -> Any:
        return dials.pop()(*args) if dials else really(*args)

    monkeypatch.setattr(transport, "dial", dial)
    assert one.peer(other.location) == 0
    assert not dials


def test_who_is_cut_off_is_not_told_of_a_wrong_secret(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("greencoro.distributed.dialling._TRIES", 0)
    monkeypatch.setattr("greencoro.distributed.dialling._TRY_AGAIN_SECONDS", 0.0)
    # As for one more than may be in their handshake.
    monkeypatch.setattr(Peers, "on_introduced", lambda table, wire, hello: table.incoming._drop(wire))
    one, other = world.runtime(), world.runtime()
    with pytest.raises(PeerUnreachable, match="Connection reset by peer"):
        one.connect(other.location)
    assert "secret" not in caplog.text


def test_who_gives_its_dial_up_is_not_told_of_as_a_wrong_secret(
    tcp_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    one = tcp_world.runtime()
    with socket.create_connection((one.location.addr, one.location.port), 10) as sock:
        sock.sendall(PREAMBLE)
        assert sock.recv(16) == PREAMBLE
    poll_until(lambda: not one.peer_table.incoming._unproven)
    assert "secret" not in caplog.text


def test_L3_forty_runtimes_on_one_machine_find_each_other(tcp_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # More than may wait for their handshake at one place; all that are there dial each newcomer at once. A later ping,
    # which would let them try again those that were left out, does not come.
    monkeypatch.setattr("greencoro.distributed.neighbours.START_PINGS_SECONDS", (0.0, 0.4))
    port = free_port()
    # In one process: all their reactors share one interpreter, so on a busy machine a handshake may take long.
    made = [tcp_world.runtime(discover_peers=True, udp_port=port, handshake_seconds=15.0) for _ in range(40)]
    began = time.monotonic()
    poll_until(lambda: all(len(one.peers()) == 39 for one in made), 30)
    print(f"forty know each other after {time.monotonic() - began:.2f} s")


@pytest.mark.parametrize("is_cut", [True, False])
def test_a_peer_can_have_one_connection_made_to_a_place_of_its_choice_and_that_for_half_a_second(
    tcp_world: World, monkeypatch: pytest.MonkeyPatch, is_cut: bool
) -> None:
    # Time for many tries.
    monkeypatch.setattr("greencoro.distributed.dialling._REFUSED_SECONDS", 0.01)
    monkeypatch.setattr("greencoro.distributed.dialling._PAUSE_SECONDS", (0.0, 0.01))
    one = tcp_world.runtime(redials=True)
    dials_left: list[int] = []
    made: list[socket.socket] = []
    with silent_place() as place:
        where = Location("127.0.0.1", place.getsockname()[1])
        of_it, refusing = PeerInfo(where, "it", os.urandom(16)), Location("127.0.0.1", free_port())

        def on_gone() -> None:
            dials_left.append(len(one.peer_table._dialling._dials))

        def is_gone() -> bool:
            for sock in taken(place):
                made.append(sock)
                if is_cut:
                    sock.close()
            return bool(dials_left)

        one.reactor.post(one.peer_table.redials.broke, of_it, refusing, on_gone)
        poll_until(is_gone)
        assert dials_left == [0]
        made += taken(place)
        (sock,) = made
        if not is_cut:
            sock.settimeout(10)
            with contextlib.suppress(ConnectionResetError):
                while sock.recv(4096):
                    pass
            sock.close()


# Places with two names.


def test_a_forwarded_place_is_remembered_while_the_peer_is_online(
    tcp_world: World, forwarders: contextlib.ExitStack
) -> None:
    one, other = tcp_world.runtime(), tcp_world.runtime()
    alias = forwarder(forwarders, other)
    info = one.connect(alias.location)
    assert info.location == other.location
    for _ in range(3):
        assert one.connect(alias.location) == info
    assert alias.taken == 1
    alias.reset()
    poll_until(lambda: not one.peers())
    assert not one.peer_table._dialling._reached and not one.peer_table._dialling._places
    assert one.connect(alias.location) == info
    assert alias.taken == 2


def test_a_second_name_of_a_peer_costs_one_connection_and_no_event(
    tcp_world: World, forwarders: contextlib.ExitStack
) -> None:
    one, other = tcp_world.runtime(), tcp_world.runtime()
    info = one.connect(other.location)
    poll_until(other.peers)
    events = [watched(runtime) for runtime in (one, other)]
    alias = forwarder(forwarders, other)
    for _ in range(3):
        assert one.connect(alias.location) == info
    assert alias.taken == 1
    poll_until(lambda: not other.peer_table.incoming._unproven)
    assert events == [[], []]


# Dials that cross.


def test_dials_that_cross_by_forwarded_ports_make_one_link_and_nobody_goes_offline(
    tcp_world: World, forwarders: contextlib.ExitStack
) -> None:
    for round in range(20):
        pair = [tcp_world.runtime(), tcp_world.runtime()]
        heard = [watched(runtime) for runtime in pair]
        aliases = [forwarder(forwarders, runtime).location for runtime in pair]
        # By turns: both by forwarded ports; one of them.
        places = [aliases[0] if round % 2 else pair[0].location, aliases[1]]
        results: list[int] = []
        barrier = threading.Barrier(2)

        def dial(here: Runtime, there: Any, results: list[int] = results, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            results.append(here.peer(there))

        threads = [threading.Thread(target=dial, args=pair_of) for pair_of in zip(pair, reversed(places), strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [0, 0]
        coro = pair[1].spawn(receive)
        assert reference(pair[0], coro).deliver("x", 5) == 1
        poll_until(lambda heard=heard: all(heard))  # type: ignore[misc]
        assert [[event.online for event in events] for events in heard] == [[True], [True]]
        for runtime in pair:
            runtime.finish()


def test_who_has_answered_a_dial_of_the_lower_incarnation_is_not_let_in_by_its_own(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greencoro.distributed.dialling._TRY_AGAIN_SECONDS", 0.2)
    lower, higher = sorted((world.runtime(), world.runtime()), key=lambda runtime: runtime.incarnation)
    for runtime in (lower, higher):
        monkeypatch.setattr(runtime.peer_table._dialling, "has_reached", lambda incarnation: True)
    with pytest.raises(PeerUnreachable):
        higher.connect(lower.location)
    assert not lower.peers() and not higher.peers()
    assert lower.peer(higher.location) == 0


def test_L3_who_comes_where_another_is_dialled_again_is_let_in_though_the_two_dials_cross(world: World) -> None:
    """Nobody but the other one will do for that dial: it makes no link that the newcomer could be left to."""
    stays, comes = sorted((world.runtime(), world.runtime()), key=lambda runtime: runtime.incarnation)
    done: list[tuple[Link | None, NetworkError | None]] = []

    def cross() -> None:
        stays.peer_table._dialling.dial(comes.location, lambda link, error: None, b"who was there".ljust(16), True)
        comes.peer_table._dialling.dial(stays.location, lambda link, error: done.append((link, error)))

    stays.reactor.post(cross)
    poll_until(lambda: done)
    assert done[0] == (comes.peer_table.links[stays.incarnation], None)
    assert stays.peers() == [comes.location]


# Who is told of what.


@pytest.mark.parametrize("who_dials", ["the newcomer", "the one who refuses"])
def test_N3_nobody_but_the_log_is_told_of_a_peer_that_is_refused(
    world: World, who_dials: str, caplog: pytest.LogCaptureFixture
) -> None:
    one, first, second = world.runtime(), world.runtime(name="twin"), world.runtime(name="twin")
    assert first.peer(one.location) == 0
    poll_until(one.peers)
    heard = [watched(one), watched(second)]
    if who_dials == "the newcomer":
        assert second.peer(one.location) == -1
    else:
        assert one.peer(second.location) == -1
    # Behind whatever might still be on its way.
    third = world.runtime(name="third")
    assert third.peer(one.location) == third.peer(second.location) == 0
    poll_until(lambda: all(heard))
    assert [[(event.peer.name, event.online) for event in events] for events in heard] == [[("third", True)]] * 2
    # The log is written by a thread of its own.
    poll_until(lambda: "'twin' at" in caplog.text and "does not take this runtime as a peer" in caplog.text)


def test_M3_what_was_queued_for_one_that_is_not_reached_is_counted_in_a_warning_and_told_of_to_nobody_else(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = world.runtime(), world.runtime()
    heard = watched(one)
    coro = other.spawn(receive)
    there = reference(one, coro)
    coro.send("over")
    coro.value(5)
    other.finish()
    assert [there.send(number) for number in range(3)] == [0, 0, 0]
    poll_until(lambda: "dropped 3 messages that were queued for" in caplog.text)
    assert there.send("more") == -1
    assert not heard


def test_M3_what_was_queued_and_is_more_than_the_peer_takes_is_counted_in_a_warning_and_the_reference_is_lost(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = world.runtime(), world.runtime(max_queue_messages=2)
    heard = watched(one)
    coro = other.spawn(receive)
    there = reference(one, coro)
    # None of them goes before the peer has said what it takes.
    go_on = hold_still(one.reactor)
    sent = [there.send(number) for number in range(5)]
    go_on.set()
    assert sent == [0] * 5
    poll_until(lambda: "dropped 5 messages that were queued for" in caplog.text)
    assert there.send("more") == -1
    poll_until(lambda: heard)
    assert [event.online for event in heard] == [True]
    assert reference(one, coro).send("anew") == 0
    assert coro.value(5) == "anew"
