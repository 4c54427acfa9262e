"""A broken connection is not a lost peer (M4)."""

from __future__ import annotations

import functools
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from greencoro.distributed import record
from greencoro.distributed.link import Link
from greencoro.distributed.link_states import LinkState
from greencoro.distributed.location import Location
from greencoro.distributed.runtime import PeerEvent, Runtime
from greencoro.errors import RemoteProtocolError
from greencoro.hub.coroutine import Coro
from tests.distributed.conftest import World, reference
from tests.distributed.forwarder import Forwarder
from tests.distributed.hand_made import RESUME, HandMade
from tests.distributed.hand_made_server import hand_made_server, silent_place
from tests.support.polling import poll_until


class Scene:
    """Two runtimes that are peers, and what was told of them."""

    def __init__(self, world: World, is_lower: bool | None = None, **settings: Any) -> None:
        self.one, self.other = (world.runtime(redials=True, **settings) for _ in range(2))
        while is_lower not in (None, self.one.incarnation < self.other.incarnation):
            # Whose incarnation is the lower one decides between dials that cross.
            self.other.finish()
            self.other = world.runtime(redials=True, **settings)
        assert self.one.peer(self.other.location) == 0
        poll_until(self.other.peers)
        self.events: list[PeerEvent] = []
        for runtime in (self.one, self.other):
            runtime.watch_peers(self.events.append)

    @property
    def links(self) -> list[Link]:
        found = [runtime.peer_table.online() for runtime in (self.one, self.other)]
        return [link for (link,) in found]

    def at_reactor(self, function: Callable[[], object]) -> None:
        self.one.reactor.post(function)

    def cut(self, who: int = 0) -> None:
        """Reset the connection."""
        wire = self.links[who].wire

        def end() -> None:
            assert wire is not None
            wire.stream.reset()
            wire.on_end(ConnectionResetError(104, "Connection reset by peer"))

        self.at_reactor(end)
        poll_until(lambda: wire is not None and wire.is_closed)

    def await_up(self) -> None:
        poll_until(lambda: all(link.state is LinkState.UP for link in self.links))

    def stay_suspended(self) -> Callable[[], None]:
        """Whoever redials reaches nobody, until what is returned is called."""
        held: list[Any] = []
        dials = [runtime.peer_table.redials._reach for runtime in (self.one, self.other)]
        for runtime, dial in zip((self.one, self.other), dials, strict=True):
            runtime.peer_table.redials._reach = lambda *asked, dial=dial: held.append((dial, asked))

        def let_go() -> None:
            for runtime, dial in zip((self.one, self.other), dials, strict=True):
                runtime.peer_table.redials._reach = dial
            for dial, asked in held:
                self.at_reactor(functools.partial(dial, *asked))

        return let_go


@pytest.fixture
def scene(world: World) -> Scene:
    return Scene(world)


def collect(count: int, coro: Any = None) -> list[Any]:
    return [coro.receive(30) for _ in range(count)]


@pytest.mark.parametrize("who", [0, 1])
def test_M4_what_was_under_way_when_a_connection_broke_arrives_once_and_nobody_is_told(scene: Scene, who: int) -> None:
    there = scene.other.spawn(collect, 300)
    proxy = reference(scene.one, there)

    def send() -> None:
        for number in range(300):
            assert proxy.send((number, bytes(40_000 if number % 10 == 0 else 10))) == 0

    links = scene.links
    sending = scene.one.spawn(send)
    for _ in range(5):
        scene.cut(who)
        scene.await_up()
    sending.value(30)
    assert [number for number, _ in there.value(30)] == list(range(300))
    assert scene.links == links and not scene.events


