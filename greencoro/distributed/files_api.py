"""The part of a `Runtime` that is about files of its peers."""

from __future__ import annotations

import os
from pathlib import Path

from greencoro.distributed.location import Location
from greencoro.distributed.transfer import Transfers
from greencoro.distributed.transfer_progress import Progress

__all__ = ["FilesApi"]


class FilesApi:
    """See the module. `Runtime` sets the attributes."""

    _transfers: Transfers

    @property
    def dest_path(self) -> Path:
        """Directory below which files of peers are saved.

        It can be set: then that is made, and takes those that come from then on.

        Raises:
            ConfigError: It is set to what cannot be made, or is no directory.
        """
        return self._transfers.dest_path

    @dest_path.setter
    def dest_path(self, path: str | os.PathLike[str]) -> None:
        self._transfers.dest_path = path

    def send_file(
        self,
        location: Location | str,
        file: str | os.PathLike[str],
        dir: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        timeout: float | None = None,
        progress: Progress | bool | None = None,
    ) -> int | os.stat_result:
        """Send a file to the peer at ``location``; see `transfer.Transfers.send_file`."""
        return self._transfers.send_file(location, file, dir, overwrite, timeout, progress)

    def del_file(
        self,
        location: Location | str,
        file: str | os.PathLike[str],
        dir: str | os.PathLike[str] | None = None,
        timeout: float | None = None,
        prune: bool = False,
    ) -> int:
        """Remove a file that was sent to the peer at ``location``; see `transfer.Transfers.del_file`."""
        return self._transfers.del_file(location, file, dir, timeout, prune)
