"""Reaching those that were named, by location, by host and by name; and what is said while that takes long."""

import logging
import socket

import pytest

from greencoro.distributed.location import Location
from greencoro.errors import DeadlineExceeded, PeerUnreachable
from greencoro.hub.coroutine import Coro
from tests.support.polling import poll_until


@pytest.fixture
def nowhere():
    """A TCP and UDP port at which nobody answers, for as long as this test runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture(autouse=True)
def _no_node_daemon(monkeypatch, nowhere):
    """Whatever runs on this machine: in these tests it does not."""
    monkeypatch.setattr("greencoro.distributed.search.DEFAULT_PORT", nowhere)


def names(monkeypatch, **known):
    """Let host names have these addresses."""

    def resolve(host):
        if host not in known:
            raise OSError(-2, "Name or service not known")
        return known[host]

    monkeypatch.setattr("greencoro.distributed.search.resolve", resolve)


def test_a_name_with_many_addresses_stands_for_all_of_them(tcp_world, monkeypatch):
    first = tcp_world.runtime(node="127.0.0.1")
    port = first.location.port
    others = [tcp_world.runtime(node=f"127.0.0.{number}", tcp_port=port) for number in (2, 3)]
    addresses = [runtime.location.addr for runtime in (first, *others)]
    names(monkeypatch, **{"all.example": [*addresses, "127.0.0.4"]})
    one = tcp_world.runtime()
    assert one.peer(Location("all.example", port)) == 0
    poll_until(lambda: set(one.peers()) == {runtime.location for runtime in (first, *others)})
    kept = tcp_world.runtime(peers=[f"all.example:{port}"])
    poll_until(lambda: set(kept.peers()) == {runtime.location for runtime in (first, *others)})


def test_a_host_where_nobody_is_gives_minus_1_and_says_what_was_tried(tcp_world, caplog, nowhere):
    one = tcp_world.runtime()
    assert one.peer("127.0.0.1", udp_port=nowhere, timeout=0.3) == -1
    assert f"127.0.0.1:{nowhere}: Connection refused" in caplog.text
    assert f"UDP port {nowhere}. Where several programs there share that port, one alone hears it" in caplog.text
    assert "name the TCP port, 127.0.0.1:PORT" in caplog.text


def test_a_host_that_is_no_name_gives_minus_1(tcp_world, caplog, monkeypatch):
    names(monkeypatch)
    assert tcp_world.runtime().peer("nobody.example:7", timeout=5) == -1
    assert "cannot reach nobody.example: Name or service not known" in caplog.text


def test_a_host_alone_that_is_no_name_gives_minus_1_as_soon_as_that_is_known(tcp_world, caplog, monkeypatch):
    names(monkeypatch)
    one = tcp_world.runtime(connect_timeout_seconds=100)
    assert one.spawn(one.peer, "nobody.example").value(10) == -1
    assert "cannot reach nobody.example: Name or service not known" in caplog.text


@pytest.mark.parametrize("loc", [5, None, b"127.0.0.1", ["127.0.0.1:1"], "", "a b", "1:2:3"], ids=repr)
def test_a_place_that_is_none_raises_at_the_call(world, loc):
    one = world.runtime()
    for call in (one.peer, one.connect):
        with pytest.raises((TypeError, ValueError), match=r"Location|host name|ambiguous"):
            call(loc)


def test_all_addresses_of_a_runtime_are_itself(tcp_world):
    one = tcp_world.runtime(node=["127.0.0.1", "127.0.0.2"])
    everywhere = tcp_world.runtime(node="0.0.0.0", discover_peers=False)
    assert len(one.locations) == 2
    places = [(one, place) for place in one.locations]
    places += [(everywhere, Location(address, everywhere.location.port)) for address in ("127.0.0.1", "0.0.0.0")]
    for runtime, place in places:
        assert runtime.is_own(place)
        with pytest.raises(PeerUnreachable, match="itself"):
            runtime.connect(place)
        assert runtime.peer(place) == -1
    assert not one.is_own(everywhere.location)


def test_a_host_without_a_port_reaches_the_node_daemon_there(tcp_world, monkeypatch):
    daemon, one = tcp_world.runtime(), tcp_world.runtime()
    monkeypatch.setattr("greencoro.distributed.search.DEFAULT_PORT", daemon.location.port)
    assert one.peer("127.0.0.1", udp_port=daemon.location.port) == 0
    assert one.peers() == [daemon.location]


def test_peers_may_be_a_host_and_whoever_comes_there_is_found(tcp_world, nowhere):
    seeker = tcp_world.runtime(peers=["127.0.0.1"], udp_port=nowhere, tick_seconds=0.05)
    poll_until(lambda: seeker._contacts._kept)
    (kept,) = seeker._contacts._kept
    for _ in range(2):
        other = tcp_world.runtime(discover_peers=True, udp_port=nowhere)
        poll_until(lambda other=other: seeker.peers() == [other.location])
        poll_until(lambda: kept._search._closed, what="it looks no more")
        other.finish()
        poll_until(lambda: not seeker.peers())


@pytest.mark.parametrize("port", [-1, 65536, "51350", 1.5, True])
def test_a_udp_port_that_is_none_raises(world, port):
    with pytest.raises(ValueError, match="udp_port"):
        world.runtime().peer("127.0.0.1", udp_port=port)


@pytest.mark.parametrize("timeout", ["5", float("nan")])
def test_a_timeout_that_is_none_raises_at_the_call(world, timeout):
    one = world.runtime()
    for call in (one.peer, one.connect):
        with pytest.raises((TypeError, ValueError), match="timeout"):
            call("127.0.0.1:1", timeout=timeout)
    with pytest.raises((TypeError, ValueError), match="timeout"):
        one.locate("name", timeout)
    with pytest.raises((TypeError, ValueError), match="timeout"):
        Coro.locate("name", timeout=timeout)


def test_stream_send_may_be_switched_and_the_connection_stays_open(world):
    one, other = world.runtime(), world.runtime()
    for stream_send in (True, False, True):
        assert one.peer(other.location, stream_send=stream_send) == 0
    assert len(one.peer_table.links) == 1


def test_after_finish_nobody_is_reached(world):
    one, other = world.runtime(), world.runtime()
    one.finish()
    assert one.peer(other.location) == -1
    assert one.peer("127.0.0.1") == -1
    with pytest.raises(PeerUnreachable, match="finished"):
        one.connect(other.location)


# Names.


def test_L1_locate_finds_a_runtime_that_comes_later(world):
    one = world.runtime()
    looking = one.spawn(one.locate, "late", 10)
    late = world.runtime(name="late")
    assert late.peer(one.location) == 0
    assert looking.value(10) == late.location
    assert one.locate(one.name) == one.location
    late.finish()
    poll_until(lambda: not one.peers())
    assert one.locate("late", 0.05) is None


def test_whoever_waits_says_where_it_asked_and_what_to_try(tcp_world, caplog, monkeypatch, nowhere):
    monkeypatch.setattr("greencoro.hub.waiting_aloud.SAY_SECONDS", 0.05)
    one = tcp_world.runtime(discover_peers=True, udp_port=nowhere)
    waits = {
        "a peer called 'nobody'": lambda: one.locate("nobody", 0.2),
        "a coroutine called 'nothing'": lambda: one.spawn(Coro.locate, "nothing", None, 0.2).value(5),
        "a runtime at 127.0.0.1": lambda: one.peer("127.0.0.1", udp_port=nowhere, timeout=0.2),
    }
    for what, wait in waits.items():
        caplog.clear()
        with caplog.at_level(logging.WARNING, "greencoro"):
            assert wait() in (None, -1)
        lines = [record.getMessage() for record in caplog.records if what in record.getMessage()]
        assert len(lines) >= 2
        asked = f"127.255.255.255:{nowhere}"
        for words in (asked, str(one.location), one.secret.fingerprint, "peer()", "`greencoro doctor`"):
            assert words in lines[0]


def test_where_there_is_no_broadcast_whoever_waits_says_so(tcp_world, monkeypatch, nowhere):
    monkeypatch.setattr("greencoro.distributed.places.channels", lambda address, group: [])
    one = tcp_world.runtime(discover_peers=True, udp_port=nowhere)
    assert "asked nobody but named peers, for 127.0.0.1 has no broadcast" in one._contacts.situation()


def test_finish_lets_go_whoever_waits_for_a_host(tcp_world, nowhere):
    one = tcp_world.runtime(connect_timeout_seconds=100)
    waiting = one.spawn(one.peer, "127.0.0.1", nowhere)
    poll_until(lambda: one._contacts._searches)
    one.finish()
    assert waiting.value(5) == -1


def test_whoever_waits_does_not_wait_longer_for_saying_so(world, monkeypatch):
    monkeypatch.setattr("greencoro.hub.waiting_aloud.SAY_SECONDS", 0.01)
    one = world.runtime()
    silent = socket.socket()
    with silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        if one.peer_table._transport.__class__.__name__ == "Tcp":
            with pytest.raises(DeadlineExceeded, match=r"no answer within 0\.2 s"):
                one.connect(Location(*silent.getsockname()), timeout=0.2)
    assert "nobody but named peers" in one._contacts.situation()


# What is said of those that were named.


@pytest.fixture
def _often(monkeypatch):
    monkeypatch.setattr("greencoro.hub.waiting_aloud.SAY_SECONDS", 0.05)


def said(caplog, what):
    """The lines of those who wait for ``what``, oldest first."""
    return [text for text in caplog.messages if text.startswith(f"still waiting for {what}, ")]


def waited(runtime, caplog, place=None):
    """What is said last while nobody has a name."""
    caplog.clear()
    assert runtime.spawn(Coro.locate, "nothing", place, 0.4).value(10) is None
    return said(caplog, "a coroutine called 'nothing'")[-1]


def test_L1_of_peers_that_cannot_be_reached_whoever_waits_says_where_and_why(tcp_world, caplog, nowhere, _often):
    one = tcp_world.runtime(peers=[f"127.0.0.1:{nowhere}"])
    poll_until(lambda: one._contacts._kept and one._contacts._kept[0].named.error)
    line = waited(one, caplog)
    assert (
        f"asked nobody but those named: 127.0.0.1:{nowhere}, for discover_peers is False, as {one.location}; " in line
    )
    assert line.endswith(f"; cannot reach 127.0.0.1:{nowhere}: Connection refused")
    # Not said of one that is reached, and again once it is gone.
    later = tcp_world.runtime()
    kept = tcp_world.runtime(peers=[str(later.location)], tick_seconds=3)
    poll_until(kept.peers)
    assert "cannot reach" not in waited(kept, caplog)
    later.finish()
    poll_until(lambda: not kept.peers())
    assert f"; {later.location} is lost: " in waited(kept, caplog)
    poll_until(lambda: "Connection refused" in str(kept._contacts._kept[0].named.error))
    assert waited(kept, caplog).endswith(f"; cannot reach {later.location}: Connection refused")
    tcp_world.runtime(tcp_port=later.location.port)
    poll_until(kept.peers)
    assert "cannot reach" not in waited(kept, caplog)


def test_L1_with_discovery_both_the_networks_and_those_named_are_told(tcp_world, nowhere):
    one = tcp_world.runtime(discover_peers=True, udp_port=nowhere, peers=[f"127.0.0.1:{nowhere}"])
    poll_until(lambda: one._contacts._kept)
    assert f"asked 127.255.255.255:{nowhere}, named: 127.0.0.1:{nowhere}, as " in one._contacts.situation()


def test_of_many_named_ones_some_are_shown(tcp_world, nowhere):
    one = tcp_world.runtime(peers=[f"127.0.0.{number}:{nowhere}" for number in range(1, 9)])
    poll_until(lambda: len(one._contacts._kept) == 8 and all(kept.named.error for kept in one._contacts._kept))
    line = one._contacts.situation()
    assert f"127.0.0.5:{nowhere} and 3 more, for" in line
    assert line.count("Connection refused") == 5


def test_L1_a_location_that_cannot_be_reached_is_named_with_the_reason(tcp_world, caplog, nowhere, _often):
    one, other = tcp_world.runtime(), tcp_world.runtime()
    line = waited(one, caplog, f"127.0.0.1:{nowhere}")
    assert f"asked nobody but the one named: 127.0.0.1:{nowhere}, as {one.location}. Does it run there" in line
    assert f"`greencoro doctor --peer 127.0.0.1:{nowhere}`" in line and one.secret.fingerprint in line
    assert line.endswith(f"; cannot reach 127.0.0.1:{nowhere}: Connection refused")
    line = waited(one, caplog, other.location)
    assert line.endswith(
        f"asked {other.location}, which is online and has not registered that name: is it spelt so there?"
    )


def test_L1_whoever_waits_for_one_that_goes_meanwhile_says_so(tcp_world, caplog, _often):
    one, other = tcp_world.runtime(), tcp_world.runtime()
    waiting = one.spawn(Coro.locate, "nothing", other.location)
    what = "a coroutine called 'nothing'"
    poll_until(lambda: any("which is online" in line for line in said(caplog, what)))
    other.finish()
    poll_until(lambda: said(caplog, what)[-1].endswith(f"; cannot reach {other.location}: Connection refused"))
    one.finish()
    assert waiting.value(5) is None


def test_where_peers_are_online_whoever_waits_for_a_name_asks_how_it_is_spelt(tcp_world, caplog, _often):
    one, *others = (tcp_world.runtime() for _ in range(3))
    assert one.peer(others[0].location) == 0
    line = waited(one, caplog)
    assert "; 1 peer is online and has not registered that name: is it spelt so there? " in line
    assert "broadcasts" not in line
    assert one.peer(others[1].location) == 0
    assert "; 2 peers are online and none has registered that name: is it spelt so there? " in waited(one, caplog)
    assert one.locate("nobody", 0.2) is None
    line = said(caplog, "a peer called 'nobody'")[-1]
    assert "2 peers are online and none has been started with that name" in line


def test_peer_that_fails_is_told_once_to_those_who_set_up_no_logging(tcp_world, capsys, monkeypatch, nowhere):
    monkeypatch.setattr("greencoro.hub.telling._is_heard", lambda logger: False)
    names(monkeypatch)
    one = tcp_world.runtime()
    assert one.peer(f"127.0.0.1:{nowhere}") == one.peer("nix.invalid") == -1
    errors = capsys.readouterr().err.splitlines()
    assert [line for line in errors if "runtime.started" not in line] == [
        f"greencoro: peer(127.0.0.1:{nowhere}) failed: cannot reach 127.0.0.1:{nowhere}: Connection refused",
        "greencoro: peer(nix.invalid) failed: cannot reach nix.invalid: Name or service not known",
    ]


def test_of_peers_that_cannot_be_reached_people_are_told_once_each(tcp_world, capsys, monkeypatch, nowhere):
    monkeypatch.setattr("greencoro.hub.telling._is_heard", lambda logger: False)
    names(monkeypatch)
    kept = tcp_world.runtime(
        peers=[f"127.0.0.1:{nowhere}", "nix.invalid:7", "nix.invalid"], udp_port=nowhere, tick_seconds=0.02
    )
    tcp_world.runtime(peers=[f"127.0.0.3:{nowhere}"], announce=False)
    said = []

    def lines():
        said.extend(line for line in capsys.readouterr().err.splitlines() if "not reached" in line)
        return said

    poll_until(lambda: len(lines()) == 3)
    # More tries, of which nobody is told.
    first = kept._contacts._kept[0].named.error
    poll_until(lambda: kept._contacts._kept[0].named.error is not first)
    assert sorted(lines()) == [
        f"greencoro: {place}, one of the peers that were named, is not reached, and is tried again and again: {why}"
        for place, why in [
            (f"127.0.0.1:{nowhere}", f"cannot reach 127.0.0.1:{nowhere}: Connection refused"),
            ("nix.invalid", "cannot reach nix.invalid: Name or service not known"),
            ("nix.invalid:7", "cannot reach nix.invalid: Name or service not known"),
        ]
    ]
