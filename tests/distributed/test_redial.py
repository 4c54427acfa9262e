"""Those whose connection broke find each other again, where they live."""

from __future__ import annotations

import errno
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from greencoro.distributed.link_states import LinkState
from greencoro.distributed.location import Location
from greencoro.distributed.peer_info import PeerInfo
from greencoro.distributed.redial import Redials
from greencoro.distributed.runtime import PeerEvent, Runtime
from greencoro.errors import AuthenticationError, NetworkError, PeerLost, PeerUnreachable, RemoteProtocolError
from greencoro.hub import native
from tests.cluster.peer_process import peer_process
from tests.distributed.conftest import World
from tests.distributed.forwarder import Forwarder
from tests.distributed.hand_made import HandMade
from tests.distributed.hand_made_server import WELCOME, hand_made_server, silent_place, taken
from tests.support.polling import poll_until
from tests.support.ports import free_port

PLACE = Location("10.0.0.1", 7)
INFO = PeerInfo(PLACE, "it", b"i" * 16)


def refused() -> NetworkError:
    error = PeerUnreachable("cannot reach it")
    error.__cause__ = OSError(errno.ECONNREFUSED, "Connection refused")
    return error


class Clock:
    """A reactor whose timers are called by the test, and whoever is dialled answers by it."""

    def __init__(self) -> None:
        self.timers: list[tuple[float, Callable[..., object], tuple[Any, ...]]] = []
        self.dialled: list[tuple[Location, Callable[..., None], bytes | None, bool, bool]] = []
        self.given_up: list[tuple[Any, ...]] = []

    def call_later(self, seconds: float, function: Callable[..., object], *args: Any) -> Clock:
        self.timers.append((seconds, function, args))
        return self

    def cancel(self) -> None:
        """Also of one that has been called."""
        self.timers.clear()

    def reach(self, *asked: Any) -> Callable[[], None]:
        self.dialled.append(asked)
        return lambda: self.given_up.append(asked)

    def step(self) -> float:
        """Call the one timer; how long it was to wait."""
        ((seconds, function, args),) = self.timers
        self.timers.clear()
        function(*args)
        return seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def redials(clock: Any, seconds: float = 60.0) -> Redials:
    return Redials(clock, clock.reach, seconds, 5.0)


def test_the_dialled_side_waits_longer_and_each_dials_where_it_had_been_reached(clock: Clock) -> None:
    for place, least, most in ((Location("forwarded", 1), 0.01, 0.03), (None, 0.11, 0.13)):
        redials(clock).broke(INFO, place)
        assert least <= clock.step() <= most
        location, _, *how = clock.dialled.pop()
        assert location == (place or PLACE) and how == [INFO.incarnation, True, False]


@pytest.mark.parametrize(
    "error", [refused(), PeerLost("another"), AuthenticationError("wrong"), RemoteProtocolError("bad")]
)
def test_one_that_is_gone_or_never_lets_us_in_is_given_up_at_once(clock: Clock, error: NetworkError) -> None:
    made = redials(clock)
    made.broke(INFO, PLACE)
    clock.step()
    clock.dialled.pop()[1](None, error)
    assert not clock.timers and not made._broken


def test_M4_one_that_may_dial_has_a_moment_to_do_so_where_it_is_refused_to_dial_it(clock: Clock) -> None:
    gone: list[bool] = []
    made = redials(clock)
    for comes in (True, False):
        made.broke(INFO, None, lambda: gone.append(True), may_dial=True)
        clock.step()
        clock.dialled.pop()[1](None, refused())
        assert not gone
        if comes:
            made.came(INFO.incarnation)
            assert not clock.timers
            continue
        assert clock.step() == 0.5
        clock.dialled.pop()[1](None, refused())
        assert gone.pop() and not clock.timers and not made._broken


def test_N1_who_may_dial_is_gone_at_once_where_another_runtime_answers(clock: Clock) -> None:
    gone: list[bool] = []
    redials(clock).broke(INFO, None, lambda: gone.append(True), may_dial=True)
    clock.step()
    clock.dialled.pop()[1](None, PeerLost("another runtime answers"))
    assert gone and not clock.timers


def test_M4_one_that_is_not_where_it_was_reached_any_more_is_given_up_only_where_it_is_not_at_its_own_place_either(
    clock: Clock,
) -> None:
    shared, gone = Location("10.0.0.1", 80), []
    made = redials(clock)
    for is_where_it_says in (True, False):
        made.broke(INFO, shared, lambda: gone.append(True), is_where_it_says)
        for place in (shared, PLACE):
            assert not gone
            if place == shared or is_where_it_says:
                clock.step()
            location, on_done, *_ = clock.dialled.pop()
            assert location == place
            on_done(None, PeerLost("another runtime answers"))
        assert gone.pop() and not clock.timers and not made._broken


