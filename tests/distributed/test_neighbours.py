"""Runtimes that nobody named find each other: real sockets on loopback."""

import logging
import socket
import struct
import threading

import psutil
import pytest

from greencoro.config import Settings
from greencoro.distributed.datagrams import Echo, Ping
from greencoro.distributed.location import Location
from greencoro.distributed.neighbours import Neighbours
from greencoro.distributed.runtime import Runtime
from greencoro.distributed.secret import Secret
from greencoro.errors import BusyResource, GreencoroError
from greencoro.hub.coroutine import Coro
from tests.distributed.conftest import SECRET_KEY
from tests.support.polling import poll_until
from tests.support.ports import free_port

KEY = Secret.from_key(SECRET_KEY).discovery_key()
EVERYBODY = "127.255.255.255"


@pytest.fixture
def port():
    """A UDP port that nobody has."""
    return free_port()


@pytest.fixture
def voice():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.bind(("127.0.0.1", 0))
        yield sock


def discovering(world, port, **kwargs):
    return world.runtime(discover_peers=True, udp_port=port, **kwargs)


def knows(one, *others):
    return set(one.peers()) == {other.location for other in others}


def test_L3_runtimes_on_one_port_find_each_other_whoever_comes_first(tcp_world, port):
    made = []
    for _ in range(4):
        made.append(discovering(tcp_world, port))
        for one in made:
            others = [other for other in made if other is not one]
            poll_until(lambda one=one, others=others: knows(one, *others), what="all are known")


def test_runtimes_on_another_port_or_with_another_secret_are_not_found(tcp_world, port):
    one = discovering(tcp_world, port)
    elsewhere = discovering(tcp_world, port + 1 if port < 65535 else port - 1)
    stranger = discovering(tcp_world, port, secret="a secret of somebody else")
    silent = tcp_world.runtime(udp_port=port)
    friend = discovering(tcp_world, port)
    poll_until(lambda: knows(one, friend) and knows(friend, one))
    assert not elsewhere.peers() and not stranger.peers() and not silent.peers()


def test_one_that_does_not_discover_hears_nothing_and_can_be_named(tcp_world, port):
    one, silent = discovering(tcp_world, port), tcp_world.runtime(udp_port=port)
    assert len([c for c in psutil.Process().net_connections("udp") if c.laddr.port == port]) == 2
    assert silent.peer(one.location) == 0
    poll_until(lambda: knows(one, silent))


def test_L3_a_lost_datagram_is_healed_by_the_next_ping(tcp_world, port, monkeypatch):
    monkeypatch.setattr("greencoro.distributed.neighbours.START_PINGS_SECONDS", ())
    one = discovering(tcp_world, port, ping_interval_seconds=0.1)
    other = discovering(tcp_world, port)
    poll_until(lambda: knows(one, other) and knows(other, one))


def test_S7_discovery_listens_at_its_own_network_only(tcp_world, port):
    discovering(tcp_world, port)
    at = sorted(c.laddr.ip for c in psutil.Process().net_connections("udp") if c.laddr.port == port)
    assert at == ["127.0.0.1", EVERYBODY]


def test_discovery_ends_with_its_runtime(tcp_world, port):
    one = discovering(tcp_world, port)
    one.finish()
    poll_until(lambda: not [c for c in psutil.Process().net_connections("udp") if c.laddr.port == port])


