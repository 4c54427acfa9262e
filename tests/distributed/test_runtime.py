"""Runtimes come, find each other, and go: over every transport."""

import logging
import threading

import psutil
import pytest

from greencoro.config import Settings
from greencoro.distributed import options
from greencoro.distributed import runtime as runtime_module
from greencoro.distributed.location import Location
from greencoro.distributed.messages import Monitor
from greencoro.distributed.runtime import Runtime, current_runtime
from greencoro.errors import (
    AuthenticationError,
    ConfigError,
    PeerUnreachable,
)
from greencoro.hub import native
from greencoro.hub.coroutine import Coro
from greencoro.hub.execution import sleep
from tests.distributed.conftest import reference
from tests.support.polling import poll_until

NOWHERE = Location("127.0.0.1", 1)


def collect(count, coro=None):
    return [coro.receive() for _ in range(count)]


def test_peer_is_0_where_it_is_a_peer_now_and_again(world):
    one, other = world.runtime(), world.runtime(name="the other")
    assert one.peer(other.location) == 0
    assert one.peer(str(other.location)) == 0
    assert one.peers() == [other.location]
    (info,) = one.peer_infos()
    assert (info.name, info.incarnation) == ("the other", other.incarnation)
    assert one.connect(other.location) == info
    poll_until(lambda: other.peers() == [one.location])
    assert other.peer(one.location) == 0
    assert len(other.peer_table.links) == 1


def test_peer_is_minus_1_where_nobody_answers_and_connect_says_why(world):
    one = world.runtime(connect_timeout_seconds=1.0)
    assert one.peer(NOWHERE, timeout=5) == -1
    with pytest.raises(PeerUnreachable, match=r"cannot reach 127\.0\.0\.1:1: Connection refused"):
        one.connect(NOWHERE)
    assert one.peer(one.location) == -1
    with pytest.raises(PeerUnreachable, match="itself"):
        one.connect(one.location)


def test_a_host_without_a_port_stands_for_the_port_of_node_daemons(world, monkeypatch):
    assert runtime_module.DEFAULT_PORT == 51350
    one, other = world.runtime(), world.runtime()
    monkeypatch.setattr("greencoro.distributed.options.DEFAULT_PORT", other.location.port)
    assert one.connect("127.0.0.1").location == other.location


def test_a_text_is_one_peer(tcp_world):
    one = tcp_world.runtime()
    for peers in (str(one.location), one.location, [one.location]):
        other = tcp_world.runtime(peers=peers)
        poll_until(lambda other=other: other.peers() == [one.location])


def test_the_current_runtime_is_the_default_one_and_is_not_made(world):
    assert current_runtime() is None
    one = world.runtime()
    world.runtime()
    assert current_runtime() is one
    one.finish()
    assert current_runtime() is None


def test_peers_given_are_connected_to_whenever_they_come(world):
    one = world.runtime()
    place = one.location
    one.finish()
    seeker = world.runtime(peers=[str(place)], tick_seconds=0.05)
    for _ in range(2):
        other = world.runtime(tcp_port=place.port)
        poll_until(lambda: seeker.peers() == [place], what="it is found")
        other.finish()
        poll_until(lambda: not seeker.peers(), what="it is gone")


