"""S14: what a peer says to be is bound to its connection. The liars here know the secret."""

import functools
import logging
import socket
import struct
from types import SimpleNamespace

import pytest

from greencoro.distributed.admission import Admission, Claim
from greencoro.distributed.link_states import LinkState
from greencoro.distributed.messages import Reply, Request
from greencoro.distributed.wire import Wire
from greencoro.errors import NetworkError, PeerLost, PeerUnreachable, RemoteProtocolError
from greencoro.hub import native
from tests.distributed.conftest import reference
from tests.distributed.forwarder import Forwarder
from tests.distributed.hand_made import BYE, DEBT, REPLY, REQUEST, HandMade, text
from tests.support.polling import poll_until


def lies(runtime, honest, **fields):
    """Let a runtime say something else of itself from now on; it can prove to be the incarnation of ``honest``."""
    hello = runtime.peer_table._hello
    if "incarnation" in fields:
        runtime.peer_table._identity = honest.peer_table._identity
    for field, value in fields.items():
        object.__setattr__(hello, field, value)


def collect(count, coro=None):
    return [coro.receive() for _ in range(count)]


@pytest.fixture(params=["incarnation", "location", "name"])
def claimed(request):
    return request.param


@pytest.fixture
def dials_may_cross(monkeypatch):
    """Whoever comes with the incarnation of somebody online may not have known of that link when it did."""
    monkeypatch.setattr(Wire, "known_link", property(lambda wire: None, lambda wire, link: None), raising=False)


def of(runtime, field):
    return getattr(runtime.peer_table._hello, field)


@pytest.mark.usefixtures("dials_may_cross")
def test_S14_who_says_to_be_one_who_is_online_is_refused_and_that_one_goes_on(world, claimed, caplog):
    one, honest, liar = world.runtime(), world.runtime(name="honest"), world.runtime(name="liar")
    info = one.connect(honest.location)
    events = []
    one.watch_peers(events.append)
    reader = honest.spawn(collect, 2)
    there = reference(one, reader)
    assert there.deliver("before", 5) == 1
    lies(liar, honest, **{claimed: of(honest, claimed)})
    with caplog.at_level(logging.WARNING, "greencoro"):
        liar.peer(one.location)
        poll_until(lambda: not liar.peers(), what="it is sent away")
        lines = poll_until(lambda: lines_with(caplog, "refused", 2), what="a line on both sides")
    assert all(f"the same {claimed}" in line for line in lines)
    assert one.peer_infos() == [info]
    assert there.deliver("after", 5) == 1
    assert reader.value(5) == ["before", "after"]
    assert not events


def lines_with(caplog, word, count):
    lines = [record.getMessage() for record in caplog.records if word in record.getMessage()]
    return lines if len(lines) >= count else None


def test_S14_who_is_dialled_and_says_to_be_another_is_refused_as_well(world, claimed):
    one, honest, liar = world.runtime(), world.runtime(name="honest"), world.runtime(name="liar")
    place = liar.location
    info = one.connect(honest.location)
    lies(liar, honest, **{claimed: of(honest, claimed)})
    if claimed == "incarnation":
        # Who answers with the key of one who is online is that one to this side, known by another name already.
        assert one.connect(place) == info
    else:
        with pytest.raises(NetworkError, match=f"the same {claimed}"):
            one.connect(place)
    poll_until(lambda: not liar.peers())
    assert one.peer_infos() == [info]


@pytest.mark.parametrize("own", ["location", "name"])
def test_S14_who_says_to_be_this_runtime_itself_is_refused(world, own):
    one, liar = world.runtime(name="first"), world.runtime(name="liar")
    place = liar.location
    lies(liar, one, **{own: of(one, own)})
    with pytest.raises(NetworkError, match=f"the same {own}"):
        one.connect(place)
    poll_until(lambda: not liar.peers())
    assert not one.peers()


