"""The recipe for a node of which only the listed ports can be reached."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.netlab import Lab, why_not
from tests.lab.networks import GATEWAY, Networks, drop, why_no_filter
from tests.lab.programs import TALK, Hosts, talked
from tests.support.examples import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.lab]

PORTS = (51347, 51348)
SERVERS = min(2, len(os.sched_getaffinity(0)))

CLIENT = (
    TALK
    + """
for times in range(2):
    with Scheduler(nodes=[sys.argv[1]]), Computation(timeout=30) as computation:
        use(computation, int(sys.argv[2]))
"""
)

# Tries to connect to each place that is named.
KNOCK = """
import socket, sys
for place in sys.argv[1:]:
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 2).close()
        print(place, "is open")
    except OSError:
        print(place, "is closed")
"""


@pytest.fixture
def networks() -> Iterator[Networks]:
    reason = why_not() or why_no_filter()
    if reason is not None:
        pytest.skip(reason)
    with Lab(5, seed=7) as lab:
        made = Networks(lab)
        made.masquerade()
        yield made


def test_client_that_nobody_can_dial_uses_a_node_of_which_only_the_listed_ports_are_forwarded(
    networks: Networks, tmp_path: Path
) -> None:
    hosts = Hosts(networks.lab, tmp_path)
    for port in PORTS:
        networks.forward(port, "h1")
    knocks = "tcp flags & (syn|ack) == syn"
    drop(networks.lab, "h4", knocks, ("input",))
    # What comes to the node itself is refused, but at those ports.
    drop(networks.lab, "h1", f"iif != lo {knocks} tcp dport != {PORTS[0]}-{PORTS[-1]}", ("input",))
    options = ["-c", str(SERVERS), "--ext_ip_addr", GATEWAY, "--tcp_ports", f"{PORTS[0]}-{PORTS[-1]}"]
    node = hosts.start("h1", str(ROOT / "scripts" / "discoronode.py"), *options, "-i", networks.ip("h1"))
    assert node.stdout is not None
    assert f" at {GATEWAY}:51350: " in node.stdout.readline()
    knocked = [f"{GATEWAY}:51350", f"{networks.ip('h1')}:51350", f"{GATEWAY}:{PORTS[0]}"]
    said = networks.lab.run("h5", [sys.executable, "-c", KNOCK, *knocked])
    assert said.splitlines() == [f"{knocked[0]} is closed", f"{knocked[1]} is closed", f"{knocked[2]} is open"]
    (tmp_path / "client.py").write_text(CLIENT)
    client = hosts.start("h4", "client.py", f"{GATEWAY}:{PORTS[0]}", str(SERVERS))
    told, _ = client.communicate(timeout=120)
    expected = talked([f"{GATEWAY}:{port}" for port in PORTS[:SERVERS]])
    # The second computation finds the node by the same port again.
    assert told.splitlines() == [*expected, *expected], hosts.errors.read_text()
    assert client.returncode == 0
    node.terminate()
    assert node.wait(30) == 0
