"""What runtimes are for, as their peers are told, and who of them look for each other: real sockets on loopback."""

import ast
import os
import pickle
import re
import socket

import pytest

from greencoro.distributed.datagrams import Ping
from greencoro.distributed.location import Location
from greencoro.distributed.presence import Presence
from greencoro.distributed.secret import Secret
from greencoro.errors import ConfigError, GreencoroError
from tests.distributed.conftest import SECRET_KEY, reference
from tests.distributed.hand_made import HandMade
from tests.support.polling import poll_until
from tests.support.ports import free_port
from tests.support.source import PACKAGE

KEY = Secret.from_key(SECRET_KEY).discovery_key()
EVERYBODY = "127.255.255.255"


@pytest.fixture
def port():
    """A UDP port that nobody has."""
    return free_port()


def discovering(world, port, role="", discover_peers=True, **kwargs):
    return world.runtime(role=role, discover_peers=discover_peers, udp_port=port, **kwargs)


def node(world, port, role="node", **kwargs):
    """As a node daemon, or one of its servers, takes part in discovery."""
    return discovering(world, port, role, "schedulers", **kwargs)


def knows(one, *others):
    return set(one.peers()) == {other.location for other in others}


def heard_by(runtime, monkeypatch):
    """The incarnations whose pings the runtime has heard, a place for each ping."""
    heard = []
    discovery = runtime._neighbours._discovery
    judge = discovery.heard

    def listen(datagram, online, now):
        ping = Ping.decode(datagram, KEY)
        result = judge(datagram, online, now)
        if ping is not None:
            heard.append(ping.incarnation)
        return result

    monkeypatch.setattr(discovery, "heard", listen)
    return heard


# Roles.


@pytest.mark.parametrize("role", ["", "node", "server", "scheduler"])
def test_a_peer_is_told_the_role_and_events_carry_it(world, role):
    one, other = world.runtime(), world.runtime(role=role)
    events = []
    one.watch_peers(events.append)
    assert one.connect(other.location).role == role
    assert [info.role for info in one.peer_infos()] == [role]
    (back,) = poll_until(other.peer_infos)
    assert back.role == ""
    other.finish()
    poll_until(lambda: len(events) == 2)
    assert [(event.online, event.peer.role) for event in events] == [(True, role), (False, role)]


def test_the_role_of_one_that_is_being_dialled_is_not_known_before_it_is_online(world):
    one, other = world.runtime(), world.runtime(role="server")
    link = one.peer_table.link_to(other.location, "other", other.incarnation)
    assert link.info.role == ""
    poll_until(lambda: link.info.role == "server")


def test_S10_a_hello_with_a_role_that_is_none_is_refused(tcp_world):
    victim = tcp_world.runtime()
    client = HandMade(victim, presence=3)
    assert not client.is_cut_off()
    (info,) = victim.peer_infos()
    assert info.role == "scheduler"
    client.close()
    for presence in (4, 0x40, 0x83 << 8, 0xFFFF):
        with pytest.raises(ConnectionError):
            HandMade(victim, presence=presence)


class _Marker:
    """Whoever unpickles it leaves a trace."""

    def __init__(self, trace):
        self._trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self._trace),)


def operations_of_compute():
    """What nodes, servers, schedulers and clients of schedulers are asked for: by the names in their source."""
    found = set()
    for path in (PACKAGE / "compute").glob("*.py"):
        for each in ast.walk(ast.parse(path.read_text())):
            if isinstance(each, ast.Constant) and isinstance(each.value, str):
                found.update(re.findall(r"^(?:node|server|scheduler|client|computation)\.[a-z_]+$", each.value))
    return sorted(found)


def test_S15_a_runtime_that_only_exchanges_messages_refuses_all_requests_of_computations(world, tmp_path):
    operations = operations_of_compute()
    # Of each kind.
    assert {"node.reserve", "server.run", "scheduler.submit", "client.begun", "computation.printed"} <= {*operations}
    plain, other = world.runtime(), world.runtime()
    other.connect(plain.location)
    code = pickle.dumps(_Marker(tmp_path / "ran"))
    header = {
        "token": "00" * 32,
        "watch": 1,
        "name": "f",
        "packages": [],
        "entry": ["os", "getpid", ""],
        "computation": 0,
        "attempt": 1,
    }
    for operation in operations:
        for parts in ([], [code], [code] * 3):
            with pytest.raises(GreencoroError, match=re.escape(f"no operation {operation!r}")):
                other.request(plain.location, operation, header, parts, timeout=20)
    assert list(tmp_path.iterdir()) == []
    # It can be told all the same what messages are for.
    assert other.request(plain.location, "greencoro.ping", {}, timeout=20).header == {}