def test_the_later_of_two_runtimes_with_one_name_is_refused_with_a_line_on_both_sides(world, caplog):
    one, first, second = world.runtime(), world.runtime(name="twin"), world.runtime(name="twin")
    assert first.peer(one.location) == 0
    with caplog.at_level(logging.WARNING, "greencoro"):
        assert second.peer(one.location) == -1
        poll_until(lambda: lines_with(caplog, "'twin' at", 1))
        poll_until(lambda: lines_with(caplog, "does not take this runtime as a peer: refused: twin", 1))
    assert one.peers() == [first.location]
    first.finish()
    poll_until(lambda: not one.peers())
    assert second.peer(one.location) == 0
    poll_until(lambda: one.peers() == [second.location])


def test_one_who_is_back_before_its_old_connection_was_missed_is_let_in_at_once_and_nothing_it_said_is_lost(
    tcp_world, monkeypatch
):
    monkeypatch.setattr("greencoro.distributed.admission._SILENT_SECONDS", 3600.0)
    one, other = tcp_world.runtime(), tcp_world.runtime()
    assert other.peer(one.location) == 0
    events = []
    poll_until(lambda: one.peers())
    one.watch_peers(events.append)
    reader = one.spawn(collect, 300)
    (old,) = other.peer_table.online()

    def go_silent():
        # As a network that swallows all: neither side hears of an end, and only one gives up.
        old.wire.stream._read_watcher.stop()
        kept.append(old.wire.stream)
        old.wire.stream.write = lambda buffers: None
        old.wire._timer.cancel()
        old.wire.stream, old.wire._closed = Deaf(), True
        other.peer_table.lose(old, PeerLost("nothing was heard"))

    class Deaf:
        blocked = False

        def abort(self):
            pass

    kept = []
    other.reactor.post(go_silent)
    poll_until(lambda: not other.peers())
    assert other.peer(one.location) == 0
    there = reference(other, reader)
    for number in range(300):
        assert there.send(number) == 0
    assert reader.value(10) == list(range(300))
    poll_until(lambda: len(events) == 2)
    assert [event.online for event in events] == [False, True]
    other.reactor.post(kept[0].abort)


def test_N3_one_that_died_and_is_started_again_is_let_in_though_it_cannot_be_dialled_to_find_that_out(
    tcp_world, monkeypatch
):
    """It comes from another address than it says to be at, as from behind a gateway."""
    monkeypatch.setattr("greencoro.distributed.admission._SILENT_SECONDS", 0.2)
    one = tcp_world.runtime(redials=True, tick_seconds=20)
    died = HandMade(one, "worker", source="127.0.0.2")
    poll_until(one.peers)
    events = []
    one.watch_peers(events.append)
    died.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    died.close()
    poll_until(lambda: [link.state for link in one.peer_table.online()] == [LinkState.SUSPENDED])
    again = HandMade(one, "worker", source="127.0.0.2")
    poll_until(lambda: [event.online for event in events] == [False, True])
    again.close()


def test_N3_one_whose_connection_breaks_while_another_of_its_name_waits_makes_room_soon(tcp_world, monkeypatch):
    monkeypatch.setattr("greencoro.distributed.admission._SILENT_SECONDS", 0.2)
    one = tcp_world.runtime(redials=True, tick_seconds=20)
    dies = HandMade(one, "worker", source="127.0.0.2")
    poll_until(one.peers)
    events = []
    one.watch_peers(events.append)
    again = HandMade(one, "worker", source="127.0.0.2")
    # It is asked, and says nothing.
    assert dies.first(REQUEST, about=b"greencoro.ping") is not None
    assert one.peer_table._admission._claims and not events
    dies.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    dies.close()
    poll_until(lambda: [event.online for event in events] == [False, True])
    again.close()


@pytest.mark.parametrize("came_first", [True, False])
def test_M4_one_whose_connection_broke_has_the_whole_time_out_where_its_name_is_claimed_from_another_address(
    tcp_world, monkeypatch, came_first
):
    """Be it a twin that was given the same name by mistake."""
    monkeypatch.setattr("greencoro.distributed.admission._SILENT_SECONDS", 0.2)
    one = tcp_world.runtime(redials=True, tick_seconds=0.5)
    worker = HandMade(one, "worker", source="127.0.0.2")
    (link,) = poll_until(one.peer_table.online)
    twin = HandMade(one, "worker", source="127.0.0.3") if came_first else None
    worker.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    worker.close()
    poll_until(lambda: link.state is LinkState.SUSPENDED)
    twin = twin or HandMade(one, "worker", source="127.0.0.3")
    heard_at = link.wire.connection.heard_at
    poll_until(lambda: link.state is LinkState.LOST)
    assert native.monotonic() - heard_at >= one.settings.peer_timeout_seconds
    twin.close()


