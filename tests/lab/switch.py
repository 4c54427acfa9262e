"""The process that joins the hosts of a lab and spoils the network between them.

Each host is a network namespace with one interface, eth0: a TAP device whose other end is held here. The namespaces
have no name on disk; they last as long as this process and those started in them. It ends when its owner's pipe does,
even by SIGKILL, and kills whatever still runs in the hosts.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import heapq
import ipaddress
import json
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from typing import Any, BinaryIO, NamedTuple

from tests.lab.faults import Cable, corrupt, tamper

_CLONE_NEWNET = 0x40000000
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
_COUNTS = ("frames", "forwarded", "lost", "blocked", "duplicated", "reordered", "corrupted", "tampered", "overflowed")


class _Frame(NamedTuple):
    due: float
    #: Two that are due at the same time keep their order.
    serial: int
    cable: Cable
    cables_left: list[Cable]
    source: str
    target: str
    data: bytes


class Switch:
    """Forwards Ethernet frames between the hosts: unicast, broadcast and multicast."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._dice = random.Random(config["seed"])
        self._blocked: set[tuple[str, str]] = set()
        self._waiting: list[_Frame] = []
        self._serial = 0
        self._pcap: BinaryIO | None = None
        self.hosts: dict[str, dict[str, Any]] = {}
        net = ipaddress.ip_network(config["subnet"])
        addresses = net.hosts()
        for number, name in enumerate(config["hosts"], 1):
            self.hosts[name] = {"ip": str(next(addresses)), "mac": f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"}
        for name, host in self.hosts.items():
            host["tap"], host["ns"] = self._make_host(name, net.prefixlen, config["mtu"], config["static_arp"])
            host["inode"] = os.fstat(host["ns"]).st_ino
        self.taps = {host["tap"]: name for name, host in self.hosts.items()}
        self._names = {bytes.fromhex(host["mac"].replace(":", "")): name for name, host in self.hosts.items()}
        self._stats = {name: dict.fromkeys(_COUNTS, 0) for name in self.hosts}
        self._lay_clean_cables()

    def _lay_clean_cables(self) -> None:
        self._out = {name: Cable() for name in self.hosts}
        self._into = {name: Cable() for name in self.hosts}

    def _make_host(self, name: str, prefix: int, mtu: int, static_arp: bool) -> tuple[int, int]:
        """A child makes the namespace and sends its descriptors back."""
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            try:
                self._be_host(name, prefix, mtu, static_arp, theirs)
            finally:
                os._exit(1)
        theirs.close()
        data, fds, _, _ = socket.recv_fds(ours, 16, 2)
        ours.close()
        os.waitpid(pid, 0)
        if data != b"ok":
            raise OSError(f"could not make the host {name}")
        return fds[0], fds[1]

    def _be_host(self, name: str, prefix: int, mtu: int, static_arp: bool, answer: socket.socket) -> None:
        if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", b"eth0", _IFF_TAP | _IFF_NO_PI))
        me = self.hosts[name]
        commands = [
            "link set lo up",
            f"link set eth0 address {me['mac']} mtu {mtu} up",
            f"addr add {me['ip']}/{prefix} brd + dev eth0",
            "route add default dev eth0",
        ]
        if static_arp:
            others = [host for host in self.hosts.values() if host is not me]
            commands += [f"neigh add {host['ip']} lladdr {host['mac']} dev eth0 nud permanent" for host in others]
        # Where the kernel has no IPv6 there is nothing to turn off.
        with contextlib.suppress(OSError), open("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "w") as knob:
            knob.write("1")
        subprocess.run(["ip", "-batch", "-"], input="\n".join(commands).encode(), check=True)
        socket.send_fds(answer, [b"ok"], [tap, os.open("/proc/self/ns/net", os.O_RDONLY)])

    # Frames.

    def read(self, tap: int) -> None:
        """Take what a host sent."""
        source = self.taps[tap]
        for _ in range(64):
            try:
                frame = os.read(tap, 65536)
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.EIO):
                    return
                raise
            self._stats[source]["frames"] += 1
            if self._pcap is not None:
                self._record(self._pcap, frame)
            target = self._names.get(frame[:6])
            if target is not None:
                self._forward(source, target, frame)
            elif frame[0] & 1:
                for target in self.hosts:
                    if target != source:
                        self._forward(source, target, frame)

    def _forward(self, source: str, target: str, data: bytes) -> None:
        if (source, target) in self._blocked:
            self._stats[source]["blocked"] += 1
        else:
            self._pass_through([self._out[source], self._into[target]], source, target, data)

    def _pass_through(self, cables: list[Cable], source: str, target: str, data: bytes) -> None:
        """Send the frame through the cables that are left, now or when it is due."""
        stats, dice = self._stats[source], self._dice
        for position, cable in enumerate(cables):
            if cable.is_clean:
                continue
            if cable.loss and dice.random() < cable.loss:
                stats["lost"] += 1
                return
            if cable.queued >= cable.limit:
                stats["overflowed"] += 1
                return
            if cable.corrupt and dice.random() < cable.corrupt:
                stats["corrupted"] += 1
                data = corrupt(data, dice)
            if cable.tamper and dice.random() < cable.tamper:
                stats["tampered"] += 1
                data = tamper(data, dice)
            now = time.monotonic()
            due, overtaken = cable.due(now, len(data), dice)
            stats["reordered"] += overtaken
            copies = 1
            if cable.dup and dice.random() < cable.dup:
                stats["duplicated"] += 1
                copies = 2
            if due <= now and copies == 1:
                continue
            for _ in range(copies):
                cable.queued += 1
                self._serial += 1
                left = cables[position + 1 :]
                heapq.heappush(self._waiting, _Frame(due, self._serial, cable, left, source, target, data))
            return
        self._deliver(source, target, data)

    def _deliver(self, source: str, target: str, data: bytes) -> None:
        try:
            os.write(self.hosts[target]["tap"], data)
            self._stats[source]["forwarded"] += 1
        except OSError:
            self._stats[source]["overflowed"] += 1

    def run_due(self) -> float | None:
        """Send on what is due; in how many seconds to look again."""
        while self._waiting:
            wait = self._waiting[0].due - time.monotonic()
            if wait > 0:
                return wait
            frame = heapq.heappop(self._waiting)
            frame.cable.queued -= 1
            if (frame.source, frame.target) in self._blocked:
                self._stats[frame.source]["blocked"] += 1
            else:
                self._pass_through(frame.cables_left, frame.source, frame.target, frame.data)
        return None

    @staticmethod
    def _record(pcap: BinaryIO, frame: bytes) -> None:
        now = time.time()
        pcap.write(struct.pack("<IIII", int(now), int(now % 1 * 1e6), len(frame), len(frame)) + frame)
        pcap.flush()

    # What the owner asks for.

    def command(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked, and say what is to be known."""
        name = request.pop("do")
        if name == "info":
            return {"pid": os.getpid(), "hosts": self.hosts}
        if name == "stats":
            return self._stats
        commands = {
            "netem": self._netem,
            "partition": self._partition,
            "heal": self._heal,
            "capture": self._capture,
        }
        commands[name](**request)
        return {}

    def _netem(self, host: str, direction: str, **faults: float) -> None:
        for cables, directions in ((self._out, ("out", "both")), (self._into, ("in", "both"))):
            if direction in directions:
                cables[self._known(host)] = Cable(**faults)

    def _partition(self, left: list[str], right: list[str], oneway: bool) -> None:
        for one in map(self._known, left):
            for other in map(self._known, right):
                if one != other:
                    self._blocked.add((one, other))
                    if not oneway:
                        self._blocked.add((other, one))

    def _heal(self) -> None:
        self._blocked.clear()
        self._lay_clean_cables()

    def _capture(self, path: str | None) -> None:
        if self._pcap is not None:
            self._pcap.close()
        self._pcap = None if path is None else open(path, "wb")  # noqa: SIM115 - open until the next command
        if self._pcap is not None:
            self._pcap.write(struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))

    def _known(self, host: str) -> str:
        if host not in self.hosts:
            raise ValueError(f"there is no host {host!r}")
        return host

    # The process.

    def serve(self, listener: socket.socket, lifeline: int) -> None:
        """Until the owner's end of ``lifeline`` is closed."""
        poll = select.epoll()
        for descriptor in (*self.taps, listener.fileno(), lifeline):
            poll.register(descriptor, select.EPOLLIN)
        clients: dict[int, socket.socket] = {}
        while True:
            wait = self.run_due()
            for descriptor, _ in poll.poll(1.0 if wait is None else min(wait, 1.0)):
                if descriptor in self.taps:
                    self.read(descriptor)
                elif descriptor == lifeline:
                    return
                elif descriptor == listener.fileno():
                    client, _ = listener.accept()
                    clients[client.fileno()] = client
                    poll.register(client, select.EPOLLIN)
                elif not self._answer(clients[descriptor]):
                    poll.unregister(descriptor)
                    clients.pop(descriptor).close()

    def _answer(self, client: socket.socket) -> bool:
        try:
            line = client.makefile("rb").readline()
            if not line:
                return False
            try:
                reply: dict[str, Any] = {"ok": self.command(json.loads(line))}
            except (ValueError, KeyError, TypeError, OSError) as error:
                reply = {"error": f"{type(error).__name__}: {error}"}
            client.sendall(json.dumps(reply).encode() + b"\n")
        except OSError:
            return False
        return True

    def kill_inhabitants(self) -> None:
        """SIGKILL every process that lives in one of the hosts.

        Inode numbers are safe to compare only while the TAP descriptors are open: they keep the namespaces, and so
        their numbers, ours.
        """
        for host in self.hosts.values():
            # Nobody new can enter.
            os.close(host["ns"])
        # Some may be about to have entered.
        quiet = 0
        while quiet < 3:
            found = inhabitants({host["inode"] for host in self.hosts.values()})
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            quiet = 0 if found else quiet + 1
            time.sleep(0.02)


def inhabitants(inodes: set[int]) -> list[int]:
    """The processes that live in network namespaces with these inode numbers."""
    found = []
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        # It may end meanwhile.
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{pid}/ns/net").st_ino in inodes:
                found.append(pid)
    return found


def main(config: str, path: str, lifeline: str) -> None:
    """Be the switch: JSON requests come to the socket at ``path``, a line each."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    switch = Switch(json.loads(config))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(8)
        try:
            switch.serve(listener, int(lifeline))
        finally:
            switch.kill_inhabitants()


if __name__ == "__main__":
    main(*sys.argv[1:])