# Looking for schedulers alone.


def test_nodes_and_schedulers_find_each_other_whoever_comes_first(tcp_world, port):
    first, scheduler = node(tcp_world, port), discovering(tcp_world, port, "scheduler")
    poll_until(lambda: knows(first, scheduler))
    second = node(tcp_world, port)
    other = discovering(tcp_world, port, "scheduler")
    for each in (first, second):
        poll_until(lambda each=each: knows(each, scheduler, other))
    poll_until(lambda: knows(scheduler, first, second, other))
    assert {info.role for info in scheduler.peer_infos()} == {"node", "scheduler"}


def test_those_that_look_for_schedulers_leave_each_other_and_all_others_alone(tcp_world, port, monkeypatch):
    servers = [node(tcp_world, port, role) for role in ("node", *["server"] * 8)]
    plain = discovering(tcp_world, port)
    made = [*servers, plain]
    heard = [heard_by(each, monkeypatch) for each in made]
    for each in made:
        each.set_ping_interval(0.05)
    # Each hears all the others, more than once, and a scheduler after that.
    ids = {each.incarnation for each in made}
    for each, voices in zip(made, heard, strict=True):
        others = ids - {each.incarnation}
        poll_until(lambda voices=voices, others=others: all(voices.count(other) > 2 for other in others))
    scheduler = discovering(tcp_world, port, "scheduler")
    for each in made:
        poll_until(lambda each=each: knows(each, scheduler))
    poll_until(lambda: knows(scheduler, *made))
    # Those beside each other at the scheduler were not brought together by it either.
    assert all(knows(each, scheduler) and not each.peer_table._dialling._dials for each in made)


def test_S8_the_pings_of_one_for_schedulers_alone_make_nobody_else_dial(tcp_world, port):
    plain = discovering(tcp_world, port)
    with socket.socket() as listener, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as voice:
        voice.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(10)
        listener.setblocking(False)
        place = Location(*listener.getsockname())
        for role in ("", "node", "server"):
            ping = Ping(b"x" * 16, place, Presence(role, schedulers_only=True)).encode(KEY)
            voice.sendto(ping, (EVERYBODY, port))
        # Heard after them.
        friend = discovering(tcp_world, port)
        poll_until(lambda: knows(plain, friend))
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_siblings_are_told_to_those_alone_who_are_to_meet_them(tcp_world, port, monkeypatch):
    monkeypatch.setattr("greencoro.distributed.discovery_socket.DiscoverySocket._send", lambda *args: False)
    middle = discovering(tcp_world, port, "scheduler")
    beside = [node(tcp_world, port), node(tcp_world, port, "server"), discovering(tcp_world, port)]
    for each in beside:
        each.connect(middle.location)
    poll_until(lambda: knows(middle, *beside))

    def told(asker):
        answer = asker.request(middle.location, "greencoro.siblings", {}, timeout=5).header["siblings"]
        return {bytes.fromhex(incarnation) for _, _, incarnation in answer}

    first, second, plain = beside
    assert told(first) == set() == told(second) == told(plain)
    # A runtime that asks, takes part in discovery or not, is told of who welcomes it; a scheduler of all.
    assert told(tcp_world.runtime()) == {plain.incarnation}
    scheduler = tcp_world.runtime(role="scheduler")
    assert told(scheduler) == {first.incarnation, second.incarnation, plain.incarnation}
    # Those were told of it in turn, and dial.
    poll_until(lambda: knows(scheduler, middle, *beside))
    # They dialled, and may hear last that they were let in.
    poll_until(lambda: knows(first, middle, scheduler) and knows(second, middle, scheduler))


def test_a_scheduler_that_names_a_host_meets_the_nodes_there_and_they_stay_apart(tcp_world, port, monkeypatch):
    nodes = [node(tcp_world, port) for _ in range(3)]
    heard = heard_by(nodes[0], monkeypatch)
    scheduler = tcp_world.runtime(role="scheduler")
    assert scheduler.peer("127.0.0.1", udp_port=port) == 0
    poll_until(lambda: knows(scheduler, *nodes))
    nodes[1].set_ping_interval(0.05)
    poll_until(lambda: heard.count(nodes[1].incarnation) > 2)
    assert all(knows(each, scheduler) for each in nodes)


