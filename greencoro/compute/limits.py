"""What a server process may use, and as whom it runs.

Limits are the kernel's own (setrlimit(2)). They hold for each process: jobs that start several have the limit several
times, except for `nproc`, which counts all processes of the user on the machine.
"""

from __future__ import annotations

import os
import pwd
import re
import resource
from collections.abc import Iterable
from dataclasses import dataclass

from greencoro.errors import ConfigError

__all__ = ["Limits", "User", "apply", "find_user"]

_KINDS = {
    "as": resource.RLIMIT_AS,
    "cpu": resource.RLIMIT_CPU,
    "nproc": resource.RLIMIT_NPROC,
    "fsize": resource.RLIMIT_FSIZE,
}
_IN_BYTES = {"as", "fsize"}
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_SIZE = re.compile(r"([0-9]{1,20})(?:([kmgt])(?:i?b)?)?", re.IGNORECASE | re.ASCII)
_COUNT = re.compile(r"[0-9]{1,20}", re.ASCII)
_LARGEST = 2**62
#: SIGXCPU tells a process that its CPU time is over; one that goes on is killed so many seconds of it later.
_LAST_CPU_SECONDS = 1
#: A server has mapped nearly this much before its first job, most of it for stacks and heaps of threads, not in use.
_SMALLEST_ADDRESS_SPACE = 512 * 2**20


@dataclass(frozen=True)
class Limits:
    """Limits of each server process; None: that of the daemon.

    Attributes:
        address_space_bytes (int | None): Bytes of virtual memory (``as``). Beyond it a job gets `MemoryError`.

        cpu_seconds (int | None): CPU time (``cpu``). Beyond it the process ends by SIGXCPU.

        processes (int | None): Processes and threads of its user on this machine (``nproc``). Beyond it none is
            started. It does not hold for root.

        file_bytes (int | None): Bytes of any file that it writes (``fsize``). Beyond it writing raises `OSError`.

    Raises:
        ConfigError: One is out of range, or too little for a server.
    """

    address_space_bytes: int | None = None
    cpu_seconds: int | None = None
    processes: int | None = None
    file_bytes: int | None = None

    def __post_init__(self) -> None:
        for kind, value in self._values().items():
            if not 0 < value <= _LARGEST:
                raise ConfigError(f"limit {kind}={value}: is out of range")
        if "as" in self._values() and self._values()["as"] < _SMALLEST_ADDRESS_SPACE:
            raise ConfigError(
                f"limit as={self._values()['as']}: a server needs {_SMALLEST_ADDRESS_SPACE} bytes at least"
            )

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Limits:
        """The limits that texts such as ``as=4GiB``, ``cpu=60``, ``nproc=64``, ``fsize=500M`` say.

        Raises:
            ConfigError: One says no limit, or two say the same one.
        """
        values: dict[str, int] = {}
        for text in texts:
            kind, _, value = text.partition("=")
            if kind not in _KINDS:
                raise ConfigError(f"limit {text!r}: is none of {', '.join(f'{known}=N' for known in _KINDS)}")
            if kind in values:
                raise ConfigError(f"limit {text!r}: {kind} was given before")
            values[kind] = _size(text, value) if kind in _IN_BYTES else _count(text, value)
        return cls(values.get("as"), values.get("cpu"), values.get("nproc"), values.get("fsize"))

    def to_texts(self) -> list[str]:
        """What `parse` makes the same limits of."""
        return [f"{kind}={value}" for kind, value in self._values().items()]

    def _values(self) -> dict[str, int]:
        all_kinds = (self.address_space_bytes, self.cpu_seconds, self.processes, self.file_bytes)
        return {kind: value for kind, value in zip(_KINDS, all_kinds, strict=True) if value is not None}


@dataclass(frozen=True)
class User:
    """Whom a process runs as: all that is to be known before it is forked."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def find_user(name: str) -> User:
    """The user of this name on this machine.

    Raises:
        ConfigError: There is none, or it is not for this process to start others as somebody else.
    """
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise ConfigError(f"user {name!r}: there is none on this machine") from None
    if os.geteuid() != 0:
        raise ConfigError(f"user {name!r}: only root can start servers as another user")
    groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid, groups, entry.pw_dir)


def apply(limits: Limits, user: User | None = None) -> None:
    """Limit this process for good, and have it run as the user; neither can be taken back, by nobody but root.

    For a fresh child, before anything of a job runs there. Changing the user clears what prctl(PR_SET_PDEATHSIG) set:
    set that afterwards.

    Raises:
        OSError: The kernel refuses. Then the child has to end: it may be half of what it was to become.
    """
    for kind, value in limits._values().items():
        _limit(_KINDS[kind], value)
    if user is not None:
        # In this order: without its user a process may not change its groups.
        os.setgroups(user.groups)
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)


def _limit(kind: int, value: int) -> None:
    _, hard_before = resource.getrlimit(kind)
    hard = value + _LAST_CPU_SECONDS if kind == resource.RLIMIT_CPU else value
    if hard_before != resource.RLIM_INFINITY:
        # What the daemon itself was limited to stays.
        hard = min(hard, hard_before)
    try:
        resource.setrlimit(kind, (min(value, hard), hard))
    except ValueError as error:
        raise OSError(f"cannot set the limit: {error}") from error


def _size(text: str, value: str) -> int:
    match = _SIZE.fullmatch(value)
    if match is None:
        raise ConfigError(f"limit {text!r}: takes a number of bytes, with K, M, G or T behind it (4GiB)")
    return int(match[1]) * _UNITS[(match[2] or "").lower()]


def _count(text: str, value: str) -> int:
    if _COUNT.fullmatch(value) is None:
        raise ConfigError(f"limit {text!r}: takes a whole number")
    return int(value)