@pytest.mark.parametrize("is_known", [True, False], ids=["known", "crossed"])
def test_M3_who_comes_again_without_its_link_is_let_in_at_once_where_it_had_known_that_link(
    tcp_world, monkeypatch, is_known
):
    """And where it may have dialled twice, before it knew of either connection, the first one stays."""
    monkeypatch.setattr("greencoro.distributed.admission._SILENT_SECONDS", 3600.0)
    one = tcp_world.runtime(tick_seconds=20)
    first = HandMade(one)
    (link,) = poll_until(one.peer_table.online)
    events = []
    one.watch_peers(events.append)

    def says_what_peers_say():
        first.send(struct.pack(">BQIQ", DEBT, 0, 0, 0))
        poll_until(lambda: link.session.received)

    if is_known:
        says_what_peers_say()
    second = HandMade(one, identity=first.identity, proves=False)
    if not is_known:
        # After the answer, by which the other connection went on: that it knows now says nothing of then.
        says_what_peers_say()
    second.prove()
    if is_known:
        poll_until(lambda: [event.online for event in events] == [False, True])
        assert "has given this link up" in events[0].reason
        assert first.first(REQUEST) is None
        assert second.ask(1, "greencoro.ping", {}) is not None
    else:
        asked = first.first(REQUEST, about=b"greencoro.ping")
        first.send(struct.pack(">BIB", REPLY, *struct.unpack_from(">I", asked, 1), 1) + text("{}") + bytes(4))
        assert second.first(BYE, about=b"the same incarnation") is not None
        assert one.peer_table.online() == [link] and not events
    for each in (first, second):
        each.close()


def test_N3_one_that_dials_another_by_two_names_at_once_comes_once(tcp_world, request):
    far = tcp_world.runtime()
    between = Forwarder(far.location)
    request.addfinalizer(between.close)
    for _ in range(10):
        near = tcp_world.runtime()
        events = []
        for each in (near, far):
            each.watch_peers(events.append)
        done = []
        dials = [functools.partial(near.peer_table.dial, place) for place in (far.location, between.location)]
        near.reactor.post(lambda dials=dials, done=done: [dial(lambda *came: done.append(came)) for dial in dials])
        poll_until(lambda done=done: len(done) == 2)
        (link,) = near.peer_table.online()
        assert done == [(link, None)] * 2
        poll_until(far.peers)
        near.finish()
        # To each of the other, in their order.
        poll_until(lambda events=events: len(events) == 4)
        assert [event.online for event in events] == [True, True, False, False]


def test_a_runtime_that_finishes_lets_those_go_about_whom_it_is_not_decided(world, monkeypatch):
    one, honest, liar = world.runtime(), world.runtime(name="twin"), world.runtime(name="twin")
    info = one.connect(honest.location)
    (link,) = one.peer_table.online()
    monkeypatch.setattr(link, "send_urgent", lambda buffers: None)
    waits = liar.spawn(liar.peer, one.location)
    poll_until(lambda: one.peer_table._admission._claims)
    assert one.peer_infos() == [info]
    one.finish()
    assert waits.value(10) == -1
    assert not liar.peers()


@pytest.mark.usefixtures("dials_may_cross")
@pytest.mark.parametrize("claimed", ["incarnation", "name"], indirect=True)
def test_S14_one_who_is_heard_of_and_has_not_answered_yet_stays(world, claimed, monkeypatch):
    monkeypatch.setattr("greencoro.distributed.admission._SILENT_SECONDS", 0.4)
    one = world.runtime(tick_seconds=0.1)
    honest, liar = (world.runtime(name=name, tick_seconds=0.1) for name in ("honest", "liar"))
    info = one.connect(honest.location)
    events = []
    one.watch_peers(events.append)
    (link,) = one.peer_table.online()
    # It is not even asked; its heartbeats come.
    monkeypatch.setattr(link, "send_urgent", lambda buffers: None)
    lies(liar, honest, **{claimed: of(honest, claimed)})
    with pytest.raises(PeerUnreachable, match=f"the same {claimed}"):
        liar.connect(one.location, 10)
    assert one.peer_infos() == [info]
    assert not events


