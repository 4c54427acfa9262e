"""Where a node daemon and its servers keep files: directories of the user's own, removed at the end."""

from __future__ import annotations

import secrets
from pathlib import Path

from greencoro.compute import removal
from greencoro.distributed import owner_locks, user_directory
from greencoro.errors import ConfigError
from greencoro.hub import native

__all__ = ["DaemonDirectory", "last_words_file"]

_PREFIX = "node-"
_LOCK_SUFFIX = ".lock"


class DaemonDirectory:
    """A new directory for one daemon, mode 0700. Those of daemons that died without removing theirs are removed.

    A daemon that lives holds the lock of a file beside its directory (`owner_locks`).

    Args:
        parent (Path | None): Where to make it; None for the user's own under the temporary one, which nobody
            else may be able to write to.

        for_user (bool): Servers run as another user. Where there is no `parent`, it is one that everybody can pass
            through.

    Raises:
        ConfigError: It cannot be made; the message says why.
    """

    def __init__(self, parent: Path | None, for_user: bool = False) -> None:
        try:
            self.path = self._make(parent, for_user)
        except OSError as error:
            place = "" if error.filename is None else f": {error.filename}"
            raise ConfigError(f"cannot make a directory for the servers: {error.strerror or error}{place}") from error

    def _make(self, named: Path | None, for_user: bool) -> Path:
        parent = user_directory.default_path() if named is None else named
        mode = 0o700
        if named is None and for_user:
            parent, mode = parent.with_name(f"{parent.name}-servers"), 0o711
        user_directory.make(parent, named is None, "--dest_path", mode)
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
        removal.wait()
        _remove(self.path)
        native.close(self._lock)


def last_words_file(directory: Path) -> Path:
    """Where the server that works in a directory leaves its last words: beside it."""
    return directory.with_name(f"{directory.name}.words")


def _lock_file(directory: Path) -> Path:
    return directory.with_name(f".{directory.name}{_LOCK_SUFFIX}")


def _remove(directory: Path) -> None:
    """Remove it, then its lock file; where something of it cannot be removed, the file stays too, for another try."""
    if removal.remove(directory):
        _lock_file(directory).unlink(missing_ok=True)


def _remove_abandoned(parent: Path) -> None:
    for file in owner_locks.abandoned(parent, f".{_PREFIX}*{_LOCK_SUFFIX}"):
        _remove(parent / file.name.removeprefix(".").removesuffix(_LOCK_SUFFIX))
