"""Where a node daemon and its servers keep files: directories of the user's own, removed at the end."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path

from greencoro.errors import ConfigError

__all__ = ["DaemonDirectory", "default_path"]

_PREFIX = "node-"


def default_path() -> Path:
    """The directory for everything of this user's, under the system's temporary one."""
    return Path(tempfile.gettempdir(), f"greencoro-{os.geteuid()}")


class DaemonDirectory:
    """A new directory for one daemon, mode 0700. Those of daemons that died without removing theirs are removed.

    A daemon that lives holds a lock on a file in its directory; the system takes it away with the process.

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
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        self._lock = os.open(_lock_file(path), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        return path

    def remove(self) -> None:
        """Remove it with everything in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _lock_file(directory: Path) -> Path:
    return directory / ".lock"


def _remove_abandoned(parent: Path) -> None:
    for directory in parent.glob(f"{_PREFIX}*"):
        try:
            lock = os.open(_lock_file(directory), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue  # just being made or removed, or not ours
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue  # its daemon lives
        else:
            shutil.rmtree(directory, ignore_errors=True)
        finally:
            os.close(lock)
