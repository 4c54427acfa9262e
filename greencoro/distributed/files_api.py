"""The part of a `Runtime` that is about files of its peers."""

from __future__ import annotations

import os

from greencoro.distributed.location import Location
from greencoro.distributed.transfer import Transfers
from greencoro.distributed.transfer_progress import Progress

__all__ = ["FilesApi"]


class FilesApi:
    """See the module. `Runtime` sets the attributes."""

    _transfers: Transfers

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
    ) -> int:
        """Remove a file that was sent to the peer at ``location``; see `transfer.Transfers.del_file`."""
        return self._transfers.del_file(location, file, dir, timeout)
