"""Hosts of one network that find each other by broadcast, a multicast group or IPv6; pings that are forged: L3, S8."""

from __future__ import annotations

import itertools
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.lab.netlab import Lab, captured
from tests.lab.networks import drop, drop_no_more, dropped, shell, why_no_filter
from tests.lab.test_discovery_in_the_lab import ip_source, ip_target, with_source
from tests.support.members import MemberProcess, Members
from tests.support.polling import poll_until

pytestmark = [pytest.mark.cluster, pytest.mark.lab]

DISCOVERY = {"discover_peers": True}
UDP = "udp dport 51350"
BROADCAST = f"ip daddr 10.99.0.255 {UDP}"

needs_filter = pytest.mark.skipif(why_no_filter() is not None, reason=str(why_no_filter()))


def await_all(members: Members, made: Sequence[MemberProcess], seconds: float = 30) -> None:
    for member in made:
        members.await_peers(member, *(other for other in made if other is not member), seconds=seconds)


def came_at(members: Members, who: MemberProcess, peer: MemberProcess) -> float:
    def found() -> list[float]:
        return [
            event["t"]
            for event in members.history()
            if (event["ev"], event["who"], event.get("peer")) == ("peer", who.node, peer.node)
        ]

    # Whoever asks for its peers may be told of one before that is in the history.
    (at,) = poll_until(found)
    return float(at)


@pytest.mark.parametrize("order", [("h1", "h2", "h3"), ("h3", "h2", "h1"), ("h2", "h3", "h1")], ids="-".join)
def test_L3_hosts_find_each_other_within_2_seconds_in_whatever_order_they_start(
    members: Members, order: Sequence[str]
) -> None:
    made, there_at = [], []
    for host in order:
        made.append(members.start(f"at-{host}", host, parameters=DISCOVERY))
        there_at.append(time.monotonic())
    await_all(members, made)
    took = [
        came_at(members, who, peer) - max(there_at[made.index(who)], there_at[made.index(peer)])
        for who in made
        for peer in made
        if who is not peer
    ]
    print(f"found at most {max(took):.3f} s after the later one was there")
    assert max(took) <= 2.0
    assert not members.losses()
    members.check()


@needs_filter
@pytest.mark.slow
def test_L3_where_30_percent_of_all_pings_are_lost_all_pairs_know_each_other_within_10_ping_intervals(
    lab: Lab, members: Members
) -> None:
    interval = 1.0
    for host in lab.hosts:
        drop(lab, host, UDP)
    made = [
        members.start(f"at-{host}", host, parameters=DISCOVERY, ping_interval_seconds=interval) for host in lab.hosts
    ]
    # Those of the start are over, which would find them without an interval.
    for host in lab.hosts:
        poll_until(lambda host=host: dropped(lab, host, "output") > 4 + 6.0 / interval, 30)  # type: ignore[misc]
    assert [member.call("peers") for member in made] == [[], [], []]
    for host in lab.hosts:
        drop_no_more(lab, host)
        drop(lab, host, f"{UDP} numgen random mod 10 < 3", hooks=["output"])
    began = time.monotonic()
    await_all(members, made, 10 * interval)
    took = max(came_at(members, who, peer) for who in made for peer in made if who is not peer) - began
    hits = poll_until(lambda: sum(dropped(lab, host, "output") for host in lab.hosts), what="some are lost")
    print(f"after {took:.1f} s; {hits} pings were lost on their way out")
    assert took <= 10 * interval


@needs_filter
def test_L3_by_a_multicast_group_hosts_find_each_other_where_no_broadcast_gets_through(
    lab: Lab, members: Members
) -> None:
    for host in lab.hosts:
        drop(lab, host, BROADCAST)
    made = [
        members.start(f"at-{host}", host, parameters=DISCOVERY, multicast_group="239.255.99.1") for host in lab.hosts
    ]
    await_all(members, made)
    hits = sum(dropped(lab, host, "output") for host in lab.hosts)
    print(f"{hits} broadcasts were blocked")
    assert hits >= len(made)


