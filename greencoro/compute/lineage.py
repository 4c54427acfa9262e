"""What the kernel does for a process about its parent and its descendants (Linux)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterator
from pathlib import Path

__all__ = ["adopt_orphans", "children", "end_with_parent", "show_name"]

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36


def end_with_parent(parent: int) -> None:
    """Have this process killed when the thread that has started it ends; at once where its parent is not ``parent``.

    Another user, and another program, undo it.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        # It had ended before this was said.
        os.kill(os.getpid(), signal.SIGKILL)


def adopt_orphans() -> None:
    """Have descendants of this process whose parent ends become its children, instead of those of the system's first.

    Children do not have this from it.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def show_name(name: str) -> None:
    """Call this process so in lists of processes; what is longer than 15 bytes is cut."""
    _prctl(_PR_SET_NAME, ctypes.c_char_p(name.encode()))


def children(process: Path = Path("/proc/self")) -> set[int]:
    """The children of a process of one thread, those that have ended and were not waited for included."""
    pid = process.resolve().name
    try:
        return {int(number) for number in (process / "task" / pid / "children").read_text().split()}
    except FileNotFoundError:  # a kernel that does not list them
        return {number for number, parent in _parents(process.resolve().parent) if parent == int(pid)}


def _parents(proc: Path) -> Iterator[tuple[int, int]]:
    for entry in proc.iterdir():
        if entry.name.isdecimal():
            # It may end in the middle of this.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                # Behind the name, which may have anything in it: state, parent.
                yield int(entry.name), int((entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])


def _prctl(option: int, argument: object) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(option, argument, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