@pytest.mark.parametrize("alone", [0, 1])
def test_M4_either_side_alone_goes_on(scene: Scene, alone: int) -> None:
    other = (scene.one, scene.other)[1 - alone]
    # It waits, and does not dial.
    other.peer_table.redials._reach = lambda *asked: None
    for _ in range(3):
        scene.cut()
        scene.await_up()
    assert scene.one.spawn(lambda: reference(scene.one, scene.other.spawn(collect, 0)).deliver("x")).value(10) in (0, 1)
    assert not scene.events


def test_M4_N4_monitors_keep_quiet_and_fire_once_with_the_true_end(scene: Scene) -> None:
    go = scene.other.spawn(collect, 1)
    watched = reference(scene.one, go)

    def watch(coro: Coro | None = None) -> list[Any]:
        assert coro is not None
        assert watched.monitor(coro) == 0
        told.append(True)
        heard = [coro.receive(30)]
        heard.append(coro.receive(0.2, "nothing more"))
        return heard

    told: list[bool] = []
    watching = scene.one.spawn(watch)
    poll_until(lambda: told)
    for _ in range(3):
        scene.cut()
        scene.await_up()
    assert reference(scene.one, go).send("the end") == 0
    notice, rest = watching.value(30)
    assert rest == "nothing more"
    assert notice.args[1][0] is None or "lost" not in str(notice)


def test_M4_while_it_is_broken_messages_and_requests_wait_and_then_go(scene: Scene) -> None:
    scene.other.handle("test.echo", lambda request: request.reply({"got": request.header["x"]}))
    there = scene.other.spawn(collect, 2)
    proxy = reference(scene.one, there)
    let_go = scene.stay_suspended()
    scene.cut()
    poll_until(lambda: all(link.state is LinkState.SUSPENDED for link in scene.links))
    peer = scene.links[0].info
    assert proxy.send("while") == 0
    assert scene.one.peers() and scene.other.peers()
    assert scene.one.last_heard(peer) is not None
    asked = scene.one.spawn(lambda: scene.one.request(peer, "test.echo", {"x": 7}, (), 20).header)
    delivered = scene.one.spawn(lambda: proxy.deliver("too", 20))
    let_go()
    assert asked.value(20) == {"got": 7} and delivered.value(20) == 1
    assert sorted(there.value(20)) == ["too", "while"]
    assert not scene.events


def test_M4_a_peer_that_has_not_noticed_the_break_is_taken_over_at_once(world: World) -> None:
    scene = Scene(world)
    wires = [link.wire for link in scene.links]
    assert wires[1] is not None and wires[0] is not None
    # Nothing more is heard from the connection there, not even that it ended.
    scene.at_reactor(lambda: setattr(wires[1].stream, "_receiver", Deaf()))  # type: ignore[union-attr]
    getting = scene.other.spawn(collect, 50)
    proxy = reference(scene.one, getting)
    for number in range(25):
        assert proxy.send(number) == 0
    scene.at_reactor(lambda: wires[0].on_end(ConnectionResetError(104, "reset")))  # type: ignore[union-attr]
    for number in range(25, 50):
        assert proxy.send(number) == 0
    assert getting.value(20) == list(range(50))
    assert wires[1].is_closed and not scene.events


class Deaf:
    def on_data(self, data: memoryview) -> None: ...

    def on_end(self, error: OSError | None) -> None: ...

    def on_writable(self) -> None: ...


@pytest.mark.parametrize(("at", "bit"), [(-1, 1), (0, 0x80), (4, 8), (5, 1)], ids=["body", "length", "type", "rest"])
def test_S3_an_altered_record_ends_the_connection_and_not_the_link(tcp_world: World, at: int, bit: int) -> None:
    scene = Scene(tcp_world)
    there = scene.other.spawn(collect, 200)
    proxy = reference(scene.one, there)
    wires = [link.wire for link in scene.links]

    def alter() -> None:
        for link in scene.links:
            assert link.wire is not None
            opener = link.wire.connection._opener
            assert opener is not None
            link.wire.connection._opener = Altering(opener, at, bit)  # type: ignore[assignment]

    for number in range(200):
        assert proxy.send(number) == 0
        if number == 100:
            scene.at_reactor(alter)
    assert there.value(20) == list(range(200))
    poll_until(lambda: all(wire is not None and wire.is_closed for wire in wires))
    scene.await_up()
    assert not scene.events


