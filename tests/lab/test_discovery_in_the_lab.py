"""Hosts that find each other by datagrams which get lost, are forged and are replayed: L3, S8."""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

import pytest

from tests.lab.netlab import Lab, captured
from tests.support.members import Members
from tests.support.polling import poll_until

pytestmark = [pytest.mark.cluster, pytest.mark.lab]

#: TCP loses as much, and repeats it after a second, two, four: a handshake takes some time of its own.
PING_INTERVAL = 4.0

# Sends a datagram from a source that is not its own, in an Ethernet frame made by hand.
FORGE = """
import socket, sys
frame = bytes.fromhex(sys.argv[1])
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
    sock.bind(("eth0", 0))
    for _ in range(int(sys.argv[2])):
        sock.send(frame)
"""


def test_L3_where_30_percent_of_all_datagrams_are_lost_all_find_each_other_within_10_ping_intervals(
    lab: Lab, members: Members
) -> None:
    for host in lab.hosts:
        lab.netem(host, direction="out", loss=0.3)
    began = time.monotonic()
    made = [
        members.start(
            f"at-{host}",
            host=host,
            parameters={"discover_peers": True},
            tick_seconds=5.0,
            ping_interval_seconds=PING_INTERVAL,
        )
        for host in lab.hosts
    ]
    for member in made:
        others = [other for other in made if other is not member]
        members.await_peers(member, *others, seconds=10 * PING_INTERVAL)
    took = max(event["t"] for event in members.history()) - began
    print(f"{took:.1f} s; lost frames: {[counts['lost'] for counts in lab.stats().values()]}")


def ip_source(frame: bytes) -> str:
    return socket.inet_ntoa(frame[26:30])


def ip_target(frame: bytes) -> str:
    return socket.inet_ntoa(frame[30:34])


def with_source(frame: bytes, address: str) -> bytes:
    """A broadcast datagram as if it came from there; its UDP checksum is left out, as one may."""
    forged = bytearray(frame)
    forged[26:30] = socket.inet_aton(address)
    forged[24:26] = bytes(2)
    words = [int.from_bytes(forged[at : at + 2], "big") for at in range(14, 34, 2)]
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    forged[24:26] = (~total & 0xFFFF).to_bytes(2, "big")
    forged[40:42] = bytes(2)
    return bytes(forged)


def test_S8_a_ping_replayed_from_a_forged_source_sends_nothing_to_the_victim_and_dials_who_signed_it_once(
    lab: Lab, members: Members, tmp_path: Path
) -> None:
    victim, signer, listener = (lab.ip(host) for host in ("h1", "h2", "h3"))
    lab.capture(tmp_path / "ping.pcap")
    gone = members.start("gone", host="h2", parameters={"discover_peers": True})
    poll_until(lambda: (tmp_path / "ping.pcap").stat().st_size > 24, what="it has asked who is there")
    members.kill(gone)
    lab.capture(None)
    pings = [f for f in captured(tmp_path / "ping.pcap") if f[12:14] == b"\x08\x00" and f[23] == 17]
    assert pings and ip_source(pings[0]) == signer
    members.start("listener", host="h3", parameters={"discover_peers": True})
    lab.capture(tmp_path / "answers.pcap")
    forged = with_source(pings[0], victim)
    lab.run("h2", [sys.executable, "-c", FORGE, forged.hex(), "1000"])

    def sent() -> list[bytes]:
        frames = captured(tmp_path / "answers.pcap")
        return [frame for frame in frames if frame[12:14] == b"\x08\x00" and ip_source(frame) == listener]

    def dials() -> list[bytes]:
        # SYN and no ACK; from one port however often it is repeated.
        return [frame for frame in sent() if frame[23] == 6 and frame[47] & 0x12 == 2]

    poll_until(dials, 10, "the one who signed it is dialled")
    # A lasting consequence of the last of them: what was sent before it has been dealt with.
    lab.run("h2", [sys.executable, "-c", FORGE, forged.hex(), "1"])
    poll_until(lambda: lab.stats()["h2"]["frames"] > 1000)
    assert {ip_target(frame) for frame in dials()} == {signer}
    assert len({frame[34:36] for frame in dials()}) == 1
    assert not [frame for frame in sent() if ip_target(frame) == victim]
    assert not [frame for frame in sent() if frame[23] == 17 and ip_target(frame) == signer]
