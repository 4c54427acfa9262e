"""Runtimes behind a gateway that translates addresses, which nobody can dial or the gateway forwards to: N1, N4."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.lab.netlab import Lab, why_not
from tests.lab.networks import GATEWAY, Networks, why_no_filter
from tests.support.members import MemberProcess, Members
from tests.support.polling import poll_until

pytestmark = [pytest.mark.cluster, pytest.mark.lab]

TICK = 0.5
PORT = 5347


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
def members(networks: Networks, tmp_path: Path) -> Iterator[Members]:
    made = Members(tmp_path, networks)
    yield made
    made.end()


def start(
    members: Members,
    node: str,
    host: str,
    peers: Sequence[MemberProcess] = (),
    tick: float = TICK,
    **parameters: object,
) -> MemberProcess:
    return members.start(node, host, peers, parameters, tick_seconds=tick, connect_timeout_seconds=1.0)


def talk(members: Members, one: MemberProcess, other: MemberProcess, how: str = "") -> None:
    """Have each send to a coroutine of the other, and hear from one that answers by the reference it was given."""
    both = ((one, other), (other, one))
    for here, _ in both:
        here.call("receiver", who=f"{here.node}/r{how}")
        here.call("echo", who=f"{here.node}/echo{how}")
    for here, there in both:
        who = f"{here.node}/s{how}"
        to = {f"{there.node}/r{how}": there.location}
        here.call("sender", who=who, to=to, count=50, largest=5000, delivers=0.2)
        members.await_last(there, {who: here.call("value", who=who, timeout=30)})
        assert len(here.call("ping", to=f"{there.node}/echo{how}", location=there.location, count=10)) == 10


def watch_each_other(one: MemberProcess, other: MemberProcess, reasons: list[str]) -> None:
    """Each monitors a coroutine of the other for each reason to end."""
    both = ((one, other), (other, one))
    for here, _ in both:
        names = [f"{here.node}/t{number}" for number in range(len(reasons))]
        here.call("targets", names=names, reasons=reasons, seconds=0.1)
    for here, there in both:
        there_are = {f"{there.node}/t{number}": there.location for number in range(len(reasons))}
        here.call("monitor", who=f"{here.node}/m", to=there_are)
        poll_until(lambda here=here: here.call("is_registered", who=f"{here.node}/m"))  # type: ignore[misc]


def notices(members: Members, who: MemberProcess) -> list[str]:
    down = [event for event in members.history() if event["ev"] == "down" and event["who"] == f"{who.node}/m"]
    return sorted(event["reason"] for event in down)


def test_N4_a_client_behind_nat_and_a_server_that_cannot_dial_it_talk_and_monitor_each_other(members: Members) -> None:
    server, stranger = start(members, "server", "h4"), start(members, "stranger", "h5")
    client = start(members, "client", "h1")
    # Nobody outside gets to where the client says that it is.
    assert stranger.call("peer", location=client.location) == -1
    assert server.call("peer", location=client.location) == -1
    assert client.call("peer", location=server.location) == 0
    members.await_peers(server, client)
    # Now there is a connection, whoever began it.
    assert server.call("peer", location=client.location) == 0
    assert stranger.call("peer", location=client.location) == -1
    talk(members, client, server)
    watch_each_other(client, server, ["value", "exception", "terminated"])
    for member in (client, server):
        member.call("go")
    for member in (client, server):
        poll_until(lambda member=member: len(notices(members, member)) == 3)  # type: ignore[misc]
        assert notices(members, member) == ["exception", "finished", "terminated"]
    members.check()
    assert not members.losses()


def test_N1_N4_behind_nat_silence_is_noticed_on_both_sides_after_3_to_5_ticks_and_the_client_comes_back(
    networks: Networks, members: Members
) -> None:
    tick = 1.0
    server = start(members, "server", "h4", tick=tick)
    client = start(members, "client", "h1", [server], tick)
    members.await_peers(server, client)
    watch_each_other(client, server, ["value"])
    networks.cut_off("h1")
    began = time.monotonic()
    for here, there in ((client, server), (server, client)):
        poll_until(lambda here=here, there=there: members.offline_at(here, there), 20)  # type: ignore[misc]
        poll_until(lambda here=here: notices(members, here) == ["lost"])  # type: ignore[misc]
    took = [members.offline_at(client, server, began), members.offline_at(server, client, began)]
    print(f"noticed after {took} s, a tick is {tick} s; {members.losses()}")
    for seconds in took:
        assert seconds is not None and 3 * tick <= seconds <= 5 * tick
    networks.heal()
    members.await_peers(server, client)
    members.await_peers(client, server)
    talk(members, client, server)
    members.check()
    assert notices(members, client) == notices(members, server) == ["lost"]


def test_N1_a_client_behind_nat_that_dies_is_noticed_by_the_server_within_the_time_out(members: Members) -> None:
    """It alone can dial, so only its silence tells that it will not."""
    server = start(members, "server", "h4")
    client = start(members, "client", "h1", [server])
    members.await_peers(server, client)
    began = members.kill(client)
    poll_until(lambda: members.offline_at(server, client))
    took = members.offline_at(server, client, began)
    print(f"noticed after {took} s")
    assert took is not None and took <= 5 * TICK
    members.check()


def test_a_client_behind_nat_dials_those_beside_the_server_that_it_names(members: Members) -> None:
    servers = [start(members, f"server{number}", "h4", discover_peers=True) for number in range(3)]
    members.await_peers(servers[0], *servers[1:])
    client = start(members, "client", "h1", discover_peers=True)
    assert client.call("peer", location=servers[0].location) == 0
    members.await_peers(client, *servers)
    for server in servers:
        members.await_peers(server, client, *(other for other in servers if other is not server))
    members.check()
    assert not members.losses()


def test_with_ext_ip_addr_and_a_forwarded_port_those_outside_reach_a_runtime_by_the_gateways_address(
    networks: Networks, members: Members
) -> None:
    networks.forward(PORT, "h1")
    inside = start(members, "inside", "h1", tcp_port=PORT, ext_ip_addr=GATEWAY)
    assert inside.location == f"{GATEWAY}:{PORT}"
    outside = [start(members, f"at-{host}", host) for host in ("h4", "h5")]
    # One names it, the other dials it for the name that it looks for there.
    assert outside[0].call("peer", location=inside.location) == 0
    for member in outside:
        talk(members, inside, member, f"-{member.node}")
    members.await_peers(inside, *outside)
    members.check()
    assert not members.losses()


def test_N1_one_behind_a_forwarded_port_that_comes_back_at_its_place_is_reached_again(
    networks: Networks, members: Members
) -> None:
    networks.forward(PORT, "h1")
    inside = start(members, "inside", "h1", tcp_port=PORT, ext_ip_addr=GATEWAY)
    outside = start(members, "outside", "h4", [inside])
    members.await_peers(outside, inside)
    members.kill(inside)
    poll_until(lambda: not outside.call("peers"))
    successor = start(members, "successor", "h1", tcp_port=PORT, ext_ip_addr=GATEWAY)
    members.await_peers(outside, successor)
    talk(members, successor, outside)
    members.check()