def test_L3_with_ipv6_addresses_hosts_find_each_other_by_the_group_of_the_link(lab: Lab, members: Members) -> None:
    if not Path("/proc/sys/net/ipv6").exists():
        pytest.skip("the kernel has no IPv6")
    addresses = {host: f"fd00:99::{number}" for number, host in enumerate(lab.hosts, 1)}
    for host, address in addresses.items():
        shell(
            lab,
            host,
            "echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6",
            f"ip -6 addr add {address}/64 dev eth0 nodad",
        )
    made = [
        members.start(f"at-{host}", host, parameters=DISCOVERY | {"address": address})
        for host, address in addresses.items()
    ]
    assert all(member.location.startswith("[fd00:99::") for member in made)
    await_all(members, made)


# Sends Ethernet frames made by hand, each so many times, and rests after each.
SEND_FRAMES = """
import socket, sys, time
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
    sock.bind(("eth0", 0))
    for _ in range(int(sys.argv[1])):
        for frame in sys.argv[3:]:
            sock.send(bytes.fromhex(frame))
        time.sleep(float(sys.argv[2]))
"""


def send_frames(lab: Lab, host: str, count: int, rest: float, *frames: bytes) -> None:
    argv = [sys.executable, "-c", SEND_FRAMES, str(count), str(rest), *(frame.hex() for frame in frames)]
    assert lab.run(host, argv) == ""


def recorded_ping(lab: Lab, members: Members, path: Path) -> bytes:
    """The frame of a ping of somebody at h2 who is not there any more."""
    lab.capture(path)
    gone = members.start("gone", "h2", parameters=DISCOVERY)
    poll_until(lambda: path.stat().st_size > 24, what="it has asked who is there")
    members.kill(gone)
    lab.capture(None)
    pings = [frame for frame in captured(path) if frame[12:14] == b"\x08\x00" and frame[23] == 17]
    assert ip_source(pings[0]) == lab.ip("h2") and lab.ip("h2").encode() in pings[0]
    return pings[0]


def dials(path: Path, source: str) -> list[tuple[float, str]]:
    """When a host began connections, and to whom: its SYNs without an ACK."""
    data, offset, found = path.read_bytes(), 24, []
    while offset + 16 <= len(data):
        seconds, microseconds, size, _ = struct.unpack_from("<IIII", data, offset)
        frame = data[offset + 16 : offset + 16 + size]
        offset += 16 + size
        is_tcp = frame[12:14] == b"\x08\x00" and frame[23] == 6
        if is_tcp and ip_source(frame) == source and frame[47] & 0x12 == 2:
            found.append((seconds + microseconds / 1e6, ip_target(frame)))
    return found


def test_S8_a_ping_with_a_forged_location_or_source_sends_no_packet_to_the_victim(
    lab: Lab, members: Members, tmp_path: Path
) -> None:
    victim, signer, listener = (lab.ip(host) for host in ("h1", "h2", "h3"))
    ping = recorded_ping(lab, members, tmp_path / "ping.pcap")
    located = with_source(ping.replace(signer.encode(), victim.encode()), signer)
    both = with_source(located, victim)
    sourced = with_source(ping, victim)
    assert victim.encode() in located and victim.encode() not in sourced
    members.start("listener", "h3", parameters=DISCOVERY)
    answers = tmp_path / "answers.pcap"
    lab.capture(answers)
    send_frames(lab, "h2", 300, 0.0, located, both, sourced)
    # It took the last kind for what its signature says; whatever the others led to came before.
    poll_until(lambda: dials(answers, listener), 10, "the one who signed it is dialled")
    lab.capture(None)
    sent = [frame for frame in captured(answers) if frame[12:14] == b"\x08\x00" and ip_source(frame) == listener]
    assert [frame for frame in sent if ip_target(frame) == signer]
    assert not [frame for frame in sent if ip_target(frame) == victim]


@pytest.mark.slow
def test_S8_a_recorded_ping_that_is_replayed_1000_times_leads_to_one_connection_in_5_seconds(
    lab: Lab, members: Members, tmp_path: Path
) -> None:
    ping = recorded_ping(lab, members, tmp_path / "ping.pcap")
    members.start("listener", "h3", parameters=DISCOVERY)
    answers = tmp_path / "answers.pcap"
    lab.capture(answers)
    send_frames(lab, "h2", 1000, 0.011, ping)
    lab.capture(None)
    begun = dials(answers, lab.ip("h3"))
    times = [at for at, _ in begun]
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    print(f"{len(begun)} connections, with {pauses} s between them")
    assert {target for _, target in begun} == {lab.ip("h2")}
    assert len(begun) >= 2
    # A timestamp of the switch is not that of the decision.
    assert min(pauses) >= 4.9
