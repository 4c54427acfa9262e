"""Files written below one directory, whatever their names say.

A file appears whole or not at all; it is not forced to the disk, as a working directory does not outlive the machine's
next start.
"""

from __future__ import annotations

import os
from contextlib import suppress

from greencoro.distributed import confined
from greencoro.distributed.plain_names import is_plain
from greencoro.errors import PackagingError

__all__ = ["write"]

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_TEMPORARY_PREFIX = ".greencoro-"


def write(directory: str | os.PathLike[str], path: str, content: bytes | bytearray, mode: int = 0o666) -> None:
    """Write a file below ``directory``, making the directories that it names; one that is there is replaced.

    Args:
        path (str): Relative, with slashes.

        mode (int): Its permissions, before the umask.

    Raises:
        PackagingError: The path leads out of ``directory``, through a link, or is no path of a file; or it cannot be
            written. Then nothing was written.
    """
    *above, name = words = path.split("/")
    for word in words:
        if not is_plain(word):
            raise PackagingError(f"file {path!r}: not a path inside the working directory")
    try:
        with confined.opened(directory, above, make=True) as parent:
            _replace(parent, name, content, mode & 0o777)
    except OSError as err:
        if confined.leads_elsewhere(err):
            raise PackagingError(f"file {path!r}: leads through a link or a file") from err
        raise PackagingError(f"file {path!r}: cannot be written: {err.strerror}") from err


def _replace(parent: int, name: str, content: bytes | bytearray, mode: int) -> None:
    temporary = f"{_TEMPORARY_PREFIX}{os.getpid()}"
    with suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=parent)
    descriptor = os.open(temporary, _NEW_FILE, mode, dir_fd=parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
        os.replace(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=parent)
        raise