def test_crossed_dials_make_one_link_and_both_succeed(world):
    for _ in range(25):
        one, other = world.runtime(), world.runtime()
        events = []
        one.watch_peers(events.append)
        other.watch_peers(events.append)
        results = []
        barrier = threading.Barrier(2)

        def dial(here, there, results=results, barrier=barrier):
            barrier.wait()
            results.append(here.peer(there.location))

        threads = [threading.Thread(target=dial, args=pair) for pair in ((one, other), (other, one))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [0, 0]
        assert len(one.peer_table.links) == len(other.peer_table.links) == 1
        coro = other.spawn(collect, 1)
        assert reference(one, coro).deliver("x", 5) == 1
        poll_until(lambda events=events: len(events) == 2)
        assert [event.online for event in events] == [True, True]
        one.finish()
        other.finish()


def test_crossed_first_messages_make_one_link_and_none_is_lost(world):
    for _ in range(25):
        one, other = world.runtime(), world.runtime()
        readers = [one.spawn(collect, 20), other.spawn(collect, 20)]
        targets = [reference(other, readers[0]), reference(one, readers[1])]

        def flood(target):
            return [target.send(number) for number in range(20)]

        writers = [other.spawn(flood, targets[0]), one.spawn(flood, targets[1])]
        assert [writer.value(10) for writer in writers] == [[0] * 20] * 2
        assert [reader.value(10) for reader in readers] == [list(range(20))] * 2
        one.finish()
        other.finish()


def test_fifty_runtimes_connect_to_one(world):
    hub = world.runtime()
    others = [world.runtime() for _ in range(50)]
    for other in others:
        other.peer(hub.location)
    poll_until(lambda: len(hub.peers()) == 50)
    coros = [other.spawn(collect, 1) for other in others]
    assert [reference(hub, coro).deliver("x", 10) for coro in coros] == [1] * 50


def test_N3_online_and_offline_alternate(runtime_pair):
    events = []
    runtime_pair.one.watch_peers(events.append)
    for _ in range(10):
        poll_until(lambda: runtime_pair.one.peers())
        runtime_pair.cut()
        poll_until(lambda: not runtime_pair.one.peers() and not runtime_pair.other.peers())
        assert runtime_pair.other.peer(runtime_pair.one.location) == 0
    poll_until(lambda: len(events) == 20)
    assert [event.online for event in events] == [False, True] * 10
    assert all(event.peer.incarnation == runtime_pair.other.incarnation for event in events)
    assert all(event.online or event.reason for event in events)


def test_an_observer_of_peers_that_raises_does_not_disturb_the_others(runtime_pair, caplog):
    events = []

    def fails(event):
        raise ValueError("not my day")

    runtime_pair.one.watch_peers(fails)
    runtime_pair.one.watch_peers(events.append)
    runtime_pair.other.finish()
    poll_until(lambda: events and "not my day" in caplog.text)


def test_a_reference_to_a_lost_incarnation_works_again_once_it_is_back(runtime_pair):
    coro = runtime_pair.other.spawn(collect, 1)
    there = reference(runtime_pair.one, coro)
    assert runtime_pair.one.peers()
    runtime_pair.cut()
    poll_until(lambda: not runtime_pair.one.peers())
    assert there.send("lost") == -1
    assert runtime_pair.one.peer(runtime_pair.other.location) == 0
    assert there.deliver("found", 5) == 1
    assert coro.value(5) == ["found"]


def test_a_wrong_secret_is_refused_with_one_clear_line_on_each_side_however_often_it_is_tried(world, caplog):
    one = world.runtime(secret="correct horse battery")
    other = world.runtime(secret="incorrect horse staple")
    with caplog.at_level(logging.WARNING, "greencoro"):
        for _ in range(3):
            with pytest.raises(AuthenticationError, match=one.secret.fingerprint):
                one.connect(other.location)
            assert one.peer(other.location) == -1
        poll_until(lambda: len(caplog.records) >= 2)
        # The reactor's log is in order: with this line all before it are there.
        for runtime in (one, other):
            runtime._warn(logging.getLogger("greencoro"), "the end of %s", runtime.name)
        poll_until(lambda: "the end of " + one.name in caplog.text and "the end of " + other.name in caplog.text)
    lines = [record.getMessage() for record in caplog.records if "the end" not in record.getMessage()]
    assert len(lines) == 2
    for mine in (one, other):
        assert len([line for line in lines if mine.secret.fingerprint in line and "wrong secret" in line]) == 1
    assert not one.peers() and not other.peers()
    assert not one.peer_table.links and not other.peer_table.links


def test_S6_without_a_secret_only_loopback_is_listened_at(tcp_world):
    open_one, open_two = tcp_world.runtime(secret=""), tcp_world.runtime(secret="")
    assert open_one.peer(open_two.location) == 0
    assert tcp_world.runtime().peer(open_one.location) == -1
    for address in ("0.0.0.0", "192.0.2.1", "::"):
        with pytest.raises(ConfigError, match="loopback only"):
            Runtime(address, secret="")
    with Runtime(discover_peers=False, secret="") as runtime:
        assert runtime.location.addr == "127.0.0.1"


def test_S7_it_listens_at_its_own_address_only(tcp_world):
    runtime = tcp_world.runtime()
    at = [c.laddr for c in psutil.Process().net_connections("inet") if c.status == "LISTEN"]
    assert [tuple(a) for a in at if a.port == runtime.location.port] == [("127.0.0.1", runtime.location.port)]


def test_Z4_a_port_that_is_taken_fails_with_a_clear_line_and_leaves_nothing(world):
    one = world.runtime()
    for _ in range(3):
        with pytest.raises(
            OSError, match=rf"cannot listen at 127\.0\.0\.1:{one.location.port}: Address already in use"
        ):
            world.runtime(tcp_port=one.location.port)


def test_Z3_the_same_port_can_be_used_again_at_once(world):
    place = None
    friend = world.runtime()
    for _ in range(20):
        runtime = world.runtime(tcp_port=place.port if place else 0)
        assert place in (None, runtime.location)
        place = runtime.location
        assert friend.peer(place) == 0
        runtime.finish()


@pytest.mark.parametrize(
    "arguments", [{"name": "two\nlines"}, {"name": "x" * 300}, {"peers": ["[broken"]}], ids=["newline", "long", "peers"]
)
def test_Z4_arguments_that_cannot_work_raise_and_leave_nothing_behind(tcp_world, arguments):
    before = set(psutil.Process().net_connections("inet"))
    with pytest.raises(ValueError):
        tcp_world.runtime(**arguments)
    assert set(psutil.Process().net_connections("inet")) <= before


def test_a_coroutine_may_start_and_finish_a_runtime_while_others_run(tcp_world, monkeypatch):
    def come_and_go(coro=None):
        runtime = tcp_world.runtime(secret="a typed secret, to be stretched")
        runtime.finish()
        return runtime.reactor._thread.join(0)

    beats, beats_meanwhile, load_secret = [], [], options.load_secret

    def beat():
        while going.is_alive():
            beats.append(1)
            sleep(0.001)

    def stretch_for_long(*args, **kwargs):
        deadline = native.monotonic() + 20
        while len(beats) <= 10 and native.monotonic() < deadline:
            native.sleep(0.001)
        beats_meanwhile.append(len(beats))
        return load_secret(*args, **kwargs)

    monkeypatch.setattr(options, "load_secret", stretch_for_long)
    going = Coro(come_and_go)
    beating = Coro(beat)
    assert going.value(40) is True
    beating.value(10)
    assert beats_meanwhile[0] > 10


def test_what_the_reactor_needs_of_the_user_hub_is_started_before(tcp_world, monkeypatch):
    started = []
    monkeypatch.setattr("greencoro.hub.userhub.is_started", lambda: False)
    monkeypatch.setattr(
        "greencoro.hub.exit.start", lambda: started.append(runtime.reactor.is_current or other.reactor.is_current)
    )
    runtime, other = tcp_world.runtime(), tcp_world.runtime()
    assert started == []
    runtime.handle("test.reactor", print, on_reactor=True)
    assert started == []
    runtime.handle("test.coroutine", lambda request: request.reply())
    events = []
    other.watch_peers(events.append)
    assert started == [False, False]
    assert other.request(runtime.location, "test.coroutine", {}, timeout=5).header == {}
    poll_until(lambda: events)
    assert started.count(True) == 0


def test_S11_a_peer_that_watches_too_much_is_cut_off(runtime_pair, monkeypatch):
    monkeypatch.setattr("greencoro.distributed.watches.MAX_WATCHED", 10)
    coro = runtime_pair.other.spawn(sleep, 60)
    (link,) = runtime_pair.one.peer_table.online()
    for number in range(11):
        link.send(None, Monitor(coro.id, number + 1, number).encode())
    poll_until(lambda: not runtime_pair.other.peers())
    poll_until(lambda: not coro._observers, what="nobody watches it")
    coro.terminate()


def test_connecting_and_finishing_leaves_nothing_behind(tcp_world):
    process = psutil.Process()
    friend = tcp_world.runtime()

    def come_and_go():
        runtime = tcp_world.runtime()
        assert runtime.peer(friend.location) == 0
        assert reference(runtime, coro).deliver("x", 5) == 1
        runtime.finish()
        tcp_world.made.remove(runtime)

    coro = friend.spawn(lambda coro=None: [coro.receive() for _ in range(1000)])
    for _ in range(5):
        come_and_go()
    poll_until(lambda: not friend.peers())
    descriptors, threads = process.num_fds(), process.num_threads()
    for _ in range(100):
        come_and_go()
    poll_until(lambda: not friend.peers())
    poll_until(lambda: process.num_fds() <= descriptors and process.num_threads() <= threads, what="all is back")
    peers = friend.peer_table
    poll_until(lambda: not (peers.links or peers.incoming._unproven or peers._dialling._dials))
    poll_until(lambda: not coro._observers)
    coro.terminate()


def test_the_reactor_of_a_process_comes_and_goes_with_its_runtimes(tcp_world):
    process = psutil.Process()

    def come_and_go():
        runtime = tcp_world.runtime()
        runtime.finish()
        assert not runtime.reactor._thread.is_current()
        runtime.reactor.post(print)

    come_and_go()
    descriptors, threads = process.num_fds(), process.num_threads()
    for _ in range(30):
        come_and_go()
    poll_until(lambda: process.num_fds() <= descriptors and process.num_threads() <= threads, what="all is back")


def test_settings_come_from_the_environment_unless_given(monkeypatch):
    monkeypatch.setenv("GREENCORO_TICK_SECONDS", "0.7")
    with Runtime("127.0.0.1", discover_peers=False, secret_key=b"k" * 32) as runtime:
        assert runtime.settings.tick_seconds == 0.7
    with Runtime(
        "127.0.0.1", discover_peers=False, secret_key=b"k" * 32, settings=Settings(tick_seconds=0.3)
    ) as runtime:
        assert runtime.settings.tick_seconds == 0.3
