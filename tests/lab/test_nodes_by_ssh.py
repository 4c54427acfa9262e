"""Nodes and a client that ssh joins: the client's port forwarded to the node, or the node's ports to the client."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.lab.netlab import Lab
from tests.lab.networks import drop, why_no_filter
from tests.lab.programs import TALK, Hosts, talked
from tests.lab.ssh import SSHD_PORT, Ssh, why_no_ssh

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.lab,
    pytest.mark.skipif(why_no_ssh() is not None, reason=str(why_no_ssh())),
    pytest.mark.skipif(why_no_filter() is not None, reason=str(why_no_filter())),
]

PORTS = (51347, 51348)[: len(os.sched_getaffinity(0))]
SERVERS = len(PORTS)
NODE = ("-c", str(SERVERS), "--tcp_ports", f"{PORTS[0]}-{PORTS[-1]}", "--port", "0")
CLIENTS_PORT = 4567

CLIENT = (
    TALK
    + """
def stay(coro=None):
    coro.receive()

def lose(computation):
    stays = computation.run(stay)
    print("stays", flush=True)
    try:
        stays.value(30)
    except ComputeError as error:
        print(type(error).__name__, error, flush=True)

place, count, port, *rest = sys.argv[1:]
scheduler = Scheduler(nodes=list(filter(None, [place])), node="127.0.0.1", tcp_port=int(port))
with scheduler, Computation(timeout=30) as computation:
    use(computation, int(count))
    if rest:
        lose(computation)
        use(computation, int(count))
"""
)


def lines_of(client: subprocess.Popen[str], count: int) -> list[str]:
    assert client.stdout is not None
    return [client.stdout.readline().rstrip() for _ in range(count)]


def used(address: str) -> list[str]:
    """What a client prints that has used the servers there."""
    return talked([f"{address}:{port}" for port in PORTS])


@pytest.mark.parametrize("who_dials", ["client", "node"])
def test_a_client_on_loopback_whose_port_is_forwarded_uses_a_node_of_which_the_listed_ports_are_open(
    lab: Lab, hosts: Hosts, ssh: Ssh, tmp_path: Path, who_dials: str
) -> None:
    knocks = "iif != lo tcp flags & (syn|ack) == syn"
    drop(lab, "h2", f"{knocks} tcp dport != {{ {SSHD_PORT}, {PORTS[0]}-{PORTS[-1]} }}", ["input"])
    drop(lab, "h1", knocks, ["input"])
    named = ["--peer", f"127.0.0.1:{CLIENTS_PORT}"] if who_dials == "node" else []
    assert f" at {lab.ip('h2')}:" in hosts.node("h2", "-i", lab.ip("h2"), *NODE, *named)
    ssh.forward("-R", f"{CLIENTS_PORT}:127.0.0.1:{CLIENTS_PORT}")
    (tmp_path / "client.py").write_text(CLIENT)
    place = f"{lab.ip('h2')}:{PORTS[0]}" if who_dials == "client" else ""
    client = hosts.start("h1", "client.py", place, str(SERVERS), str(CLIENTS_PORT))
    assert lines_of(client, 2) == used(lab.ip("h2")), hosts.errors.read_text()
    assert client.wait(20) == 0


def test_where_ssh_dies_the_jobs_at_its_node_are_lost_and_when_it_is_there_again_the_node_is_used_again(
    hosts: Hosts, ssh: Ssh, tmp_path: Path
) -> None:
    assert " at 127.0.0.1:" in hosts.node("h2", "-i", "127.0.0.1", *NODE)
    forwarded = [word for port in PORTS for word in ("-L", f"{port}:127.0.0.1:{port}")]
    forwards = ssh.forward(*forwarded)
    (tmp_path / "client.py").write_text(CLIENT)
    client = hosts.start("h1", "client.py", f"127.0.0.1:{PORTS[0]}", str(SERVERS), "0", "again")
    assert lines_of(client, 3) == [*used("127.0.0.1"), "stays"], hosts.errors.read_text()
    forwards.kill()
    forwards.wait()
    [lost] = lines_of(client, 1)
    assert lost.startswith("ServerDied") and "was lost with its node" in lost
    ssh.forward(*forwarded)
    assert lines_of(client, 2) == used("127.0.0.1"), hosts.errors.read_text()
    assert client.wait(20) == 0
