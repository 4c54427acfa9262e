"""Nodes that a computation finds by asking again and again: `Computation(ping_interval=)`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.netlab import Lab
from tests.lab.networks import drop, dropped, why_no_filter
from tests.lab.programs import Hosts

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.lab,
    pytest.mark.skipif(why_no_filter() is not None, reason=str(why_no_filter())),
]

UDP = "udp dport 51350"

CLIENT = """
import sys
import greencoro.compute
from greencoro import Computation, Scheduler
from greencoro.distributed import neighbours

# As after the minute in which the scheduler asks by itself: from the second time on only the computation does.
neighbours.START_PINGS_SECONDS = (0.0,)
greencoro.compute.MinPulseInterval = 0.5
ping_interval = float(sys.argv[1]) or None
with Scheduler(), Computation(pulse_interval=20, ping_interval=ping_interval) as computation:
    for count in range(1, 3):
        print("looks", flush=True)
        computation.wait_for_servers(count, float(sys.argv[2]))
        print(*sorted(location.addr for location in computation.servers()), flush=True)
"""


def test_nodes_that_cannot_announce_themselves_are_found_where_datagrams_are_lost_and_where_they_start_later(
    lab: Lab, hosts: Hosts, tmp_path: Path
) -> None:
    for host in ("h2", "h3"):
        drop(lab, host, UDP, hooks=["output"])
    drop(lab, "h1", f"{UDP} numgen random mod 10 < 3", hooks=["output"])
    (tmp_path / "client.py").write_text(CLIENT)
    hosts.node("h2", "-c", "1")
    client = hosts.start("h1", "client.py", "0.5", "50")
    assert client.stdout is not None
    lines = client.stdout
    assert [lines.readline() for _ in range(3)] == ["looks\n", f"{lab.ip('h2')}\n", "looks\n"], hosts.errors.read_text()
    # It was not there when the scheduler began, nor when the computation did.
    hosts.node("h3", "-c", "1")
    assert lines.readline() == f"{lab.ip('h2')} {lab.ip('h3')}\n", hosts.errors.read_text()
    assert client.wait(20) == 0
    # Each has announced itself, in vain.
    assert dropped(lab, "h2", "output") and dropped(lab, "h3", "output")
