"""Where a node daemon and its servers keep files: directories of the user's own, removed at the end."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from greencoro.distributed import owner_locks, user_directory
from greencoro.errors import ConfigError
from greencoro.hub import native

__all__ = ["DaemonDirectory"]

_PREFIX = "node-"
_LOCK_SUFFIX = ".lock"


class DaemonDirectory:
    """A new directory for one daemon, mode 0700. Those of daemons that died without removing theirs are removed.

    A daemon that lives holds the lock of a file beside its directory (`owner_locks`).

    Args:
        parent (Path | None): Where to make it; None for the user's own under the temporary one, which nobody
            else may be able to write to.

    Raises:
        ConfigError: It cannot be made; the message says why.
    """

    def __init__(self, parent: Path | None) -> None:
        try:
            self.path = self._make(user_directory.default_path() if parent is None else parent, private=parent is None)
        except OSError as error:
            raise ConfigError(f"cannot make a directory for the servers: {error}") from error

    def _make(self, parent: Path, private: bool) -> Path:
        user_directory.make(parent, private, "--dest_path")
        _remove_abandoned(parent)
        while True:
            path = parent / f"{_PREFIX}{secrets.token_hex(4)}"
            lock = owner_locks.make(_lock_file(path))
            if lock is not None:
                break
        self._lock = lock
        path.mkdir(mode=0o700)
        return path

    def remove(self) -> None:
        """Remove it with everything in it."""
        _remove(self.path)
        native.close(self._lock)


def _lock_file(directory: Path) -> Path:
    return directory.with_name(f".{directory.name}{_LOCK_SUFFIX}")


def _remove(directory: Path) -> None:
    """Remove it, then its lock file; where something of it cannot be removed, the file stays too, for another try."""
    shutil.rmtree(directory, ignore_errors=True)
    if not directory.exists():
        _lock_file(directory).unlink(missing_ok=True)


def _remove_abandoned(parent: Path) -> None:
    for file in owner_locks.abandoned(parent, f".{_PREFIX}*{_LOCK_SUFFIX}"):
        _remove(parent / file.name.removeprefix(".").removesuffix(_LOCK_SUFFIX))
