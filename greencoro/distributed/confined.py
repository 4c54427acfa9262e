"""Ways below one directory that no name can lead out of.

A way is a row of plain names (`plain_names`). Each directory on the way is opened relative to the one above it,
following no link: what is checked is what is used.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from greencoro.hub import native

__all__ = ["leads_elsewhere", "opened", "sync"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def opened(
    directory: str | os.PathLike[str],
    below: Sequence[str],
    make: bool = False,
    durable: bool = False,
    on_made: Callable[[tuple[str, ...]], object] | None = None,
) -> Iterator[int]:
    """A descriptor of the directory at the end of the way ``below``, whose names are all plain.

    Args:
        make (bool): Make the directories that are not there.

        durable (bool): Force the names of those to the disk: without them what is saved there cannot be found after a
            crash.

        on_made: Called with the way of each that was made.

    Raises:
        OSError: There is none, or it cannot be opened; `leads_elsewhere` tells a link or file on the way.
    """
    # The directory itself is our own choice, so it may be reached through links.
    here = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for depth, name in enumerate(below):
            if make and _make(name, here, durable) and on_made is not None:
                on_made(tuple(below[: depth + 1]))
            inner = os.open(name, _DIRECTORY, dir_fd=here)
            native.close(here)
            here = inner
        yield here
    finally:
        native.close(here)


def _make(name: str, parent: int, durable: bool) -> bool:
    """Make a directory; False where it is there."""
    try:
        os.mkdir(name, dir_fd=parent)
    except FileExistsError:
        return False
    if durable:
        sync(parent)
    return True


def sync(directory: int) -> None:
    """Force the entries of an open directory to the disk."""
    try:
        os.fsync(directory)
    except OSError as error:
        # Not every file system can, and those that cannot have nothing to be forced.
        if error.errno != errno.EINVAL:
            raise


def leads_elsewhere(error: OSError) -> bool:
    """Whether a way ended at a link or a file."""
    return error.errno in (errno.ELOOP, errno.ENOTDIR)
