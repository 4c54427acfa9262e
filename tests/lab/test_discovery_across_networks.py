"""Peers on two networks that a router joins: no broadcast crosses it, so one of them is named."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.netlab import ROOT, Lab, why_not
from tests.lab.networks import ROUTER, Networks, drop, dropped, why_no_filter
from tests.support.member import KEY
from tests.support.members import MemberProcess, Members
from tests.support.polling import poll_until

pytestmark = [pytest.mark.cluster, pytest.mark.lab]

DISCOVERY = {"discover_peers": True}
UDP = "udp dport 51350"


@pytest.fixture
def networks() -> Iterator[Networks]:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with Lab(5, seed=7) as lab:
        yield Networks(lab)


@pytest.fixture
def members(networks: Networks, tmp_path: Path) -> Iterator[Members]:
    made = Members(tmp_path, networks)
    yield made
    made.end()


@pytest.fixture
def outside(members: Members) -> list[MemberProcess]:
    """Three on one machine of the far network and one on another, who know each other by broadcast."""
    made = [members.start(f"b{number}", "h4", parameters=DISCOVERY) for number in range(3)]
    made.append(members.start("c", "h5", parameters=DISCOVERY))
    for member in made:
        members.await_peers(member, *(other for other in made if other is not member))
    return made


def start_inside(members: Members) -> MemberProcess:
    return members.start("a", "h1", parameters=DISCOVERY, connect_timeout_seconds=2.0)


def knows_those_of_one_machine(members: Members, a: MemberProcess, outside: list[MemberProcess]) -> None:
    *there, elsewhere = outside
    members.await_peers(a, *there)
    for member in there:
        others = [other for other in outside if other is not member]
        members.await_peers(member, a, *others)
    members.await_peers(elsewhere, *there)
    assert not members.losses()
    members.check()


def test_peer_with_a_port_of_another_network_tells_of_those_beside_it_and_them_of_the_one_who_asks(
    members: Members, outside: list[MemberProcess]
) -> None:
    a = start_inside(members)
    assert a.call("peers") == []
    assert a.call("peer", location=outside[0].location) == 0
    knows_those_of_one_machine(members, a, outside)


def test_peer_with_a_machine_of_another_network_reaches_all_runtimes_there(
    networks: Networks, members: Members, outside: list[MemberProcess]
) -> None:
    a = start_inside(members)
    assert a.call("peer", location=networks.ip("h4")) == 0
    knows_those_of_one_machine(members, a, outside)


def test_where_udp_is_blocked_a_tcp_port_of_another_network_is_enough_to_know_all_of_that_machine(
    networks: Networks, members: Members, outside: list[MemberProcess]
) -> None:
    reason = why_no_filter()
    if reason is not None:
        pytest.skip(reason)
    for host in ("h1", ROUTER):
        drop(networks.lab, host, UDP)
    a = start_inside(members)
    # Nobody there listens at the port of node daemons, and no ping gets through.
    assert a.call("peer", location=networks.ip("h4")) == -1
    assert a.call("peer", location=outside[1].location) == 0
    knows_those_of_one_machine(members, a, outside)
    hits = dropped(networks.lab, "h1", "output")
    print(f"{hits} datagrams were blocked")
    assert hits


def test_where_only_one_tcp_port_of_another_network_may_be_dialled_those_beside_it_dial_the_one_who_asks(
    networks: Networks, members: Members, outside: list[MemberProcess]
) -> None:
    reason = why_no_filter()
    if reason is not None:
        pytest.skip(reason)
    port = outside[0].location.rpartition(":")[2]
    begins_elsewhere = f"ip saddr {networks.ip('h1')} tcp dport != {port} tcp flags & (syn | ack) == syn"
    drop(networks.lab, ROUTER, begins_elsewhere, hooks=["forward"])
    a = start_inside(members)
    assert a.call("peer", location=outside[0].location) == 0
    knows_those_of_one_machine(members, a, outside)
    print(f"{dropped(networks.lab, ROUTER, 'forward')} packets were blocked")


BROADCAST = """
import json, sys, time
from greencoro import Runtime
address, location, key, wanted = sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3]), int(sys.argv[4])
with Runtime(address, name="a", discover_peers=False, secret_key=key) as runtime:
    result = runtime.peer(location, broadcast=True)
    deadline = time.monotonic() + 20
    while len(runtime.peers()) < wanted and time.monotonic() < deadline:
        time.sleep(0.01)
    print(json.dumps([result, sorted(info.name for info in runtime.peer_infos())]), flush=True)
    sys.stdin.read()
"""


def test_peer_with_broadcast_reaches_all_of_another_network(
    networks: Networks, members: Members, outside: list[MemberProcess]
) -> None:
    arguments = [networks.ip("h1"), outside[0].location, KEY.hex(), str(len(outside))]
    a = networks.lab.popen(
        "h1",
        [sys.executable, "-c", BROADCAST, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert a.stdout is not None
    assert json.loads(a.stdout.readline()) == [0, ["b0", "b1", "b2", "c"]]
    for member in outside:
        poll_until(lambda member=member: "a" in member.call("peers"))  # type: ignore[misc]
    members.check()
