"""Files written below one directory, whatever their names say.

A name is taken apart and each directory on the way is opened relative to the one above it, following no link: what is
checked is what is written to. A file appears whole or not at all; it is not forced to the disk, as a working directory
does not outlive the machine's next start.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from greencoro.errors import PackagingError
from greencoro.hub import native

__all__ = ["write"]

_MAX_NAME_BYTES = 255
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_TEMPORARY_PREFIX = ".greencoro-"


def write(directory: str | os.PathLike[str], path: str, content: bytes, mode: int = 0o666) -> None:
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
        if not _is_plain(word):
            raise PackagingError(f"file {path!r}: not a path inside the working directory")
    try:
        with _opened(directory, above) as parent:
            _replace(parent, name, content, mode & 0o777)
    except OSError as err:
        if err.errno in (errno.ELOOP, errno.ENOTDIR):
            raise PackagingError(f"file {path!r}: leads through a link or a file") from err
        raise PackagingError(f"file {path!r}: cannot be written: {err.strerror}") from err


def _is_plain(word: str) -> bool:
    """Whether a name means the same to every file system: one entry of a directory."""
    if word in ("", ".", "..") or any(char in word for char in "\0\\:"):
        return False
    try:
        return len(word.encode()) <= _MAX_NAME_BYTES
    except UnicodeEncodeError:
        return False


@contextmanager
def _opened(directory: str | os.PathLike[str], below: list[str]) -> Iterator[int]:
    """A descriptor of a directory, after making it."""
    # The directory itself is our own choice, so it may be reached through links.
    here = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for word in below:
            with suppress(FileExistsError):
                os.mkdir(word, dir_fd=here)
            inner = os.open(word, _DIRECTORY, dir_fd=here)
            native.close(here)
            here = inner
        yield here
    finally:
        native.close(here)


def _replace(parent: int, name: str, content: bytes, mode: int) -> None:
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
