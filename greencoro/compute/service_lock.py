"""The lock that keeps a second daemon from a service that one offers already.

Whoever holds the lock is the service; the file only tells which process that is. The system takes the lock away with
its process, however that ended, so what a crash left behind keeps nobody out.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from greencoro.distributed import user_directory
from greencoro.distributed.location import Location
from greencoro.errors import ConfigError
from greencoro.hub import native

__all__ = ["scheduler_taken", "taken"]

_MAX_RECORD_BYTES = 4096
_LOOK_SECONDS = 0.02
#: A holder that has just taken the lock writes who it is within this time.
_INTRODUCTION_SECONDS = 1.0
#: So long a process that is to end may clean up, before it is killed; and so long that may take.
_PATIENCE_SECONDS = 5.0

#: Process id, start time in clock ticks, id of the machine's start, namespace of process ids: no two share all four.
_Identity = tuple[int, int, str, str]


class _Service(NamedTuple):
    """What one daemon offers: the name of the lock, what it is for people, and what says what they can do instead."""

    lock: str
    what: str
    advice: Callable[[], str]


@contextmanager
def taken(address: str | None, port: int, phoenix: bool = False, directory: Path | None = None) -> Iterator[None]:
    """Hold the lock of a node. Blocks the calling thread for a few seconds at the most.

    Args:
        address (str | None): Where the service listens, as it was asked for; None where it was not.

        port (int): Its port; 0: any free one, which needs no lock.

        phoenix (bool): End the process that holds the lock, if there is one: it is asked to (SIGTERM), and killed after
            5 seconds. One that is not certain to be the holder is left alone.

        directory (Path | None): Where the lock's file is; None for this user's own directory.

    Raises:
        ConfigError: Another process holds the lock; the message names it. Or there can be no lock, and why.
    """
    if port == 0:
        yield
        return

    def advice() -> str:
        at = f"--udp_port {port}" if address is None else str(Location(address, port))
        return f"`greencoro node status {at}` says what it is at, --port is for a second one, --phoenix replaces it"

    service = _Service(
        f"service-{quote(address or 'any', safe='')}-{port}",
        f"a node at {address or 'this machine'}, port {port},",
        advice,
    )
    with _held(service, phoenix, directory):
        yield


@contextmanager
def scheduler_taken(
    address: str | None, tcp_port: int, udp_port: int, fingerprint: str, directory: Path | None = None
) -> Iterator[None]:
    """As `taken`, of a batch scheduler: one that clients could not tell from the other is refused.

    Args:
        tcp_port (int): Its own port, as it was asked for.

        udp_port (int): The one at which it is found.

        fingerprint (str): Of its secret.
    """

    def advice() -> str:
        at = "" if tcp_port == 0 or address is None else f" {Location(address, tcp_port)}"
        own = "a --tcp_port, --udp_port or secret of its own"
        return f"`greencoro scheduler status{at}` says what it is at; a second one takes {own}"

    service = _Service(
        f"scheduler-{quote(address or 'any', safe='')}-{tcp_port}-{udp_port}-{fingerprint}",
        f"a batch scheduler at {address or 'this machine'} with this secret and UDP port {udp_port}",
        advice,
    )
    with _held(service, False, directory):
        yield


@contextmanager
def _held(service: _Service, phoenix: bool, directory: Path | None) -> Iterator[None]:
    descriptor = _open(service.lock, directory)
    try:
        if not _lock(descriptor):
            if not phoenix:
                raise ConfigError(
                    f"{service.what} is running already: {_named(_introduced(descriptor))}; {service.advice()}"
                )
            _replace(descriptor, service.what)
        _write(descriptor, json.dumps(_identity(os.getpid())).encode())
        try:
            yield
        finally:
            # Only what a crash left behind names a process.
            _write(descriptor, b"")
    finally:
        native.close(descriptor)


def _open(name: str, directory: Path | None) -> int:
    path = user_directory.default_path() if directory is None else directory
    file = path / f"{name}.lock"
    try:
        user_directory.make(path, private=True, parameter="TMPDIR")
        # The file stays: whoever removed it would have to know that nobody is about to lock it.
        return os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"cannot open the lock {file}: {error.strerror}") from error


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _replace(descriptor: int, service: str) -> None:
    """Have the lock's holder end, and take the lock."""
    holder = _introduced(descriptor)
    reference = _certain_reference(holder, descriptor)
    if reference is None:
        raise ConfigError(f"{service} is running, and it is not certain as which process: {_named(holder)}")
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(reference, number)
            deadline = native.monotonic() + _PATIENCE_SECONDS
            while native.monotonic() < deadline:
                if _lock(descriptor):
                    return
                now = _read(descriptor)
                if now not in (holder, None):
                    raise ConfigError(f"{service} was ended, and another was faster to start: {_named(now)}")
                native.sleep(_LOOK_SECONDS)
    except PermissionError as error:
        raise ConfigError(f"{service} is running and cannot be ended: {_named(holder)}") from error
    finally:
        native.close(reference)
    raise ConfigError(f"{service} is running and did not end: {_named(holder)}")


def _certain_reference(holder: _Identity | None, descriptor: int) -> int | None:
    """A descriptor of the process that holds the lock; None where it is not certain to be that one."""
    if holder is None or holder[0] == os.getpid():
        return None
    try:
        reference = os.pidfd_open(holder[0])
    except OSError:
        return None
    # Compared after the reference was made: a process that is the right one now was so then.
    if _identity(holder[0]) == holder and _has_open(holder[0], descriptor):
        return reference
    native.close(reference)
    return None


def _has_open(process: int, descriptor: int) -> bool:
    """Has the process this very file open? Those of other users do not tell."""
    file = os.fstat(descriptor)
    with suppress(OSError):
        for entry in os.scandir(f"/proc/{process}/fd"):
            with suppress(OSError):
                if os.path.samestat(entry.stat(), file):
                    return True
    return False


def _identity(process: int) -> _Identity | None:
    """Who has this process id at present."""
    try:
        # The second field is the command's name in brackets, which may contain anything.
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        start = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return process, int(fields[19]), start, os.readlink(f"/proc/{process}/ns/pid")
    except (OSError, IndexError, ValueError):
        return None


def _introduced(descriptor: int) -> _Identity | None:
    """Who wrote that it holds the lock; waits a little for one that is about to."""
    deadline = native.monotonic() + _INTRODUCTION_SECONDS
    while True:
        holder = _read(descriptor)
        if holder is not None or native.monotonic() >= deadline:
            return holder
        native.sleep(_LOOK_SECONDS)


def _read(descriptor: int) -> _Identity | None:
    try:
        process, ticks, start, namespace = json.loads(os.pread(descriptor, _MAX_RECORD_BYTES, 0))
    except (ValueError, TypeError):
        return None
    if not (isinstance(process, int) and isinstance(ticks, int) and 0 < process < 2**31):
        return None
    return process, ticks, str(start), str(namespace)


def _write(descriptor: int, record: bytes) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, record, 0)


def _named(holder: _Identity | None) -> str:
    return "it does not say which process it is" if holder is None else f"process {holder[0]}"
