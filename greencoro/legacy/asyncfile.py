"""The module ``asyncoro.asyncfile``: files and pipes whose calls are yielded."""

from __future__ import annotations

from typing import Any, ClassVar

from greencoro.errors import ClosedResource, DeadlineExceeded
from greencoro.hub.files import AsyncFile as _AsyncFile
from greencoro.hub.pipes import AsyncPipe as _AsyncPipe

__all__ = ["AsyncFile", "AsyncPipe"]


class AsyncFile(_AsyncFile):
    """Bytes from and to an open file, below whatever it does with them itself: it may be in text mode.

    What is not said here is as in `greencoro.hub.files.AsyncFile`.

    Args:
        fd: An open file (one on disk as well, which asyncoro had to refuse), a socket, an `AsyncSocket`, or the number
            of a descriptor.

    Raises:
        ValueError: It is nothing of that kind, or closed.
    """

    def __init__(self, fd: Any) -> None:
        try:
            self._set_up(fd)
        except (ClosedResource, TypeError) as error:
            raise ValueError(str(error)) from error

    def read(self, size: int = 0, full: bool = False, timeout: float | None = None) -> bytes:
        """Read some bytes, waiting for the first; all there are, to the end, where ``size`` is 0 or less.

        Args:
            full (bool): Wait until ``size`` bytes are there, or the end.

            timeout (float | None): Longest wait, in seconds.

        Returns:
            bytes: ``b""`` at the end; what there is, where the time was over before there was all.

        Raises:
            OSError: Nothing came in time: ``OSError("timedout")``, a `TimeoutError`. Or as for any file.
        """
        try:
            return super().read(max(size, 0), full, timeout)
        except DeadlineExceeded as error:
            if self._unread:
                # So many are there, and taken without a wait.
                return super().read(len(self._unread))
            raise _timed_out() from error

    def readline(self, size: int = 0, sizehint: int = 100, timeout: float | None = None) -> bytes:
        r"""Read to the end of the line, but at most ``size`` bytes where that is not 0.

        Returns:
            bytes: The line with its ``b"\n"``, without it where the file ends first; ``b""`` at the end.

        Raises:
            OSError: There was no whole line in time: as `read`. What did come of it stays for the next one.
        """
        try:
            return super().readline(max(size, 0), max(sizehint, 0), timeout)
        except DeadlineExceeded as error:
            raise _timed_out() from error


class AsyncPipe(_AsyncPipe):
    """Programs, talked to through their pipes; as `greencoro.hub.pipes.AsyncPipe`, of the `AsyncFile` above.

    Raises:
        ValueError: ``first`` or ``last`` is no ``Popen`` object.
    """

    _files: ClassVar[type[_AsyncFile]] = AsyncFile

    def __init__(self, first: Any, last: Any = None) -> None:
        try:
            super().__init__(first, last)
        except TypeError as error:
            raise ValueError(str(error)) from error


def _timed_out() -> DeadlineExceeded:
    # The word that programs compare with.
    return DeadlineExceeded("timedout")
