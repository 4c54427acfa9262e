"""`Lab`: hosts on one machine, joined by a switch that can misbehave.

    with Lab(3, seed=1) as lab:                                    # the hosts h1, h2, h3; h1 has 10.99.0.1
        server = lab.popen("h1", ["python3", "server.py"])
        lab.netem("h1", delay=0.05, jitter=0.02, loss=0.1, dup=0.01)
        lab.partition(["h1"], ["h2", "h3"])

Nothing is added to this machine's own network. The hosts reach each other and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.support.stopping import await_stopped

ROOT = Path(__file__).parent.parent.parent
_START_SECONDS = 30.0


class Unavailable(RuntimeError):
    """This machine cannot run a lab; the message says why."""


def why_not() -> str | None:
    """One line that says why no lab can run here, or None."""
    if not sys.platform.startswith("linux"):
        return "a lab needs Linux (network namespaces)"
    if os.geteuid() != 0:
        return "a lab needs root (it makes network namespaces)"
    for tool in ("ip", "nsenter", "unshare"):
        if shutil.which(tool) is None:
            return f"a lab needs the command {tool!r} (Debian: iproute2, util-linux)"
    if not os.path.exists("/dev/net/tun"):
        return "a lab needs /dev/net/tun (kernel option CONFIG_TUN)"
    if subprocess.run(["unshare", "--net", "true"], stderr=subprocess.DEVNULL).returncode:
        return "a lab may not make a network namespace here (no CAP_SYS_ADMIN?)"
    return None


class Lab:
    """Some hosts and the switch between them; a context manager that leaves nothing behind.

    Args:
        hosts: How many.

        seed: The same one makes the same choices for the same frames.

        static_arp: A host that is cut off is silence; without it, "no route to host" after some seconds.
    """

    def __init__(self, hosts: int = 2, seed: int = 0, static_arp: bool = True) -> None:
        self.hosts = [f"h{number}" for number in range(1, hosts + 1)]
        self._config = {
            "hosts": self.hosts,
            "subnet": "10.99.0.0/24",
            "mtu": 1500,
            "seed": seed,
            "static_arp": static_arp,
        }
        self._processes: list[subprocess.Popen[Any]] = []

    def __enter__(self) -> Lab:
        reason = why_not()
        if reason is not None:
            raise Unavailable(reason)
        self._directory = Path(tempfile.mkdtemp(prefix="netlab-"))
        self._path = str(self._directory / "switch")
        read_end, self._lifeline = os.pipe()
        try:
            self._switch, self._info = self._start(read_end)
        except BaseException:
            os.close(self._lifeline)
            shutil.rmtree(self._directory)
            raise
        finally:
            os.close(read_end)
        return self

    def _start(self, lifeline: int) -> tuple[subprocess.Popen[Any], dict[str, Any]]:
        command = [sys.executable, "-m", "tests.lab.switch", json.dumps(self._config), self._path, str(lifeline)]
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(lifeline,),
                start_new_session=True,
            )
            deadline = time.monotonic() + _START_SECONDS
            while time.monotonic() < deadline and process.poll() is None:
                # It is there, and not yet listening.
                with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                    return process, self._ask("info")
                time.sleep(0.02)
            process.kill()
            process.wait()
            log.seek(0)
            raise Unavailable(f"the switch did not start: {log.read().decode(errors='replace').strip()[-400:]}")

    def __exit__(self, *_: object) -> None:
        # What the switch sees, it ends by.
        os.close(self._lifeline)
        try:
            self._switch.wait(10)
        except subprocess.TimeoutExpired:
            self._switch.kill()
            self._switch.wait()
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    # What it did not take of its input is of no use to anybody.
                    with contextlib.suppress(BrokenPipeError):
                        stream.close()
        shutil.rmtree(self._directory)

    def ip(self, host: str) -> str:
        return str(self._info["hosts"][host]["ip"])

    @property
    def inodes(self) -> set[int]:
        """Of the hosts' network namespaces, for `switch.inhabitants`."""
        return {host["inode"] for host in self._info["hosts"].values()}

    @property
    def switch_pid(self) -> int:
        return int(self._info["pid"])

    def enter(self, host: str, argv: Sequence[str]) -> list[str]:
        """The command line that runs ``argv`` in a host; its process is the program's own."""
        namespace = f"/proc/{self._info['pid']}/fd/{self._info['hosts'][host]['ns']}"
        return ["nsenter", f"--net={namespace}", "--", *argv]

    def popen(self, host: str, argv: Sequence[str], **kwargs: Any) -> subprocess.Popen[Any]:
        """A `subprocess.Popen` in a host, in a session of its own; killed with the lab at the latest."""
        process = subprocess.Popen(self.enter(host, argv), start_new_session=True, **kwargs)
        self._processes.append(process)
        return process

    def run(self, host: str, argv: Sequence[str], timeout: float = 60) -> str:
        """What a command in a host wrote, once it is over."""
        process = self.popen(host, argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return str(process.communicate(timeout=timeout)[0])

    def netem(self, host: str, direction: str = "both", **faults: float) -> None:
        """Set the faults of a host's cable (see `faults.Cable`); none clears it."""
        self._ask("netem", host=host, direction=direction, **faults)

    def partition(self, left: Sequence[str], right: Sequence[str], oneway: bool = False) -> None:
        """Drop all that goes from the hosts ``left`` to the hosts ``right``, and unless ``oneway`` back."""
        self._ask("partition", left=list(left), right=list(right), oneway=oneway)

    def heal(self) -> None:
        """Undo every partition and every fault."""
        self._ask("heal")

    def capture(self, path: Path | None) -> None:
        """Write every frame sent from now on to a pcap file; None ends it."""
        self._ask("capture", path=None if path is None else str(path.absolute()))

    def stats(self) -> dict[str, dict[str, int]]:
        """What happened to the frames of each sending host."""
        return self._ask("stats")

    def _ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(20)
            sock.connect(self._path)
            sock.sendall(json.dumps({"do": do, **arguments}).encode() + b"\n")
            with sock.makefile("rb") as stream:
                reply = json.loads(stream.readline())
        if "error" in reply:
            raise ValueError(reply["error"])
        return dict(reply["ok"])


def captured(path: Path) -> list[bytes]:
    """The frames in a pcap file of `Lab.capture`."""
    data, offset, frames = path.read_bytes(), 24, []
    while offset < len(data):
        size = int.from_bytes(data[offset + 8 : offset + 12], "little")
        offset += 16
        frames.append(data[offset : offset + size])
        offset += size
    return frames


@contextlib.contextmanager
def small_disk(size: int) -> Iterator[Path]:
    """A directory on a file system of ``size`` bytes, to run out of disk on.

    Raises:
        Unavailable: It needs root.
    """
    if os.geteuid() != 0:
        raise Unavailable("a small disk needs root (it mounts a tmpfs)")
    path = tempfile.mkdtemp(prefix="netlab-disk-")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "netlab", path], check=True)
    try:
        yield Path(path)
    finally:
        subprocess.run(["umount", "-l", path], check=True)
        os.rmdir(path)


def stop(process: subprocess.Popen[Any]) -> None:
    """SIGSTOP for its group: alive to the kernel, dead to peers."""
    os.killpg(os.getpgid(process.pid), signal.SIGSTOP)
    await_stopped(process.pid)


def go_on(process: subprocess.Popen[Any]) -> None:
    os.killpg(os.getpgid(process.pid), signal.SIGCONT)
