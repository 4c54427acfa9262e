"""The recipe for a node of which only the listed ports can be reached."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.lab.netlab import Lab, why_not
from tests.lab.networks import GATEWAY, Networks, drop, why_no_filter
from tests.support.examples import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.lab]

PORTS = (51347, 51348)
SERVERS = min(2, len(os.sched_getaffinity(0)))

CLIENT = """
import os, sys
from greencoro import Computation, Scheduler

def where(number):
    return os.getpid()

for times in range(2):
    with Scheduler(nodes=[sys.argv[1]]) as scheduler, Computation(timeout=30) as computation:
        computation.wait_for_servers(int(sys.argv[2]), 30)
        print(*sorted(map(str, computation.servers())))
        jobs = [computation.run(where, number) for number in range(10)]
        print(len({job.value(30) for job in jobs}), flush=True)
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


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return os.environ | {
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "GREENCORO_SECRET_FILE": str(tmp_path / "secret"),
    }


def start(networks: Networks, host: str, environment: dict[str, str], argv: Sequence[str]) -> subprocess.Popen[str]:
    return networks.lab.popen(
        host,
        [sys.executable, *argv],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_client_that_nobody_can_dial_uses_a_node_of_which_only_the_listed_ports_are_forwarded(
    networks: Networks, environment: dict[str, str], tmp_path: Path
) -> None:
    for port in PORTS:
        networks.forward(port, "h1")
    drop(networks.lab, "h4", "tcp flags & (syn|ack) == syn", ("input",))
    ports = f"{PORTS[0]}-{PORTS[-1]}"
    discoronode = str(ROOT / "scripts" / "discoronode.py")
    options = ["-c", str(SERVERS), "--ext_ip_addr", GATEWAY, "--tcp_ports", ports, "-i", networks.ip("h1")]
    node = start(networks, "h1", environment, [discoronode, *options])
    assert node.stdout is not None
    assert f" at {GATEWAY}:51350: " in node.stdout.readline()
    (tmp_path / "client.py").write_text(CLIENT)
    arguments = [str(tmp_path / "client.py"), f"{GATEWAY}:{PORTS[0]}", str(SERVERS)]
    client = start(networks, "h4", environment, arguments)
    told, _ = client.communicate(timeout=120)
    expected = [" ".join(f"{GATEWAY}:{port}" for port in PORTS[:SERVERS]), str(SERVERS)]
    # The second computation finds the node by the same port again.
    assert told.splitlines() == [*expected, *expected], told
    assert client.returncode == 0
    node.terminate()
    assert node.wait(30) == 0
    node.stdout.close()