class Altering:
    """Opens nothing any more."""

    def __init__(self, opener: record.Opener, at: int, bit: int) -> None:
        self._opener, self._at, self._bit = opener, at, bit

    buffered_bytes = 0

    def receive_data(self, data: Any) -> list[record.Record]:
        flipped = bytearray(data)
        flipped[self._at] ^= self._bit
        return self._opener.receive_data(flipped)


def test_S3_a_key_that_has_sealed_enough_is_renewed_and_nobody_is_told(
    tcp_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tcp_world, tick_seconds=0.2)
    wires = [link.wire for link in scene.links]
    assert wires[0] is not None
    sealer = wires[0].connection._sealer
    assert sealer is not None
    sealer._sealed_bytes = 1 << 48
    poll_until(lambda: all(wire is not None and wire.is_closed for wire in wires))
    scene.await_up()
    assert not scene.events


def test_what_broke_the_protocol_is_lost_and_not_gone_on_with(scene: Scene) -> None:
    wire = scene.links[0].wire
    assert wire is not None
    before = scene.links
    scene.at_reactor(lambda: wire.fail(RemoteProtocolError("nonsense")))
    poll_until(lambda: [event.online for event in scene.events].count(False) == 2)
    poll_until(lambda: len(scene.one.peers()) == len(scene.other.peers()) == 1, seconds=20)
    assert not set(before) & set(scene.links)


def test_M3_after_a_gap_nothing_is_gone_on_with_though_the_stream_breaks_as_well(scene: Scene) -> None:
    wire = scene.links[0].wire
    assert wire is not None

    def interrupted() -> None:
        # As where Ctrl-C comes in the middle of a read: what came may be half dealt with.
        wire.is_ruined = True
        wire.on_end(ConnectionResetError(104, "reset"))

    scene.at_reactor(interrupted)
    poll_until(lambda: any(not event.online for event in scene.events))


def test_M4_N1_one_that_does_not_answer_is_lost_by_the_time_out_of_silence(tcp_world: World) -> None:
    one = tcp_world.runtime(redials=True, tick_seconds=0.2)
    events: list[PeerEvent] = []
    with silent_place() as place:
        client = HandMade(one, "hand-made", place.getsockname()[1])
        poll_until(one.peers)
        one.watch_peers(events.append)
        (link,) = one.peer_table.online()
        began = time.monotonic()
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        poll_until(lambda: link.state is LinkState.SUSPENDED)
        assert one.peers() and not events
        poll_until(lambda: [event.online for event in events] == [False])
        assert 0.5 <= time.monotonic() - began <= 5
    assert "reset" in events[0].reason
    assert not one.peer_table.resumption._waiting


def test_S14_who_merely_says_to_be_the_one_whose_connection_broke_is_cut_off(tcp_world: World) -> None:
    scene = Scene(tcp_world)
    let_go = scene.stay_suspended()
    links = scene.links
    scene.cut()
    poll_until(lambda: all(link.state is LinkState.SUSPENDED for link in links))
    stranger = HandMade(scene.one, "stranger", incarnation=scene.other.incarnation)
    try:
        assert stranger.is_cut_off()
        let_go()
        scene.await_up()
        assert scene.links == links and not scene.events
    finally:
        stranger.close()


