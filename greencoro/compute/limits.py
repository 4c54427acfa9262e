"""What a server process may use.

Limits are the kernel's own (setrlimit(2)). They hold for each process: jobs that start several have the limit several
times, except for `nproc`, which counts all processes of the user on the machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from greencoro.errors import ConfigError

__all__ = ["Limits", "size"]

_KINDS = ("as", "cpu", "nproc", "fsize")
_IN_BYTES = {"as", "fsize"}
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_SIZE = re.compile(r"([0-9]{1,20})(?:([kmgt])(?:i?b)?)?", re.IGNORECASE | re.ASCII)
_COUNT = re.compile(r"[0-9]{1,20}", re.ASCII)
_LARGEST = 2**62
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
        for kind, value in self.by_kind().items():
            if not 0 < value <= _LARGEST:
                raise ConfigError(f"limit {kind}={value}: is out of range")
        if "as" in self.by_kind() and self.by_kind()["as"] < _SMALLEST_ADDRESS_SPACE:
            raise ConfigError(
                f"limit as={self.by_kind()['as']}: a server needs {_SMALLEST_ADDRESS_SPACE} bytes at least"
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
        return [f"{kind}={value}" for kind, value in self.by_kind().items()]

    def by_kind(self) -> dict[str, int]:
        """Those that are set, by the names that `parse` knows."""
        all_kinds = (self.address_space_bytes, self.cpu_seconds, self.processes, self.file_bytes)
        return {kind: value for kind, value in zip(_KINDS, all_kinds, strict=True) if value is not None}


def size(text: str) -> int:
    """Read a number of bytes, such as ``5000``, ``500M`` or ``4GiB``: K, M, G and T are powers of 1024.

    Raises:
        ConfigError: The text is nothing of the kind.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ConfigError("takes a number of bytes, with K, M, G or T behind it (4GiB)")
    return int(match[1]) * _UNITS[(match[2] or "").lower()]


def _size(text: str, value: str) -> int:
    try:
        return size(value)
    except ConfigError as error:
        raise ConfigError(f"limit {text!r}: {error}") from None


def _count(text: str, value: str) -> int:
    if _COUNT.fullmatch(value) is None:
        raise ConfigError(f"limit {text!r}: takes a whole number")
    return int(value)