def test_S8_a_relayed_broadcast_tells_as_what_the_asker_is_met(tcp_world, port, monkeypatch):
    relay, far = discovering(tcp_world, port, "scheduler"), node(tcp_world, port)
    plain = discovering(tcp_world, port)
    poll_until(lambda: knows(relay, far, plain))
    heard = heard_by(far, monkeypatch)
    newcomer = tcp_world.runtime(role="server", discover_peers=False)
    assert newcomer.peer(relay.location, broadcast=True) == 0
    poll_until(lambda: newcomer.incarnation in heard and knows(plain, relay, newcomer))
    scheduler = tcp_world.runtime(role="scheduler", discover_peers=False)
    assert scheduler.peer(relay.location, broadcast=True) == 0
    poll_until(lambda: knows(far, relay, scheduler))
    assert newcomer.location not in far.peers()


def test_those_that_are_named_are_met_whatever_they_are(tcp_world, port):
    first, second = node(tcp_world, port), node(tcp_world, port)
    assert first.peer(second.location) == 0
    poll_until(lambda: knows(first, second) and knows(second, first))


def test_a_reference_leads_to_those_that_do_not_look_for_each_other(tcp_world, port):
    first, second = node(tcp_world, port, "server"), node(tcp_world, port, "server")
    reader = second.spawn(lambda coro=None: coro.receive())
    assert reference(first, reader).send("x") == 0
    assert reader.value(10) == "x"


def test_whoever_waits_on_such_a_runtime_says_that_schedulers_alone_are_asked(tcp_world, port):
    assert f"{EVERYBODY}:{port} (schedulers alone)" in node(tcp_world, port)._contacts.situation()
    assert "schedulers" not in discovering(tcp_world, port)._contacts.situation()


def test_over_a_network_without_discovery_it_is_as_if_it_were_False(world):
    if world.network is None:
        pytest.skip("these have discovery")
    one = world.runtime(discover_peers="schedulers", role="node")
    assert not one.discovers and "discover_peers is False" in one._contacts.situation()


# The interval of pings.


def test_set_ping_interval_pings_at_once_and_again_until_None(tcp_world, port, monkeypatch):
    monkeypatch.setattr("greencoro.distributed.neighbours.START_PINGS_SECONDS", ())
    one = discovering(tcp_world, port)
    other = discovering(tcp_world, port)
    heard = heard_by(other, monkeypatch)
    one.set_ping_interval(3600)
    poll_until(lambda: knows(one, other))
    poll_until(lambda: heard == [one.incarnation])
    one.set_ping_interval(0.05)
    poll_until(lambda: len(heard) > 4)
    one.set_ping_interval(None)
    told = []
    one.reactor.post(told.append, 1)
    poll_until(lambda: told and one._neighbours._again is None)
    # What was on its way is heard before this.
    other.set_ping_interval(3600)
    poll_until(lambda: heard[-1] == other.incarnation)
    before = len(heard)
    other.set_ping_interval(0.05)
    poll_until(lambda: heard.count(other.incarnation) > 6)
    assert heard.count(one.incarnation) + heard.count(other.incarnation) == len(heard)
    assert one.incarnation not in heard[before:]


def test_set_ping_interval_takes_the_place_of_the_setting(tcp_world, port):
    one = discovering(tcp_world, port, ping_interval_seconds=0.05)
    poll_until(lambda: one._neighbours._again is not None)
    one.set_ping_interval(None)
    poll_until(lambda: one._neighbours._again is None)


def test_set_ping_interval_makes_no_difference_without_discovery_or_after_the_end(tcp_world, port):
    silent, over = tcp_world.runtime(udp_port=port), discovering(tcp_world, port, ping_interval_seconds=3600)
    silent.set_ping_interval(0.05)
    over.finish()
    over.set_ping_interval(0.05)
    friend = discovering(tcp_world, port)
    told = []
    friend.reactor.post(told.append, 1)
    poll_until(lambda: told)
    assert silent._neighbours._again is None and over._neighbours._again is None
    assert not friend.peers()


@pytest.mark.parametrize("interval", [0, -1, 0.01, 86_401, float("nan"), float("inf"), "5", True, []])
def test_Z4_an_interval_that_cannot_be_is_refused(tcp_world, interval):
    with pytest.raises(ConfigError, match=r"ping_interval_seconds.*0\.05 to 86400"):
        tcp_world.runtime().set_ping_interval(interval)
