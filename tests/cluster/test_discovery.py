"""Processes that were told nothing of each other find each other on loopback."""

import os
import signal
import socket
import time

import psutil
import pytest

from tests.support.polling import poll_until
from tests.support.ports import free_port

SECRET = "a secret of this test's own"

# Says when it began, and when it knew so many others, on a clock that all processes of a machine share.
SEEKER = """
import os, sys, time
from greencoro import Runtime
port, others = {port}, {others}
began = time.monotonic()
with Runtime("127.0.0.1", port, name=sys.argv[0] + str(os.getpid()), secret={secret!r}) as runtime:
    print(runtime.location, began, flush=True)
    while len(runtime.peers()) < others:
        time.sleep(0.01)
    print(time.monotonic(), flush=True)
    time.sleep(120)
"""


@pytest.fixture
def port():
    """A port that nobody has, for UDP and TCP, nor gets for a connection of its own."""
    return free_port()


def seeker(port, others):
    return SEEKER.format(port=port, others=others, secret=SECRET)


def test_L3_eight_processes_find_each_other_within_2_seconds_of_the_last_ones_start(programs, port):
    started = [programs.script(seeker(port, 7), f"seeker{number}.py") for number in range(8)]
    began = [float(program.line().split()[1]) for program in started]
    found = [float(program.line()) for program in started]
    assert max(found) - max(began) < 2.0


def test_L3_one_that_comes_back_at_its_place_is_found_again(programs, port):
    stays = programs.script(
        f"""
        import time
        from greencoro import Runtime
        with Runtime("127.0.0.1", {port}, secret={SECRET!r}) as runtime:
            print(runtime.location, flush=True)
            known = set()
            while True:
                now = {{info.incarnation for info in runtime.peer_infos()}}
                if now - known:
                    print("came", flush=True)
                known |= now
                time.sleep(0.01)
        """,
        "stays.py",
    )
    stays.line()
    for round in range(2):
        comes = programs.script(
            f"""
            import time
            from greencoro import Runtime
            runtime = Runtime("127.0.0.1", {port}, tcp_port={port}, secret={SECRET!r})
            print(runtime.location, flush=True)
            time.sleep(120)
            """,
            f"comes{round}.py",
        )
        assert comes.line() == f"127.0.0.1:{port}"
        assert stays.line() == "came"
        os.kill(comes.pid, signal.SIGKILL)
        comes.wait()


def test_S7_a_process_that_discovers_listens_at_its_own_network_only(programs, port):
    program = programs.script(seeker(port, 1))
    location = program.line().split()[0]
    connections = psutil.Process(program.pid).net_connections("inet")
    assert sorted(f"{c.laddr.ip}:{c.laddr.port}" for c in connections if c.type == socket.SOCK_DGRAM) == [
        f"127.0.0.1:{port}",
        f"127.255.255.255:{port}",
    ]
    assert [f"{c.laddr.ip}:{c.laddr.port}" for c in connections if c.status == psutil.CONN_LISTEN] == [location]


def test_N1_a_process_that_was_found_and_is_killed_is_gone_for_all_within_a_second(programs, port):
    started = [programs.script(seeker(port, 2), f"seeker{number}.py") for number in range(3)]
    for program in started:
        program.line()
    for program in started:
        program.line()
    watcher = programs.script(
        f"""
        import time
        from greencoro import Runtime
        with Runtime("127.0.0.1", {port}, secret={SECRET!r}) as runtime:
            while len(runtime.peers()) < 3:
                time.sleep(0.01)
            print("found", flush=True)
            while len(runtime.peers()) == 3:
                time.sleep(0.01)
            print(time.monotonic(), flush=True)
            time.sleep(120)
        """,
        "watcher.py",
    )
    assert watcher.line() == "found"
    killed = time.monotonic()
    os.kill(started[0].pid, signal.SIGKILL)
    assert float(watcher.line()) - killed < 1.0
    poll_until(lambda: started[0].process.poll() is not None)


# As a node daemon takes part, or a server, or a scheduler: says whom it meets and loses, by role.
MEMBER = """
import sys, time
from greencoro import Runtime
role, discover_peers = {role!r}, {discover_peers!r}
with Runtime("127.0.0.1", {port}, discover_peers=discover_peers, role=role, secret={secret!r}) as runtime:
    def tell(event):
        sys.stdout.write(("met " if event.online else "lost ") + (event.peer.role or "-") + chr(10))
        sys.stdout.flush()
    runtime.watch_peers(tell, on_reactor=True)
    runtime.set_ping_interval(0.05)
    time.sleep(120)
"""


def member(programs, port, name, role, discover_peers):
    return programs.script(
        MEMBER.format(role=role, discover_peers=discover_peers, port=port, secret=SECRET), f"{name}.py"
    )


def test_nodes_and_servers_that_look_for_schedulers_alone_meet_nobody_else_however_often_they_ping(programs, port):
    roles = ["node", "server", "server", "node"]
    shy = [member(programs, port, f"shy{number}", role, "schedulers") for number, role in enumerate(roles)]
    plain = [member(programs, port, f"plain{number}", "", True) for number in range(2)]
    assert [each.line() for each in plain] == ["met -", "met -"], "those have met, so pings get through"
    scheduler = member(programs, port, "scheduler", "scheduler", True)
    assert [each.line() for each in shy] == ["met scheduler"] * len(shy)
    assert [each.line() for each in plain] == ["met scheduler"] * 2
    assert sorted(scheduler.line() for _ in range(6)) == ["met -"] * 2 + ["met node"] * 2 + ["met server"] * 2
    os.kill(scheduler.pid, signal.SIGKILL)
    scheduler.wait()
    # Had they met anybody else since they are there, that would come before this.
    assert [each.line() for each in shy] == ["lost scheduler"] * len(shy)
    assert [each.line() for each in plain] == ["lost scheduler"] * 2
