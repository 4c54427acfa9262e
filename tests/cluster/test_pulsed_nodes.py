"""A computation's life with nodes that it pulses: who is given up, who is not, what ends it, who finds whom."""

import json
import os
import signal
import textwrap

import psutil
import pytest

from greencoro.errors import PeerLost
from greencoro.hub.completion import Completion
from tests.cluster.programs import runs
from tests.support.polling import poll_until
from tests.support.ports import free_port
from tests.support.stopping import stop

pytestmark = pytest.mark.cluster

#: Pulses so short that a test can wait for five of them.
PULSES = ("--min_pulse_interval", "0.1", "--max_pulse_interval", "60")

PROLOGUE = """
    import json, os, signal, sys, time
    import greencoro.compute as compute
    compute.MinPulseInterval, compute.MaxPulseInterval = 0.2, 2.0
    from greencoro import *
    from tests.support.stopping import stop

    def tell(**what):
        print(json.dumps(what), flush=True)

    def pid():
        return os.getpid()

    def compute_for(seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass
        return "done"

    def wait(coro=None):
        return coro.receive()
"""


def receive(coro=None):
    return coro.receive()


def script(programs, text):
    return programs.script(textwrap.dedent(PROLOGUE) + textwrap.dedent(text))


def test_J4_stopped_server_is_given_up_and_one_that_computes_for_ten_pulses_is_not(programs):
    _, location = programs.node("-c", "2", *PULSES)
    client = script(
        programs,
        f"""
        with Scheduler(nodes="{location}", node="127.0.0.1"):
            with Computation(pulse_interval=0.4) as computation:
                computation.wait_for_servers(2)
                stopped, busy = computation.servers()
                computing = computation.run_at(busy, compute_for, 4.5)
                waiting = computation.run_at(stopped, wait)
                stop(computation.run_at(stopped, pid).value(10))
                began = time.monotonic()
                try:
                    waiting.value(60)
                except ServerDied as error:
                    tell(error=str(error), seconds=time.monotonic() - began)
                tell(value=computing.value(30))
                computation.wait_for_servers(2)  # the node has replaced it
        """,
    )
    told = json.loads(client.line())
    assert "it was silent for 2 s, 5 pulse intervals" in told["error"]
    # By the connection alone it would be known after 20 seconds.
    assert told["seconds"] < 15
    assert json.loads(client.line()) == {"value": "done"}
    assert client.wait() == 0, client.errors()


def test_J4_client_that_computes_for_ten_pulses_loses_nobody(programs):
    _, location = programs.node("-c", "2", *PULSES)
    client = script(
        programs,
        f"""
        with Scheduler(nodes="{location}", node="127.0.0.1"):
            with Computation(pulse_interval=0.3) as computation:
                computation.wait_for_servers(2)
                pids = [computation.run_at(server, pid).value(10) for server in computation.servers()]
                waiting = computation.run(wait)
                Coro(compute_for, 4).value(20)
                waiting.send("still here")
                tell(value=waiting.value(10), same=pids == [
                    computation.run_at(server, pid).value(10) for server in computation.servers()
                ])
        """,
    )
    assert json.loads(client.line()) == {"value": "still here", "same": True}
    assert client.wait() == 0, client.errors()


def test_J9_client_that_was_stopped_for_longer_than_five_pulses_finds_its_computation_closed(programs):
    _, location = programs.node("-c", "1", *PULSES)
    client = script(
        programs,
        f"""
        with Scheduler(nodes="{location}", node="127.0.0.1") as scheduler:
            with Computation(pulse_interval=0.4) as computation:
                computation.wait_for_servers(1)
                waiting = computation.run(wait)
                tell(pid=computation.run(pid).value(10))
                try:
                    waiting.value(60)
                except (ComputationClosed, ServerDied) as error:
                    tell(error=type(error).__name__)
                try:
                    while True:
                        computation.run(pid)
                        time.sleep(0.05)
                except (ComputationClosed, ServerDied, NoMatchingServer) as error:
                    while computation._jobs.client.phase.value != "over":
                        time.sleep(0.05)
                try:
                    computation.run(pid)
                except ComputationClosed as error:
                    tell(closed=str(error))
            with Computation(pulse_interval=0.4) as another:
                another.wait_for_servers(1)
                tell(pid=another.run(pid).value(10))
        """,
    )
    before = json.loads(client.line())["pid"]
    stop(client.pid)
    # The node ends the lease, and with it the server.
    poll_until(lambda: not psutil.pid_exists(before) or not runs(psutil.Process(before)), 30)
    os.kill(client.pid, signal.SIGCONT)
    assert json.loads(client.line())["error"] in ("ComputationClosed", "ServerDied")
    assert "closed" in json.loads(client.line())["closed"]
    assert json.loads(client.line())["pid"] != before
    assert client.wait() == 0, client.errors()