def test_N1_one_that_was_reached_elsewhere_and_does_not_answer_at_its_own_place_is_gone_soon(clock: Clock) -> None:
    gone: list[bool] = []
    made = redials(clock)
    made.broke(INFO, Location("10.0.0.1", 80), lambda: gone.append(True))
    assert clock.step() <= 0.03
    clock.dialled.pop()[1](None, refused())
    ((location, on_done, *how),) = clock.dialled
    assert location == PLACE and how == [INFO.incarnation, True, True] and not gone
    assert not clock.given_up
    assert clock.step() == 0.5
    assert gone.pop() and not made._broken
    assert clock.given_up == clock.dialled, "nobody waits for that any more"
    on_done(None, PeerUnreachable("no answer"))
    assert not gone and not clock.timers


@pytest.mark.parametrize("comes", [True, False])
def test_M4_one_that_cuts_us_off_at_its_own_place_has_the_rest_of_the_time_to_dial_us(
    clock: Clock, comes: bool
) -> None:
    gone: list[bool] = []
    made = redials(clock)
    made.broke(INFO, Location("10.0.0.1", 80), lambda: gone.append(True))
    clock.step()
    clock.dialled.pop()[1](None, refused())
    clock.dialled.pop()[1](None, PeerUnreachable("the connection broke"))
    assert not gone and not clock.dialled
    if comes:
        made.came(INFO.incarnation)
    else:
        clock.step()
    assert gone == ([] if comes else [True])
    assert not clock.timers and not made._broken


def test_M4_one_that_is_reached_at_its_own_place_is_not_gone_later(clock: Clock) -> None:
    gone: list[bool] = []
    made = redials(clock)
    made.broke(INFO, Location("10.0.0.1", 80), lambda: gone.append(True))
    clock.step()
    clock.dialled.pop()[1](None, refused())
    link: Any = object()
    clock.dialled.pop()[1](link, None)
    assert not gone and not clock.timers and not made._broken


def test_one_that_was_lost_already_is_tried_where_it_was_reached_alone(clock: Clock) -> None:
    made = redials(clock)
    made.broke(INFO, Location("10.0.0.1", 80))
    clock.step()
    clock.dialled.pop()[1](None, refused())
    assert not clock.dialled and not clock.timers and not made._broken