@pytest.mark.parametrize("is_broken", [True, False])
def test_M3_without_what_its_two_ends_alone_know_a_link_is_given_up_and_not_gone_on_with(
    tcp_world: World, is_broken: bool
) -> None:
    scene = Scene(tcp_world)
    let_go = scene.stay_suspended()
    links = scene.links
    there = scene.other.spawn(collect, 1)
    if is_broken:
        scene.cut()
        poll_until(lambda: all(link.state is LinkState.SUSPENDED for link in links))
        assert reference(scene.one, there).send("for the link") == 0
    # The very incarnation, which wants to go on with something that is made up.
    its_own = scene.other.peer_table._identity._private
    forgetful = HandMade(scene.one, "forgetful", identity=its_own, proves=False)
    forgetful.prove(struct.pack(">BQ", RESUME, 0) + bytes(32))
    try:
        poll_until(lambda: [event.online for event in scene.events if event.peer.name == "forgetful"] == [True])
        assert links[0].is_lost and not scene.events[0].online
        assert forgetful.ask(1, "greencoro.ping", {}) is not None
        assert forgetful.received and not any(b"for the link" in message for message in forgetful._aside)
        (link,) = scene.one.peer_table.online()
        assert link not in links
    finally:
        forgetful.close()
        let_go()
        there.terminate()


@pytest.fixture
def forwarder(tcp_world: World) -> Iterator[tuple[Runtime, Runtime, Forwarder]]:
    far, near = (tcp_world.runtime(redials=True) for _ in range(2))
    made = Forwarder(far.location)
    assert near.peer(made.location) == 0
    poll_until(far.peers)
    yield near, far, made
    made.close()


def test_M4_through_a_forwarded_port_either_way_is_a_way_to_go_on(
    forwarder: tuple[Runtime, Runtime, Forwarder],
) -> None:
    near, far, between = forwarder
    events: list[PeerEvent] = []
    for runtime in (near, far):
        runtime.watch_peers(events.append)
    there = far.spawn(collect, 100)
    proxy = reference(near, there)
    for number in range(100):
        assert proxy.send(number) == 0
        if number % 20 == 0:
            between.reset()
    assert there.value(20) == list(range(100))
    assert not events


def test_M4_one_that_was_reached_at_a_place_where_another_answers_by_now_is_gone_on_with(tcp_world: World) -> None:
    one, first, second = (tcp_world.runtime(redials=True) for _ in range(3))
    with socket.create_server(("127.0.0.1", 0)) as shared:
        listener = first.add_listener(shared.fileno())
        assert one.peer(f"127.0.0.1:{shared.getsockname()[1]}", timeout=10) == 0
        poll_until(first.peers)
        listener.stop()
        second.add_listener(shared.fileno())
        events: list[PeerEvent] = []
        one.watch_peers(events.append)
        # It waits, and does not dial.
        first.peer_table.redials._reach = lambda *asked: None
        (link,) = one.peer_table.online()
        wire = link.wire
        assert wire is not None
        one.reactor.post(lambda: wire.on_end(ConnectionResetError(104, "reset")))
        poll_until(lambda: link.wire is not wire and link.state is LinkState.UP)
        assert not [event for event in events if event.peer.incarnation == first.incarnation]


def test_M3_a_peer_that_does_not_know_the_link_any_more_makes_a_new_one(scene: Scene) -> None:
    before = scene.links

    def forget() -> None:
        # As after a silence that this side alone has noticed.
        table = scene.other.peer_table
        table.redials._closed = True
        table.lose(before[1], RemoteProtocolError("forgotten"))  # type: ignore[arg-type]

    scene.at_reactor(forget)
    poll_until(lambda: [event.online for event in scene.events if event.peer.incarnation == scene.other.incarnation])
    poll_until(lambda: len(scene.one.peers()) == len(scene.other.peers()) == 1, seconds=20)
    of_other = [event.online for event in scene.events if event.peer.incarnation == scene.other.incarnation]
    assert of_other == [False, True]
    assert not set(before) & set(scene.links)


