"""What a test left running or open."""

import contextlib
import threading
from dataclasses import dataclass
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
    process = psutil.Process()
    sockets = {
        (c.type.name, c.laddr.ip, c.laddr.port)
        for c in process.net_connections("inet")
        if c.laddr and (c.status == psutil.CONN_LISTEN or (c.type.name == "SOCK_DGRAM" and not c.raddr))
    }
    threads = {t for t in threading.enumerate() if not t.daemon and not t.name.startswith("pytest_timeout")}
    children = {child for child in process.children(recursive=True) if _runs(child)}
    return Snapshot(frozenset(children), frozenset(threads), frozenset(sockets))


def leftovers(before: Snapshot) -> list[str]:
    """What is there now and was not before, a phrase each; empty where nothing is."""
    now = snapshot()
    return [
        *(f"child process {child.pid}: {_command(child)}" for child in now.children - before.children),
        *(f"non-daemon thread {thread.name}" for thread in now.threads - before.threads),
        *(f"open socket {kind} {address}:{port}" for kind, address, port in now.sockets - before.sockets),
    ]


def end_children(before: Snapshot) -> None:
    """Kill the child processes that were not there before, so that they do not disturb the tests that follow."""
    for child in snapshot().children - before.children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
            child.wait(timeout=5)


def _runs(child: psutil.Process) -> bool:
    try:
        # A zombie does nothing, but its parent forgot it: that is something left as well.
        return bool(child.status())
    except psutil.NoSuchProcess:
        return False


def _command(child: psutil.Process) -> Any:
    try:
        return " ".join(child.cmdline()) or child.name()
    except psutil.Error as error:
        return f"({error})"