def test_Z4_a_udp_port_that_cannot_be_had_fails_with_a_clear_line_and_leaves_nothing(tcp_world, port):
    before = set(psutil.Process().net_connections("inet"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as alone:
        alone.bind(("127.0.0.1", port))
        with pytest.raises(OSError, match=rf"discovery at 127\.0\.0\.1:{port} \(UDP\): Address already in use"):
            discovering(tcp_world, port)
    assert set(psutil.Process().net_connections("inet")) <= before


def malformed():
    good = Ping(b"x" * 16, Location("127.0.0.1", 9)).encode(KEY)
    yield from (b"", b"\0", b"x" * 65_000, good[:-1], good + b"x", good[:11], b"GET / HTTP/1.1\r\n\r\n")
    yield Ping(b"x" * 16, Location("127.0.0.1", 9)).encode(b"another key")
    yield b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94."
    yield from (struct.pack(">I", number) * 20 for number in range(1000))


def test_S8_after_malformed_datagrams_of_every_kind_a_good_one_still_counts(tcp_world, port, voice, caplog):
    with caplog.at_level(logging.DEBUG, "greencoro"):
        one = discovering(tcp_world, port)
        for datagram in malformed():
            voice.sendto(datagram, ("127.0.0.1", port))
            voice.sendto(datagram[:1000], (EVERYBODY, port))
        other = discovering(tcp_world, port)
        poll_until(lambda: knows(one, other))
    # Whoever they came from: none was answered.
    voice.setblocking(False)
    with pytest.raises(BlockingIOError):
        voice.recv(1000)
    assert {record.getMessage().split()[0] for record in caplog.records} <= {"runtime.started", "peer.online"}


def bad(number):
    """No two are alike."""
    mark = struct.pack(">I", number)
    forged = Ping(mark * 4, Location("127.0.0.1", 1 + number % 65535)).encode(b"another key")
    return (
        forged,
        forged[: number % len(forged)],
        forged + mark,
        mark * (number % 90),
        b"\x1b[31m\nERROR root logged in %d\n" % number,
        Echo(mark * 4, Location("127.0.0.1", 9)).question(b"another key"),
    )[number % 6]


def test_S18_100_000_bad_datagrams_leave_no_line_no_answer_and_nothing_in_memory(
    tcp_world, port, voice, caplog, monkeypatch
):
    count, heard, due = 100_000, 0, 0
    real, own_port, are_heard = Neighbours._on_datagram, voice.getsockname()[1], threading.Event()

    def counted(neighbours, datagram, host, source):
        nonlocal heard
        answer = real(neighbours, datagram, host, source)
        heard += source == own_port
        if heard == due:
            are_heard.set()
        return answer

    monkeypatch.setattr(Neighbours, "_on_datagram", counted)
    with caplog.at_level(logging.DEBUG, "greencoro"):
        one = discovering(tcp_world, port)
        process, before = psutil.Process(), 0
        for start in range(0, count, 100):
            if start == count // 10:
                before = process.memory_info().rss
            due = start + 100
            are_heard.clear()
            for number in range(start, due):
                voice.sendto(bad(number), ("127.0.0.1", port))
            # All of them are heard: what the kernel has no room for proves nothing.
            assert are_heard.wait(15), f"{heard} of {due} are heard"
        grown = process.memory_info().rss - before
        print(f"{heard} heard, memory grew by {grown >> 10} KiB")
        other = discovering(tcp_world, port)
        poll_until(lambda: knows(one, other))
    # Ninety bytes of each would make as many.
    assert grown < 90_000 * 90
    voice.setblocking(False)
    with pytest.raises(BlockingIOError):
        voice.recv(1000)
    assert {record.getMessage().split()[0] for record in caplog.records} <= {"runtime.started", "peer.online"}


def test_S8_a_ping_that_is_replayed_makes_one_connection_and_no_datagram(tcp_world, port, voice):
    one = discovering(tcp_world, port)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1000)
        listener.setblocking(False)
        ping = Ping(b"x" * 16, Location(*listener.getsockname())).encode(KEY)
        for _ in range(1000):
            voice.sendto(ping, ("127.0.0.1", port))
        # Sent after them, so heard after them.
        other = discovering(tcp_world, port)
        poll_until(lambda: knows(one, other))
        accepted = []
        while True:
            try:
                accepted.append(listener.accept()[0])
            except BlockingIOError:
                break
        for sock in accepted:
            sock.close()
    # One for each runtime that heard it at most: the second may have come in time for the last ones.
    assert 1 <= len(accepted) <= 2
    voice.setblocking(False)
    with pytest.raises(BlockingIOError):
        voice.recv(1000)


def test_S8_a_ping_of_one_that_is_online_makes_no_connection(tcp_world, port, voice):
    one, other = discovering(tcp_world, port), discovering(tcp_world, port)
    poll_until(lambda: knows(one, other))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(10)
        listener.setblocking(False)
        voice.sendto(Ping(other.incarnation, Location(*listener.getsockname())).encode(KEY), ("127.0.0.1", port))
        voice.sendto(Ping(other.incarnation, Location(*listener.getsockname())).encode(KEY), (EVERYBODY, port))
        third = discovering(tcp_world, port)
        poll_until(lambda: knows(one, other, third))
        with pytest.raises(BlockingIOError):
            listener.accept()


# What peers tell of those beside them.


def test_peer_with_a_host_alone_reaches_all_runtimes_there(tcp_world, port):
    there = [discovering(tcp_world, port) for _ in range(3)]
    poll_until(lambda: all(len(one.peers()) == 2 for one in there))
    newcomer = tcp_world.runtime()
    assert newcomer.peer("127.0.0.1", udp_port=port) == 0
    poll_until(lambda: knows(newcomer, *there))
    poll_until(lambda: all(newcomer.location in one.peers() for one in there))


def test_siblings_are_told_over_the_link_where_no_datagram_gets_through(tcp_world, port, monkeypatch):
    there = [discovering(tcp_world, port) for _ in range(3)]
    poll_until(lambda: all(len(one.peers()) == 2 for one in there))
    monkeypatch.setattr("greencoro.distributed.discovery_socket.DiscoverySocket._send", lambda *args: False)
    newcomer = discovering(tcp_world, port)
    assert newcomer.peer(there[0].location) == 0
    poll_until(lambda: knows(newcomer, *there))


def test_a_host_alone_may_be_this_machine_whoever_of_it_hears_single_datagrams(tcp_world, port, monkeypatch):
    monkeypatch.setattr("greencoro.distributed.neighbours.START_PINGS_SECONDS", ())
    # The last one that was bound hears them: the one who sends.
    one, newcomer = discovering(tcp_world, port), discovering(tcp_world, port)
    assert newcomer.peer("127.0.0.1", udp_port=port) == 0
    assert knows(newcomer, one)


def test_only_those_on_the_same_machine_and_port_who_discover_are_siblings(tcp_world, port):
    one, sibling = discovering(tcp_world, port), discovering(tcp_world, port)
    silent = tcp_world.runtime()
    elsewhere = discovering(tcp_world, port + 1 if port < 65535 else port - 1)
    afar = tcp_world.runtime(node="127.0.0.2", discover_peers=True, udp_port=port)
    for other in (silent, elsewhere, afar):
        other.connect(one.location)
    poll_until(lambda: len(one.peers()) == 4)
    told = tcp_world.runtime().request(one.location, "greencoro.siblings", {}, timeout=5).header["siblings"]
    assert told == [[sibling.location.addr, sibling.location.port, sibling.incarnation.hex()]]


def test_siblings_dial_one_who_cannot_dial_them(tcp_world, port, monkeypatch):
    there = [discovering(tcp_world, port) for _ in range(3)]
    poll_until(lambda: all(len(one.peers()) == 2 for one in there))
    newcomer = tcp_world.runtime()
    monkeypatch.setattr(newcomer._neighbours, "_meet", lambda ping: None)
    newcomer.connect(there[0].location)
    newcomer.reactor.post(newcomer._neighbours.introduce, newcomer.peer_table.online()[0])
    poll_until(lambda: knows(newcomer, *there))


def test_an_explicit_list_means_only_itself_with_discover_peers_False(tcp_world, port):
    there = [discovering(tcp_world, port) for _ in range(3)]
    poll_until(lambda: all(len(one.peers()) == 2 for one in there))
    asked = []
    for one in there:
        one.handle("greencoro.siblings", lambda request: (asked.append(1), request.reply()), on_reactor=True)
    choosy = tcp_world.runtime(peers=[there[0].location])
    poll_until(lambda: knows(choosy, there[0]))
    assert choosy.peer(there[1].location) == 0
    for one in there[:2]:
        assert choosy.request(one.location, "greencoro.ping", {}, timeout=5).header == {}
    assert knows(choosy, there[0], there[1]) and not asked


def test_S8_broadcast_is_relayed_for_an_authenticated_link_and_tells_of_its_peer(tcp_world, port):
    relay, far = discovering(tcp_world, port), discovering(tcp_world, port)
    poll_until(lambda: knows(relay, far))
    newcomer = tcp_world.runtime()
    assert newcomer.peer(relay.location, broadcast=True) == 0
    poll_until(lambda: knows(newcomer, relay, far))
    with pytest.raises(BusyResource):
        newcomer.request(relay.location, "greencoro.relay", {}, timeout=5)


def test_peer_is_minus_1_where_the_broadcast_it_asked_for_was_not_done(tcp_world, caplog):
    one, silent = tcp_world.runtime(), tcp_world.runtime()
    assert one.peer(silent.location, broadcast=True) == -1
    assert "takes no part in discovery" in caplog.text
    assert knows(one, silent)


@pytest.mark.parametrize(
    "peer",
    [None, ["127.0.0.1"], ["127.0.0.1", 0, "00" * 16], [1, 2, 3], ["127.0.0.1", 9, "zz"], ["127.0.0.1", 9, "00" * 15]],
    ids=str,
)
def test_S10_who_is_to_be_met_is_checked(tcp_world, port, peer):
    one, liar = discovering(tcp_world, port), tcp_world.runtime()
    header = {} if peer is None else {"peer": peer}
    with pytest.raises(GreencoroError, match="no location with an incarnation"):
        liar.request(one.location, "greencoro.meet", header, timeout=5)
    assert liar.request(one.location, "greencoro.ping", {}, timeout=5).header == {}


@pytest.mark.parametrize("answer", [{}, {"siblings": 7}, {"siblings": [7]}, {"siblings": [["x\n", 1, "00" * 16]]}])
def test_S10_siblings_that_are_none_disturb_nothing(tcp_world, answer):
    one, liar = tcp_world.runtime(), tcp_world.runtime()
    liar.handle("greencoro.siblings", lambda request: request.reply(answer), on_reactor=True)
    info = one.connect(liar.location)
    one.reactor.post(one._neighbours.introduce, one.peer_table.online()[0])
    assert one.request(info, "greencoro.ping", {}, timeout=5).header == {}
    assert knows(one, liar)


def test_IPv6_on_loopback_is_found_as_well(port):
    settings = Settings()
    arguments = {"udp_port": port, "secret_key": SECRET_KEY, "settings": settings}
    with Runtime(["127.0.0.1", "::1"], **arguments) as one, Runtime("::1", **arguments) as other:
        assert one.location.addr == "127.0.0.1" and other.location.addr == "::1"
        poll_until(lambda: knows(one, other) and knows(other, one))


def test_L3_with_ext_ip_addr_those_inside_find_and_dial_the_inner_address(tcp_world, port):
    # Nobody listens at the outer addresses.
    first = discovering(tcp_world, port, ext_ip_addr="127.0.0.2")
    second = discovering(tcp_world, port, ext_ip_addr="127.0.0.3")
    plain = discovering(tcp_world, port)
    made = (first, second, plain)
    for one in made:
        poll_until(lambda one=one: knows(one, *(other for other in made if other is not one)))
    assert first.location.addr == "127.0.0.2" and second.location.addr == "127.0.0.3"
    assert plain.locate(first.name, 5) == first.location
    assert second.request(first.location, "greencoro.ping", {}, timeout=5).header == {}


def test_L3_peer_with_a_host_alone_is_answered_by_way_of_the_inner_address(tcp_world, port, monkeypatch):
    there = discovering(tcp_world, port)
    monkeypatch.setattr("greencoro.distributed.search.DEFAULT_PORT", 1)
    inside = tcp_world.runtime(ext_ip_addr="127.0.0.2")
    assert inside.peer("127.0.0.1", udp_port=port) == 0
    poll_until(lambda: knows(inside, there) and knows(there, inside))


needs_ipv6 = pytest.mark.skipif(
    not any(each.address == "::1" for addresses in psutil.net_if_addrs().values() for each in addresses),
    reason="this machine has no IPv6 loopback",
)


@needs_ipv6
def test_runtimes_with_IPv6_alone_meet_by_location_by_host_and_by_discovery(tcp_world, port):
    first, named = discovering(tcp_world, port, node="::1"), tcp_world.runtime(node="::1")
    assert named.peer(first.location) == 0
    by_host = tcp_world.runtime(node="::1")
    assert by_host.peer("[::1]", udp_port=port) == 0
    found = discovering(tcp_world, port, node="::1")
    poll_until(lambda: knows(found, first) or len(found.peers()) > 1)
    poll_until(lambda: {named.location, by_host.location, found.location} <= set(first.peers()))
    assert all(location.addr == "::1" for location in first.peers())
    coro = first.spawn(lambda coro=None: (coro.register("service"), coro.receive())[1])
    remote = by_host.spawn(lambda: Coro.locate("service", str(first.location), 5)).value(10)
    assert remote.deliver("by IPv6", 5) == 1
    assert coro.value(5) == "by IPv6"


@needs_ipv6
def test_with_IPv6_alone_on_loopback_nobody_is_heard_and_a_location_still_leads_there(tcp_world, port, monkeypatch):
    monkeypatch.setattr("greencoro.distributed.addresses.own_addresses", lambda: {"::1"})
    one, other = discovering(tcp_world, port, node="::1"), discovering(tcp_world, port, node="::1")
    assert "::1 has no broadcast" in one._contacts.situation()
    assert one.peer(other.location) == 0
    poll_until(lambda: knows(one, other) and knows(other, one))


def test_what_is_still_to_be_said_ends_with_its_runtime(tcp_world, port):
    one = discovering(tcp_world, port)
    poll_until(lambda: one._neighbours._timers)
    neighbours = one._neighbours
    one.finish()
    assert neighbours._timers == []
