"""What the figures were taken on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

import greencoro


@dataclass(frozen=True)
class Machine:
    """The machine and the software on it.

    Attributes:
        cpus: That this process may use.

        load: Processes that wanted to run in the last minute, on average, when the run began. Where it is much above
            zero somebody else was at work, and the figures are worse than they need be.

        disk: What temporary files are on: device, and file system.

        packages: Versions by distribution, and that of Erlang; None where it is not installed.
    """

    cpu: str
    cpus: int
    memory_gib: float
    kernel: str
    python: str
    load: float
    disk: str
    packages: dict[str, str | None]


def describe(packages: Iterable[str]) -> Machine:
    """This machine, with the versions of ``packages``."""
    return Machine(
        cpu=_cpu(Path("/proc/cpuinfo").read_text()),
        cpus=len(os.sched_getaffinity(0)),
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        kernel=platform.release(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        load=round(os.getloadavg()[0], 2),
        disk="{} ({})".format(*file_system(Path(tempfile.gettempdir()))),
        # greencoro's own word and not the installation's: a checkout may be measured without being installed.
        packages={
            "greencoro": greencoro.__version__,
            **{name: version_of(name) for name in packages},
            "Erlang/OTP": _otp_release(),
        },
    )


def version_of(distribution: str) -> str | None:
    """The version that is installed, or None."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def file_system(path: Path) -> tuple[str, str]:
    """The device that ``path`` is on, and the type of file system."""
    place = path.resolve()
    holders = [each for each in psutil.disk_partitions(all=True) if place.is_relative_to(each.mountpoint)]
    # Of two at one place the later is what is seen.
    holder = max(reversed(holders), key=lambda each: len(each.mountpoint))
    return holder.device, holder.fstype


def _otp_release() -> str | None:
    """The release of Erlang that is installed, or None."""
    program = shutil.which("erl")
    if program is None:
        return None
    # Read, since to start its virtual machine for that takes a third of a second.
    start_data = Path(program).resolve().parent.parent / "releases" / "start_erl.data"
    return start_data.read_text().split()[1] if start_data.exists() else "of an unknown release"


def _cpu(cpuinfo: str) -> str:
    # x86 says "model name"; ARM kernels give numbers only, where the architecture is all that can be told.
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return f"unnamed {platform.machine()}"