def test_what_waits_for_a_broken_connection_goes_before_a_runtime_has_finished(tcp_world: World) -> None:
    scene = Scene(tcp_world)
    there = scene.other.spawn(collect, 1)
    let_go = scene.stay_suspended()
    scene.cut()
    poll_until(lambda: all(link.state is LinkState.SUSPENDED for link in scene.links))
    assert reference(scene.one, there).send("last") == 0
    let_go()
    scene.one.finish()
    assert there.value(20) == ["last"]


def test_M4_what_came_in_one_piece_with_what_broke_the_connection_is_dealt_with_as_well(scene: Scene) -> None:
    there = scene.other.spawn(collect, 2)
    proxy = reference(scene.one, there)
    near, far = (link.wire for link in scene.links)
    assert near is not None and far is not None

    def break_off(request: Any) -> None:
        # In the middle of what is dealt with at once.
        far.on_end(ConnectionResetError(104, "Connection reset by peer"))

    scene.other.handle("test.break", break_off, on_reactor=True)
    near.held = True
    scene.one.post(scene.links[0].info, "test.break", {})
    assert proxy.send(1) == 0 and proxy.send(2) == 0
    near.held = False
    scene.at_reactor(near.flush)
    assert there.value(20) == [1, 2]
    scene.await_up()
    assert not scene.events


@pytest.mark.parametrize("is_lower", [True, False])
@pytest.mark.parametrize("is_suspended", [False, True])
def test_S14_who_answers_in_the_name_of_a_peer_gets_neither_its_place_nor_its_link(
    tcp_world: World, is_lower: bool, is_suspended: bool
) -> None:
    scene = Scene(tcp_world, is_lower)
    let_go = scene.stay_suspended()
    links = scene.links
    if is_suspended:
        scene.cut()
        poll_until(lambda: all(link.state is LinkState.SUSPENDED for link in links))
    done: list[Any] = []
    # It knows the secret.
    with hand_made_server(scene.one, incarnation=scene.other.incarnation) as liar:
        place = Location("127.0.0.1", liar.port)
        scene.at_reactor(lambda: scene.one.peer_table.dial(place, lambda *result: done.append(result)))
        liar.accept()
        poll_until(lambda: done)
        assert done[0][0] is None and "does not prove that it is the incarnation" in str(done[0][1])
        if not is_suspended:
            scene.cut()
        let_go()
        # Neither was told of the other's place anew.
        scene.await_up()
    assert scene.one.peer_table._dialling.place_of(scene.other.incarnation) == scene.other.location
    assert scene.links == links and not scene.events


@pytest.mark.parametrize("is_lower", [True, False])
def test_S14_a_peer_goes_on_with_its_link_while_somebody_keeps_a_dial_in_its_name(
    tcp_world: World, is_lower: bool
) -> None:
    scene = Scene(tcp_world, is_lower)
    links = scene.links
    # Only the other one can dial.
    scene.one.peer_table.redials._reach = lambda *asked: None
    with silent_place() as listener:
        place = Location("127.0.0.1", listener.getsockname()[1])
        incarnation = scene.other.incarnation
        scene.at_reactor(lambda: scene.one.peer_table.dial(place, lambda *result: None, incarnation))
        poll_until(lambda: [made for made in (scene.one.peer_table._dialling._dials.values()) if made.is_connected])
        scene.cut()
        scene.await_up()
    assert scene.links == links and not scene.events


def test_S14_to_say_the_same_of_itself_as_a_peer_is_no_proof(scene: Scene) -> None:
    link = scene.links[0]
    assert link.wire is not None

    class Connected:
        peer_incarnation, peer_hello = link.wire.connection.peer_incarnation, link.wire.connection.peer_hello

        def __init__(self, is_proved: bool) -> None:
            self.is_proved = is_proved

        def asks_to_resume(self, session: Any) -> bool:
            return self.is_proved

    class Shell:
        def __init__(self, connection: Connected) -> None:
            self.connection = connection

    link_of: Any = scene.one.peer_table.resumption.link_of
    assert link_of(Shell(Connected(True))) is link
    assert link_of(Shell(Connected(False))) is None
