"""The ports of a node's servers, where they are listed."""

import os
import signal
import socket

import psutil
import pytest

from greencoro import Runtime
from greencoro.compute.node_words import ReserveAnswer, ServerDied, ServerStarted
from greencoro.distributed.location import Location
from greencoro.hub.completion import Completion
from greencoro.hub.native import Thread
from tests.cluster.holder import Holder
from tests.support.polling import poll_until
from tests.support.ports import free_port
from tests.support.stopping import stop

TOKEN = "ab" * 32
pytestmark = pytest.mark.cluster


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def stranger():
    """Somebody who meets whoever is at a port, each time anew: the role of whom is there."""

    def who(port):
        with Runtime("127.0.0.1", discover_peers=False, announce=False) as runtime:
            return runtime.connect(Location("127.0.0.1", port), timeout=20).role

    return who


@pytest.fixture
def hold(programs):
    holders = []

    def hold(place):
        holders.append(Holder(place))
        return holders[-1]

    yield hold
    for holder in holders:
        holder.runtime.finish()


def test_port_is_the_daemons_until_a_computation_has_the_server_and_then_again(programs, port, stranger, hold):
    programs.node("-c", "1", "--tcp_ports", str(port))
    assert stranger(port) == "node"
    holder = hold(Location("127.0.0.1", port))
    assert holder.reserve(TOKEN) == ReserveAnswer()
    assert holder.hears(ServerStarted).location == Location("127.0.0.1", port)
    assert stranger(port) == "server"
    holder.release(TOKEN)
    assert stranger(port) == "node"
    assert holder.facts().in_use_by is None, "the way to the daemon stays"


def test_somebody_answers_at_the_port_however_often_the_server_dies(programs, port, stranger, hold):
    _, location = programs.node("-c", "1", "--tcp_ports", str(port))
    holder = hold(location)
    holder.reserve(TOKEN)
    for times in range(1, 5):
        started = holder.hears(ServerStarted, number=times)
        assert started.location.port == port
        os.kill(started.pid, signal.SIGKILL)
        assert stranger(port) in ("node", "server")
        holder.hears(ServerDied, number=times)


def test_who_connects_while_nobody_accepts_is_let_in_by_the_next_one(programs, port, hold):
    _, location = programs.node("-c", "1", "--tcp_ports", str(port))
    holder = hold(location)
    holder.reserve(TOKEN)
    started = holder.hears(ServerStarted)
    stop(started.pid)
    with Runtime("127.0.0.1", discover_peers=False, announce=False) as runtime:
        met = Completion()
        Thread(lambda: met.set(runtime.connect(Location("127.0.0.1", port), timeout=30).role), "a stranger").start()
        poll_until(lambda: connected_to(port), 10)
        os.kill(started.pid, signal.SIGKILL)
        assert met.result(30) in ("node", "server")


def connected_to(port):
    return [each for each in psutil.net_connections("tcp") if each.raddr and each.raddr.port == port]


def test_each_server_has_its_own_port_and_a_client_needs_no_other(programs, port):
    servers = min(2, len(os.sched_getaffinity(0)))
    programs.node("-c", str(servers), "--tcp_ports", str(port))
    client = programs.script(
        f"""
        import os, subprocess
        from greencoro import Computation, Scheduler

        def look():
            # What a job starts has no descriptor of the port.
            command = "readlink /proc/self/fd/3 || echo none"
            return subprocess.run(["/bin/sh", "-c", command], stdout=subprocess.PIPE).stdout.decode().strip()

        with Scheduler(nodes=["127.0.0.1:{port}"], node="127.0.0.1"), Computation() as computation:
            computation.wait_for_servers({servers}, 20)
            print(computation.run(look).value(20))
            print(*sorted(server.port for server in computation.servers()))
        """
    )
    assert client.line() == "none"
    assert client.line() == " ".join(str(port + number) for number in range(servers))
    assert client.wait() == 0


def test_Z4_port_of_a_server_that_is_taken_is_one_clear_line(programs):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        node = programs.start(
            "-m", "greencoro", "node", "-i", "127.0.0.1", "--port", "0", "-c", "1", "--tcp_ports", str(port)
        )
        assert node.wait() == 1
    assert node.errors() == (
        f"greencoro node: cannot listen at 127.0.0.1:{port}: Address already in use; --tcp_ports lists the ports\n"
    )


def test_Z3_ports_of_daemon_and_server_can_be_used_again_at_once(programs, port):
    own = free_port()
    for _ in range(20):
        node = programs.start(
            "-m", "greencoro", "node", "-i", "127.0.0.1", "--port", str(own), "-c", "1", "--tcp_ports", str(port)
        )
        assert f"127.0.0.1:{own}:" in node.line()
        # Connections are what a port is kept from for a while.
        with socket.create_connection(("127.0.0.1", port), timeout=10):
            os.kill(node.pid, signal.SIGTERM)
            assert node.wait() == 0
    poll_until(lambda: not node.look_at_family(), 10)
