"""AsyncFile: a file, pipe, terminal or socket, read and written while others of the hub go on."""

from __future__ import annotations

import fcntl
import io
import os
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

from greencoro.errors import DeadlineExceeded
from greencoro.hub import native
from greencoro.hub.descriptors import BLOCK, Descriptor, Wrapped, deadline_of, left, open_descriptor
from greencoro.hub.sockets import AsyncSocket
from greencoro.hub.waiting import seconds

__all__ = ["AsyncFile", "close_anywhere"]

# What users call it.
_OWNER = "AsyncFile"
# A single call of the system sets aside what it is asked for.
_MOST_READ = 1 << 20


class AsyncFile:
    """Bytes from and to an open file, whatever kind it is, in plain blocking style.

    In a coroutine (or a gevent greenlet) a call that has to wait lets others run, with a regular file as well as with a
    pipe; a plain thread just waits. One may read while another writes; a second reader gets `BusyResource`. It may be
    made in one thread and used in another.

    Whoever waits may be terminated, or lose patience: a read that ends so takes nothing, all that has come is there for
    the next one.

    A descriptor that can be polled is set to not block. Where other processes share it (a terminal), they see that as
    well, until `close`; for terminals and the standard streams until the program's end at the latest.

    Args:
        fd: An open file in binary mode, a socket or `AsyncSocket`, or the number of a descriptor. It belongs to this
            object from now on, which closes it. What it has read ahead comes first.

    Raises:
        TypeError: ``fd`` is nothing of that kind, or a file in text mode.

        ValueError: It is closed, a directory, or has no descriptor; or it holds data that is not flushed yet.

        ClosedResource: It is an `AsyncSocket` that has given its socket back.
    """

    _descriptor: Descriptor

    def __init__(self, fd: Any) -> None:
        if not isinstance(fd, AsyncSocket) and hasattr(fd, "encoding"):
            raise TypeError(
                f"AsyncFile() carries bytes, and {fd!r} is in text mode: open it in binary mode, or give its .buffer"
            )
        self._set_up(fd)

    @classmethod
    def below(cls, file: Any) -> Self:
        """The bytes of ``file``, which may be in text mode, as long as no part of them has been decoded.

        Raises:
            TypeError, ValueError: Else as `AsyncFile`.
        """
        made = cls.__new__(cls)
        made._set_up(file)
        return made

    def _set_up(self, fd: Any) -> None:
        self._unread = bytearray()
        if isinstance(fd, AsyncSocket):
            if fd.fileno() < 0:
                raise ValueError(f"{fd!r} is closed")
            self._descriptor = Wrapped(fd.open_endpoint("AsyncFile()"), _OWNER)
        else:
            number, let_go = _take_over(fd)
            self._unread += _take_unread(fd)
            self._descriptor = open_descriptor(number, let_go, _OWNER)
        mode = fcntl.fcntl(self._descriptor.fd, fcntl.F_GETFL) & os.O_ACCMODE
        self._readable = mode != os.O_WRONLY
        self._writable = mode != os.O_RDONLY

    def read(self, size: int = 0, full: bool = False, timeout: float | None = None) -> bytes:
        """Read some bytes, waiting for the first.

        Args:
            size (int): At most so many; 0 or -1 reads all there is, to the end.

            full (bool): Wait until ``size`` bytes are there, or the end.

            timeout (float | None): Longest wait, in seconds. ``None`` waits for ever; ``0`` does not wait.

        Returns:
            bytes: ``b""`` at the end, only there.

        Raises:
            DeadlineExceeded: It was not there in time. What did come stays for the next read: ``read(n, timeout=0)``
                gets it.

            BusyResource: Somebody else is reading.

            ClosedResource: This object is, or meanwhile was, closed.
        """
        _check_size(size, "read()")
        deadline = deadline_of(seconds(timeout, "read()"))
        self._begin_reading()
        try:
            if size <= 0:
                while self._fill(BLOCK, deadline):
                    pass
                return self._take(len(self._unread))
            if full:
                while len(self._unread) < size and self._fill(size - len(self._unread), deadline):
                    pass
            elif not self._unread:
                data = self._descriptor.read(_ask_for(size), deadline)
                if len(data) <= size:
                    return data
                self._unread += data
            return self._take(size)
        finally:
            self._descriptor.leave("read")

    def readline(self, size: int = 0, sizehint: int = 100, timeout: float | None = None) -> bytes:
        r"""Read to the end of the line.

        Args:
            size (int): At most so many bytes; 0 or -1: however long the line is.

            sizehint (int): How long lines are, where that is more than 64 KiB: so much is asked for at a time. 0 or -1:
                that is not known.

            timeout (float | None): As for `read`.

        Returns:
            bytes: The line with its ``b"\n"``, without it where the file ends first; ``b""`` at the end.

        Raises:
            DeadlineExceeded: There was no whole line in time; what did come stays for the next read.

            BusyResource, ClosedResource: As for `read`.
        """
        _check_size(size, "readline()")
        _check_size(sizehint, "readline(), as its sizehint,")
        deadline = deadline_of(seconds(timeout, "readline()"))
        self._begin_reading()
        try:
            unread = self._unread
            searched = 0
            while True:
                end = unread.find(b"\n", searched) + 1
                if end == 0 and (size <= 0 or len(unread) < size):
                    searched = len(unread)
                    if self._fill(sizehint, deadline):
                        continue
                length = end or len(unread)
                return self._take(min(length, size) if size > 0 else length)
        finally:
            self._descriptor.leave("read")

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def write(self, buf: Any, full: bool = False, timeout: float | None = None) -> int:
        """Write bytes, waiting until the system takes them.

        Args:
            buf: ``bytes`` or another buffer.

            full (bool): Go on until all of it is written. Otherwise one write of the system will do, and that may take
                only the beginning.

            timeout (float | None): Longest wait, in seconds. ``None`` waits for ever; ``0`` does not wait. The disk of
                a regular file takes its time all the same.

        Returns:
            int: How many bytes were written. With ``full``, fewer than there are means that the time was over.

        Raises:
            BrokenPipeError: Nobody is left to read it.

            BusyResource: Somebody else is writing.

            ClosedResource: This object is, or meanwhile was, closed. The beginning may have been written.
        """
        if isinstance(buf, str):
            raise TypeError("write() takes bytes: encode the text first")
        data = memoryview(buf).cast("B")
        deadline = deadline_of(seconds(timeout, "write()"))
        self._descriptor.enter("write")
        try:
            if not self._writable:
                raise io.UnsupportedOperation(f"{self!r} was not opened for writing")
            self._descriptor.turn_back(self._unread)
            written = 0
            while written < len(data):
                try:
                    written += self._descriptor.write(data[written:], deadline)
                except DeadlineExceeded:
                    break
                if not full or left(deadline) == 0.0:
                    break
            return written
        finally:
            self._descriptor.leave("write")

    def fileno(self) -> int:
        """The number of the descriptor.

        Raises:
            ClosedResource: This object was closed, and the number may belong to another file by now.
        """
        return self._descriptor.number()

    @property
    def closed(self) -> bool:
        """Was this object closed? The file is as well, as soon as nobody waits for it any more."""
        return self._descriptor.closed

    def close(self) -> None:
        """Close the file, and what this object was made from; any thread may call it, any number of times.

        Whoever waits for the file gets `ClosedResource`, and it is closed as soon as they have let go of it.
        """
        self._descriptor.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<AsyncFile {'closed' if self.closed else self._descriptor.fd}>"

    def _begin_reading(self) -> None:
        self._descriptor.enter("read")
        if not self._readable:
            self._descriptor.leave("read")
            raise io.UnsupportedOperation(f"{self!r} was not opened for reading")

    def _fill(self, size: int, deadline: float | None) -> bool:
        """Read once into the buffer; False at the end."""
        data = self._descriptor.read(_ask_for(size), deadline)
        self._unread += data
        return bool(data)

    def _take(self, size: int) -> bytes:
        unread = self._unread
        data = bytes(unread) if size >= len(unread) else bytes(memoryview(unread)[:size])
        # A bytearray gives its beginning away without moving the rest.
        del unread[:size]
        return data


