"""Users' objects as bytes.

An object is pickled once, when it is sent: what arrives is a snapshot of that moment. Buffers of at least
`OUT_OF_BAND_BYTES` (the data of NumPy arrays, a `pickle.PickleBuffer`) travel beside the pickle, copied once, because
the sender may go on changing them before they have left. Layout: u16 number of buffers, u64 length of each, then, where
there are buffers, u64 length of the pickle; then the pickle and the buffers.

That is how runtimes do it that say nothing else; `json_codec` is for those who do not trust their peers so far.
Opening a pickle runs what its maker put into it. It is opened only in the process it is for, for a sender that proved
to know the secret (docs/explanation/trust.md).
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from greencoro.distributed.fields import Buffer
from greencoro.distributed.user_code import is_interruption, reason
from greencoro.errors import RemoteProtocolError

__all__ = ["OUT_OF_BAND_BYTES", "PICKLE", "Codec", "dumps", "loads"]

OUT_OF_BAND_BYTES = 64 * 1024

_NO_BUFFERS = b"\0\0"
_COUNT = struct.Struct("!H")


def dumps(message: Any, head: bytes = b"") -> list[Buffer]:
    """``message`` as a list of buffers that belong together, the first beginning with ``head``.

    Raises:
        BaseException: What pickling it raises (`TypeError`, `pickle.PicklingError`, or what its ``__reduce__`` raises).
    """
    beside: list[memoryview] = []

    def keep_inside(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < OUT_OF_BAND_BYTES or len(beside) >= 0xFFFF:
            return True
        # Only the bytes of a `bytes` object cannot change until they are sent.
        beside.append(raw if type(raw.obj) is bytes else memoryview(bytes(raw)))
        return False

    pickled = pickle.dumps(message, 5, buffer_callback=keep_inside)
    if not beside:
        return [head + _NO_BUFFERS + pickled]
    lengths = [raw.nbytes for raw in beside]
    layout = struct.pack(f"!H{len(beside)}QQ", len(beside), *lengths, len(pickled))
    return [head + layout, pickled, *beside]


def loads(data: Buffer) -> Any:
    """The object in ``data``. Its big buffers can be changed: views of ``data``, or copies where that is constant.

    Raises:
        RemoteProtocolError: The layout is not that of `dumps`.

        BaseException: What unpickling it raises.
    """
    view = memoryview(data)
    if data[:2] == _NO_BUFFERS:
        return pickle.loads(view[2:])
    if len(data) < 2:
        raise RemoteProtocolError("a payload of less than two bytes")
    (count,) = _COUNT.unpack_from(data)
    head = struct.Struct(f"!H{count}QQ")
    if head.size > len(data):
        raise RemoteProtocolError("a payload announces more buffers than it has bytes")
    _, *lengths, pickled = head.unpack_from(data)
    if head.size + pickled + sum(lengths) != len(data):
        raise RemoteProtocolError("the buffers of a payload do not add up to its length")
    offset = head.size + pickled
    buffers: list[Buffer] = []
    for length in lengths:
        buffer = view[offset : offset + length]
        buffers.append(bytearray(buffer) if view.readonly else buffer)
        offset += length
    return pickle.loads(view[head.size : head.size + pickled], buffers=buffers)


class Codec(NamedTuple):
    """A way for users' objects to be bytes; what comes to a runtime is opened in its own, whatever the sender did.

    Attributes:
        dumps: As `dumps` here; raises whatever keeps an object from travelling.

        loads: As `loads` here; raises whatever keeps it from being opened.
    """

    dumps: Callable[[Any, bytes], list[Buffer]]
    loads: Callable[[Buffer], Any]

    def opened(self, data: Buffer) -> tuple[Any, str | None]:
        """`loads`, whatever that raises: the object and None, or None and in words why there is none."""
        try:
            return self.loads(data), None
        except BaseException as error:
            if is_interruption(error):
                raise
            return None, reason(error)


PICKLE = Codec(dumps, loads)