def test_computation_without_jobs_is_closed_after_the_zombie_period_and_says_so(programs):
    _, location = programs.node("-c", "2", *PULSES)
    client = script(
        programs,
        f"""
        def listen(coro=None):
            names = []
            while True:
                message = coro.receive()
                if isinstance(message, Status):
                    names.append(message.name)
                    if message.status == Status.ComputationClosed:
                        return names

        listener = Coro(listen)
        with Scheduler(nodes="{location}", node="127.0.0.1"):
            with Computation(status_coro=listener, pulse_interval=0.4, zombie_period=2) as computation:
                computation.wait_for_servers(2)
                computing = computation.run(compute_for, 3.5)
                tell(value=computing.value(30))
                tell(names=listener.value(40))
                try:
                    computation.run(pid)
                except ComputationClosed:
                    tell(closed=True)
        """,
    )
    # A job that runs is not idle.
    assert json.loads(client.line()) == {"value": "done"}
    names = json.loads(client.line())["names"]
    assert names.count("ServerClosed") == 2
    assert "NodeClosed" in names
    assert json.loads(client.line()) == {"closed": True}
    assert client.wait() == 0, client.errors()


@pytest.mark.parametrize("is_gone_on_with", [True, False], ids=["gone on with", "lost"])
def test_connection_to_a_node_that_breaks_ends_no_job(cluster, computation, is_gone_on_with):
    runtime = cluster.scheduler.runtime
    job = computation.run(receive)
    servers = set(computation.servers())
    [link] = [link for link in runtime.peer_table.online() if link.info.location == cluster.location]
    lost, broken = Completion(), link.wire
    runtime.watch_peers(lambda event: event.online or lost.set(event))
    if is_gone_on_with:
        runtime.reactor.post(broken.on_end, ConnectionResetError(104, "Connection reset by peer"))
        poll_until(lambda: link.wire not in (None, broken) and link.is_online, 20)
    else:
        runtime.reactor.post(runtime.peer_table.lose, link, PeerLost("nothing was heard"), True)
        assert lost.wait(10)
    poll_until(lambda: "reserved" in {node["state"] for node in cluster.scheduler.status()["nodes"]}, 20)
    assert job.send("still here") == 0
    assert job.value(10) == "still here"
    assert set(computation.servers()) == servers
    assert lost.done is not is_gone_on_with


# Where the scheduler is.


def test_J1_schedule_ends_within_the_timeout_where_no_scheduler_answers(programs):
    client = script(
        programs,
        """
        Runtime(node="127.0.0.1", discover_peers=False)
        began = time.monotonic()
        try:
            Computation(timeout=1).schedule()
        except DeadlineExceeded as error:
            tell(error=str(error), seconds=time.monotonic() - began)
        try:
            Computation(timeout=1).schedule(Location("127.0.0.1", 9))
        except NetworkError as error:
            tell(error=str(error), seconds=time.monotonic() - began)
        """,
    )
    first, second = json.loads(client.line()), json.loads(client.line())
    assert "no scheduler" in first["error"]
    assert second["seconds"] < 10
    assert client.wait() == 0, client.errors()


def test_node_on_the_network_is_found_without_being_named(programs):
    port = free_port()
    programs.node("-c", "1", "-u", str(port), *PULSES)
    client = script(
        programs,
        f"""
        with Scheduler(node="127.0.0.1", udp_port={port}) as scheduler:
            with Computation() as computation:
                computation.wait_for_servers(1)
                tell(servers=len(computation.servers()), nodes=computation.nodes())
                scheduler.print_status()
        """,
    )
    assert json.loads(client.line()) == {"servers": 1, "nodes": ["127.0.0.1"]}
    assert client.line().startswith("scheduler at 127.0.0.1:")
    assert client.wait() == 0, client.errors()