def _ask_for(size: int) -> int:
    return min(max(size, BLOCK), _MOST_READ)


def _check_size(size: int, what: str) -> None:
    if isinstance(size, bool) or not isinstance(size, int):
        raise TypeError(f"{what} takes a number of bytes, not {size!r}")
    if size < -1:
        raise ValueError(f"{what} takes a number of bytes of at least 0, or -1 for no limit, not {size}")


def _take_over(fd: Any) -> tuple[int, Callable[[], object]]:
    """The number of a descriptor, and what closes it."""
    if isinstance(fd, int) and not isinstance(fd, bool):
        return fd, lambda: native.close(fd)
    if isinstance(fd, AsyncFile) or not callable(getattr(fd, "fileno", None)):
        raise TypeError(f"AsyncFile() takes an open file, a socket or the number of a descriptor, not {fd!r}")
    if hasattr(fd, "getpeercert"):
        raise ValueError(f"{fd!r} carries TLS, of which a descriptor knows nothing: wrap the socket in an AsyncSocket")
    try:
        number = fd.fileno()
    except (OSError, ValueError) as error:
        raise ValueError(f"{fd!r} is closed, or no file of the system") from error
    return number, lambda: close_anywhere(fd)


def _take_unread(file: Any) -> bytes:
    """Empty the buffer of a file object without touching the file below it."""
    buffer = getattr(file, "buffer", file)
    raw = getattr(buffer, "raw", None)
    if raw is None:
        return b""
    # Whatever kind of file it is, and whoever's class (gevent's would turn a hub): there is nothing to read, and none
    # takes anything. So neither call below waits, and both tell what the buffer holds.
    raw.readinto = raw.write = lambda data: None
    try:
        file.flush()
        if not buffer.readable():
            return b""
        unread: bytes = buffer.peek()
        buffer.read(len(unread))
        if buffer is not file and file.read(1):
            raise ValueError(f"{file!r} was read as text before: part of its data is decoded, out of reach")
    except BlockingIOError:
        raise ValueError(f"{file!r} holds data that is not written yet: flush() it first") from None
    finally:
        del raw.readinto, raw.write
    return unread


def close_anywhere(file: Any) -> None:
    """Close a file object or socket from any thread, one of gevent's as well."""
    hub = _hub_of(file)
    if hub is None or hub is native.thread_hub():
        file.close()
        return
    # Its watchers are its hub's, which may be a while. The other side shall see the end now; but the number has to stay
    # taken, by anything, until that hub closes it.
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.dup2(nothing, file.fileno(), inheritable=False)
    finally:
        native.close(nothing)
    hub.loop.run_callback_threadsafe(file.close)


def _hub_of(file: Any) -> Any:
    """The gevent hub that a file object or socket is tied to, or None."""
    raw = getattr(getattr(file, "buffer", file), "raw", file)
    return getattr(raw, "hub", None)
