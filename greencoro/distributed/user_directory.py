"""The directory of this user's own under the system's temporary one."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from greencoro.errors import ConfigError

__all__ = ["default_path", "make"]


def default_path() -> Path:
    """Where it is."""
    return Path(tempfile.gettempdir(), f"greencoro-{os.geteuid()}")


def make(path: Path, private: bool, parameter: str = "dest_path", mode: int = 0o700) -> None:
    """Make a directory, with those above it; one that is there stays as it is.

    Args:
        private (bool): It must be this user's alone: under a directory that everybody can write to, somebody else may
            have been there first.

        parameter (str): How another directory can be named, for the error.

        mode (int): Permissions for it: what others may do at most.

    Raises:
        ConfigError: Others have access to it, or it is no directory.

        OSError: It cannot be made.
    """
    path.mkdir(mode=mode, parents=True, exist_ok=True)
    status = path.lstat()
    if private and (
        not stat.S_ISDIR(status.st_mode)
        or status.st_uid != os.geteuid()
        or stat.S_IMODE(status.st_mode) & 0o077 & ~mode
    ):
        raise ConfigError(
            f"{path} is not a directory of this user's alone: remove it, or name another with {parameter}"
        )
