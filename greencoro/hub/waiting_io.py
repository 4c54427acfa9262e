"""Python's file objects, on a descriptor that lets others of the hub run while it waits."""

from __future__ import annotations

import io
from typing import Any

from greencoro.hub.descriptors import Descriptor, open_descriptor

__all__ = ["WaitingIO", "let_others_run"]


class WaitingIO(io.RawIOBase):
    """The lowest layer of a file object, as `io.FileIO` is, to be wrapped in the buffers and texts of `io`.

    Those have locks, so one at a time uses such a file; `AsyncFile` is for more than that.

    Args:
        raw (io.FileIO): The file, which belongs to this object from now on.
    """

    def __init__(self, raw: io.FileIO) -> None:
        super().__init__()
        self._raw = raw
        self._descriptor: Descriptor = open_descriptor(raw.fileno(), raw.close, "the file")

    def readable(self) -> bool:
        return self._raw.readable()

    def writable(self) -> bool:
        return self._raw.writable()

    def fileno(self) -> int:
        return self._raw.fileno()

    def readinto(self, buffer: Any) -> int:
        self._descriptor.enter("read")
        try:
            with memoryview(buffer) as view, view.cast("B") as octets:
                data = self._descriptor.read(len(octets), None)
                octets[: len(data)] = data
            return len(data)
        finally:
            self._descriptor.leave("read")

    def write(self, data: Any) -> int:
        self._descriptor.enter("write")
        try:
            with memoryview(data) as view, view.cast("B") as octets:
                return self._descriptor.write(octets, None)
        finally:
            self._descriptor.leave("write")

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._descriptor.close()


def let_others_run(file: Any, bufsize: int) -> Any:
    """What does the same as ``file``, which nobody has used yet, on a `WaitingIO`; of None: None."""
    if file is None:
        return None
    text = file if isinstance(file, io.TextIOWrapper) else None
    buffer = file if text is None else text.detach()
    unbuffered = isinstance(buffer, io.RawIOBase)
    result: Any = WaitingIO(buffer if unbuffered else buffer.detach())
    if not unbuffered:
        kind = io.BufferedReader if result.readable() else io.BufferedWriter
        result = kind(result, bufsize if bufsize > 1 else io.DEFAULT_BUFFER_SIZE)
    if text is not None:
        result = io.TextIOWrapper(
            result,
            encoding=text.encoding,
            errors=text.errors,
            line_buffering=text.line_buffering,
            write_through=text.write_through,
        )
    return result
