"""Listening sockets that were opened elsewhere, and are handed over while others connect."""

import errno
import re
import resource
import signal
import socket
import subprocess
import sys
import textwrap
import threading

import pytest

from greencoro.distributed.location import Location
from greencoro.distributed.memory import MemoryNetwork
from greencoro.distributed.runtime import Runtime
from greencoro.errors import ClosedResource, ConfigError, PeerLost
from greencoro.hub.completion import Completion
from tests.distributed.conftest import SECRET_KEY, World
from tests.distributed.hand_made import HandMade
from tests.distributed.tls_runtimes import TlsNetwork
from tests.support.descriptors import await_closed, opened
from tests.support.polling import poll_until


@pytest.fixture(params=["tcp", "tls"])
def world(request, _certificate):
    network = TlsNetwork(_certificate.certfile, _certificate.keyfile) if request.param == "tls" else None
    made = World(None, {"network": network})
    yield made
    made.finish()


@pytest.fixture
def listening():
    """A listening socket of this test's own."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as made:
        made.settimeout(10)
        yield made


def place_of(sock):
    return Location(*sock.getsockname()[:2])


def connected(sock):
    """A connection to where ``sock`` listens."""
    made = socket.create_connection(sock.getsockname()[:2], 10)
    made.settimeout(10)
    return made


def who_answers(runtime, made):
    """The incarnation of whoever lets a hand-made client in at the location of ``runtime``."""
    made.append(HandMade(runtime, f"hand-made {len(made)}", 10 + len(made)))
    return made[-1].introduced[:16]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_runtime_answers_at_a_socket_that_was_opened_elsewhere(world, address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as sock:
        there = world.runtime(listen_on=[sock.fileno()])
        assert there.locations == (place_of(sock),)
        one = world.runtime()
        assert one.peer(there.location, timeout=10) == 0
        assert one.peers() == [there.location]
        assert sock.fileno() >= 0, "it stays its owner's"


def test_several_sockets_are_several_locations(world):
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.2", 0)) as other:
        there = world.runtime(listen_on=[one.fileno(), other.fileno()])
        assert there.locations == (place_of(one), place_of(other))
        assert world.runtime().peer(place_of(other), timeout=10) == 0


def test_a_socket_that_its_owner_closed_since_is_listened_at_all_the_same(world, listening):
    there = world.runtime(listen_on=[listening.fileno()])
    listening.close()
    assert world.runtime().peer(there.location, timeout=10) == 0


def test_who_connects_while_nobody_accepts_waits_and_is_let_in(tcp_world, listening):
    there = tcp_world.runtime(listen_on=[listening.fileno()], accepting=False)
    one = tcp_world.runtime()
    asked = Completion()
    thread = threading.Thread(target=lambda: asked.set(one.peer(there.location, timeout=20)))
    thread.start()
    # The connection is made by the kernel, and nobody has taken it.
    poll_until(lambda: not asked.done and place_of(listening).port in _accepted_by_the_kernel(), seconds=10)
    assert not there.peers()
    there.accept(True)
    assert asked.wait(10) and asked.value == 0
    thread.join()


def _accepted_by_the_kernel():
    """The remote ports of all connections that are made, by `/proc/net/tcp`."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table][1:]
    return {int(row[2].split(":")[1], 16) for row in rows if row[3] == "01"}


def test_once_accept_has_returned_nobody_is_taken_any_more(tcp_world, listening):
    there = tcp_world.runtime(listen_on=[listening.fileno()])
    made = []
    for _ in range(20):
        there.accept(False)
        with connected(listening) as client:
            # Whoever else has the socket gets it.
            taken, address = listening.accept()
            assert address == client.getsockname()
            taken.close()
        there.accept(True)
        there.accept(True)
        assert who_answers(there, made) == there.incarnation
        made[-1].close()


def test_who_is_told_that_nobody_can_be_accepted_may_ask_again(tcp_world, listening, monkeypatch):
    there = tcp_world.runtime(listen_on=[listening.fileno()], accepting=False)

    def refuse(*watched):
        raise OSError(errno.EMFILE, "no watcher")

    made = []
    with socket.create_server(("127.0.0.1", 0)) as another:
        before = opened()
        with monkeypatch.context() as patch:
            patch.setattr(there.reactor, "watch", refuse)
            with pytest.raises(OSError, match="no watcher"):
                there.accept(True)
            with pytest.raises(OSError, match="no watcher"):
                there.add_listener(another.fileno())
        # Nothing is kept of what could not be watched.
        await_closed(before)
        there.accept(True)
        assert who_answers(there, made) == there.incarnation
        made[-1].close()
        added = there.add_listener(another.fileno())
        assert there._listening._added == [added]
        added.close()
        assert not there._listening._added


