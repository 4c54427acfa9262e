"""The lab does what it says: a fault test is worth what its faults are worth."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.netlab import ROOT, Lab, captured, go_on, small_disk, stop
from tests.lab.switch import inhabitants
from tests.support.polling import poll_until

pytestmark = [pytest.mark.cluster, pytest.mark.lab]

UDP_SINK = """
import socket, sys
sock = socket.socket(type=socket.SOCK_DGRAM)
sock.bind(("", 7000))
print("ready", flush=True)
while (data := sock.recv(2048)) != b"end":
    print(data.decode(), flush=True)
"""
# The last ones come on a network that is clean, so that one arrives.
UDP_SEND = """
import socket, sys, time
sock = socket.socket(type=socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
for number in sys.argv[2:]:
    sock.sendto(number.encode(), (sys.argv[1], 7000))
    time.sleep(0.0005)
"""
TCP_SINK = """
import hashlib, socket
listener = socket.create_server(("", 7001))
print("ready", flush=True)
while True:
    sock, _ = listener.accept()
    digest = hashlib.sha256()
    while data := sock.recv(65536):
        digest.update(data)
    sock.sendall(digest.digest())
    sock.close()
"""
TCP_SEND = """
import hashlib, os, socket, sys
data = os.urandom(1000) * int(sys.argv[2])
try:
    sock = socket.create_connection((sys.argv[1], 7001), timeout=float(sys.argv[3]))
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)
    print("same" if sock.recv(200) == hashlib.sha256(data).digest() else "different")
except OSError as error:
    print(type(error).__name__)
"""


class UdpSink:
    """A program in a host that prints the numbers it is sent."""

    def __init__(self, lab: Lab, host: str) -> None:
        self.lab, self.host = lab, host
        self.process = lab.popen(host, [sys.executable, "-c", UDP_SINK], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None and self.process.stdout.readline() == "ready\n"

    def numbers(self) -> list[int]:
        """What came until now; it ends."""
        self.lab.heal()
        while self.process.poll() is None:
            send(self.lab, self.lab.ip(self.host), ["end"])
        return [int(line) for line in self.process.communicate()[0].split()]


def send(lab: Lab, address: str, words: list[str]) -> None:
    lab.run("h1", [sys.executable, "-c", UDP_SEND, address, *words])


def received(lab: Lab, count: int = 1000) -> list[int]:
    """Which of so many datagrams of h1 arrive at h2, in order."""
    sink = UdpSink(lab, "h2")
    send(lab, lab.ip("h2"), [str(number) for number in range(count)])
    return sink.numbers()


def over_tcp(lab: Lab, kilobytes: int = 1, timeout: float = 30) -> str:
    return lab.run("h1", [sys.executable, "-c", TCP_SEND, lab.ip("h2"), str(kilobytes), str(timeout)]).strip()


@pytest.fixture
def server(lab: Lab) -> subprocess.Popen[str]:
    process = lab.popen("h2", [sys.executable, "-c", TCP_SINK], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("address", ["10.99.0.255", "255.255.255.255"])
def test_a_broadcast_reaches_all_others(lab: Lab, address: str) -> None:
    sinks = [UdpSink(lab, host) for host in ("h2", "h3")]
    send(lab, address, ["1", "2", "3"])
    assert [sink.numbers() for sink in sinks] == [[1, 2, 3]] * 2


def test_a_clean_network_loses_repeats_and_reorders_nothing(lab: Lab) -> None:
    assert received(lab) == list(range(1000))


def test_loss_duplicates_and_reordering_hit_as_many_frames_as_asked_for(lab: Lab) -> None:
    lab.netem("h1", loss=0.3)
    assert 600 < len(received(lab)) < 800
    lab.netem("h1", dup=0.3)
    assert 1200 < len(received(lab)) < 1400
    lab.netem("h1", reorder=0.2)
    got = received(lab)
    assert sorted(got) == list(range(1000)) != got
    stats = lab.stats()["h1"]
    assert 200 < stats["lost"] < 400 and 200 < stats["duplicated"] < 400 and 100 < stats["reordered"] < 300


def test_jitter_alone_keeps_the_order(lab: Lab) -> None:
    lab.netem("h1", delay=0.01, jitter=0.005)
    assert received(lab) == list(range(1000))


def test_what_is_corrupted_is_dropped_and_tcp_survives_it(lab: Lab, server: object) -> None:
    lab.netem("h1", loss=0.03, dup=0.03, reorder=0.05, corrupt=0.02, delay=0.002, jitter=0.001)
    assert over_tcp(lab, 300) == "same"
    assert lab.stats()["h1"]["corrupted"]


def test_what_is_tampered_with_gets_past_the_checksum(lab: Lab, server: object) -> None:
    lab.netem("h1", direction="out", tamper=0.5)
    assert over_tcp(lab, 100) == "different"


def test_a_partition_cuts_both_ways_or_one_until_it_is_healed(lab: Lab, server: object) -> None:
    lab.partition(["h1"], ["h2"])
    assert over_tcp(lab, 1, 1) == "TimeoutError"
    lab.heal()
    assert over_tcp(lab) == "same"
    lab.partition(["h2"], ["h1"], oneway=True)
    sink = UdpSink(lab, "h2")
    send(lab, lab.ip("h2"), ["1", "2"])
    assert over_tcp(lab, 1, 1) == "TimeoutError"
    assert sink.numbers() == [1, 2]


def test_a_stopped_program_is_connected_to_and_does_not_answer(lab: Lab, server: subprocess.Popen[str]) -> None:
    stop(server)
    assert over_tcp(lab, 1, 1) == "TimeoutError"
    go_on(server)
    assert over_tcp(lab) == "same"


def test_what_was_sent_is_captured(lab: Lab, server: object, tmp_path: Path) -> None:
    lab.capture(tmp_path / "frames.pcap")
    sink = UdpSink(lab, "h2")
    send(lab, lab.ip("h2"), ["123456789"])
    assert sink.numbers() == [123456789]
    lab.capture(None)
    assert any(frame.endswith(b"123456789") for frame in captured(tmp_path / "frames.pcap"))


OWNER = """
import sys, time
from tests.lab.netlab import Lab
with Lab(2) as lab:
    lab.popen("h1", ["sh", "-c", "setsid sleep 1000 & sleep 1000"])
    print(lab.switch_pid, *lab.inodes, flush=True)
    time.sleep(1000)
"""


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_nothing_outlives_the_owner_however_it_ends(number: int) -> None:
    here = os.listdir("/sys/class/net")
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as owner:
        assert owner.stdout is not None
        switch, *inodes = map(int, owner.stdout.readline().split())
        poll_until(lambda: len(inhabitants(set(inodes))) == 3, what="sh and both sleeps run")
        owner.send_signal(number)
        owner.wait(20)
    poll_until(lambda: not inhabitants(set(inodes)) and not os.path.exists(f"/proc/{switch}"))
    assert os.listdir("/sys/class/net") == here


@pytest.mark.usefixtures("lab")
def test_a_small_disk_is_soon_full_and_goes_away() -> None:
    with small_disk(65536) as path:
        with pytest.raises(OSError, match="No space left"):
            (path / "file").write_bytes(bytes(200_000))
        assert path.exists()
    assert not path.exists()