def test_S14_one_whose_name_another_claims_has_the_whole_time_out_to_answer(world, monkeypatch):
    monkeypatch.setattr("greencoro.distributed.admission._SILENT_SECONDS", 0.05)
    one, honest, liar = world.runtime(tick_seconds=1.0), world.runtime(name="twin"), world.runtime(name="twin")
    info = one.connect(honest.location)
    events = []
    one.watch_peers(events.append)
    there = poll_until(honest.peer_table.online)[0].wire
    # As on a machine that does something else: it hears, and says nothing for a while.
    there.held = True
    waits = liar.spawn(liar.peer, one.location)
    poll_until(lambda: one.peer_table._admission._claims)
    began = native.monotonic()
    poll_until(lambda: native.monotonic() - began > 0.5)
    there.held = False
    honest.reactor.post(there.flush)
    assert waits.value(10) == -1
    assert one.peer_infos() == [info]
    assert not events


def test_one_that_is_silent_for_the_whole_time_out_makes_room_for_another_of_its_name(world):
    one, silent, newcomer = world.runtime(tick_seconds=0.1), world.runtime(name="twin"), world.runtime(name="twin")
    assert one.peer(silent.location) == 0
    events = []
    one.watch_peers(events.append)
    there = poll_until(silent.peer_table.online)[0].wire
    there.held = True
    assert newcomer.peer(one.location) == 0
    due = [(silent.location, False), (newcomer.location, True)]
    poll_until(lambda: [(event.peer.location, event.online) for event in events] == due)


@pytest.mark.usefixtures("dials_may_cross")
def test_after_standing_still_it_is_heard_first_what_came_meanwhile(world, monkeypatch):
    # The whole time is over before anything could be read.
    monkeypatch.setattr("greencoro.distributed.admission._SILENT_SECONDS", 0.2)
    one, honest, liar = world.runtime(), world.runtime(name="honest"), world.runtime(name="liar")
    info = one.connect(honest.location)
    lies(liar, honest, incarnation=honest.incarnation)
    ask = one.peer_table._admission._ask
    there = poll_until(honest.peer_table.online)[0].wire

    def asks_and_stands_still(rival, claim):
        ask(rival, claim)
        native.sleep(0.5)

    monkeypatch.setattr(one.peer_table._admission, "_ask", asks_and_stands_still)
    assert not there.held
    assert liar.peer(one.location, timeout=10) == -1
    assert one.peer_infos() == [info]


def test_a_newcomer_may_say_as_much_before_it_is_decided_as_one_mailbox_takes():
    def kept(max_queue_messages):
        own = SimpleNamespace(
            max_queue_messages=max_queue_messages, max_queue_bytes=1000, location=None, name="own", incarnation=b"own"
        )
        admission = Admission(None, None, own, 1.0)
        count = 0
        while admission._has_room(count, 1):
            count += 1
        assert not admission._has_room(0, 1001)
        return count

    assert kept(20_000) == 20_000
    assert kept(1) == 10_000


def test_S10_a_header_is_counted_by_what_it_came_in_however_deep_it_is():
    deep = []
    for _ in range(200_000):
        deep = [deep]
    judged = Claim(None, None, None, lambda kept, size: size < 200)
    for message in (Request(1, "x", {"a": deep}, [b"part"], 100), Reply(1, True, {"a": deep}, [b"part"], 100)):
        judged.on_message(None, message)
    assert 208 < judged.kept_bytes < 250
    with pytest.raises(RemoteProtocolError, match="too much"):
        judged.on_message(None, Request(1, "x", {}, (), 200))
    while deep:
        # Not all at once: to free it is a recursion as well.
        deep = deep.pop()