def test_of_several_listeners_those_that_can_be_accepted_at_are(tcp_world, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        there = tcp_world.runtime(listen_on=[one.fileno(), other.fileno()], accepting=False)
        first, second = there._listening._own
        watch = there.reactor.watch

        def refuse_one(descriptor, *more):
            if descriptor == first._listener._sock.fileno():
                raise OSError(errno.EMFILE, "no watcher")
            return watch(descriptor, *more)

        monkeypatch.setattr(there.reactor, "watch", refuse_one)
        with pytest.raises(OSError, match="no watcher"):
            there.accept(True)
        assert repr(first).endswith(", stopped>") and not repr(second).endswith(", stopped>")
        assert tcp_world.runtime().peer(place_of(other), timeout=10) == 0


def test_a_socket_that_is_added_while_the_runtime_finishes_is_not_listened_at(tcp_world, listening, monkeypatch):
    there = tcp_world.runtime()
    adopt = there._listening._transport.adopt

    def adopt_late(descriptor):
        made = adopt(descriptor)
        there.finish()
        return made

    monkeypatch.setattr(there._listening._transport, "adopt", adopt_late)
    with pytest.raises(ClosedResource):
        there.add_listener(listening.fileno())


def test_peers_stay_and_others_are_reached_while_nobody_is_accepted(world):
    there, one, other = world.runtime(), world.runtime(), world.runtime()
    assert one.peer(there.location, timeout=10) == 0
    there.accept(False)
    assert there.peer(other.location, timeout=10) == 0
    assert set(there.peers()) == {one.location, other.location}
    assert world.runtime().peer(there.location, timeout=0.3) == -1
    there.accept(True)
    assert world.runtime().peer(there.location, timeout=10) == 0


def test_accept_may_be_called_from_anywhere_and_after_the_end(tcp_world, listening):
    there = tcp_world.runtime(listen_on=[listening.fileno()])
    there.spawn(lambda: there.accept(False)).value(10)
    on_reactor = Completion()
    there.reactor.post(lambda: on_reactor.set(there.accept(True)))
    assert on_reactor.wait(10)
    made = []
    assert who_answers(there, made) == there.incarnation
    made[0].close()
    with pytest.raises(TypeError, match="accept"):
        there.accept(1)
    there.finish()
    there.accept(True)
    with pytest.raises(ClosedResource):
        there.add_listener(listening.fileno())


def test_who_comes_in_at_an_added_socket_meets_the_runtime_which_does_not_call_it_its_own(world, listening):
    there = world.runtime()
    added = there.add_listener(listening.fileno())
    assert added.location == place_of(listening)
    assert added.location not in there.locations and not there.is_own(added.location)
    one = world.runtime()
    assert one.peer(added.location, timeout=10) == 0
    assert one.peers() == [there.location]
    assert str(added.location) in repr(added)


def test_an_added_ipv6_socket_is_answered_at(world):
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as sock:
        there = world.runtime()
        added = there.add_listener(sock.fileno())
        assert world.runtime().peer(added.location, timeout=10) == 0


def test_a_socket_goes_from_one_to_the_other_and_back_and_nobody_is_refused(tcp_world, listening):
    """W6: as a node daemon does with the ports of its servers, many times."""
    daemon = tcp_world.runtime()
    added = daemon.add_listener(listening.fileno())
    server = tcp_world.runtime(listen_on=[listening.fileno()], accepting=False)
    made = []
    for _ in range(10):
        added.stop()
        with connected(listening):
            server.accept(True)
            assert who_answers(server, made) == server.incarnation
        server.accept(False)
        with connected(listening):
            added.start()
            assert who_answers(server, made) == daemon.incarnation
        for each in made:
            each.close()


def test_who_is_expected_at_a_place_is_not_taken_for_who_was_met_there_before(world, listening):
    daemon = world.runtime()
    added = daemon.add_listener(listening.fileno())
    server = world.runtime(listen_on=[listening.fileno()], accepting=False)
    here = world.runtime()
    assert here.connect(place_of(listening), 10).incarnation == daemon.incarnation
    with pytest.raises(PeerLost, match="another runtime answers"):
        here.connect(place_of(listening), 10, incarnation=server.incarnation)
    added.stop()
    server.accept(True)
    assert here.connect(place_of(listening), 10, incarnation=server.incarnation).incarnation == server.incarnation
    assert {peer.incarnation for peer in here.peer_infos()} == {daemon.incarnation, server.incarnation}


def test_a_handle_that_is_closed_leaves_the_socket_to_its_owner(tcp_world, listening):
    there = tcp_world.runtime()
    added = there.add_listener(listening.fileno())
    assert "stopped" not in repr(added)
    added.stop()
    assert "stopped" in repr(added)
    added.close()
    added.start()
    added.close()
    with connected(listening) as client:
        assert listening.accept()[1] == client.getsockname()
    again = there.add_listener(listening.fileno())
    there.finish()
    again.start()
    with connected(listening) as client:
        assert listening.accept()[1] == client.getsockname(), "the end of a runtime closes, and does not shut down"


def test_the_reactor_rests_while_a_socket_that_it_let_go_of_has_connections_waiting(tcp_world, listening):
    """The kernel tells of a socket as long as anybody has it open."""
    there = tcp_world.runtime()
    stopped, closed = there.add_listener(listening.fileno()), there.add_listener(listening.fileno())
    stopped.start()
    stopped.stop()
    closed.close()
    with connected(listening):
        rounds, done = [], Completion()

        def count(left):
            rounds.append(there.reactor.loop.iteration)
            if left:
                there.reactor.call_later(0.1, count, left - 1)
            else:
                done.set(None)

        there.reactor.post(count, 3)
        used = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        assert done.wait(10)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - used < 0.15
        assert rounds[-1] - rounds[0] < 200


def _opened():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, socket.socket() as idle:
        one, other = socket.socketpair()
        with one, other, open("/dev/null") as file:
            yield from (("TCP", datagrams), ("listen", idle), ("TCP", one), ("socket", file))


def test_what_is_no_listening_tcp_socket_is_refused_and_nothing_stays_open(tcp_world):
    there = tcp_world.runtime()
    with socket.create_server(("127.0.0.1", 0)) as good:
        for word, wrong in _opened():
            before = opened()
            with pytest.raises(ConfigError, match=re.compile(f"descriptor {wrong.fileno()}.*{word}", re.I)):
                Runtime(listen_on=[good.fileno(), wrong.fileno()], discover_peers=False, secret_key=SECRET_KEY)
            with pytest.raises((OSError, ValueError)):
                there.add_listener(wrong.fileno())
            await_closed(before)
    for wrong in ("7", None, True, 1.5):
        with pytest.raises(TypeError, match="descriptor"):
            there.add_listener(wrong)
    with pytest.raises(OSError):
        there.add_listener(10_000)


@pytest.mark.parametrize("more", [{"node": "127.0.0.1"}, {"tcp_port": 5}])
def test_a_socket_and_another_place_are_one_too_many(listening, more):
    with pytest.raises(ConfigError, match="listen_on"):
        Runtime(listen_on=[listening.fileno()], discover_peers=False, secret_key=SECRET_KEY, **more)


def test_without_a_secret_a_socket_that_others_reach_is_refused():
    with socket.create_server(("0.0.0.0", 0)) as sock:
        with pytest.raises(ConfigError, match="loopback"):
            Runtime(listen_on=[sock.fileno()], discover_peers=False, secret="")
        Runtime(listen_on=[sock.fileno()], discover_peers=False, secret="", insecure=True).finish()


def test_inside_a_memory_network_there_is_no_socket_to_listen_at(listening):
    with pytest.raises(ConfigError, match="MemoryNetwork"):
        Runtime(listen_on=[listening.fileno()], network=MemoryNetwork(), secret_key=SECRET_KEY)


def test_a_memory_network_accepts_and_does_not():
    world = World(MemoryNetwork())
    there, one = world.runtime(), world.runtime()
    there.accept(False)
    assert one.peer(there.location, timeout=0.5) == -1
    there.accept(True)
    assert one.peer(there.location, timeout=10) == 0
    world.finish()


PROGRAM = """
import sys
from greencoro.distributed.runtime import Runtime
runtime = Runtime(listen_on=[int(sys.argv[1])], accepting=False, discover_peers=False, secret_key=b"k" * 32)
print(runtime.location, runtime.incarnation.hex(), flush=True)
for line in sys.stdin:
    runtime.accept(line.strip() == "on")
    print("done", flush=True)
"""


def test_a_process_answers_at_a_port_whenever_the_one_whose_port_it_is_does_not_run(tcp_world, listening):
    """Z3, the ports of servers: handed to a process, which is killed; the next connection finds an answer."""
    daemon = tcp_world.runtime()
    added = daemon.add_listener(listening.fileno())
    made = []
    for _ in range(3):
        server = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(PROGRAM), str(listening.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=[listening.fileno()],
        )
        with server:
            place, incarnation = server.stdout.readline().split()
            assert place == str(added.location)
            added.stop()
            server.stdin.write("on\n")
            server.stdin.flush()
            assert server.stdout.readline() == "done\n"
            made.append(HandMade(_At(added.location, daemon.secret), f"hand-made {len(made)}", 10 + len(made)))
            assert made[-1].introduced[:16].hex() == incarnation
            server.send_signal(signal.SIGKILL)
            server.wait(10)
            added.start()
            made.append(HandMade(_At(added.location, daemon.secret), f"hand-made {len(made)}", 10 + len(made)))
            assert made[-1].introduced[:16] == daemon.incarnation
    for each in made:
        each.close()


class _At:
    """What a hand-made client needs of a runtime."""

    def __init__(self, location, secret):
        self.location = location
        self.secret = secret