def test_one_that_does_not_answer_is_tried_with_growing_pauses_until_the_time_out_is_over(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(native, "monotonic", lambda: now)
    made = redials(clock, 20.0)
    made.broke(INFO, PLACE)
    pauses = []
    while clock.timers:
        pauses.append(clock.step())
        now += pauses[-1] + 1.0
        clock.dialled.pop()[1](None, PeerUnreachable("no answer"))
    assert 4 <= len(pauses) <= 12 and now < 130
    assert pauses[0] < 0.2 and all(pause <= 7.5 for pause in pauses) and pauses[-1] > 1
    assert not made._broken


def test_where_one_connection_after_another_breaks_the_pauses_grow_and_after_a_good_time_they_do_not(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(native, "monotonic", lambda: now)
    made = redials(clock, 20.0)
    pauses = []
    for _ in range(30):
        made.broke(INFO, PLACE)
        pauses.append(clock.step())
        made.came(INFO.incarnation)
        clock.dialled.clear()
    assert pauses[0] < 0.2 and all(2.5 <= pause <= 7.5 for pause in pauses[10:])
    now += 30.0
    made.broke(INFO, PLACE)
    assert clock.step() < 0.2


def test_who_comes_back_by_itself_is_not_dialled(clock: Clock) -> None:
    made = redials(clock)
    made.broke(INFO, PLACE)
    made.came(INFO.incarnation)
    assert not clock.timers and not made._broken


def test_who_makes_peers_come_and_go_makes_us_dial_and_remember_only_so_many(clock: Clock) -> None:
    made = redials(clock)
    for number in range(1500):
        made.broke(INFO._replace(incarnation=number.to_bytes(16, "big")), None)
    assert len(clock.timers) == len(made._broken) == len(made._breaks) == 1000
    made.close()
    assert not made._broken and not clock.timers
    made.broke(INFO, PLACE)
    assert not clock.timers


# Between runtimes.


class Told:
    """What an observer of a runtime's peers heard."""

    def __init__(self, runtime: Runtime) -> None:
        self._events: list[PeerEvent] = []
        runtime.watch_peers(self._events.append)

    def onlines(self) -> list[bool]:
        return [event.online for event in self._events]


def await_back(*told: Told, times: int = 1) -> None:
    """Wait until all heard of a peer that it went and came so often, and nothing else."""
    poll_until(lambda: [each.onlines() for each in told] == [[False, True] * times] * len(told))


def lose(*runtimes: Runtime) -> None:
    """Have each lose its one peer, as one that was silent for the whole time-out."""
    found = [(runtime.peer_table, runtime.peer_table.online()[0]) for runtime in runtimes]

    def end() -> None:
        for table, link in found:
            table.lose(link, PeerLost("nothing was heard"), may_live=True)

    # In one turn of their reactor: none hears of the other's loss before it has its own.
    runtimes[0].reactor.post(end)


def reset(runtime: Runtime) -> None:
    """Reset the connection to the one peer; both sides hear of it."""
    (link,) = runtime.peer_table.online()

    def end() -> None:
        assert link.wire is not None
        link.wire.stream.reset()
        link.wire.on_end(ConnectionResetError(104, "Connection reset by peer"))

    runtime.reactor.post(end)


@pytest.fixture
def pair(world: World) -> tuple[Runtime, Runtime]:
    one, other = world.runtime(redials=True), world.runtime(redials=True)
    assert one.peer(other.location) == 0
    poll_until(other.peers)
    return one, other


def test_N3_two_that_met_by_peer_and_lost_each_other_go_offline_and_online_once(pair: tuple[Runtime, Runtime]) -> None:
    heard = [Told(runtime) for runtime in pair]
    for count in range(1, 4):
        lose(*pair)
        await_back(*heard, times=count)
    assert all(len(runtime.peer_table.links) == 1 for runtime in pair)


@pytest.mark.parametrize("alone", [0, 1])
def test_either_side_alone_finds_the_other_again(pair: tuple[Runtime, Runtime], alone: int) -> None:
    other = pair[1 - alone]
    other.reactor.post(other.peer_table.redials.close)
    heard = [Told(runtime) for runtime in pair]
    lose(*pair)
    await_back(*heard)


def test_two_that_found_each_other_find_each_other_again(tcp_world: World) -> None:
    port = free_port()
    pair = [tcp_world.runtime(redials=True, discover_peers=True, udp_port=port) for _ in range(2)]
    poll_until(lambda: all(runtime.peers() for runtime in pair))
    heard = [Told(runtime) for runtime in pair]
    lose(*pair)
    await_back(*heard)


@pytest.fixture
def forwarder(tcp_world: World) -> Iterator[Forwarder]:
    made = Forwarder(tcp_world.runtime(redials=True).location)
    yield made
    made.close()


def test_who_was_reached_by_a_forwarded_port_is_reached_by_it_again(tcp_world: World, forwarder: Forwarder) -> None:
    (far,) = tcp_world.made
    near = tcp_world.runtime(redials=True)
    far.reactor.post(far.peer_table.redials.close)
    assert near.peer(forwarder.location) == 0
    heard = Told(near)
    lose(near, far)
    await_back(heard)
    assert forwarder.taken == 2


def test_M4_whoever_forwards_connections_may_end_without_the_peer_behind_it(
    tcp_world: World, forwarder: Forwarder
) -> None:
    """Neither side sees the address of the other one, so nothing speaks for where each says to be."""
    (far,) = tcp_world.made
    near = tcp_world.runtime(redials=True)
    assert near.peer(forwarder.location) == 0
    heard = [Told(near), Told(far)]
    links = [poll_until(runtime.peer_table.online)[0] for runtime in (near, far)]
    before = [link.wire for link in links]
    for wire in before:
        wire.stream.peer_address = "127.0.0.9"
    forwarder.close()
    poll_until(lambda: all(link.wire not in (None, *before) for link in links))
    assert near.peers() == [far.location] and all(link.state is LinkState.UP for link in links)
    assert not any(told.onlines() for told in heard)


def test_N1_one_that_died_behind_a_forwarded_port_is_missed_within_a_second_whatever_is_where_it_said_to_be(
    tcp_world: World,
) -> None:
    one = tcp_world.runtime(redials=True)
    with hand_made_server(one) as server, silent_place() as inner:
        forwarded = Location("127.0.0.1", server.port)
        # Where nothing answers, as an address of another network.
        server.port = inner.getsockname()[1]
        one.reactor.post(one.peer_table.dial, forwarded, lambda link, error: None)
        there = server.accept(WELCOME)
        (link,) = poll_until(one.peer_table.online)
        assert link.wire is not None
        link.wire.stream.peer_address = "127.0.0.9"
        heard = Told(one)
        server.close()
        began = time.monotonic()
        there.sock.shutdown(socket.SHUT_WR)
        poll_until(lambda: heard.onlines() == [False])
        assert time.monotonic() - began < 1.0
        there.close()
        dialled = taken(inner)
        assert dialled, "it was tried for there"
        for sock in dialled:
            sock.close()


def test_who_said_goodbye_is_not_dialled_again(pair: tuple[Runtime, Runtime]) -> None:
    one, other = pair
    other.finish()
    poll_until(lambda: not one.peers())
    assert not one.peer_table.redials._broken


def test_who_broke_the_protocol_is_not_dialled_again_by_the_side_that_cut_it_off(pair: tuple[Runtime, Runtime]) -> None:
    one, other = pair
    (link,) = one.peer_table.online()
    other.reactor.post(other.peer_table.redials.close)
    assert link.wire is not None
    one.reactor.post(link.wire.fail, RemoteProtocolError("nonsense"))
    poll_until(lambda: not one.peers() and not other.peers())
    assert not one.peer_table.redials._broken


@pytest.mark.parametrize("world", ["memory", "tcp"], indirect=True)
def test_another_runtime_at_the_place_of_one_that_died_is_no_peer_by_that(world: World) -> None:
    one, other = world.runtime(redials=True), world.runtime()
    place = other.location
    # Held until the other one is there.
    reached: list[Any] = []
    redials_of = one.peer_table.redials
    redials_of._reach = lambda *asked: reached.append(asked)
    assert one.peer(place) == 0
    reset(one)
    poll_until(lambda: reached)
    other.finish()
    stranger = world.runtime(tcp_port=place.port)
    one.reactor.post(one.peer_table._dialling.dial, *reached[0])
    poll_until(lambda: not one.peers())
    assert not redials_of._broken and not stranger.peers()
    assert one.peer(place) == 0


@pytest.mark.parametrize("is_reset", [False, True])
def test_N1_where_nobody_listens_one_whose_stream_ends_is_gone_and_one_whose_is_reset_has_a_moment(
    tcp_world: World, monkeypatch: pytest.MonkeyPatch, is_reset: bool
) -> None:
    if not is_reset:
        monkeypatch.setattr("greencoro.distributed.redial._REFUSED_SECONDS", 3600.0)
    one = tcp_world.runtime(redials=True)
    with socket.create_server(("127.0.0.1", 0)) as place:
        dialled_us = HandMade(one, port=place.getsockname()[1])
        poll_until(one.peers)
    heard = Told(one)
    began = time.monotonic()
    if is_reset:
        dialled_us.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        dialled_us.close()
    else:
        # To close it would reset it as well, for what was not read.
        dialled_us.sock.shutdown(socket.SHUT_WR)
    poll_until(lambda: heard.onlines() == [False])
    took = time.monotonic() - began
    dialled_us.close()
    assert not is_reset or 0.5 <= took < 1.0


# Between processes.

STAYS = """
told("ready")
time.sleep(60)
"""


def test_N1_who_was_killed_is_offline_within_a_second_and_not_dialled_for_long(tcp_world: World) -> None:
    one = tcp_world.runtime(redials=True)
    with peer_process(STAYS) as there:
        assert there.line() == "ready"
        assert one.peer(there.location) == 0
        heard = Told(one)
        began = time.monotonic()
        there.signal(signal.SIGKILL)
        poll_until(lambda: heard.onlines() == [False])
        assert time.monotonic() - began < 1.0
        poll_until(lambda: not one.peer_table.redials._broken and not one.peer_table._dialling._dials)
    assert heard.onlines() == [False]


def test_who_stood_still_until_it_was_lost_is_found_again_when_it_goes_on(tcp_world: World) -> None:
    one = tcp_world.runtime(redials=True, tick_seconds=0.25)
    with peer_process(STAYS) as there:
        assert there.line() == "ready"
        assert one.peer(there.location) == 0
        heard = Told(one)
        there.signal(signal.SIGSTOP)
        poll_until(lambda: heard.onlines() == [False])
        there.signal(signal.SIGCONT)
        await_back(heard)
