"""Where a node daemon and its servers keep files: directories of the user's own, removed at the end."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import stat
import tempfile
from pathlib import Path

from greencoro.errors import ConfigError
from greencoro.hub import native

__all__ = ["DaemonDirectory", "default_path"]

_PREFIX = "node-"
_LOCK_SUFFIX = ".lock"


def default_path() -> Path:
    """The directory for everything of this user's, under the system's temporary one."""
    return Path(tempfile.gettempdir(), f"greencoro-{os.geteuid()}")


class DaemonDirectory:
    """A new directory for one daemon, mode 0700. Those of daemons that died without removing theirs are removed.

    A daemon that lives holds a lock on a file beside its directory; the system takes the lock away with the process.
    The file is there before the directory and is removed after it, so whatever is left is found by its file.

    Args:
        parent (Path | None): Where to make it; None for `default_path`, which nobody else may be able to write to.

    Raises:
        ConfigError: It cannot be made; the message says why.
    """

    def __init__(self, parent: Path | None) -> None:
        try:
            self.path = self._make(default_path() if parent is None else parent, private=parent is None)
        except OSError as error:
            raise ConfigError(f"cannot make a directory for the servers: {error}") from error

    def _make(self, parent: Path, private: bool) -> Path:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = parent.lstat()
        # Under a directory that everybody can write to, somebody else may have been there first.
        if private and (
            not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077
        ):
            raise ConfigError(
                f"{parent} is not a directory of this user's alone: remove it, or name another with --dest_path"
            )
        _remove_abandoned(parent)
        while True:
            path = parent / f"{_PREFIX}{secrets.token_hex(4)}"
            try:
                lock = os.open(_lock_file(path), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except FileExistsError:
                continue
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Another daemon may have taken the new file, before it was locked, for one that was left behind.
            if _is_at(lock, _lock_file(path)):
                break
            native.close(lock)
        self._lock = lock
        path.mkdir(mode=0o700)
        return path

    def remove(self) -> None:
        """Remove it with everything in it."""
        _remove(self.path)
        native.close(self._lock)


def _lock_file(directory: Path) -> Path:
    return directory.with_name(f".{directory.name}{_LOCK_SUFFIX}")


def _is_at(descriptor: int, path: Path) -> bool:
    """Is the open file still the one that has this name?"""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _remove(directory: Path) -> None:
    """Remove it, then its lock file; where something of it cannot be removed, the file stays too, for another try."""
    shutil.rmtree(directory, ignore_errors=True)
    if not directory.exists():
        _lock_file(directory).unlink(missing_ok=True)


def _remove_abandoned(parent: Path) -> None:
    for file in parent.glob(f".{_PREFIX}*{_LOCK_SUFFIX}"):
        try:
            lock = os.open(file, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue  # just removed, or not ours
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue  # its daemon lives
        else:
            # What somebody else has put there names none of our directories.
            if _is_at(lock, file) and os.fstat(lock).st_uid == os.geteuid():
                _remove(parent / file.name.removeprefix(".").removesuffix(_LOCK_SUFFIX))
        finally:
            native.close(lock)
