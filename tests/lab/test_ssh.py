"""Peers that listen on loopback of two hosts and reach each other by a port that ssh forwards: N1, N4, M1."""

from __future__ import annotations

import pytest

from tests.lab.netlab import Lab
from tests.lab.ssh import Ssh, why_no_ssh
from tests.support.members import MemberProcess, Members
from tests.support.polling import poll_until

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.lab,
    pytest.mark.skipif(why_no_ssh() is not None, reason=str(why_no_ssh())),
]

#: Where a forwarded port begins, at the host that ssh runs at and at the one that it goes to.
HERE, THERE = 6001, 6002


def start(members: Members, node: str, host: str, port: int, **parameters: object) -> MemberProcess:
    """A member that nobody at another host can reach but through ssh."""
    told = {"address": "127.0.0.1", "tcp_port": port, **parameters}
    return members.start(node, host=host, parameters=told, tick_seconds=0.5)


def port_of(member: MemberProcess) -> str:
    return member.location.rpartition(":")[2]


def dials_and_is_dialled(
    members: Members, ssh: Ssh, how: str, peers: bool = False
) -> tuple[MemberProcess, MemberProcess, list[str]]:
    """Whoever dials, whom it dials, and the forwarding by which it does so."""
    near = {"-L": "h1", "-R": "h2"}[how]
    far = {"-L": "h2", "-R": "h1"}[how]
    dialled = start(members, "dialled", far, 51347)
    place = f"127.0.0.1:{HERE}"
    dials = start(members, "dials", near, 51348, **({"peers": [place]} if peers else {}))
    return dials, dialled, [how, f"{HERE}:127.0.0.1:{port_of(dialled)}"]


@pytest.mark.parametrize("how", ["-L", "-R"])
def test_messages_and_references_go_both_ways_over_a_forwarded_port(members: Members, ssh: Ssh, how: str) -> None:
    dials, dialled, forwarding = dials_and_is_dialled(members, ssh, how)
    ssh.forward(*forwarding)
    assert dials.call("peer", location=f"127.0.0.1:{HERE}") == 0
    members.await_peers(dials, dialled)
    members.await_peers(dialled, dials)
    # Neither can dial the other at the place that it says it is at.
    for one, other in ((dials, dialled), (dialled, dials)):
        one.call("receiver", who=f"{one.node}/r")
        one.call("echo", who=f"{one.node}/echo")
        assert one.location.startswith("127.0.0.1") and one.location != other.location
    for one, other in ((dials, dialled), (dialled, dials)):
        who = f"{one.node}/s"
        one.call("sender", who=who, to={f"{other.node}/r": other.location}, count=50, largest=5000, delivers=0.2)
        members.await_last(other, {who: one.call("value", who=who, timeout=30)})
        # The echo answers by the reference that came with the question.
        assert len(one.call("ping", to=f"{other.node}/echo", location=other.location, count=20)) == 20
    events = members.check()
    assert sum(event["ev"] == "recv" for event in events) >= 100
    assert not members.losses()


def test_who_is_looked_for_at_a_forwarded_port_is_found(members: Members, ssh: Ssh) -> None:
    dials, dialled, forwarding = dials_and_is_dialled(members, ssh, "-L")
    ssh.forward(*forwarding)
    dialled.call("echo", who="dialled/echo")
    assert len(dials.call("ping", to="dialled/echo", location=f"127.0.0.1:{HERE}", count=3)) == 3


@pytest.mark.parametrize("how", ["-L", "-R"])
def test_N4_where_ssh_dies_both_sides_are_told_once_and_it_goes_on_when_ssh_is_there_again(
    members: Members, ssh: Ssh, how: str
) -> None:
    dials, dialled, forwarding = dials_and_is_dialled(members, ssh, how, peers=True)
    client = ssh.forward(*forwarding)
    both = ((dials, dialled), (dialled, dials))
    for one, other in both:
        members.await_peers(one, other)
        one.call("receiver", who=f"{one.node}/r")
        one.call("targets", names=[f"{one.node}/t"], reasons=["value"], seconds=0)
    for one, other in both:
        one.call("monitor", who=f"{one.node}/m", to={f"{other.node}/t": other.location})
        poll_until(lambda one=one: one.call("is_registered", who=f"{one.node}/m"))  # type: ignore[misc]
    for _ in range(2):
        client.kill()
        client.wait()
        for one, _other in both:
            poll_until(lambda one=one: not one.call("peers"), 30)  # type: ignore[misc]
        client = ssh.forward(*forwarding)
        for number, (one, other) in enumerate(both):
            members.await_peers(one, other)
            # By a reference that was there before, from the second time on.
            who = f"{one.node}/s{number}{client.pid}"
            one.call("sender", who=who, to={f"{other.node}/r": other.location}, count=10)
            members.await_last(other, {who: one.call("value", who=who, timeout=30)})
    members.check()
    for one, other in both:
        assert members.told(one, other) == ["online", "offline", "online", "offline", "online"]
        assert one.call("count", who=f"{one.node}/m") == 1


def test_N3_two_that_dial_each_other_by_forwarded_ports_at_the_same_time_have_one_connection(
    lab: Lab, members: Members, ssh: Ssh
) -> None:
    first, second = start(members, "first", "h1", 51347), start(members, "second", "h2", 51348)
    ssh.forward("-L", f"{HERE}:127.0.0.1:{port_of(second)}", "-R", f"{THERE}:127.0.0.1:{port_of(first)}")
    # Longer than it takes to ask both.
    lab.netem("h1", delay=0.1)
    first.ask("peer", location=f"127.0.0.1:{HERE}")
    second.ask("peer", location=f"127.0.0.1:{THERE}")
    assert (first.answer(30), second.answer(30)) == (0, 0)
    members.await_peers(first, second)
    members.await_peers(second, first)
    for one in (first, second):
        one.call("echo", who=f"{one.node}/echo")
    for one, other in ((first, second), (second, first)):
        assert len(one.call("ping", to=f"{other.node}/echo", location=other.location, count=3)) == 3
    members.check()
    assert not members.losses()
