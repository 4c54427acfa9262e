"""What a test left running or open."""

import contextlib
import os
import socket
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil


@dataclass(frozen=True)
class Snapshot:
    """What of this process would be noticed if it appeared and stayed."""

    children: frozenset[psutil.Process]
    threads: frozenset[threading.Thread]
    sockets: frozenset[tuple[str, str, int]]


def snapshot() -> Snapshot:
    """This process's child processes, non-daemon threads, and sockets that others can reach.

    greencoro's own threads (user hub, reactor, log) last as long as the process. `hub.native` starts them below the
    `threading` module, so they are not in this list and need no exception.
    """
    threads = {t for t in threading.enumerate() if not t.daemon and not t.name.startswith("pytest_timeout")}
    children = {child for child in _children() if _runs(child) and not _is_server(child)}
    return Snapshot(frozenset(children), frozenset(threads), frozenset(_sockets()))


def leftovers(before: Snapshot) -> list[str]:
    """What is there now and was not before, a phrase each; empty where nothing is.

    What a child process that was there before starts is its own, and that of the fixture to which it belongs: a cluster
    that several tests share starts fresh servers whenever it has to.
    """
    now = snapshot()
    return [
        *(f"child process {child.pid}: {_command(child)}" for child in _new_children(before, now)),
        *(f"non-daemon thread {thread.name}" for thread in now.threads - before.threads),
        *(f"open socket {kind} {address}:{port}" for kind, address, port in now.sockets - before.sockets),
    ]


def end_children(before: Snapshot) -> None:
    """Kill the child processes that were not there before, so that they do not disturb the tests that follow."""
    for child in _new_children(before, snapshot()):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
            child.wait(timeout=5)


def _new_children(before: Snapshot, now: Snapshot) -> list[psutil.Process]:
    return [child for child in now.children - before.children if before.children.isdisjoint(_ancestors(child))]


def _ancestors(child: psutil.Process) -> list[psutil.Process]:
    try:
        return list(child.parents())
    except psutil.NoSuchProcess:
        return []  # it ended meanwhile, as one may that is looked at again


def _children() -> list[psutil.Process]:
    # To find them means to look at all processes of the machine, twice for each of thousands of tests. Most have none,
    # and Linux can tell.
    tasks = Path("/proc/self/task")
    with contextlib.suppress(OSError):
        if tasks.exists() and not any((task / "children").read_bytes() for task in tasks.iterdir()):
            return []
    return psutil.Process().children(recursive=True)


def _sockets() -> Iterator[tuple[str, str, int]]:
    """Of the descriptors of this process: a list of all the machine's connections is long where many were closed."""
    for name in os.listdir("/dev/fd"):
        # Another thread may close it meanwhile.
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                seen = socket.socket(fileno=int(name))
                try:
                    if seen.family in (socket.AF_INET, socket.AF_INET6) and _reachable(seen):
                        address, port, *_ = seen.getsockname()
                        yield seen.type.name, address, port
                finally:
                    seen.detach()


def _reachable(sock: socket.socket) -> bool:
    if sock.type == socket.SOCK_STREAM:
        return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    try:
        sock.getpeername()
    except OSError:
        return sock.type == socket.SOCK_DGRAM and sock.getsockname()[1] != 0
    return False


def _runs(child: psutil.Process) -> bool:
    try:
        # A zombie does nothing, but its parent forgot it: that is something left as well.
        return bool(child.status())
    except psutil.NoSuchProcess:
        return False


def _is_server(child: psutil.Process) -> bool:
    """A server of a node, or its keeper: neither outlives its zygote, which counts; a shared node has new ones."""
    try:
        parent = child.parent()
        starters = ("greencoro-fork", "greencoro-keep")
        return child.name().startswith("greencoro-") and parent is not None and parent.name() in starters
    except psutil.NoSuchProcess:
        return False


def _command(child: psutil.Process) -> Any:
    try:
        return " ".join(child.cmdline()) or child.name()
    except psutil.Error as error:
        return f"({error})"
