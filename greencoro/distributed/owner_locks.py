"""Files whose lock says that the process that made them lives.

The system takes a lock away with its process, however that ended. What a process keeps beside such a file is found by
it: the file is there before the rest and is removed after it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from greencoro.hub import native

__all__ = ["abandoned", "make"]


def make(file: Path) -> int | None:
    """Make a locked file that is not there yet, and return its descriptor, which keeps the lock.

    Returns:
        int | None: None where the name is taken, or somebody took the new file for an abandoned one: try another name.
    """
    try:
        lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return None
    fcntl.flock(lock, fcntl.LOCK_EX)
    # Before it was locked another process may have taken it for one that was left behind.
    if _is_at(lock, file):
        return lock
    native.close(lock)
    return None


def abandoned(directory: Path, pattern: str) -> Iterator[Path]:
    """The files of this user in a directory whose makers are dead; each is locked until the next is asked for."""
    for file in directory.glob(pattern):
        try:
            lock = os.open(file, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            continue  # just removed, or not ours
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue  # its maker lives
        else:
            # What somebody else has put there names nothing of ours.
            if _is_at(lock, file) and os.fstat(lock).st_uid == os.geteuid():
                yield file
        finally:
            native.close(lock)


def _is_at(descriptor: int, path: Path) -> bool:
    """Is the open file still the one that has this name?"""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
